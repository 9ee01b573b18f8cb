//! `teleclaude key`: the key that credentials are encrypted with. The daemon makes it and keeps it; only `--print`, at a
//! terminal, ever shows one, and that one is in nobody's use yet.

use crate::cli::bulk::again_when_limited;
use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, GREEN, Look, YELLOW, ago, cell, table, visible};
use crate::client::Client;
use crate::config::keys::{self, Key};
use crate::wire::credential::KeysReply;
use secrecy::ExposeSecret;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// It is not waited on for longer than this without any progress.
const STUCK: Duration = Duration::from_secs(60);
/// Columns of a progress bar.
const BAR: usize = 30;

/// Commands of `key`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the keys by their ids, and how many credentials each encrypts
    List,
    /// Make the first key; the daemon keeps it in its state folder, mode 0600
    Generate {
        /// Only show a new key, at a terminal, for secrets.yml (encryption.key)
        #[arg(long, conflicts_with = "to")]
        print: bool,
        /// Only write a new key into a new file, mode 0600, for systemd's LoadCredential
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Make another key and encrypt all credentials anew with it
    Rotate {
        /// Do not wait until all are
        #[arg(long)]
        no_wait: bool,
    },
}

impl Command {
    /// Does what needs no daemon; `None` if it needs one.
    pub fn run_alone(&self, console: &mut Console<'_>) -> Option<Result<(), Failure>> {
        match self {
            Self::Generate { print: true, .. } => Some(print(console)),
            Self::Generate { to: Some(file), .. } => {
                let path = console.cwd.join(file);
                Some(write(console, &path))
            }
            _ => None,
        }
    }
}

fn new_key() -> Result<Key, Failure> {
    let mut random = [0u8; keys::KEY_BYTES];
    getrandom::fill(&mut random).map_err(|e| Failure::Local(format!("no random numbers: {e}")))?;
    Ok(Key::new(random))
}

fn print(console: &mut Console<'_>) -> Result<(), Failure> {
    if !console.out_is_terminal {
        return Err(Failure::usage(
            "a key is shown only at a terminal; `teleclaude key generate --to FILE` writes one into a file",
        ));
    }
    let key = new_key()?;
    console.note(&format!("The key {}. For secrets.yml:", key.id));
    console.say(&format!("encryption:\n  key: {}\n", key.text().expose_secret()))
}

fn write(console: &mut Console<'_>, path: &Path) -> Result<(), Failure> {
    let key = new_key()?;
    keys::create_bare(path, &key)
        .map_err(|e| Failure::Local(format!("{} cannot be written: {e}", path.display())))?;
    console.say(&format!("The key {} is in {} (mode 0600)\n", key.id, visible(&path.display().to_string())))
}

/// Runs what asks the daemon.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::List => {
            let answer = client.keys().await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = listed(&answer.reply, &console.look);
            console.say(&text)
        }
        Command::Generate { .. } => {
            let answer = client.generate_key().await?;
            if json {
                return console.say_json(&answer.text);
            }
            let (id, source) =
                (answer.reply.key_id.unwrap_or_default(), answer.reply.source.unwrap_or_default());
            console.say(&visible(&format!("The key {id} is in {source} (mode 0600)")))?;
            console
                .say("\nBack that file up, apart from the database: without it the credentials are lost.\n")
        }
        Command::Rotate { no_wait } => {
            let mut answer = client.rotate_key().await?;
            let all = left(&answer.reply);
            let (mut least, mut give_up) = (all, Instant::now() + STUCK);
            while answer.reply.rotating && !no_wait && Instant::now() < give_up {
                progress(console, all, left(&answer.reply));
                sleep(LOOK_EVERY).await;
                answer = again_when_limited(async || client.keys().await).await?;
                if left(&answer.reply) < least {
                    (least, give_up) = (left(&answer.reply), Instant::now() + STUCK);
                }
            }
            if !no_wait {
                progress(console, all, left(&answer.reply));
                if console.interactive {
                    console.note("");
                }
            }
            if json {
                return console.say_json(&answer.text);
            }
            rotated(console, &answer.reply)
        }
    }
}

/// Credentials that still name another key that is here.
fn left(reply: &KeysReply) -> i64 {
    reply.keys.iter().filter(|key| !key.in_use && key.here).map(|key| key.credentials).sum()
}

fn progress(console: &mut Console<'_>, all: i64, left: i64) {
    if !console.interactive {
        return;
    }
    let line = bar(all, left);
    let _ = write!(console.err, "\r{line}");
    let _ = console.err.flush();
}

/// How far it is, in one line of always the same width.
fn bar(all: i64, left: i64) -> String {
    let (all, left) = (all.max(0), left.clamp(0, all.max(0)));
    let done = all - left;
    let full = if all == 0 {
        BAR
    } else {
        usize::try_from(done).unwrap_or(0) * BAR / usize::try_from(all).unwrap_or(1)
    };
    let width = all.to_string().len();
    format!("[{}{}] {done:>width$} of {all} encrypted anew", "#".repeat(full), ".".repeat(BAR - full))
}

fn rotated(console: &mut Console<'_>, reply: &KeysReply) -> Result<(), Failure> {
    let id = reply.key_id.as_deref().unwrap_or_default();
    if reply.rotating {
        let many = left(reply);
        return console.say(&format!(
            "The key {id} is in use; {many} credentials are still to be encrypted anew. The daemon goes on by itself; \
             `teleclaude key list` shows how far it is.\n"
        ));
    }
    let lost: i64 = reply.keys.iter().filter(|key| !key.here).map(|key| key.credentials).sum();
    if reply.unreadable > 0 || lost > 0 {
        console.say(&format!("The key {id} is in use\n"))?;
        if reply.unreadable > 0 {
            console.warn(&format!(
                "{} credentials cannot be decrypted; the daemon's log names them",
                reply.unreadable
            ));
        }
        if lost > 0 {
            console.warn(&format!("{lost} credentials are encrypted with keys that are not here"));
        }
        return Err(Failure::Told);
    }
    console.say(&format!("The key {id} is in use, and every credential is encrypted with it\n"))
}

/// The keys.
pub fn listed(reply: &KeysReply, look: &Look) -> String {
    let mut text = String::new();
    if let Some(problem) = &reply.problem {
        text += &format!("{}\n", paint(look.colour, YELLOW, &visible(problem)));
    }
    if reply.keys.is_empty() {
        return text + "No encryption key. `teleclaude key generate` makes one.\n";
    }
    let rows: Vec<_> = reply
        .keys
        .iter()
        .map(|key| {
            let state = match (key.in_use, key.here, &key.retired_at) {
                (true, ..) => cell("in use").sgr(GREEN),
                (_, _, Some(at)) => cell(format!("retired {}", ago(at, look))).sgr(DIM),
                (_, false, _) => cell("not here").sgr(YELLOW),
                _ => cell("going out of use").sgr(YELLOW),
            };
            let created = key.created_at.as_deref().map(|at| ago(at, look)).unwrap_or_default();
            vec![cell(&key.key_id), state, cell(created), cell(key.credentials.to_string())]
        })
        .collect();
    text += &table(&["KEY", "STATE", "CREATED", "CREDENTIALS"], &rows, look);
    if let Some(source) = &reply.source {
        text += &format!("The one in use comes from {}\n", visible(source));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{bar, listed};
    use crate::cli::render::plain;
    use crate::wire::credential::{KeyRow, KeysReply};

    #[test]
    fn how_far_it_is() {
        assert_eq!(bar(0, 0), "[##############################] 0 of 0 encrypted anew");
        assert_eq!(bar(100, 50), "[###############...............]  50 of 100 encrypted anew");
        assert_eq!(bar(100, 900), "[..............................]   0 of 100 encrypted anew");
    }

    #[test]
    fn keys_by_their_ids() {
        let key = |id: &str, in_use, here, retired: Option<&str>, credentials| KeyRow {
            key_id: id.to_owned(),
            created_at: Some("2026-11-21T10:00:00Z".to_owned()),
            retired_at: retired.map(str::to_owned),
            in_use,
            here,
            credentials,
        };
        let reply = KeysReply {
            key_id: Some("03".to_owned()),
            source: Some("/var/lib/teleclaude/encryption.keys".to_owned()),
            problem: None,
            rotating: true,
            unreadable: 0,
            keys: vec![
                key("00", false, true, Some("2026-11-21T11:00:00Z"), 0),
                key("01", false, false, None, 2),
                key("02", false, true, None, 40),
                key("03", true, true, None, 60),
            ],
        };
        insta::assert_snapshot!(listed(&reply, &plain()), @r"
        KEY  STATE             CREATED  CREDENTIALS
        00   retired 1h ago    2h ago   0
        01   not here          2h ago   2
        02   going out of use  2h ago   40
        03   in use            2h ago   60
        The one in use comes from /var/lib/teleclaude/encryption.keys
        ");
    }
}
