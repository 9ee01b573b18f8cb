//! `teleclaude config`: check files, show what is in force, print the schema.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, Look, cell, table};
use crate::cli::wiring;
use crate::client::Client;
use crate::wire::reply::ConfigReply;
use std::path::PathBuf;

/// Commands of `config`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check config files and name every problem. Exit code 2 if there is one
    Check {
        /// Files to check; those of this system if none are given
        files: Vec<PathBuf>,
    },
    /// Show the config in force, secrets masked
    Show {
        /// Also where each value comes from: layer, file and line
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON schema of the config, for editors
    Schema,
}

impl Command {
    /// Does what needs no daemon; `None` if it needs one.
    pub fn run_alone(&self, console: &mut Console<'_>, json: bool) -> Option<Result<(), Failure>> {
        match self {
            Self::Check { files } => Some(check(console, files, json)),
            Self::Schema => Some(wiring::config_schema().and_then(|schema| console.say_json(&schema))),
            Self::Show { .. } => None,
        }
    }
}

fn check(console: &mut Console<'_>, files: &[PathBuf], json: bool) -> Result<(), Failure> {
    let problems = wiring::config_check(console, files)?;
    if json {
        let reply = serde_json::json!({ "ok": problems.is_empty(), "problems": problems });
        console.say_json(&reply.to_string())?;
    } else if problems.is_empty() {
        console.say("The config is good.\n")?;
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Config(problems)) }
}

/// Runs `config show`.
pub async fn run_show(
    console: &mut Console<'_>,
    client: &Client,
    origin: bool,
    json: bool,
) -> Result<(), Failure> {
    let answer = client.config().await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = render(&answer.reply, origin, &console.look);
    console.say(&text)
}

/// The values in force.
pub fn render(reply: &ConfigReply, origin: bool, look: &Look) -> String {
    let head: &[&str] = if origin { &["KEY", "VALUE", "FROM"] } else { &["KEY", "VALUE"] };
    let rows: Vec<_> = reply
        .values
        .iter()
        .map(|row| {
            let mut cells = vec![cell(&row.key), cell(&row.value)];
            if origin {
                cells.push(cell(&row.origin).sgr(DIM));
            }
            cells
        })
        .collect();
    table(head, &rows, look)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::wire::reply::ConfigRow;

    #[test]
    fn values_and_where_they_come_from() {
        let row = |key: &str, value: &str, origin: &str| ConfigRow {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
        };
        let reply = ConfigReply {
            values: vec![
                row("audit.require_reason", "true", "default"),
                row("database.password", "\"***\"", "secrets /etc/teleclaude/secrets.yml:3"),
            ],
        };
        insta::assert_snapshot!(render(&reply, false, &plain()), @r#"
        KEY                   VALUE
        audit.require_reason  true
        database.password     "***"
        "#);
        insta::assert_snapshot!(render(&reply, true, &plain()), @r#"
        KEY                   VALUE  FROM
        audit.require_reason  true   default
        database.password     "***"  secrets /etc/teleclaude/secrets.yml:3
        "#);
    }
}
