//! Hands the person's config layer to the daemon, which does not read homes: when it changed since it was last taken.
//! Nothing here fails a command.

use crate::cli::console::Console;
use crate::cli::place;
use crate::client::{Client, ClientError};
use crate::wire::request::PutMyConfig;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// How long the command waits for this before it goes on without.
const HAND_OVER_TIME: Duration = Duration::from_secs(3);
/// Bytes of the layer, at most.
const LAYER_BYTES_MAX: u64 = 256 * 1024;

/// Puts the layer if there is one and it changed. An agent's token may not, so an agent does not try.
pub async fn hand_over_own(console: &mut Console<'_>, client: &Client) {
    if client.endpoint().token.is_some() {
        return;
    }
    let path = place::personal_layer(console);
    let state = place::state_dir(console);
    let done = timeout(HAND_OVER_TIME, hand_over(client, &path, Some(&state))).await;
    if let Err(problem) = done.unwrap_or_else(|_| Err("the daemon did not answer in time".to_owned())) {
        console.warn(&format!("{} was not taken: {problem}", path.display()));
    }
}

/// Puts the file at `path`, if it exists and is not what was last taken. `state` is the folder that remembers that.
/// The error is a sentence. A daemon that cannot be reached is none: the command itself will say so.
pub async fn hand_over(client: &Client, path: &Path, state: Option<&Path>) -> Result<(), String> {
    let Some(yaml) = read(path)? else { return Ok(()) };
    let digest = hex(&Sha256::digest(yaml.as_bytes()));
    // Another daemon has taken nothing yet, so what was taken is remembered for each socket.
    let socket = hex(&Sha256::digest(client.endpoint().path.as_os_str().as_encoded_bytes()));
    let mark = state.map(|dir| dir.join(format!("personal-{}.sha256", &socket[..16])));
    if mark.as_ref().is_some_and(|mark| fs::read_to_string(mark).is_ok_and(|kept| kept == digest)) {
        return Ok(());
    }
    let asked = PutMyConfig { yaml, path: Some(path.display().to_string()), if_version: None };
    match client.put_my_config(&asked).await {
        Ok(_) => mark.map_or(Ok(()), |mark| {
            remember(&mark, &digest).map_err(|e| format!("cannot write {}: {e}", mark.display()))
        }),
        Err(ClientError::Unreachable { .. } | ClientError::NoAnswer { .. }) => Ok(()),
        Err(ClientError::Fault(fault)) => Err(fault.to_string()),
        Err(other) => Err(other.to_string()),
    }
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err("not a file".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    }
    let mut yaml = String::new();
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    let bytes = file.take(LAYER_BYTES_MAX + 1).read_to_string(&mut yaml).map_err(|e| e.to_string())?;
    if bytes as u64 > LAYER_BYTES_MAX {
        return Err(format!("more than {} KiB", LAYER_BYTES_MAX / 1024));
    }
    Ok(Some(yaml))
}

/// Written beside and renamed: two commands at once leave one of the two marks, whole.
fn remember(mark: &Path, digest: &str) -> io::Result<()> {
    let dir = mark.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::create_dir_all(&dir)?;
    let beside = mark.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(digest.as_bytes())?;
    drop(file);
    fs::rename(&beside, mark)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
