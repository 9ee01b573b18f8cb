//! Whether agents and projects can be reached by those they are for: as root tried as each of them, in one short shell
//! a person; else for this user alone. Nothing is run but `test`.

use crate::agent::{self, Owner};
use crate::config::load::Loaded;
use crate::config::schema::RunAs;
use crate::config::schema::access::PersonEntry;
use crate::config::schema::agents::LOGIN_SHELL;
use crate::domain::caller::{Caller, PersonRef, Role, Rule, Via};
use crate::domain::person::{PersonId, Standing};
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::quoted;
use crate::install::doctor::people::accounts;
use crate::install::doctor::system::Who;
use crate::platform::account::Account;
use std::path::PathBuf;
use std::thread;
use uuid::Uuid;

/// Answers one letter for each argument: `x:PATH` a program that can be run, `d:PATH` a folder that can be worked in.
const SCRIPT: &str = r#"for q do p=${q#?:}; a=n
case $q in
x:*) if [ -f "$p" ] && [ -x "$p" ]; then a=y; fi;;
d:*) if [ -d "$p" ] && [ -x "$p" ] && [ -r "$p" ] && [ -w "$p" ]; then a=y; elif [ -d "$p" ] && [ -x "$p" ] && [ -r "$p" ]; then a=r; fi;;
esac; printf %s "$a"; done"#;
/// People that are tried, at most: each is a process.
const TRIED_MAX: usize = 32;
/// Of those, at a time.
const AT_A_TIME: usize = 4;

/// Somebody on whose behalf agents run.
struct Subject {
    account: Account,
    /// As the config has them; nothing in single-user mode and for who is not mapped.
    person: Option<PersonEntry>,
}

/// Whom to try, and whether that is not everybody.
fn subjects(f: &Facts, loaded: &Loaded) -> (Vec<Subject>, Option<String>) {
    let own = f.system.environment.uid;
    let mapped = accounts(f);
    let oneself = || {
        let person = mapped.iter().find(|(a, _)| a.uid == own).map(|(_, p)| p.clone());
        let account = (f.system.account)(Who::Uid(own));
        account.map(|account| Subject { account, person }).into_iter().collect::<Vec<_>>()
    };
    if !f.is_system() {
        return (oneself(), None);
    }
    if !f.system.is_root() {
        return (oneself(), Some("for others: needs root".to_owned()));
    }
    if loaded.config.sessions.run_as == RunAs::Service {
        let service = f.service.clone().map(|account| Subject { account, person: None });
        return (service.into_iter().collect(), None);
    }
    let may = |p: &PersonEntry| p.role >= Role::Contributor;
    let all: Vec<Subject> = mapped
        .into_iter()
        .filter(|(account, person)| account.uid != 0 && may(person))
        .map(|(account, person)| Subject { account, person: Some(person) })
        .collect();
    let more = all.len().saturating_sub(TRIED_MAX);
    let rest = (more > 0).then(|| format!("{more} more people were not tried"));
    (all.into_iter().take(TRIED_MAX).collect(), rest)
}

/// Asks the questions as each subject: `None` where they could not be asked.
fn reach(f: &Facts, asked: &[(&Subject, Vec<String>)]) -> Vec<Option<String>> {
    let one = |(subject, questions): &(&Subject, Vec<String>)| {
        let mut argv = vec!["/bin/sh", "-c", SCRIPT, "sh"];
        argv.extend(questions.iter().map(String::as_str));
        let said = (f.system.run_as)(&subject.account, &argv)?;
        (said.success && said.text.len() == questions.len()).then_some(said.text)
    };
    let mut answers = Vec::new();
    for some in asked.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|ask| scope.spawn(|| one(ask))).collect();
            answers.extend(threads.into_iter().map(|thread| thread.join().ok().flatten()));
        });
    }
    answers
}

/// Whether each enabled agent is found by those who may run it.
pub fn agents(f: &Facts) -> Vec<Found> {
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    let agents = &loaded.config.agents;
    let enabled: Vec<&String> =
        agents.by_name.iter().filter(|(_, a)| a.enabled).map(|(name, _)| name).collect();
    if enabled.is_empty() {
        let mend = format!("enable one below agents in {}", f.paths.config.display());
        return vec![Found::warning("no agent is enabled", mend)];
    }
    let (subjects, rest) = subjects(f, loaded);
    if subjects.is_empty() {
        return vec![Found::skipped("nobody here may run agents")];
    }
    let places = |subject: &Subject, name: &str| places(f, loaded, &subject.account, name);
    let asked: Vec<(&Subject, Vec<String>)> =
        subjects.iter().map(|s| (s, enabled.iter().flat_map(|name| places(s, name)).collect())).collect();
    let answers = reach(f, &asked);
    let mut found = vec![Vec::new(); enabled.len()];
    let mut missing = vec![Vec::new(); enabled.len()];
    let mut all = Vec::new();
    for (subject, answer) in subjects.iter().zip(&answers) {
        let who = subject.account.name.as_str();
        let Some(answer) = answer else {
            let seen = format!("could not be tried as {who}: their home or account does not answer");
            all.push(Found::warning(seen, format!("see `sudo -u {who} true`")));
            continue;
        };
        let mut rest = answer.as_str();
        for (i, name) in enabled.iter().enumerate() {
            let (own, others) = rest.split_at(places(subject, name).len());
            rest = others;
            if own.contains('y') { found[i].push(who) } else { missing[i].push(who) }
        }
    }
    let mut well = Vec::new();
    for (i, name) in enabled.iter().enumerate() {
        if missing[i].is_empty() {
            well.push(name.as_str());
            continue;
        }
        let command = &agents.by_name[*name].command;
        let seen = if found[i].is_empty() && subjects.len() > 1 {
            format!("{name}: `{command}` is found for nobody")
        } else {
            format!("{name}: `{command}` is not found for {}", missing[i].join(", "))
        };
        let mend = format!(
            "install it in /usr/local/bin, set agents.{name}.command, or agents.{name}.enabled: false"
        );
        let default = **name == agents.default;
        all.push(if default { Found::warning(seen, mend) } else { Found::note(seen).mend(mend) });
    }
    if all.is_empty() {
        let whom = if subjects.len() == 1 {
            subjects[0].account.name.clone()
        } else {
            format!("{} people", subjects.len())
        };
        all.push(Found::ok(format!("{} found for {whom}", well.join(", "))));
    }
    all.extend(rest.map(Found::skipped));
    all
}

/// Where the command of an agent may be for this account, as questions.
fn places(f: &Facts, loaded: &Loaded, account: &Account, name: &str) -> Vec<String> {
    let agents = &loaded.config.agents;
    let command = agents.by_name.get(name).map_or("", |agent| agent.command.as_str());
    if command == LOGIN_SHELL {
        let shell = if account.shell.as_os_str().is_empty() {
            PathBuf::from("/bin/sh")
        } else {
            account.shell.clone()
        };
        return vec![format!("x:{}", shell.display())];
    }
    if command.contains('/') {
        return vec![format!("x:{command}")];
    }
    let owner = Owner {
        home: account.home.display().to_string(),
        user: account.name.clone(),
        shell: account.shell.display().to_string(),
    };
    // In single-user mode the daemon's own PATH comes first.
    let own = f.system.environment.var("PATH").filter(|_| !f.is_system());
    let path = agent::path(&agents.path, &owner, own);
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| format!("x:{folder}/{command}"))
        .collect()
}

/// Whether each project is there, and open to those it is for.
pub fn projects(f: &Facts) -> Vec<Found> {
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    let projects = loaded.config.projects();
    if projects.is_empty() {
        let seen = "none configured";
        return vec![if f.is_system() {
            let mend = format!("add `- {{ name: …, path: /… }}` to projects in {}", f.paths.config.display());
            Found::note(format!("{seen}: nobody can start a session")).mend(mend)
        } else {
            Found::ok(format!("{seen}: any folder of yours"))
        }];
    }
    let place = |i: usize| {
        loaded.origins.file_line(&format!("projects[{i}]")).map(|p| format!("{p}: ")).unwrap_or_default()
    };
    let mut all = Vec::new();
    let mut present = Vec::new();
    for (i, project) in projects.iter().enumerate() {
        let path = project.path.display();
        match std::fs::metadata(&project.path) {
            Ok(about) if about.is_dir() => present.push(i),
            Ok(_) => all.push(Found::error(
                format!("{}{}: {path} is not a folder", place(i), project.name),
                "correct the path",
            )),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => all.push(Found::error(
                format!("{}{}: {path} is not there", place(i), project.name),
                format!("correct the path, or `sudo mkdir -p {}`", quoted(&project.path)),
            )),
            // This user may not see it: then root can say more.
            Err(_) => present.push(i),
        }
    }
    let (subjects, rest) = subjects(f, loaded);
    let open_to = |subject: &Subject, i: usize| match &subject.person {
        // An admin may use every project, but those that are given to others need not let them in.
        Some(person) if person.role == Role::Admin => {
            let (roles, people) = (&projects[i].roles, &projects[i].people);
            (roles.is_empty() || roles.contains(&Role::Admin))
                && (people.is_empty() || people.contains(&person.name))
        }
        Some(person) => projects[i].open_to(&caller(&subject.account, person), &person.projects),
        None => true,
    };
    let theirs: Vec<Vec<usize>> =
        subjects.iter().map(|s| present.iter().copied().filter(|i| open_to(s, *i)).collect()).collect();
    let question = |i: &usize| format!("d:{}", projects[*i].path.display());
    let asked: Vec<(&Subject, Vec<String>)> =
        subjects.iter().zip(&theirs).map(|(s, own)| (s, own.iter().map(question).collect())).collect();
    let answers = reach(f, &asked);
    let (mut closed, mut read_only) = (vec![Vec::new(); projects.len()], vec![Vec::new(); projects.len()]);
    for ((subject, own), answer) in subjects.iter().zip(&theirs).zip(&answers) {
        for (i, letter) in own.iter().zip(answer.iter().flat_map(|a| a.chars())) {
            match letter {
                'n' => closed[*i].push(subject.account.name.as_str()),
                'r' => read_only[*i].push(subject.account.name.as_str()),
                _ => {}
            }
        }
    }
    for (i, project) in projects.iter().enumerate() {
        let word = quoted(&project.path);
        if !closed[i].is_empty() {
            let who = closed[i].join(", ");
            all.push(Found::warning(
                format!(
                    "{}{}: {} cannot be entered by {who}",
                    place(i),
                    project.name,
                    project.path.display()
                ),
                format!(
                    "let them in (`namei -l {word}` shows where it ends), or limit `people` of the project"
                ),
            ));
        }
        if !read_only[i].is_empty() {
            let who = read_only[i].join(", ");
            all.push(Found::note(format!("{}{}: {who} can read but not write it", place(i), project.name)));
        }
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{}, open to those they are for", projects.len())));
    }
    all.extend(rest.map(Found::skipped));
    all
}

/// A person as the policy sees one.
fn caller(account: &Account, person: &PersonEntry) -> Caller {
    Caller {
        uid: account.uid,
        gid: account.groups.first().copied().unwrap_or(account.uid),
        groups: account.groups.clone(),
        os_username: Some(account.name.clone()),
        person: Some(PersonRef { id: PersonId(Uuid::nil()), name: person.name.clone() }),
        role: person.role,
        standing: Standing::Active,
        rule: Rule { text: String::new(), origin: None },
        via: Via::Daemon,
        agent_of: None,
    }
}
