//! People writing to each other: finding the addressee, and putting the letter into the inbox and, if that is asked for
//! and allowed, into the queue of what is typed into a session of theirs, all in one transaction.

use crate::agent::{self, Manner};
use crate::config::schema::access::PersonEntry;
use crate::domain::action::Action;
use crate::domain::caller::{Caller, PersonRef, Role};
use crate::domain::letter::{Addressee, Into, Letter, LetterText};
use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::person::{Person, PersonId, fold};
use crate::domain::session::Session;
use crate::domain::task::Task;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::task::{self, Found};
use crate::store::writer::Tx;
use crate::store::{inbox, message, person, session};
use crate::usecase::resolve::{find, reason, unavailable};
use crate::usecase::{Facts, people};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::inbox::{DeliveredReply, SendSummary, SendToPerson};
use crate::wire::limits::SESSION_PREFIX_MIN;
use crate::wire::reply::Reply;
use std::time::Duration;
use uuid::Uuid;

/// Letters that one sender has in one inbox of the last hour, at most: what is there cannot be pushed out by one who
/// writes without end.
pub const LETTERS_AN_HOUR: usize = 60;
const HOUR: Duration = Duration::from_secs(3_600);
/// Stands for all admins.
const ADMINS: &str = "admins";
/// Admins that are written to at once, at most.
const ADMINS_MAX: usize = 64;
/// Stands for the newest session that the addressee has open.
const NEWEST: &str = "newest";
/// Sessions among which the newest is looked for that a message can be typed into.
const NEWEST_OF: u64 = 20;

/// Turns the arguments of `send_to_user` into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) async fn resolve(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: SendToPerson,
) -> Result<Action, Fault> {
    let text = LetterText::parse(&args.message).map_err(|problem| Fault::invalid("message", problem))?;
    let reason = reason(args.reason)?;
    let asked: String = args.user.chars().take(100).collect();
    let to = addressees(conn, facts, caller, &args.user).await?;
    let into = match args.into_session.as_deref() {
        None => Into::Inbox,
        Some(_) if caller.role < Role::Admin => Into::Unseen,
        Some(which) => {
            let session = into_session(conn, caller, &to, which).await?;
            Into::Session(session, facts.session_id)
        }
    };
    let kind = NoticeKind::Message;
    Ok(Action::SendToPerson(Box::new(Letter { kind, asked, to, text, into, reason })))
}

/// Turns the arguments of `send_summary_to_owner` into an action: it goes to who gave the task, else to all admins.
///
/// # Errors
/// A fault that names the argument.
pub(super) async fn resolve_summary(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: SendSummary,
) -> Result<Action, Fault> {
    let text = LetterText::parse(&args.summary).map_err(|problem| Fault::invalid("summary", problem))?;
    let to = who_asked(conn, facts, caller, args.task_id.as_deref()).await?;
    let (kind, into) = (NoticeKind::Summary, Into::Inbox);
    Ok(Action::SendSummary(Box::new(Letter { kind, asked: String::new(), to, text, into, reason: None })))
}

/// Looks again at the session that it is typed into.
///
/// # Errors
/// The session is gone, or the database.
pub(super) async fn again(conn: &Conn, letter: &mut Letter) -> Result<(), Fault> {
    if let Into::Session(session, _) = &mut letter.into {
        **session = super::resolve::again(conn, session).await?;
    }
    Ok(())
}

/// Who is meant. Admins write to anybody; others are told of nobody but admins.
async fn addressees(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    words: &str,
) -> Result<Vec<Addressee>, Fault> {
    let words = words.trim().trim_start_matches('@');
    if words.is_empty() || words.len() > 400 {
        return Err(Fault::invalid("user", "must be a person's name").hint("`admins` stands for all admins"));
    }
    let admins = admins(conn, facts, caller).await?;
    if caller.role < Role::Admin {
        let wanted = fold(words);
        let hit = admins.iter().find(|(admin, user)| {
            fold(&admin.name) == wanted || user.as_ref().is_some_and(|user| fold(user) == wanted)
        });
        if let Some((admin, _)) = hit {
            return Ok(vec![Addressee { person: admin.clone(), admin: true, notice: facts.message_id }]);
        }
    }
    if fold(words) == ADMINS {
        return all_of(facts, admins);
    }
    if caller.role < Role::Admin {
        let name: String = words.chars().take(100).collect();
        return Err(nobody(&name));
    }
    let person = people::one(conn, facts, "user", words).await?;
    if person.visitor {
        // Who is nobody here has no inbox.
        return Err(nobody(&person.name));
    }
    let admin = admins.iter().any(|(admin, _)| admin.id == person.id);
    Ok(vec![Addressee { person: reference(&person), admin, notice: facts.message_id }])
}

/// Who gave the task, or the newest open one, if they can still come in; else all admins.
async fn who_asked(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    task_id: Option<&str>,
) -> Result<Vec<Addressee>, Fault> {
    let own = caller.person.as_ref().map(|person| person.id);
    let task = match (task_id, own) {
        (Some(name), Some(own)) => Some(own_task(conn, own, name).await?),
        (None, Some(own)) => task::newest_open(conn, own).await.map_err(unavailable)?,
        (_, None) => None,
    };
    let admins = admins(conn, facts, caller).await?;
    if let Some(task) = task
        && let Some(creator) = person::by_id(conn, task.creator.id).await.map_err(unavailable)?
        && facts.people.lets_in(&creator.name, facts.now)
    {
        let admin = admins.iter().any(|(admin, _)| admin.id == creator.id);
        return Ok(vec![Addressee { person: reference(&creator), admin, notice: facts.message_id }]);
    }
    all_of(facts, admins)
}

/// The task of this person's that is meant.
async fn own_task(conn: &Conn, own: PersonId, name: &str) -> Result<Task, Fault> {
    let shown: String = name.chars().take(40).collect();
    let field = |fault: Fault| Fault { field: Some("task_id".to_owned()), ..fault };
    let plain = name.len() <= 36 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !plain || name.len() < SESSION_PREFIX_MIN {
        return Err(Fault::invalid(
            "task_id",
            format_args!(
                "`{shown}` is neither a task's id nor at least {SESSION_PREFIX_MIN} characters of one"
            ),
        ));
    }
    match task::find(conn, name, Some(own), false).await.map_err(unavailable)? {
        Found::One(task) => Ok(*task),
        Found::None => {
            Err(field(Fault::not_found("task", &shown)).hint("a summary is about a task of your own"))
        }
        Found::Ambiguous(ids) => {
            let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
            Err(Fault::invalid("task_id", format_args!("`{shown}` fits several: {}", ids.join(", "))))
        }
    }
}

/// There is no such person, or none that the caller may write to: the same words for both.
pub(super) fn nobody(name: &str) -> Fault {
    Fault { field: Some("user".to_owned()), ..Fault::not_found("person", name) }
        .hint("whoever is no admin writes to admins; `admins` stands for all of them")
}

fn all_of(facts: &Facts, admins: Vec<(PersonRef, Option<String>)>) -> Result<Vec<Addressee>, Fault> {
    if admins.is_empty() {
        return Err(Fault::new(FaultCode::NotFound, "there is no admin who could read it"));
    }
    let first = std::iter::once(facts.message_id).chain(std::iter::repeat_with(Uuid::now_v7));
    let all = admins.into_iter().take(ADMINS_MAX).zip(first);
    Ok(all.map(|((person, _), notice)| Addressee { person, admin: true, notice }).collect())
}

/// The admins and their OS users, by name: the config's, those added at run time, and who was one by an OS group when
/// last seen. The config beats the directory. Who is kept out would not read it, and is none.
async fn admins(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
) -> Result<Vec<(PersonRef, Option<String>)>, Fault> {
    if facts.single_user {
        let own = caller.person.iter().map(|own| (own.clone(), caller.os_username.clone()));
        return Ok(own.collect());
    }
    let config: Vec<&PersonEntry> = facts.config.people.iter().filter(|one| one.os_group.is_none()).collect();
    let by_group = facts.config.people.iter().any(|one| one.os_group.is_some() && one.role == Role::Admin);
    let mut found = person::admins(conn, by_group, ADMINS_MAX as u64).await.map_err(unavailable)?;
    found.retain(|person| config.iter().all(|one| one.name != person.name));
    for one in config.iter().filter(|one| one.role == Role::Admin).take(ADMINS_MAX) {
        found.extend(person::by_name(conn, &one.name).await.map_err(unavailable)?);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let let_in = found.iter().filter(|person| facts.people.lets_in(&person.name, facts.now));
    Ok(let_in.map(|person| (reference(person), person.os_username.clone())).collect())
}

fn reference(person: &Person) -> PersonRef {
    PersonRef { id: person.id, name: person.name.clone() }
}

/// The session of the addressee's that is meant.
async fn into_session(
    conn: &Conn,
    caller: &Caller,
    to: &[Addressee],
    which: &str,
) -> Result<Box<Session>, Fault> {
    let wrong = |problem: String| Fault::invalid("into_session", problem);
    let [addressee] = to else { return Err(wrong("is for one addressee only".to_owned())) };
    let name = &addressee.person.name;
    let session = if which == NEWEST {
        let open = session::newest_open(conn, addressee.person.id, NEWEST_OF).await.map_err(unavailable)?;
        let open = open.into_iter().find(|session| agent::manner(&session.agent) == Manner::Conversation);
        Box::new(open.ok_or_else(|| wrong(format!("{name} has no session open that takes messages")))?)
    } else {
        find(conn, caller, which)
            .await
            .map_err(|fault| Fault { field: Some("into_session".to_owned()), ..fault })?
    };
    if session.owner != addressee.person.id {
        return Err(wrong(format!("is not a session of {name}'s")));
    }
    if agent::manner(&session.agent) == Manner::Shell {
        return Err(wrong(format!("is a shell's: it would run what {name} is to read")));
    }
    Ok(session)
}

/// Puts it into the inbox of each addressee, and into the queue of the session if there is one.
///
/// # Errors
/// `rate_limited`: the sender has written too much there; `conflict`: the session is over.
pub(super) async fn send(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    letter: Letter,
) -> Result<Reply, Fault> {
    let from = caller.name();
    for addressee in &letter.to {
        not_too_many(tx.conn(), facts, &from, &addressee.person).await?;
        let notice = Notice {
            id: addressee.notice,
            person: addressee.person.id,
            uid: None,
            from: Some(from.clone()),
            at: facts.now,
            read_at: None,
            kind: letter.kind,
            text: letter.text.as_str().to_owned(),
            session: caller.agent_of,
            times: 1,
        };
        inbox::put(tx.conn(), &notice).await.map_err(unavailable)?;
    }
    let mut reply = DeliveredReply {
        message_id: letter.to.first().map(|first| first.notice.to_string()).unwrap_or_default(),
        to: letter.to.iter().map(|addressee| addressee.person.name.clone()).collect(),
        session_id: None,
        state: None,
    };
    if let Into::Session(session, key) = &letter.into {
        if !session.status.is_open() {
            let over = format!("session {} is {}; nothing was sent", session.id, session.status);
            return Err(
                Fault::new(FaultCode::Conflict, over).hint("without into_session it waits in the inbox")
            );
        }
        let typed = letter.typed(&from);
        let kept = message::enqueue(tx.conn(), session.id, *key, &typed, None, false, facts.now);
        let kept = kept.await.map_err(unavailable)?;
        reply.session_id = Some(session.id.to_string());
        reply.state = Some(kept.state.name().to_owned());
    }
    Ok(Reply::Delivered(Box::new(reply)))
}

async fn not_too_many(conn: &Conn, facts: &Facts, from: &str, to: &PersonRef) -> Result<(), Fault> {
    let since = Timestamp::from_micros(facts.now.micros().saturating_sub(3_600_000_000));
    let letters = inbox::letters_of(conn, to.id, from, since, LETTERS_AN_HOUR as u64);
    let letters = letters.await.map_err(unavailable)?;
    if letters.len() < LETTERS_AN_HOUR {
        return Ok(());
    }
    let wait = letters.last().map_or(HOUR, |oldest| oldest.plus(HOUR).since(facts.now));
    let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
    let many =
        format!("{} has {LETTERS_AN_HOUR} messages of yours of the last hour; nothing was sent", to.name);
    Err(Fault { retry_after_ms: Some(ms), ..Fault::new(FaultCode::RateLimited, many) }
        .hint(format!("try again in {} s, or say more in one message", ms / 1_000 + 1)))
}
