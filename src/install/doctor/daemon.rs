//! The daemon from outside, as any client sees it: the socket and its folder, who listens, whether it answers, who it
//! takes this user for, and which version it is. It is asked twice (`whoami`, `health`) on one connection's terms.

use crate::client::{Client, ClientError, Endpoint, start_command};
use crate::config::paths::client_socket;
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, look, quoted};
use crate::wire::reply::{HealthDetail, HealthReply, WhoamiReply};
use secrecy::SecretString;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long connecting may take, and each of two answers: together less than a check may.
const PATIENCE: Duration = Duration::from_millis(1_400);

/// What the daemon answered.
#[derive(Debug)]
pub struct Asked {
    /// The uid of who listens on the socket, by the kernel.
    listener: Option<u32>,
    whoami: Result<WhoamiReply, ClientError>,
    health: Option<HealthReply>,
}

impl Asked {
    /// Whether a daemon answers.
    pub const fn answers(&self) -> bool {
        self.whoami.is_ok()
    }

    /// What the daemon tells of itself; admins alone are told.
    pub fn detail(&self) -> Option<&HealthDetail> {
        self.health.as_ref()?.detail.as_ref()
    }
}

/// Asks the daemon. Takes [`PATIENCE`] three times at most.
pub fn ask(f: &Facts) -> Asked {
    let mut endpoint = Endpoint::new(place(f), f.is_system());
    endpoint.connect_time = PATIENCE;
    endpoint.answer_time = PATIENCE;
    // An agent that asks is known to the daemon by its token, also here.
    let token = f.system.environment.var("TELECLAUDE_TOKEN").filter(|token| !token.is_empty());
    endpoint.token = token.map(SecretString::from);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let whoami = Err(ClientError::Protocol(format!("cannot begin: {e}")));
            return Asked { listener: None, whoami, health: None };
        }
    };
    runtime.block_on(async {
        let listener = match timeout(PATIENCE, UnixStream::connect(&endpoint.path)).await {
            Ok(stream) => stream.and_then(|s| s.peer_cred()).map(|cred| cred.uid()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = &listener {
            let whoami = Err(crate::client::unreachable(&endpoint.path, endpoint.system, error));
            return Asked { listener: None, whoami, health: None };
        }
        let client = Client::new(endpoint);
        let whoami = client.whoami().await.map(|answer| answer.reply);
        let health = match &whoami {
            Ok(_) => client.health().await.ok().map(|answer| answer.reply),
            Err(_) => None,
        };
        Asked { listener: listener.ok(), whoami, health }
    })
}

/// Where clients of this environment connect.
fn place(f: &Facts) -> PathBuf {
    let environment = &f.system.environment;
    match environment.socket.clone() {
        Some(given) => given,
        None if environment.var("TELECLAUDE_SOCKET").is_some() => client_socket(environment),
        None => f.socket(),
    }
}

/// The socket itself: where clients look, of the right mode, in a safe folder, and the daemon's.
pub fn socket(f: &Facts) -> Vec<Found> {
    let path = place(f);
    let about = match look(&path) {
        Ok(Some(about)) => about,
        Ok(None) => {
            let seen = format!("{} is not there: no daemon listens", path.display());
            let start = start_command(f.is_system());
            return vec![if f.is_system() { Found::error(seen, start) } else { Found::warning(seen, start) }];
        }
        Err(found) => return vec![found],
    };
    if !about.file_type().is_socket() {
        let mend = format!("{}rm {} and {}", f.sudo(), quoted(&path), start_command(f.is_system()));
        return vec![Found::error(format!("{} is not a socket", path.display()), mend)];
    }
    let mut all = Vec::new();
    all.extend(found_by_clients(f, &path));
    let trusted: Vec<u32> = [Some(0), f.keeper()].into_iter().flatten().collect();
    if f.keeper().is_some() && !trusted.contains(&about.uid()) {
        let mend = format!("{}rm {} and {}", f.sudo(), quoted(&path), start_command(f.is_system()));
        all.push(Found::error(format!("{} belongs to uid {}", path.display(), about.uid()), mend));
    }
    if let Ok(loaded) = f.loaded() {
        let wanted = loaded.config.socket_mode.0;
        if bits(&about) != wanted {
            let mend = if f.is_system() && f.units().is_some() {
                format!(
                    "set SocketMode={wanted:04o} with `sudo systemctl edit teleclaude.socket`, then restart it"
                )
            } else {
                format!("restart the daemon: {}", start_command(f.is_system()))
            };
            let seen =
                format!("{} has mode {:04o}, socket_mode says {wanted:04o}", path.display(), bits(&about));
            all.push(Found::warning(seen, mend));
        }
        if let Some(group) = &loaded.config.socket_group
            && (f.system.group)(group).is_none_or(|g| g.gid != about.gid())
        {
            let seen = format!("{} does not belong to the group {group} (socket_group)", path.display());
            let mend = "set SocketGroup with `sudo systemctl edit teleclaude.socket`, then restart it";
            all.push(Found::warning(seen, mend));
        }
    }
    if let Some(folder) = path.parent() {
        let root = &f.system.environment.root;
        all.extend(exposed(root, folder, &trusted).unwrap_or_else(|found| vec![found]));
    }
    if let Some(listener) = f.asked().listener
        && listener != 0
        && f.keeper().is_some_and(|keeper| keeper != listener)
    {
        all.push(Found::error(
            format!("a program of uid {listener} listens on {}, not the daemon", path.display()),
            format!(
                "find it with `sudo ss -xlp | grep {}`, end it, then {}",
                quoted(&path),
                start_command(f.is_system())
            ),
        ));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{}, mode {:04o}", path.display(), bits(&about))));
    }
    all
}

/// Clients do not read the config: they look where a daemon of this mode listens by default.
fn found_by_clients(f: &Facts, path: &Path) -> Option<Found> {
    let environment = &f.system.environment;
    let told = environment.socket.is_some() || environment.var("TELECLAUDE_SOCKET").is_some();
    let real = |path: &Path| {
        let folder = path.parent().and_then(|dir| std::fs::canonicalize(dir).ok()).unwrap_or_default();
        folder.join(path.file_name().unwrap_or_default())
    };
    (!told && real(path) != real(&f.paths.socket)).then(|| {
        Found::warning(
            format!("the daemon listens on {}, clients look at {}", path.display(), f.paths.socket.display()),
            format!("export TELECLAUDE_SOCKET={} for everybody, or remove `socket`", quoted(path)),
        )
    })
}

/// Whether it answers, and how it is.
pub fn daemon(f: &Facts) -> Vec<Found> {
    if matches!(look(&place(f)), Ok(None)) {
        return vec![Found::skipped("there is no socket")];
    }
    let asked = f.asked();
    match &asked.whoami {
        Err(ClientError::Unreachable { message, hint, .. }) if f.is_system() => {
            vec![Found::error(message, hint)]
        }
        // One's own daemon is started when one wants it.
        Err(ClientError::Unreachable { message, hint, .. }) => vec![Found::warning(message, hint)],
        Err(error) => vec![Found::error(error.to_string(), log_command(f))],
        Ok(_) => match &asked.health {
            None => vec![Found::error("it does not say how it is", log_command(f))],
            Some(health) if health.status == "ok" => vec![Found::ok("answers, and is well")],
            Some(health) => {
                let problems = health.detail.as_ref().map(|d| d.problems.join("; ")).unwrap_or_default();
                let more = if problems.is_empty() { String::new() } else { format!(": {problems}") };
                vec![Found::warning(format!("is {}{more}", health.status), log_command(f))]
            }
        },
    }
}

fn log_command(f: &Facts) -> &'static str {
    match (f.is_system(), f.is_macos()) {
        (true, false) => "see `journalctl -u teleclaude -b`, then `sudo systemctl restart teleclaude`",
        (true, true) => {
            "see /usr/local/var/log/teleclaude, then `sudo launchctl kickstart -k system/ai.instrukt.teleclaude`"
        }
        (false, _) => "see what `teleclaude daemon` printed, and start it again",
    }
}

/// Who the daemon takes this user for, and by which rule.
pub fn identity(f: &Facts) -> Vec<Found> {
    let Ok(who) = &f.asked().whoami else { return vec![Found::skipped("the daemon does not answer")] };
    let mut all = Vec::new();
    if who.single_user == f.is_system() {
        let (theirs, ours) =
            if who.single_user { ("single-user", "system") } else { ("system", "single-user") };
        let seen = format!("the daemon is in {theirs} mode, this program in {ours} mode");
        all.push(Found::warning(
            seen,
            "restart the daemon, or correct TELECLAUDE_SYSTEM_MODE and TELECLAUDE_SOCKET",
        ));
    }
    let origin = who.rule.origin.as_deref().map(|o| format!(" ({o})")).unwrap_or_default();
    let by = format!("by {}{origin}", who.rule.text);
    let user = who.os_username.clone().unwrap_or_else(|| format!("uid {}", who.uid));
    if let Some(refused) = &who.refused {
        all.push(Found::warning(
            format!("{user} is refused: {refused}"),
            "an admin can say why: `teleclaude people explain`",
        ));
        return all;
    }
    match &who.person {
        Some(person) => all.push(Found::ok(format!("{user} is {person}, {}, {by}", who.role))),
        None => all.push(
            Found::note(format!("{user} is nobody the config knows ({}), {by}", who.role)).mend(format!(
                "add `- {{ name: {user}, os_username: {user}, role: member }}` to people in {}, then `sudo systemctl reload teleclaude`",
                f.paths.config.display()
            )),
        ),
    }
    all
}

/// Whether the daemon is of this program's version. Only admins are told.
pub fn version(f: &Facts) -> Vec<Found> {
    let own = env!("CARGO_PKG_VERSION");
    if !f.asked().answers() {
        return vec![Found::skipped("the daemon does not answer")];
    }
    let Some(detail) = f.asked().health.as_ref().and_then(|h| h.detail.as_ref()) else {
        return vec![Found::skipped(format!("this program is {own}; the daemon tells admins only"))];
    };
    if detail.version == own {
        return vec![Found::ok(own)];
    }
    let restart = match (f.is_system(), f.is_macos()) {
        (true, false) => "sudo systemctl restart teleclaude (sessions go on)",
        (true, true) => "sudo launchctl kickstart -k system/ai.instrukt.teleclaude (sessions go on)",
        (false, _) => "end the daemon and start it again: `teleclaude daemon` (sessions go on)",
    };
    vec![Found::warning(format!("the daemon is {}, this program {own}", detail.version), restart)]
}
