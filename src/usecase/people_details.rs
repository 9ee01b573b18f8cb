//! Adding people, and changing what is kept of them: nobody gets what is somebody else's, of the config or of the directory.

use crate::config::schema::access::PersonEntry;
use crate::domain::people_change::{Account, Details, NewPerson};
use crate::domain::person::{Person, PersonId, PersonStatus, fold};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::people_change::{self as kept, Claims};
use crate::store::person;
use crate::usecase::Facts;
use crate::usecase::people_change::{Done, after, changed, conflict, keep, named, of_config, taken};
use crate::usecase::resolve::unavailable;
use crate::wire::fault::Fault;
use serde_json::json;

pub(super) async fn add(conn: &Conn, facts: &Facts, new: NewPerson) -> Result<Done, Fault> {
    let NewPerson { name, role, details, account } = new;
    if let Some(config) = facts.people.of_config(name.as_str()) {
        return Err(of_config("name", &format!("the name `{name}`"), &config.name, config.origin.as_deref()));
    }
    let claims = Claims { name: Some(name.as_str()), ..Claims::default() };
    if let Some(other) = kept::holder(conn, &claims, None).await.map_err(unavailable)? {
        return Err(taken("name", &format!("the name `{name}`"), &other));
    }
    unclaimed(conn, facts, None, &details, Some(&account)).await?;
    let fresh = Person {
        id: PersonId(facts.session_id),
        name: name.to_string(),
        visitor: false,
        os_username: None,
        uid: None,
        role: Some(role),
        group_role: None,
        status: PersonStatus::Active,
        first_seen: facts.now,
        last_seen: facts.now,
        full_name: None,
        email: None,
        phone: None,
        notes: String::new(),
        warnings: 0,
        created: facts.now,
        updated: facts.now,
    };
    // Whoever was here without a name keeps what is known of them.
    let seen = match account.uid {
        Some(uid) => kept::visitor(conn, uid).await.map_err(unavailable)?,
        None => None,
    };
    let mut person = match seen {
        Some(seen) => Person {
            name: fresh.name,
            visitor: false,
            role: fresh.role,
            group_role: None,
            updated: after(seen.updated, facts.now),
            ..seen
        },
        None => fresh,
    };
    let given = details.given();
    apply(&mut person, details);
    kept::put(conn, &person).await.map_err(unavailable)?;
    let hints = hints_of_new(facts, &person);
    let detail = json!({ "name": person.name, "role": role.name(), "given": given });
    Ok(Done::of(&person, changed(&person, true, hints), Some(detail)))
}

/// What an admin should know who has just added somebody.
fn hints_of_new(facts: &Facts, person: &Person) -> Vec<String> {
    let mut hints = Vec::new();
    if facts.single_user {
        hints.push(
            "single-user mode serves the daemon's own user only: nobody else can act until there is a system's config"
                .to_owned(),
        );
    } else if facts.runner.is_some() {
        let group = facts.config.runner.group.as_deref();
        let who = match group {
            Some(group) => {
                format!("people of the config and members of the OS group `{group}` (runner.group)")
            }
            None => "people of the config; `runner.group` could name an OS group, too".to_owned(),
        };
        hints.push(format!(
            "teleclaude-runner starts agents only for {who}: {} can do everything else at once",
            person.name
        ));
    }
    hints
}

pub(super) async fn update(
    conn: &Conn,
    facts: &Facts,
    mut person: Person,
    details: Details,
    version: Option<Timestamp>,
    account: Option<Account>,
) -> Result<Done, Fault> {
    named(&person)?;
    if version.is_some_and(|version| version != person.updated) {
        return Err(changed_meanwhile(&person));
    }
    if (details.os_username.is_some() || details.uid.is_some())
        && let Some(config) = facts.people.of_config(&person.name)
    {
        let field = if details.uid.is_some() { "uid" } else { "os_username" };
        return Err(of_config(field, "which OS user this is", &config.name, config.origin.as_deref()));
    }
    unclaimed(conn, facts, Some(&person), &details, account.as_ref()).await?;
    let before = person.clone();
    let given = details.given();
    apply(&mut person, details);
    // Whoever was seen at that uid without a name was them.
    if let Some(uid) = person.uid.filter(|uid| before.uid != Some(*uid))
        && let Some(visitor) = kept::visitor(conn, uid).await.map_err(unavailable)?
    {
        person::without_uid(conn, visitor.id, facts.now).await.map_err(unavailable)?;
    }
    let is_changed = keep(conn, facts, &before, &mut person).await?;
    let detail = is_changed.then(|| json!({ "given": given }));
    Ok(Done::of(&person, changed(&person, is_changed, Vec::new()), detail))
}

/// What is asked for was decided by what is no longer so.
fn changed_meanwhile(person: &Person) -> Fault {
    conflict("if_updated_at", format!("somebody else changed `{}` at {}", person.name, person.updated))
        .hint("look at them again, and then decide")
}

/// That nobody else has what is to be theirs: the OS user, the uid, the address.
async fn unclaimed(
    conn: &Conn,
    facts: &Facts,
    own: Option<&Person>,
    details: &Details,
    account: Option<&Account>,
) -> Result<(), Fault> {
    let user = details.os_username.as_deref().filter(|user| !user.is_empty());
    let name = |own: &Person| own.name.clone();
    let but = own.map(|own| own.id);
    if let Some(config) = facts.people.claimed(user, details.uid)
        && own.map(name).as_ref() != Some(&config.name)
    {
        let (field, what) = said_account(user, details.uid);
        return Err(of_config(field, &what, &config.name, config.origin.as_deref()));
    }
    let by_user = Claims { os_username: user, ..Claims::default() };
    if let Some(other) = kept::holder(conn, &by_user, but).await.map_err(unavailable)? {
        return Err(taken("os_username", &format!("the OS user `{}`", user.unwrap_or_default()), &other));
    }
    let uid = details.uid.or(account.and_then(|account| account.uid));
    let by_uid = Claims { uid, ..Claims::default() };
    if let Some(other) = kept::holder(conn, &by_uid, but).await.map_err(unavailable)? {
        let field = if details.uid.is_some() { "uid" } else { "os_username" };
        return Err(taken(field, &format!("the uid {}", uid.unwrap_or_default()), &other));
    }
    if let Some((mapped, origin)) = account.and_then(|account| account.mapped.as_ref())
        && own.map(name).as_ref() != Some(mapped)
    {
        let (field, what) = said_account(user, details.uid);
        return Err(of_config(field, &what, mapped, origin.as_deref()));
    }
    let Some(email) = details.email.as_deref().filter(|email| !email.is_empty()) else { return Ok(()) };
    let folded = fold(email);
    let of_another = |entry: &&PersonEntry| {
        let same = entry.email.as_deref().is_some_and(|theirs| fold(theirs) == folded);
        same && own.map(name).as_ref() != Some(&entry.name)
    };
    if let Some(entry) = facts.config.people.iter().find(of_another) {
        let origin = facts.people.of_config(&entry.name).and_then(|config| config.origin.as_deref());
        return Err(of_config("email", &format!("the address `{email}`"), &entry.name, origin));
    }
    let by_email = Claims { email: Some(email), ..Claims::default() };
    if let Some(other) = kept::holder(conn, &by_email, but).await.map_err(unavailable)? {
        return Err(taken("email", &format!("the address `{email}`"), &other));
    }
    Ok(())
}

fn said_account(user: Option<&str>, uid: Option<u32>) -> (&'static str, String) {
    match (user, uid) {
        (Some(user), _) => ("os_username", format!("the OS user `{user}`")),
        (None, uid) => ("uid", format!("the uid {}", uid.unwrap_or_default())),
    }
}

fn apply(person: &mut Person, details: Details) {
    let optional = |text: String| Some(text).filter(|text| !text.is_empty());
    let Details { full_name, email, phone, notes, os_username, uid } = details;
    if let Some(full_name) = full_name {
        person.full_name = optional(full_name);
    }
    if let Some(email) = email {
        person.email = optional(email);
    }
    if let Some(phone) = phone {
        person.phone = optional(phone);
    }
    if let Some(notes) = notes {
        person.notes = notes;
    }
    if let Some(user) = os_username {
        let user = optional(user);
        if person.os_username != user || user.is_none() {
            // Theirs was that of the other; and without an account they have none.
            person.uid = None;
        }
        person.os_username = user;
    }
    if let Some(uid) = uid {
        person.uid = Some(uid);
    }
}
