//! What no type can say: rules over the merged config. Each problem names the key; `load` adds file and line.

use crate::config::origins::Origins;
use crate::config::paths::Mode;
use crate::config::problem::Problem;
use crate::config::schema::Config;
use crate::config::schema::access::{PersonEntry, is_os_name};
use crate::config::schema::agents::{ID, LOGIN_SHELL};
use crate::config::zone;
use crate::domain::caller::Role;
use crate::domain::credential;
use crate::domain::redact::Redactor;
use crate::domain::session::Profile;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Component, Path};

/// Longest name of a person or a project, in characters.
const NAME_CHARS: usize = 100;
/// Longest text of a prompt, in characters.
const PROMPT_CHARS: usize = 16_000;

/// What is wrong with the whole, and what is only odd.
pub(super) fn check(config: &Config, mode: Mode, origins: &Origins) -> (Vec<Problem>, Vec<String>) {
    let mut rules = Rules { origins, problems: Vec::new(), warnings: Vec::new() };
    rules.places(config);
    rules.people(config);
    rules.projects(config);
    rules.roles(config);
    rules.agents(config);
    rules.numbers(config);
    rules.zones(config);
    rules.patterns(config);
    rules.prompts(config);
    if mode == Mode::SingleUser && !config.people.is_empty() {
        rules.warnings.push("people: not used in single-user mode".to_owned());
    }
    (rules.problems, rules.warnings)
}

struct Rules<'o> {
    origins: &'o Origins,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Rules<'_> {
    fn wrong(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(message).key(key));
    }

    fn absolute(&mut self, key: impl Into<String>, path: &Path) {
        if !path.is_absolute() {
            self.wrong(key, "must be an absolute path");
        } else if path.components().any(|c| c == Component::ParentDir) {
            self.wrong(key, "must not contain `..`");
        }
    }

    fn name(&mut self, key: String, name: &str) {
        if name.trim().is_empty() || name.trim() != name {
            self.wrong(key, "must not be empty, nor begin or end with a blank");
        } else if name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
            self.wrong(key, format!("must be one line of at most {NAME_CHARS} characters"));
        }
    }

    /// Reports a value that two entries of a list have, with the place of the first.
    fn once<T: Hash + Eq>(
        &mut self,
        list: &str,
        field: &str,
        values: impl Iterator<Item = Option<T>>,
        what: &str,
    ) {
        let mut first: HashMap<T, usize> = HashMap::new();
        for (i, value) in values.enumerate() {
            let Some(value) = value else { continue };
            if let Some(before) = first.get(&value) {
                let before = format!("{list}[{before}]");
                let place = self.origins.file_line(&format!("{before}.{field}"));
                let place = place.map(|p| format!(" at {p}")).unwrap_or_default();
                self.wrong(format!("{list}[{i}].{field}"), format!("{what} as {before}{place}"));
            } else {
                first.insert(value, i);
            }
        }
    }

    fn places(&mut self, config: &Config) {
        self.absolute("socket", &config.socket);
        self.absolute("database.path", &config.database.path);
        self.absolute("docs.path", &config.docs.path);
        if let Some(file) = &config.audit.checkpoint.file {
            self.absolute("audit.checkpoint.file", file);
        }
        for (i, dir) in config.agents.path.iter().enumerate() {
            let below_home = dir.strip_prefix("~").unwrap_or(dir);
            let key = format!("agents.path[{i}]");
            if !(dir.is_absolute() || dir.starts_with("~")) {
                self.wrong(key, "must be an absolute path, or begin with ~/");
            } else if below_home.components().any(|c| c == Component::ParentDir) {
                self.wrong(key, "must not contain `..`");
            }
        }
        self.name("computer.name".to_owned(), &config.computer.name);
        for (key, group) in [("socket_group", &config.socket_group), ("runner.group", &config.runner.group)] {
            if group.as_deref().is_some_and(|g| !is_os_name(g)) {
                self.wrong(key, "must be the name of a group");
            }
        }
    }

    fn people(&mut self, config: &Config) {
        let known: Vec<&str> = config.projects.iter().map(|p| p.name.as_str()).collect();
        for (i, person) in config.people.iter().enumerate() {
            let key = format!("people[{i}]");
            self.name(format!("{key}.name"), &person.name);
            self.os_user(&key, person);
            for (j, project) in person.projects.iter().enumerate() {
                if !known.contains(&project.as_str()) {
                    self.wrong(format!("{key}.projects[{j}]"), format!("there is no project `{project}`"));
                }
            }
        }
        let people = || config.people.iter();
        self.once("people", "name", people().map(|p| Some(p.name.to_lowercase())), "is the same name");
        self.once("people", "os_uid", people().map(|p| p.os_uid), "claims the same OS user");
        let names = people().map(|p| p.os_username.clone());
        self.once("people", "os_username", names, "claims the same OS user");
        self.once("people", "os_group", people().map(|p| p.os_group.clone()), "claims the same OS group");
    }

    fn os_user(&mut self, key: &str, person: &PersonEntry) {
        let by_user = person.os_username.is_some() || person.os_uid.is_some();
        if person.os_group.is_some() && by_user {
            self.wrong(
                format!("{key}.os_group"),
                "stands for everybody of the group and cannot go with os_username or os_uid",
            );
        }
        if person.os_group.is_none() && !by_user {
            let place = self.origins.file_line(key).map(|p| format!("{p}: ")).unwrap_or_default();
            self.warnings
                .push(format!("{place}{key}: nobody can be this person: no os_username, os_uid or os_group"));
        }
        if person.os_uid == Some(u32::MAX) {
            self.wrong(format!("{key}.os_uid"), "is not the uid of a user");
        }
        for (field, name) in [("os_username", &person.os_username), ("os_group", &person.os_group)] {
            if name.as_deref().is_some_and(|n| !is_os_name(n)) {
                self.wrong(format!("{key}.{field}"), "must be a name as the OS has it");
            }
        }
    }

    fn projects(&mut self, config: &Config) {
        for (i, project) in config.projects.iter().enumerate() {
            self.name(format!("projects[{i}].name"), &project.name);
            if project.name.contains('/') {
                self.wrong(format!("projects[{i}].name"), "must not contain `/`");
            }
            self.absolute(format!("projects[{i}].path"), &project.path);
        }
        let names = config.projects.iter().map(|p| Some(p.name.clone()));
        self.once("projects", "name", names, "is the same name");
    }

    fn roles(&mut self, config: &Config) {
        for role in Role::ALL {
            let limits = config.roles.of(role);
            let key = format!("roles.{role}");
            if limits.steer_others && role != Role::Admin {
                self.wrong(format!("{key}.steer_others"), "only admins can");
            }
            if limits.profile == Profile::Full && role < Role::Member {
                self.wrong(format!("{key}.profile"), format!("a {role} can only have restricted"));
            }
            for (field, value) in
                [("requests_per_minute", limits.requests_per_minute), ("burst", limits.burst)]
            {
                if value == 0 {
                    self.wrong(format!("{key}.{field}"), "must be at least 1");
                }
            }
        }
    }

    fn agents(&mut self, config: &Config) {
        let agents = &config.agents;
        if !agents.by_name.contains_key(&agents.default) {
            let known: Vec<&str> = agents.by_name.keys().map(String::as_str).collect();
            self.wrong("agents.default", format!("is not an agent; there are {}", known.join(", ")));
        }
        for (name, agent) in &agents.by_name {
            let key = format!("agents.{name}");
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                self.wrong(&key, "an agent's name is of a-z, 0-9, - and _");
            }
            let command = Path::new(&agent.command);
            let bare = command.components().count() == 1 && !agent.command.contains('/');
            if agent.command.is_empty() {
                self.wrong(format!("{key}.command"), "is missing");
            } else if agent.command != LOGIN_SHELL && !bare {
                self.absolute(format!("{key}.command"), command);
            }
            for (field, args) in [("native_id", &agent.native_id), ("resume", &agent.resume)] {
                if !args.is_empty() && !args.iter().any(|a| a.contains(ID)) {
                    self.wrong(format!("{key}.{field}"), format!("must say where the id goes: {ID}"));
                }
            }
            for (i, name) in agent.env.iter().enumerate() {
                if !is_variable(name) {
                    self.wrong(
                        format!("{key}.env[{i}]"),
                        "must be a variable's name that an agent may be given",
                    );
                }
            }
        }
    }

    fn numbers(&mut self, config: &Config) {
        let l = &config.limits;
        let at_least_one = [
            ("connections", u64::from(l.connections)),
            ("connections_per_uid", u64::from(l.connections_per_uid)),
            ("request_seconds", l.request_seconds),
            ("in_flight_per_connection", u64::from(l.in_flight_per_connection)),
            ("in_flight_per_uid", u64::from(l.in_flight_per_uid)),
            ("first_byte_seconds", l.first_byte_seconds),
            ("write_seconds", l.write_seconds),
            ("bad_lines", u64::from(l.bad_lines)),
            ("unwritten_answers", l.unwritten_answers as u64),
            ("keep_alive_seconds", l.keep_alive_seconds),
            ("headers", l.headers as u64),
            ("header_seconds", l.header_seconds),
            ("body_seconds", l.body_seconds),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                self.wrong(format!("limits.{field}"), "must be at least 1");
            }
        }
        for (field, value, least) in [
            ("message_bytes", l.message_bytes, 4_096),
            ("unwritten_bytes", l.unwritten_bytes, 4_096),
            ("header_bytes", l.header_bytes, 8_192),
        ] {
            if value < least {
                self.wrong(format!("limits.{field}"), format!("must be at least {least}"));
            }
        }
        if config.bans.auto_days > 3_650 {
            self.wrong("bans.auto_days", "must be at most 3650");
        }
        let recording = &config.sessions.recording;
        if recording.fsync_ms == 0 || recording.fsync_ms > 60_000 {
            self.wrong("sessions.recording.fsync_ms", "must be 1 to 60000");
        }
        if config.sessions.scrollback_lines > 1_000_000 {
            self.wrong("sessions.scrollback_lines", "must be at most 1000000");
        }
    }

    fn zones(&mut self, config: &Config) {
        if let Some(Err(problem)) = config.tasks.time_zone.as_deref().map(zone::named) {
            self.wrong("tasks.time_zone", problem);
        }
    }

    fn prompts(&mut self, config: &Config) {
        let prompts = &config.prompts;
        for (role, text) in
            [("admin", &prompts.admin), ("member", &prompts.member), ("newcomer", &prompts.newcomer)]
        {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.chars().count() > PROMPT_CHARS {
                self.wrong(
                    format!("prompts.{role}"),
                    format!("must be a text of at most {PROMPT_CHARS} characters"),
                );
            } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                self.wrong(format!("prompts.{role}"), "must not hold control characters");
            }
        }
    }

    fn patterns(&mut self, config: &Config) {
        // To compile what is known, too, takes a moment, which the runner would spend with every session.
        if config.sessions.redact.is_empty() {
            return;
        }
        if let Err((at, problem)) = Redactor::new(&config.sessions.redact) {
            self.wrong(format!("sessions.redact[{at}]"), problem);
        }
    }
}

/// Whether an agent may be given a variable of this name: those that change how programs load are refused.
fn is_variable(name: &str) -> bool {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 128;
    plain && !credential::is_reserved(name)
}
