//! The database: whether it can be reached and is of this version, whether its file is guarded, and what a PostgreSQL
//! server says about keeping what it acknowledges. It is opened read-only, once.

use crate::config::schema::database::{SslMode, Target};
use crate::domain::timestamp::Timestamp;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, look, quoted};
use crate::install::doctor::state::well;
use crate::install::doctor::{Finding, Found, Report};
use crate::store::about::{About, Server, about};
use crate::store::audit::{Filter, page};
use crate::store::connect::{Engine, open_read_only};
use crate::store::error::StoreError;
use crate::store::migrate::{Status, status};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// How long the database may take over everything it is asked: less than a check may.
const PATIENCE: Duration = Duration::from_secs(4);
/// The oldest PostgreSQL that is still looked after by its makers, as a version number.
const OLDEST: i32 = 140_000;

/// What the database answered.
#[derive(Debug)]
pub enum Answer {
    /// It was not asked; the finding says why.
    NotAsked(Found),
    /// It did not answer.
    Failed(Found),
    /// The service user asked it, since it lets nobody else in: its own findings.
    Relayed(Vec<Finding>),
    /// It did.
    Given {
        /// Its schema.
        status: Status,
        /// What it says of itself.
        about: About,
        /// When the newest row of the audit log was written.
        newest: Option<Timestamp>,
    },
}

/// Asks the database.
pub fn ask(f: &Facts) -> Answer {
    let Ok(loaded) = f.loaded() else { return Answer::NotAsked(Found::skipped("the config is not valid")) };
    if !f.may_look_inside() {
        return Answer::NotAsked(Found::needs_root());
    }
    let engine = match (f.system.database)(loaded) {
        Ok(options) => options.engine,
        Err(e) => return Answer::Failed(Found::error(format!("{e:#}"), "correct `database` in the config")),
    };
    if let Engine::Sqlite { path, .. } = &engine
        && matches!(look(path), Ok(None))
    {
        return Answer::NotAsked(Found::note(format!(
            "{} is not there yet: the daemon makes it",
            path.display()
        )));
    }
    let server = matches!(engine, Engine::Postgres { .. });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Answer::Failed(Found::error(format!("cannot begin: {e}"), "try again")),
    };
    let asked = runtime.block_on(async { timeout(PATIENCE, conversation(engine)).await });
    // What still waits for the disk is not waited for.
    runtime.shutdown_background();
    match asked {
        Ok(Ok((status, about, newest))) => Answer::Given { status, about, newest },
        Ok(Err(error)) => relayed(f, server).unwrap_or_else(|| Answer::Failed(failure(f, &error, server))),
        Err(_) => {
            let seen = format!("does not answer within {} s", PATIENCE.as_secs());
            Answer::Failed(Found::error(seen, mend_reach(f, server)))
        }
    }
}

async fn conversation(engine: Engine) -> Result<(Status, About, Option<Timestamp>), StoreError> {
    let conn = open_read_only(engine).await?;
    let asked = async {
        let status = status(&conn).await?;
        let about = about(&conn).await?;
        let newest = if status.pending.is_empty() && status.unknown.is_empty() {
            page(&conn, &Filter::default(), None, 1).await?.first().map(|entry| entry.draft.at)
        } else {
            None
        };
        Ok((status, about, newest))
    };
    let asked = asked.await;
    conn.close().await;
    asked
}

/// Root is not let in where PostgreSQL goes by the OS user's name: then this program is run as the service user, for
/// the two checks about the database alone.
fn relayed(f: &Facts, server: bool) -> Option<Answer> {
    let service = f.service.as_ref().filter(|_| server && f.system.is_root())?;
    let exe = f.system.exe.to_str()?;
    let said = (f.system.run_as)(service, &[exe, "doctor", "--json", "database", "postgres"])?;
    let report: Report = serde_json::from_str(&said.text).ok()?;
    Some(Answer::Relayed(report.findings))
}

fn failure(f: &Facts, error: &StoreError, server: bool) -> Found {
    let mend = match error {
        StoreError::Damaged => "restore the newest copy you have; keep the damaged file".to_owned(),
        StoreError::Full => "make room: `df -h`".to_owned(),
        _ => mend_reach(f, server),
    };
    Found::error(error.to_string(), mend)
}

fn mend_reach(f: &Facts, server: bool) -> String {
    if server {
        format!(
            "is the server up, and may {} log in? `sudo -u {0} psql`; see `database` in the config",
            f.keeper_name()
        )
    } else {
        "see who holds it: `sudo fuser -v` on the file; and its disk: `df`, `dmesg`".to_owned()
    }
}

/// Whether it can be reached, and is of this program's version.
pub fn reachable(f: &Facts) -> Vec<Found> {
    let (status, about) = match f.answer() {
        Answer::NotAsked(found) | Answer::Failed(found) => return vec![found.clone()],
        Answer::Relayed(findings) => return of_check(findings, "database"),
        Answer::Given { status, about, .. } => (status, about),
    };
    if let Err(error) = status.not_newer() {
        return vec![Found::error(error.to_string(), "install the newer teleclaude again")];
    }
    let engine = match about {
        About::Sqlite { .. } => "SQLite".to_owned(),
        About::Postgres(server) => format!("PostgreSQL {}", number(server.version)),
    };
    if status.pending.is_empty() {
        return vec![Found::ok(format!(
            "{engine}, schema {}",
            status.applied.last().map_or("-", String::as_str)
        ))];
    }
    let seen = format!("{engine}, its schema lacks {}", status.pending.join(", "));
    if f.config.as_ref().is_ok_and(|l| l.config.database.auto_migrate) {
        return vec![Found::note(format!("{seen}: done when the daemon starts"))];
    }
    let who = if f.is_system() { format!("sudo -u {} ", f.service_name()) } else { String::new() };
    vec![Found::warning(seen, format!("{who}teleclaude db migrate"))]
}

fn of_check(findings: &[Finding], name: &str) -> Vec<Found> {
    findings.iter().filter(|finding| finding.check == name).map(|finding| finding.found.clone()).collect()
}

/// How long SQLite takes to give the files beside a database to its owner.
const SETTLING: std::time::Duration = std::time::Duration::from_millis(200);

/// The file of SQLite: for the keeper alone, on a disk of this machine, written ahead.
pub fn file(f: &Facts) -> Vec<Found> {
    let Ok(loaded) = f.loaded() else { return Vec::new() };
    let Ok(Engine::Sqlite { path, .. }) = (f.system.database)(loaded).map(|options| options.engine) else {
        return Vec::new();
    };
    if !f.may_look_inside() {
        return vec![Found::needs_root()];
    }
    let mut all = Vec::new();
    let mut there = false;
    for end in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.clone().into_os_string();
        name.push(end);
        let part = PathBuf::from(name);
        match look(&part) {
            Ok(Some(about)) => {
                there |= end.is_empty();
                let mut found = guarded(f, &part, &about);
                if end.starts_with('-') && !found.is_empty() {
                    // Another check may just have opened the database: for a moment these are who opened it's.
                    std::thread::sleep(SETTLING);
                    found = look(&part).map_or_else(
                        |found| vec![found],
                        |about| about.map_or_else(Vec::new, |a| guarded(f, &part, &a)),
                    );
                }
                all.extend(found);
            }
            Ok(None) => {}
            Err(found) => all.push(found),
        }
    }
    let Some(folder) = path.parent() else { return all };
    let trusted: Vec<u32> = [f.keeper(), Some(0)].into_iter().flatten().collect();
    if !folder.starts_with(&f.paths.state_dir) {
        let root = &f.system.environment.root;
        all.extend(exposed(root, folder, &trusted).unwrap_or_else(|found| vec![found]));
    }
    if let Ok(volume) = (f.system.volume)(folder)
        && let Some(kind) = volume.network
    {
        let seen = format!(
            "{} is on a network file system ({kind}), where SQLite's locks cannot be relied on",
            path.display()
        );
        all.push(Found::error(seen, "stop the daemon, move the file to a local disk, and set database.path"));
    }
    if let Answer::Given { about: About::Sqlite { journal_mode }, .. } = f.answer()
        && journal_mode != "wal"
    {
        let seen =
            format!("journal mode is {journal_mode}, not wal: readers and the writer wait for each other");
        all.push(Found::warning(seen, "restart the daemon, which sets it"));
    }
    match (all.is_empty(), there) {
        (true, true) => vec![well(f, &path)],
        (true, false) => vec![Found::ok("not there yet")],
        (false, _) => all,
    }
}

fn guarded(f: &Facts, path: &Path, about: &std::fs::Metadata) -> Vec<Found> {
    let word = quoted(path);
    let mut all = Vec::new();
    if !about.is_file() {
        let mend = format!("stop the daemon and move it away: {}mv {word} {word}.old", f.sudo());
        return vec![Found::error(format!("{} is not a regular file", path.display()), mend)];
    }
    if f.keeper().is_some_and(|keeper| keeper != about.uid()) {
        let seen = format!("{} belongs to uid {}: the daemon cannot write it", path.display(), about.uid());
        all.push(Found::error(seen, format!("sudo chown {} {word}", f.keeper_name())));
    } else if bits(about) & 0o200 == 0 {
        let seen = format!("{} cannot be written by its owner", path.display());
        all.push(Found::error(seen, format!("{}chmod 0600 {word}", f.sudo())));
    }
    if bits(about) & 0o077 != 0 {
        let seen = format!("{} is open to others (mode {:04o})", path.display(), bits(about));
        all.push(Found::error(seen, format!("{}chmod 0600 {word}", f.sudo())));
    }
    all
}

/// The PostgreSQL server.
pub fn server(f: &Facts) -> Vec<Found> {
    let Ok(loaded) = f.loaded() else { return Vec::new() };
    if let Answer::Relayed(findings) = f.answer() {
        return of_check(findings, "postgres");
    }
    if !matches!((f.system.database)(loaded).map(|options| options.engine), Ok(Engine::Postgres { .. })) {
        return Vec::new();
    }
    let mut all = Vec::new();
    all.extend(in_clear(&loaded.config.database.target(&loaded.secrets)));
    match f.answer() {
        Answer::Given { about: About::Postgres(server), .. } => all.extend(judged(server)),
        Answer::NotAsked(found) => all.push(found.clone()),
        _ => all.push(Found::skipped("the database does not answer")),
    }
    all
}

/// Whether what is said to a server on another machine may go over the network as it is.
fn in_clear(target: &Target) -> Option<Found> {
    let Target::Postgresql { host, sslmode, .. } = target else { return None };
    let here = host.starts_with('/') || ["localhost", "127.0.0.1", "::1"].contains(&host.as_str());
    (!here && matches!(sslmode, SslMode::Disable | SslMode::Prefer)).then(|| {
        Found::warning(
            format!("sslmode {} to {host}: what is written may cross the network in clear", sslmode.name()),
            "set database.sslmode: verify-full",
        )
    })
}

/// What a server's own words mean.
pub fn judged(server: &Server) -> Vec<Found> {
    let set = |name: &str| {
        format!("psql -c 'ALTER SYSTEM SET {name} = on' -c 'SELECT pg_reload_conf()' (as its superuser)")
    };
    let mut all = Vec::new();
    if !server.fsync {
        let seen = "fsync is off: a power cut can lose or damage everything";
        all.push(Found::error(seen, set("fsync")));
    }
    if server.standby {
        let seen = "the server is a standby and takes no writes";
        all.push(Found::error(seen, "set database.host to the primary server"));
    }
    if !server.full_page_writes {
        let seen = "full_page_writes is off: a power cut can damage pages";
        all.push(Found::warning(seen, set("full_page_writes")));
    }
    if server.synchronous_commit == "off" {
        let seen = "synchronous_commit is off on the server; the daemon's own commits wait for the disk all the same";
        all.push(Found::note(seen).mend(set("synchronous_commit")));
    }
    if server.version < OLDEST {
        let seen = format!("PostgreSQL {} gets no fixes any more", number(server.version));
        all.push(Found::warning(seen, "upgrade the server to a version that is looked after"));
    }
    if server.superuser {
        let seen = "the daemon logs in as a superuser, who can do away with every guard of the audit log";
        all.push(Found::warning(seen, "give it a role of its own: see docs/install.md, PostgreSQL"));
    } else if server.audit_changeable == Some(true) {
        let seen = "one role for everything: only triggers keep the daemon's login from changing audit rows";
        all.push(Found::note(seen).mend("an owner role and a daemon role: see docs/install.md, PostgreSQL"));
    }
    if all.is_empty() && server.audit_changeable.is_none() {
        all.push(Found::skipped(format!("{}, no audit log in it yet", number(server.version))));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{}, the audit log can only be added to", number(server.version))));
    }
    all
}

/// 160004 is 16.4.
fn number(version: i32) -> String {
    format!("{}.{}", version / 10_000, version % 10_000)
}

#[cfg(test)]
mod tests {
    use super::{judged, number};
    use crate::install::doctor::State;
    use crate::store::about::Server;

    #[test]
    fn each_weakness_of_a_server_is_named() {
        let sound = Server {
            version: 170_002,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            standby: false,
            superuser: false,
            audit_changeable: Some(false),
        };
        assert_eq!(judged(&sound)[0].state, State::Ok);
        let with = |change: fn(&mut Server)| {
            let mut server = sound.clone();
            change(&mut server);
            judged(&server)
        };
        type Weakness = (fn(&mut Server), State, &'static str);
        let table: [Weakness; 7] = [
            (|s| s.fsync = false, State::Error, "fsync is off"),
            (|s| s.standby = true, State::Error, "standby"),
            (|s| s.full_page_writes = false, State::Warning, "full_page_writes"),
            (|s| s.synchronous_commit = "off".to_owned(), State::Note, "synchronous_commit"),
            (|s| s.version = 120_022, State::Warning, "PostgreSQL 12.22"),
            (|s| s.superuser = true, State::Warning, "superuser"),
            (|s| s.audit_changeable = Some(true), State::Note, "one role"),
        ];
        for (change, state, words) in table {
            let found = with(change);
            assert_eq!((found.len(), found[0].state), (1, state), "{words}");
            assert!(found[0].seen.contains(words) && found[0].mend.is_some(), "{:?}", found[0]);
        }
        assert_eq!(with(|s| s.audit_changeable = None)[0].state, State::Skipped);
        assert_eq!(number(160_004), "16.4");
    }
}
