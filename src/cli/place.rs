//! Which socket a command talks to, and where the person's own files are. Reads nothing but whether files exist.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::client::Endpoint;
use secrecy::SecretString;
use std::path::{Path, PathBuf};

// lead: system_config, SYSTEM_SOCKET, `socket` and `personal_layer` say the same as config::paths; use that at the merge.
/// The system socket.
const SYSTEM_SOCKET: &str = "/var/run/teleclaude.sock";

/// The system config's path; `moved` is `TELECLAUDE_CONFIG_PATH`.
pub fn system_config(moved: Option<&String>) -> PathBuf {
    let usual = if cfg!(target_os = "macos") {
        "/usr/local/etc/teleclaude/config.yml"
    } else {
        "/etc/teleclaude/config.yml"
    };
    PathBuf::from(moved.map(String::as_str).filter(|path| !path.is_empty()).unwrap_or(usual))
}

/// The daemon to talk to: `--socket`, else `TELECLAUDE_SOCKET`, else the system's socket where there is a system
/// config, else the person's own.
pub fn endpoint(console: &Console<'_>, given: Option<&Path>) -> Result<Endpoint, Failure> {
    let system =
        console.var("TELECLAUDE_SYSTEM_MODE").is_some_and(|on| on == "1") || console.system_config.exists();
    let named = given.map(Path::to_owned).or_else(|| console.var("TELECLAUDE_SOCKET").map(PathBuf::from));
    let own = || {
        let runtime = absolute(console, "XDG_RUNTIME_DIR").map(|dir| dir.join("teleclaude.sock"));
        runtime.or_else(|| Some(home(console)?.join(".teleclaude/run/teleclaude.sock")))
    };
    let path = match named {
        Some(path) => path,
        None if system => PathBuf::from(SYSTEM_SOCKET),
        None => own().ok_or_else(|| {
            Failure::usage("no socket: give one with --socket or TELECLAUDE_SOCKET (HOME is not set either)")
        })?,
    };
    let mut endpoint = Endpoint::new(path, system);
    endpoint.token = console.var("TELECLAUDE_TOKEN").map(SecretString::from);
    Ok(endpoint)
}

/// The person's personal config layer.
pub fn personal_layer(console: &Console<'_>) -> Option<PathBuf> {
    Some(home(console)?.join(".teleclaude/config.yml"))
}

/// Where the person's programs remember things.
pub fn state_dir(console: &Console<'_>) -> Option<PathBuf> {
    let state = absolute(console, "XDG_STATE_HOME").or_else(|| Some(home(console)?.join(".local/state")));
    Some(state?.join("teleclaude"))
}

fn home(console: &Console<'_>) -> Option<PathBuf> {
    absolute(console, "HOME")
}

/// A variable that holds an absolute path; others are as good as unset.
fn absolute(console: &Console<'_>, name: &str) -> Option<PathBuf> {
    console.var(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
