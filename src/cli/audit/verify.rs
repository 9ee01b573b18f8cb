//! `teleclaude audit verify`: asks the daemon, or looks for itself at a database, a copy of one, or a bundle.

use crate::cli::bulk::again_when_limited;
use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::progress;
use crate::cli::render::{GREEN, Look, RED, cell, table, visible};
use crate::client::{Answer, Client, ClientError};
use crate::config::load;
use crate::daemon::{audit_log, database, notary};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::note::{self, VerifierKey};
use crate::store::connect::{Engine, open_read_only};
use crate::store::verify::{Evidence, prove, size};
use crate::wire::audit::{ChainRow, VerifiedReply, VerifyAudit};
use crate::wire::bundle::{BundleReport, LINE_BYTES_MAX, Reader};
use crate::wire::fault::FaultCode;
use secrecy::SecretString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// What the exit code says.
pub const EXIT_CODES: &str =
    "Exit codes: 0 everything is whole, 1 something was tampered with, 2 it could not be looked at";
/// From so many rows on there is a bar.
const BAR_FROM: u64 = 100_000;
/// Checkpoints that are sent to the daemon at a time.
const NOTES_SENT: usize = 500;
/// Bytes of a file of checkpoints or keys, at most.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Arguments of `audit verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Hold the log against the checkpoints in this file, kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Check a bundle that `audit export --format bundle` wrote, and nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["checkpoint", "database"])]
    bundle: Option<PathBuf>,
    /// Trust this public key, or those in this file, as `audit key` prints them
    #[arg(long, value_name = "KEY|FILE")]
    key: Vec<String>,
    /// Look at this database, or this copy of one, without the daemon: a SQLite file, or a postgres:// URL
    #[arg(long, value_name = "FILE|URL")]
    database: Option<String>,
}

impl Verify {
    /// Whether it works without a daemon.
    pub const fn asks_nobody(&self) -> bool {
        self.bundle.is_some() || self.database.is_some()
    }
}

/// Looks at a bundle or a database.
pub fn run_alone(console: &mut Console<'_>, args: &Verify, json: bool) -> Result<(), Failure> {
    let done = match (&args.bundle, &args.database) {
        (Some(file), _) => bundle(console, args, file),
        (None, Some(place)) => {
            let engine = engine(console, place)?;
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| Failure::Local(format!("cannot begin: {e}")))?
                .block_on(look_at(console, args, engine))
        }
        (None, None) => Err(Failure::Local("there is nothing to look at".to_owned())),
    };
    tell(console, done, json)
}

/// Asks the daemon; where there is none, or it has not the time, looks at the database of the config.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    args: &Verify,
    json: bool,
) -> Result<(), Failure> {
    let (evidence, torn) = match given(console, args) {
        Ok(given) => given,
        Err(failure) => return tell(console, Err(failure), json),
    };
    match ask(client, &evidence).await {
        Ok(answer) if json => {
            for note in &torn {
                console.warn(note);
            }
            console.say_json(&answer.text)?;
            if answer.reply.ok { Ok(()) } else { Err(Failure::Told) }
        }
        Ok(answer) => tell(console, Ok(Found { reply: answer.reply, notes: torn }), json),
        Err(Failure::Client(error)) if asks_itself(&error) => {
            let Some(engine) = load::load(&console.environment())
                .ok()
                .and_then(|loaded| database::options(&loaded).ok())
                .map(|options| options.engine)
                .filter(|engine| !matches!(engine, Engine::Sqlite { path, .. } if !path.exists()))
            else {
                return tell(console, Err(error.into()), json);
            };
            let why = match &error {
                ClientError::Unreachable { .. } => "The daemon is not running",
                _ => "The log is too long for one answer of the daemon",
            };
            console.note(&format!("{why}: looking at its database without it."));
            let done = match (look_at(console, args, engine).await, error) {
                // What the daemon says to that helps more.
                (Err(Failure::Local(problem)), error @ ClientError::Fault(_)) => {
                    console.warn(&problem);
                    Err(error.into())
                }
                (done, _) => done,
            };
            tell(console, done, json)
        }
        Err(error) => tell(console, Err(error), json),
    }
}

/// Has the daemon hold its log against all of the evidence, a part at a time, until something does not fit.
async fn ask(client: &Client, evidence: &Evidence) -> Result<Answer<VerifiedReply>, Failure> {
    let keys: Vec<String> = evidence.keys.iter().map(ToString::to_string).collect();
    let mut parts = evidence.notes.chunks(NOTES_SENT);
    let mut part = parts.next().unwrap_or_default();
    loop {
        let asked = VerifyAudit { checkpoints: part.to_vec(), keys: keys.clone() };
        let answer = again_when_limited(async || client.verify_audit(&asked).await).await?;
        part = match parts.next() {
            Some(next) if answer.reply.ok => next,
            _ => return Ok(answer),
        };
    }
}

/// Whether the database is looked at without the daemon after this: it is not there, or has not the time.
const fn asks_itself(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Fault(fault) => matches!(fault.code, FaultCode::Timeout),
        ClientError::NoAnswer { .. } | ClientError::Protocol(_) => false,
    }
}

/// What was found, and what is to be said about how.
struct Found {
    reply: VerifiedReply,
    notes: Vec<String>,
}

fn tell(console: &mut Console<'_>, done: Result<Found, Failure>, json: bool) -> Result<(), Failure> {
    let found = done.map_err(|failure| match failure {
        seen @ (Failure::Told | Failure::Output(_)) => seen,
        other => Failure::NotSeen(Box::new(other)),
    })?;
    for note in &found.notes {
        console.warn(note);
    }
    if json {
        console.say_json(&serde_json::to_string(&found.reply).unwrap_or_default())?;
    } else {
        let text = verified(&found.reply, &console.look);
        console.say(&text)?;
    }
    if found.reply.ok { Ok(()) } else { Err(Failure::Told) }
}

/// The keys and checkpoints of the command line, and what is to be said of those that are not whole: a file that is
/// appended to can have been cut off in the middle of one, and the others still prove what they prove.
fn given(console: &Console<'_>, args: &Verify) -> Result<(Evidence, Vec<String>), Failure> {
    let (mut evidence, mut torn) = (Evidence::default(), Vec::new());
    for key in &args.key {
        if let Ok(key) = VerifierKey::parse(key) {
            evidence.keys.push(key);
            continue;
        }
        let text = read(&console.cwd.join(key), "key")?;
        let keys: Result<Vec<VerifierKey>, _> =
            text.lines().filter(|line| !line.trim().is_empty()).map(VerifierKey::parse).collect();
        evidence.keys.extend(keys.map_err(|e| Failure::usage(format!("--key {key}: {e}")))?);
    }
    for file in &args.checkpoint {
        let text = read(&console.cwd.join(file), "checkpoint")?;
        let shown = file.display();
        let (mut notes, mut passed_over) = (Vec::new(), Vec::new());
        for (at, text) in note::split(&text).into_iter().enumerate() {
            let number = at + 1;
            if !note::is_whole(&text) {
                passed_over.push(format!(
                    "--checkpoint {shown}: number {number} in it is not whole (it begins with {:?}): it proves nothing",
                    text.lines().next().unwrap_or_default().chars().take(80).collect::<String>()
                ));
            } else if note::unproven(&text).ok().and_then(Checkpoint::parse).is_some() {
                notes.push(text);
            } else {
                // What is signed but says something else would be looked at by nobody.
                let problem =
                    format!("--checkpoint {shown}: number {number} in it is signed, but no checkpoint");
                return Err(Failure::usage(problem));
            }
        }
        if notes.is_empty() {
            return Err(Failure::usage(format!("--checkpoint {shown}: there is no whole checkpoint in it")));
        }
        evidence.notes.extend(notes);
        torn.extend(passed_over);
    }
    Ok((evidence, torn))
}

fn read(path: &Path, option: &str) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::usage(format!("--{option} {}: {e}", path.display()));
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The same, and what this machine's daemon left in its state directory: for its own log, as it would itself, and where
/// no key is given.
fn given_or_own(console: &Console<'_>, args: &Verify) -> Result<(Evidence, Vec<String>), Failure> {
    let (mut evidence, torn) = given(console, args)?;
    let own_log = !args.asks_nobody();
    if (own_log || evidence.keys.is_empty())
        && let Ok(loaded) = load::load(&console.environment())
    {
        let folder = &loaded.paths.state_dir;
        // Who may not read it has none.
        evidence.keys.extend(notary::public_keys(folder).unwrap_or_default());
        if own_log {
            evidence.notes.extend(notary::last_note(folder));
        }
    }
    Ok((evidence, torn))
}

/// Where a database is that was named on the command line.
pub(super) fn engine(console: &Console<'_>, place: &str) -> Result<Engine, Failure> {
    if place.starts_with("postgres://") || place.starts_with("postgresql://") {
        let parameters = place.split_once('?').map_or("", |(_, parameters)| parameters);
        let login = place.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if login.split('@').next().is_some_and(|user| user.contains(':') && login.contains('@'))
            || parameters.split('&').any(|parameter| parameter.starts_with("password="))
        {
            return Err(Failure::usage(
                "everybody on this machine can read a command line: put the password of the database into PGPASSWORD \
                 or ~/.pgpass",
            ));
        }
        return Ok(Engine::Postgres { url: SecretString::from(place) });
    }
    let path = console.cwd.join(place.strip_prefix("sqlite://").unwrap_or(place));
    Ok(Engine::Sqlite { path, synchronous_full: true })
}

/// Looks at a database.
async fn look_at(console: &Console<'_>, args: &Verify, engine: Engine) -> Result<Found, Failure> {
    let (evidence, mut notes) = given_or_own(console, args)?;
    let local = |e: crate::store::error::StoreError| Failure::Local(format!("the database: {e}"));
    let conn = open_read_only(engine).await.map_err(local)?;
    let looked = async {
        for text in &evidence.notes {
            note::open(text, &evidence.keys).map_err(|e| Failure::usage(format!("a checkpoint: {e}")))?;
        }
        let rows = size(&conn).await.map_err(local)?;
        let bar = if rows >= BAR_FROM {
            progress::bar(console, rows, "rows")
        } else {
            indicatif::ProgressBar::hidden()
        };
        let reports = prove(&conn, None, &evidence, |done| bar.set_position(done)).await.map_err(local);
        bar.finish_and_clear();
        reports
    };
    let reports = looked.await;
    conn.close().await;
    if evidence.keys.is_empty() {
        notes.push(
            "without a public key (--key) checkpoints prove nothing, and rows cut off the end are not noticed"
                .to_owned(),
        );
    }
    Ok(Found { reply: audit_log::verified(&reports?), notes })
}

/// Looks at a bundle.
fn bundle(console: &Console<'_>, args: &Verify, file: &Path) -> Result<Found, Failure> {
    let (evidence, mut notes) = given_or_own(console, args)?;
    if evidence.keys.is_empty() {
        notes.push(
            "the bundle is proven with the key it brings along itself: that it is whole, not whose it is. \
             Give the key you got from elsewhere with --key"
                .to_owned(),
        );
    }
    let path = console.cwd.join(file);
    let failed = |e: std::io::Error| Failure::usage(format!("--bundle {}: {e}", file.display()));
    let mut input = BufReader::with_capacity(256 * 1024, File::open(&path).map_err(failed)?);
    let mut reader = Reader::new(evidence.keys);
    let mut bar: Option<indicatif::ProgressBar> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 || !reader.line(&line) {
            break;
        }
        let bar = bar.get_or_insert_with(|| match reader.expected() {
            rows if rows >= BAR_FROM => progress::bar(console, rows, "rows"),
            _ => indicatif::ProgressBar::hidden(),
        });
        bar.set_position(u64::try_from(reader.rows()).unwrap_or(0));
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(Found { reply: of_bundle(reader.finish()), notes })
}

/// A bundle's report in the form of a log's: what is wrong with it as a whole is a chain's problem if it is none's.
fn of_bundle(report: BundleReport) -> VerifiedReply {
    let rows = report.chains.iter().map(|chain| chain.rows).sum();
    let mut chains = report.chains;
    if let Some(problem) = &report.problem
        && chains.iter().all(|chain| chain.problem.is_none())
    {
        chains.push(ChainRow {
            computer: "the bundle".to_owned(),
            rows: 0,
            first_seq: None,
            head: String::new(),
            checkpoints: 0,
            unknown_checkpoints: 0,
            first_bad_seq: None,
            problem: Some(problem.clone()),
        });
    }
    VerifiedReply { ok: report.problem.is_none(), rows, chains }
}

/// What is said of a chain that is whole.
fn whole(chain: &ChainRow) -> String {
    let mut text = "whole".to_owned();
    if let Some(first) = chain.first_seq.filter(|first| *first > 1) {
        text.push_str(&format!(", rows 1 to {} pruned", first - 1));
    }
    match chain.checkpoints {
        0 => {}
        1 => text.push_str(", 1 checkpoint fits"),
        n => text.push_str(&format!(", {n} checkpoints fit")),
    }
    if chain.unknown_checkpoints > 0 {
        text.push_str(&format!(", {} by unknown keys", chain.unknown_checkpoints));
    }
    text
}

/// What checking found.
pub fn verified(reply: &VerifiedReply, look: &Look) -> String {
    let rows: Vec<_> = reply
        .chains
        .iter()
        .map(|chain| {
            let found = match (chain.first_bad_seq, chain.problem.as_deref()) {
                (None, None) => cell(whole(chain)).sgr(GREEN),
                (Some(seq), problem) => cell(format!("row {seq}: {}", problem.unwrap_or("wrong"))).sgr(RED),
                (None, Some(problem)) => cell(problem).sgr(RED),
            };
            vec![cell(&chain.computer), cell(chain.rows.to_string()), found, cell(&chain.head)]
        })
        .collect();
    let (sgr, verdict) = if reply.ok { (GREEN, "The log is whole") } else { (RED, "The log is NOT whole") };
    let verdict = format!("{verdict}: {} rows checked.", reply.rows);
    let chains = table(&["COMPUTER", "ROWS", "FOUND", "HEAD"], &rows, look);
    format!("{chains}{}\n", paint(look.colour, sgr, &visible(&verdict)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;

    #[test]
    fn whole_and_broken_chains() {
        let chain = |bad: Option<i64>| ChainRow {
            computer: "build-1".to_owned(),
            rows: 42,
            first_seq: Some(1),
            checkpoints: 0,
            unknown_checkpoints: 0,
            head: "ab".repeat(32),
            first_bad_seq: bad,
            problem: bad.map(|_| "the hash does not match".to_owned()),
        };
        let whole = VerifiedReply { ok: true, rows: 42, chains: vec![chain(None)] };
        insta::assert_snapshot!(verified(&whole, &plain()), @r"
        COMPUTER  ROWS  FOUND  HEAD
        build-1   42    whole  abababababababababababababababababababababababababababababababab
        The log is whole: 42 rows checked.
        ");
        let broken = VerifiedReply { ok: false, rows: 42, chains: vec![chain(Some(17))] };
        insta::assert_snapshot!(verified(&broken, &plain()), @r"
        COMPUTER  ROWS  FOUND                            HEAD
        build-1   42    row 17: the hash does not match  ababababababababababababababababababababababababab…
        The log is NOT whole: 42 rows checked.
        ");
    }
}
