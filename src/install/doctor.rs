//! `teleclaude doctor`: what is wrong with an installation, and how to mend each thing. Here: what a finding is, which
//! checks there are, and how they run: all at once, each on a thread of its own, so that a hung file system or database
//! costs five seconds and nothing else. It changes nothing. How a report looks is `cli`'s.

pub mod agents;
pub mod configured;
pub mod daemon;
pub mod database;
pub mod docs;
pub mod facts;
pub mod files;
pub mod machine;
pub mod people;
pub mod runner;
pub mod secrets;
pub mod state;
pub mod system;
pub mod units;

use crate::config::paths::Mode;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::system::System;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long one check may take.
pub const CHECK_TIME: Duration = Duration::from_secs(5);
/// After how long somebody who waits is told what for.
const TELL_AFTER: Duration = Duration::from_secs(1);
/// The version of the report's JSON; a change that could break a reader raises it.
const REPORT_VERSION: u32 = 1;

/// How bad a finding is. Ordered: the last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Ok,
    /// Not looked at; what was seen says why.
    Skipped,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Works, but not as it should, or not for everybody.
    Warning,
    /// Does not work, or is not safe.
    Error,
}

impl State {
    /// Every state, best first.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Skipped, Self::Note, Self::Warning, Self::Error];

    /// The word, as JSON spells it too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How bad it is.
    pub state: State,
    /// What was seen. Holds no secret.
    pub seen: String,
    /// How to mend it: a command, or what to change where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Found {
    /// All is well.
    pub fn ok(seen: impl Into<String>) -> Self {
        Self { state: State::Ok, seen: seen.into(), mend: None }
    }

    /// Could not be looked at; `why` says what was missing.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { state: State::Skipped, seen: why.into(), mend: None }
    }

    /// Could not be looked at by this user.
    pub fn needs_root() -> Self {
        Self::skipped("needs root")
    }

    /// Worth knowing.
    pub fn note(seen: impl Into<String>) -> Self {
        Self { state: State::Note, seen: seen.into(), mend: None }
    }

    /// Not as it should be.
    pub fn warning(seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Warning, seen: seen.into(), mend: Some(mend.into()) }
    }

    /// Does not work, or is not safe.
    pub fn error(seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { state: State::Error, seen: seen.into(), mend: Some(mend.into()) }
    }

    /// The same with what could be done about it.
    pub fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }
}

/// What was found, by which check. A check that found several things has several of these, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// What it found.
    #[serde(flatten)]
    pub found: Found,
}

/// Everything that was found, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form: 1.
    pub version: u32,
    /// `system` or `single-user`.
    pub mode: String,
    /// The worst state there is.
    pub worst: State,
    /// How many findings there are of each state.
    pub counts: BTreeMap<String, usize>,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    fn new(mode: Option<Mode>, findings: Vec<Finding>) -> Self {
        let mode = match mode {
            Some(Mode::System) => "system",
            Some(Mode::SingleUser) => "single-user",
            None => "unknown",
        };
        let worst = findings.iter().map(|f| f.found.state).max().unwrap_or(State::Ok);
        let count = |state| findings.iter().filter(|f| f.found.state == state).count();
        let counts = State::ALL.into_iter().map(|state| (state.name().to_owned(), count(state))).collect();
        Self { version: REPORT_VERSION, mode: mode.to_owned(), worst, counts, findings }
    }

    /// The exit code: 0 with nothing worse than a note, 1 with a warning, 2 with an error.
    pub const fn exit_code(&self) -> u8 {
        match self.worst {
            State::Ok | State::Skipped | State::Note => 0,
            State::Warning => 1,
            State::Error => 2,
        }
    }
}

type Look = fn(&Facts) -> Vec<Found>;

/// Every check in the order it is shown. One that does not apply finds nothing.
const CHECKS: &[(&str, Look)] = &[
    ("mode", configured::mode),
    ("config", configured::valid),
    ("config-files", configured::files),
    ("secrets", secrets::check),
    ("service-user", units::service_user),
    ("units", units::units),
    ("programs", units::programs),
    ("runtime-folder", machine::runtime_folder),
    ("socket", daemon::socket),
    ("daemon", daemon::daemon),
    ("identity", daemon::identity),
    ("version", daemon::version),
    ("state-folder", state::folder),
    ("recordings", state::recordings),
    ("run-folder", state::run_folder),
    ("hosts", state::hosts),
    ("database", database::reachable),
    ("database-file", database::file),
    ("postgres", database::server),
    ("runner", runner::runner),
    ("runner-group", runner::group),
    ("people", people::people),
    ("access", people::access),
    ("agents", agents::agents),
    ("projects", agents::projects),
    ("docs", docs::docs),
    ("shell", machine::shell),
    ("disk", machine::disk),
    ("clock", machine::clock),
    ("log", machine::log),
    ("open-files", machine::open_files),
    ("user-namespace", machine::user_namespace),
    ("earlier", machine::earlier),
];

/// The names of the checks, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Looks at everything, or at the checks named in `only`. `limit` is how long each may take ([`CHECK_TIME`]). `tell`
/// hears once which checks are still at work, if that takes more than a second.
pub fn examine(system: System, only: &[String], limit: Duration, tell: &mut dyn FnMut(&[&str])) -> Report {
    let begun = Instant::now();
    let (done, gathered) = channel();
    thread::spawn(move || done.send(Arc::new(Facts::gather(system))));
    let Ok(facts) = gathered.recv_timeout(limit) else {
        let seen = format!("the config files could not be read within {} s", limit.as_secs());
        let found = Found::error(seen, "look at the disk or server they are on: `df`, `dmesg`");
        return Report::new(None, vec![Finding { check: "config".to_owned(), found }]);
    };
    let chosen: Vec<(&str, Look)> = CHECKS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name))
        .copied()
        .collect();
    let (answer, answers) = channel();
    for (at, (_, look)) in chosen.iter().copied().enumerate() {
        let (facts, answer) = (Arc::clone(&facts), answer.clone());
        // Nobody waits for a thread that hangs: it ends with the process.
        thread::spawn(move || answer.send((at, look(&facts))));
    }
    drop(answer);
    let mut results: Vec<Option<Vec<Found>>> = chosen.iter().map(|_| None).collect();
    let mut told = false;
    let start = Instant::now();
    while results.iter().any(Option::is_none) {
        let until = if told { start + limit } else { begun + TELL_AFTER.min(limit) };
        match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((at, found)) => results[at] = Some(found),
            Err(RecvTimeoutError::Timeout) if !told => {
                told = true;
                let open = chosen.iter().zip(&results).filter(|(_, result)| result.is_none());
                tell(&open.map(|((name, _), _)| *name).collect::<Vec<_>>());
            }
            // Late, or a check that panicked.
            Err(_) => break,
        }
    }
    let findings = chosen.iter().zip(results).flat_map(|((name, _), result)| {
        let late = || {
            let seen = format!("gave no answer within {} s", limit.as_secs());
            vec![Found::error(seen, "look at the disk, directory server or database it asks")]
        };
        let check = (*name).to_owned();
        result.unwrap_or_else(late).into_iter().map(move |found| Finding { check: check.clone(), found })
    });
    Report::new(Some(facts.mode), findings.collect())
}

#[cfg(test)]
mod tests {
    use super::{Finding, Found, Report, State, names};
    use crate::config::paths::Mode;
    use std::collections::BTreeSet;

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let report = |found: Vec<Found>| {
            let finding = |found| Finding { check: "x".to_owned(), found };
            Report::new(Some(Mode::System), found.into_iter().map(finding).collect())
        };
        for (found, worst, code) in [
            (vec![], State::Ok, 0),
            (vec![Found::ok("a"), Found::needs_root()], State::Skipped, 0),
            (vec![Found::note("a"), Found::ok("b")], State::Note, 0),
            (vec![Found::note("a"), Found::warning("b", "c")], State::Warning, 1),
            (vec![Found::error("a", "b"), Found::warning("b", "c")], State::Error, 2),
        ] {
            let report = report(found);
            assert_eq!((report.worst, report.exit_code()), (worst, code));
        }
    }

    #[test]
    fn the_json_stays_as_it_is() {
        let findings = vec![
            Finding { check: "mode".to_owned(), found: Found::ok("system mode") },
            Finding { check: "socket".to_owned(), found: Found::error("is not there", "make it") },
        ];
        let report = Report::new(Some(Mode::System), findings);
        let json = serde_json::to_string_pretty(&report).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "version": 1,
          "mode": "system",
          "worst": "error",
          "counts": {
            "error": 1,
            "note": 0,
            "ok": 1,
            "skipped": 0,
            "warning": 0
          },
          "findings": [
            {
              "check": "mode",
              "state": "ok",
              "seen": "system mode"
            },
            {
              "check": "socket",
              "state": "error",
              "seen": "is not there",
              "mend": "make it"
            }
          ]
        }
        "#);
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn every_check_has_its_own_name() {
        let all: Vec<&str> = names().collect();
        assert!(all.len() >= 15);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
