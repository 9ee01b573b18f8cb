//! `teleclaude jobs`: what the daemon does now and then by itself, how that went, and having it done now.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, GREEN, Look, RED, YELLOW, ago, cell, table, visible};
use crate::client::Client;
use crate::domain::timestamp::Timestamp;
use crate::wire::job::{JobRow, JobsReply};
use clap::builder::NonEmptyStringValueParser;

/// Commands of `jobs`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the jobs: when each was done last and is done next, and what is wrong with it
    List,
    /// Do one now, and wait for it
    Run {
        /// Its name, as `teleclaude jobs list` shows it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
}

/// Runs the command. A job that failed is exit code 1.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = client.jobs().await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = listed(&answer.reply, &console.look);
            console.say(&text)
        }
        Command::Run { name } => {
            let answer = client.run_job(name).await?;
            if json {
                console.say_json(&answer.text)?;
            } else {
                let text = done(&answer.reply, &console.look);
                console.say(&text)?;
            }
            if answer.reply.running_since.is_none() && answer.reply.error.is_some() {
                return Err(Failure::Told);
            }
            Ok(())
        }
    }
}

/// The jobs, and below them what is wrong.
pub fn listed(reply: &JobsReply, look: &Look) -> String {
    let rows: Vec<_> = reply
        .jobs
        .iter()
        .map(|job| {
            let (state, sgr) = state(job);
            let every = job.every_seconds.map_or_else(|| "never".to_owned(), lasting);
            let last = job.last_finished.as_deref().map(|at| ago(at, look)).unwrap_or_default();
            let next = job.next_run.as_deref().map(|at| within(at, look)).unwrap_or_default();
            vec![
                cell(&job.name),
                cell(every),
                cell(last),
                cell(next),
                cell(job.runs.to_string()),
                cell(state).sgr(sgr),
                cell(&job.what).sgr(DIM),
            ]
        })
        .collect();
    let mut text = table(&["JOB", "EVERY", "LAST", "NEXT", "RUNS", "STATE", "WHAT IT DOES"], &rows, look);
    for job in &reply.jobs {
        if let Some(error) = &job.error {
            let times = if job.failures > 1 { format!(" ({} times)", job.failures) } else { String::new() };
            let line = visible(&format!("{}{times}: {error}", job.name));
            text.push_str(&format!("{} {line}\n", paint(look.colour, RED, "!")));
        }
    }
    text
}

/// What came of one.
pub fn done(job: &JobRow, look: &Look) -> String {
    let name = visible(&job.name);
    match (&job.running_since, &job.error) {
        (Some(_), _) => format!("{name} still runs; `teleclaude jobs list` shows what comes of it\n"),
        (None, Some(error)) => {
            format!("{} {name} failed: {}\n", paint(look.colour, RED, "!"), visible(error))
        }
        (None, None) => format!("{name} is done\n"),
    }
}

fn state(job: &JobRow) -> (&'static str, &'static str) {
    match job {
        JobRow { running_since: Some(_), .. } => ("runs", YELLOW),
        JobRow { error: Some(_), .. } => ("failed", RED),
        JobRow { every_seconds: None, .. } => ("off", DIM),
        JobRow { last_ok: None, .. } => ("waits", DIM),
        _ => ("ok", GREEN),
    }
}

/// When something is to come, in words.
fn within(at: &str, look: &Look) -> String {
    let Ok(at) = Timestamp::parse(at) else { return visible(at) };
    let seconds = i64::try_from(at.since(look.now).as_secs()).unwrap_or(i64::MAX);
    if seconds == 0 { "now".to_owned() } else { format!("in {}", lasting(seconds)) }
}

fn lasting(seconds: i64) -> String {
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3_600 => format!("{}m", s / 60),
        s if s < 86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;

    fn job(name: &str) -> JobRow {
        JobRow {
            name: name.to_owned(),
            what: "does something".to_owned(),
            every_seconds: Some(3_600),
            running_since: None,
            last_started: Some("2026-11-21T11:00:00Z".to_owned()),
            last_finished: Some("2026-11-21T11:30:00Z".to_owned()),
            last_ok: Some("2026-11-21T11:30:00Z".to_owned()),
            error: None,
            failures: 0,
            next_run: Some("2026-11-21T12:20:00Z".to_owned()),
            runs: 7,
        }
    }

    #[test]
    fn how_jobs_are_and_what_is_wrong_with_them() {
        let error = Some("the disk is full\x1b[2J".to_owned());
        let reply = JobsReply {
            jobs: vec![
                job("checkpoint"),
                JobRow { error: error.clone(), failures: 3, next_run: None, ..job("prune") },
                JobRow { every_seconds: None, next_run: None, ..job("heartbeat") },
                JobRow { running_since: Some("2026-11-21T12:00:00Z".to_owned()), ..job("retention") },
                JobRow { last_finished: None, last_ok: None, runs: 0, ..job("search_index") },
            ],
        };
        insta::assert_snapshot!(listed(&reply, &plain()), @r"
        JOB           EVERY  LAST     NEXT    RUNS  STATE   WHAT IT DOES
        checkpoint    1h     30m ago  in 20m  7     ok      does something
        prune         1h     30m ago          7     failed  does something
        heartbeat     never  30m ago          7     off     does something
        retention     1h     30m ago  in 20m  7     runs    does something
        search_index  1h              in 20m  0     waits   does something
        ! prune (3 times): the disk is full\x1b[2J
        ");
        assert_eq!(done(&job("prune"), &plain()), "prune is done\n");
        assert_eq!(
            done(&JobRow { error, ..job("prune") }, &plain()),
            "! prune failed: the disk is full\\x1b[2J\n"
        );
        let runs = JobRow { running_since: Some(String::new()), ..job("prune") };
        assert!(done(&runs, &plain()).starts_with("prune still runs"));
    }
}
