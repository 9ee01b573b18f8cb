//! `teleclaude health` and `reload`: the daemon itself.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{GREEN, Look, YELLOW, pairs, visible};
use crate::client::Client;
use crate::wire::reply::{HealthReply, ReloadedReply};

/// Runs `health`. A daemon that is not `ok` is exit code 1.
pub async fn run(console: &mut Console<'_>, client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.health().await?;
    if json {
        console.say_json(&answer.text)?;
    } else {
        let text = render(&answer.reply, &console.look);
        console.say(&text)?;
    }
    if answer.reply.status == "ok" { Ok(()) } else { Err(Failure::Told) }
}

/// Runs `reload`.
pub async fn run_reload(console: &mut Console<'_>, client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.reload().await?;
    if json {
        return console.say_json(&answer.text);
    }
    console.say(&reloaded(&answer.reply))
}

/// How the daemon is.
pub fn render(reply: &HealthReply, look: &Look) -> String {
    let sgr = if reply.status == "ok" { GREEN } else { YELLOW };
    let mut text = format!("{}\n", paint(look.colour, sgr, &visible(&reply.status)));
    if let Some(detail) = &reply.detail {
        let rows = [
            ("Version", Some(detail.version.clone())),
            ("Computer", Some(detail.computer.clone())),
            ("Database", Some(detail.database.clone())),
            ("Up", Some(lasting(detail.uptime_seconds))),
            ("Connections", Some(detail.connections.to_string())),
            ("Sessions", Some(detail.sessions.to_string())),
        ];
        text.push_str(&pairs(&rows, look));
        for problem in &detail.problems {
            text.push_str(&format!("{} {}\n", paint(look.colour, YELLOW, "!"), visible(problem)));
        }
    }
    text
}

fn lasting(seconds: i64) -> String {
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3_600 => format!("{}m", s / 60),
        s if s < 86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        s => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// What reading the config again changed.
pub fn reloaded(reply: &ReloadedReply) -> String {
    let list = |keys: &[String]| visible(&keys.join(", "));
    let mut text = match reply.changed.as_slice() {
        [] => "Nothing changed.\n".to_owned(),
        keys => format!("In force: {}\n", list(keys)),
    };
    if !reply.needs_restart.is_empty() {
        text.push_str(&format!("Needs a restart: {}\n", list(&reply.needs_restart)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::wire::reply::HealthDetail;

    #[test]
    fn one_word_and_all_of_it() {
        assert_eq!(render(&HealthReply { status: "ok".to_owned(), detail: None }, &plain()), "ok\n");
        let detail = HealthDetail {
            version: "0.1.0".to_owned(),
            computer: "build-1".to_owned(),
            database: "sqlite".to_owned(),
            uptime_seconds: 90_061,
            connections: 3,
            sessions: 2,
            problems: vec!["secrets.yml can be read by others\x1b[2J".to_owned()],
        };
        let reply = HealthReply { status: "degraded".to_owned(), detail: Some(detail) };
        insta::assert_snapshot!(render(&reply, &plain()), @r"
        degraded
        Version      0.1.0
        Computer     build-1
        Database     sqlite
        Up           1d 1h
        Connections  3
        Sessions     2
        ! secrets.yml can be read by others\x1b[2J
        ");
    }

    #[test]
    fn what_reload_changed() {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let reply = |changed, needs_restart| ReloadedReply { changed, needs_restart };
        assert_eq!(reloaded(&reply(keys(&[]), keys(&[]))), "Nothing changed.\n");
        assert_eq!(
            reloaded(&reply(keys(&["people", "log.level"]), keys(&["socket"]))),
            "In force: people, log.level\nNeeds a restart: socket\n"
        );
    }
}
