//! `teleclaude doctor`: asks `install::doctor` and shows what it found. The checks are not here, nor do they need a
//! daemon.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{BOLD, DIM, GREEN, Look, RED, YELLOW, visible};
use crate::daemon::database;
use crate::install::doctor::system::System;
use crate::install::doctor::{CHECK_TIME, Report, State, examine, names};
use std::path::Path;
use unicode_width::UnicodeWidthStr as _;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing worse than a note, 1 a warning, 2 an error\n\
                  As root it sees everything; as somebody else some checks are skipped.")]
pub struct Args {
    /// Only these checks, by name (the first column of the report)
    #[arg(value_name = "CHECK", value_parser = clap::builder::PossibleValuesParser::new(names()), hide_possible_values = true)]
    only: Vec<String>,
    /// Show only what is not in order
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command; its exit code says how bad the worst finding is.
pub fn run(console: &mut Console<'_>, socket: Option<&Path>, args: &Args, json: bool) -> Result<u8, Failure> {
    let mut environment = console.environment();
    environment.socket = socket.map(|path| console.cwd.join(path));
    let mut system = System::of_process(environment, database::options);
    system.now = console.look.now;
    let interactive = console.interactive;
    let report = examine(system, &args.only, CHECK_TIME, &mut |open| {
        if interactive {
            console.note(&format!("still looking: {} …", open.join(", ")));
        }
    });
    if json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|e| Failure::Local(format!("the report cannot be written down: {e}")))?;
        console.say_json(&text)?;
    } else {
        let text = render(&report, args.quiet, &console.look);
        console.say(&text)?;
    }
    Ok(report.exit_code())
}

const fn colour(state: State) -> &'static str {
    match state {
        State::Ok => GREEN,
        State::Skipped => DIM,
        State::Note => BOLD,
        State::Warning => YELLOW,
        State::Error => RED,
    }
}

/// The report: a line a finding, how to mend it below, and a summary. `quiet` leaves out what is in order.
pub fn render(report: &Report, quiet: bool, look: &Look) -> String {
    let shown = || report.findings.iter().filter(|f| !quiet || f.found.state > State::Ok);
    let check_width = shown().map(|f| f.check.width()).max().unwrap_or(0);
    let state_width = State::ALL.iter().map(|s| s.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut before = "";
    for finding in shown() {
        let (found, check) = (&finding.found, finding.check.as_str());
        let state = format!("{:state_width$}", found.state.name());
        let state = paint(look.colour, colour(found.state), &state);
        // The name of a check stands before the first thing it found.
        let name = if check == before { "" } else { check };
        before = check;
        text.push_str(&format!("{state}  {:check_width$}  {}\n", visible(name), visible(&found.seen)));
        if let Some(mend) = &found.mend {
            let indent = " ".repeat(state_width + 2 + check_width + 2);
            text.push_str(&format!("{indent}{} {}\n", paint(look.colour, DIM, "mend:"), visible(mend)));
        }
    }
    let counts: Vec<String> = State::ALL
        .into_iter()
        .rev()
        .filter_map(|state| {
            let count = *report.counts.get(state.name())?;
            let plural = if matches!(state, State::Ok | State::Skipped) || count == 1 { "" } else { "s" };
            (count > 0)
                .then(|| paint(look.colour, colour(state), &format!("{count} {}{plural}", state.name())))
        })
        .collect();
    text.push_str(&format!("{} mode: {}\n", visible(&report.mode), counts.join(", ")));
    text
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::cli::render::{Look, plain};
    use crate::install::doctor::{Finding, Found, Report, State};

    fn report() -> Report {
        let found = |check: &str, found| Finding { check: check.to_owned(), found };
        let findings = vec![
            found("mode", Found::ok("system mode: /etc/teleclaude/config.yml")),
            found(
                "config",
                Found::error("/etc/teleclaude/config.yml:3: socket_mod: unknown key", "correct the line"),
            ),
            found(
                "config",
                Found::error("/etc/teleclaude/config.yml:9: people[0].role: missing", "correct the line"),
            ),
            found("state-folder", Found::needs_root()),
            found("agents", Found::warning("claude: `claude` is not found for bob\x1b[2J", "install it")),
            found("user-namespace", Found::note("in a user namespace")),
        ];
        let counts = [("ok", 1), ("skipped", 1), ("note", 1), ("warning", 1), ("error", 2)];
        Report {
            version: 1,
            mode: "system".to_owned(),
            worst: State::Error,
            counts: counts.map(|(name, count)| (name.to_owned(), count)).into(),
            findings,
        }
    }

    #[test]
    fn a_line_a_finding_and_how_to_mend_it() {
        insta::assert_snapshot!(render(&report(), false, &plain()), @r"
        ok       mode            system mode: /etc/teleclaude/config.yml
        error    config          /etc/teleclaude/config.yml:3: socket_mod: unknown key
                                 mend: correct the line
        error                    /etc/teleclaude/config.yml:9: people[0].role: missing
                                 mend: correct the line
        skipped  state-folder    needs root
        warning  agents          claude: `claude` is not found for bob\x1b[2J
                                 mend: install it
        note     user-namespace  in a user namespace
        system mode: 2 errors, 1 warning, 1 note, 1 skipped, 1 ok
        ");
        insta::assert_snapshot!(render(&report(), true, &plain()), @r"
        error    config          /etc/teleclaude/config.yml:3: socket_mod: unknown key
                                 mend: correct the line
        error                    /etc/teleclaude/config.yml:9: people[0].role: missing
                                 mend: correct the line
        skipped  state-folder    needs root
        warning  agents          claude: `claude` is not found for bob\x1b[2J
                                 mend: install it
        note     user-namespace  in a user namespace
        system mode: 2 errors, 1 warning, 1 note, 1 skipped, 1 ok
        ");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(!render(&report(), false, &plain()).contains('\x1b'));
        let coloured = render(&report(), false, &Look { colour: true, ..plain() });
        assert!(coloured.contains("\x1b[31merror  \x1b[0m") && coloured.contains("bob\\x1b[2J"));
    }
}
