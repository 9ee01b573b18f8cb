//! What the daemon offers, remembered so that an editor can be told without the daemon: the built-in answer,
//! and the last real one in a cache file for this user and socket.

use super::message::{Params, entries, string_of};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Digest;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a cache file, at most.
const CACHE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Tools that are idempotent only when the caller gave a `client_id`.
const NEEDS_CLIENT_ID: [&str; 3] = ["start_session", "send_message", "run_agent_command"];

/// What the daemon says of itself; every field is raw JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Catalogue {
    /// The object `serverInfo`.
    pub server_info: Box<RawValue>,
    /// The object `capabilities`.
    pub capabilities: Box<RawValue>,
    /// The string `instructions`, or null.
    pub instructions: Box<RawValue>,
    /// The array `tools`.
    pub tools: Box<RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(default)]
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Annotations {
    read_only_hint: Option<bool>,
    idempotent_hint: Option<bool>,
}

impl Catalogue {
    /// A catalogue of raw JSON texts.
    ///
    /// # Errors
    /// When one of them is not JSON.
    pub fn new(
        server_info: &str,
        capabilities: &str,
        instructions: &str,
        tools: &str,
    ) -> serde_json::Result<Self> {
        let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text);
        Ok(Self {
            server_info: raw(server_info)?,
            capabilities: raw(capabilities)?,
            instructions: raw(instructions)?,
            tools: raw(tools)?,
        })
    }

    /// May this `tools/call` be sent again after it may have been done?
    pub fn repeatable(&self, call: &Params<'_>) -> bool {
        let Some(name) = string_of(call.name) else { return false };
        let tools: Vec<Tool<'_>> = serde_json::from_str(self.tools.get()).unwrap_or_default();
        let Some(tool) = tools.into_iter().find(|tool| tool.name == name) else { return false };
        let hints = tool.annotations.unwrap_or_default();
        let has_client_id = || string_of(entry(call.arguments, "client_id")).is_some_and(|id| !id.is_empty());
        hints.read_only_hint == Some(true)
            || (hints.idempotent_hint == Some(true)
                && (!NEEDS_CLIENT_ID.contains(&name.as_str()) || has_client_id()))
    }
}

fn entry<'a>(object: Option<&'a RawValue>, key: &str) -> Option<&'a RawValue> {
    entries(object?.get())?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Where the last catalogue of one user, socket and kind of caller is kept.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
}

impl Cache {
    /// The cache of the calling user for `socket`; an agent has another than its user.
    pub fn new(dir: &Path, socket: &Path, agent: bool) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let digest = sha2::Sha256::digest(socket.as_os_str().as_bytes());
        let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let kind = if agent { "-agent" } else { "" };
        Self { path: dir.join(format!("catalogue-{}-{short}{kind}.json", nix::unistd::geteuid())) }
    }

    /// What was kept, unless it is not a plain file of our own or cannot be read.
    pub fn load(&self) -> Option<Catalogue> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file()
            || about.uid() != nix::unistd::geteuid().as_raw()
            || about.mode() & 0o022 != 0
            || about.len() > CACHE_BYTES_MAX
        {
            return None;
        }
        let mut text = String::new();
        file.take(CACHE_BYTES_MAX).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps `catalogue`, whole or not at all, readable by its user only.
    ///
    /// # Errors
    /// When the directory cannot be made or written to; the bridge works without.
    pub fn store(&self, catalogue: &Catalogue) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let Some(dir) = self.path.parent() else { return Ok(()) };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let new = self.path.with_extension(format!("{}.new", std::process::id()));
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let written =
            file.write_all(&serde_json::to_vec(catalogue)?).and_then(|()| std::fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Head;
    use super::*;

    fn catalogue() -> Catalogue {
        let tools = r#"[{"name":"whoami","annotations":{"readOnlyHint":true}},
            {"name":"start_session","annotations":{"idempotentHint":true}},
            {"name":"subscribe","annotations":{"idempotentHint":true,"readOnlyHint":false}},
            {"name":"interrupt_session","annotations":{"idempotentHint":false}},{"name":"bare"}]"#;
        Catalogue::new("{}", "{}", "null", tools).unwrap()
    }

    #[test]
    fn only_calls_known_to_be_harmless_are_repeatable() {
        for (call, repeatable) in [
            (r#"{"name":"whoami"}"#, true),
            (r#"{"name":"subscribe","arguments":{}}"#, true),
            (r#"{"name":"start_session","arguments":{"project":"x"}}"#, false),
            (r#"{"name":"start_session","arguments":{"client_id":"c"}}"#, true),
            (r#"{"name":"start_session","arguments":{"client_id":""}}"#, false),
            (r#"{"name":"start_session","arguments":{"client_id":null}}"#, false),
            (r#"{"name":"start_session","arguments":{"client_id":1234}}"#, false),
            (r#"{"name":"interrupt_session"}"#, false),
            (r#"{"name":"bare"}"#, false),
            (r#"{"name":"unheard_of"}"#, false),
            (r#"{"name":5}"#, false),
            ("[]", false),
        ] {
            let line = format!("{{\"params\":{call}}}");
            let head: Head<'_> = serde_json::from_str(&line).unwrap();
            assert_eq!(catalogue().repeatable(&Params::of(&head)), repeatable, "{call}");
        }
    }

    #[test]
    fn the_cache_is_private_and_distrusts_what_others_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(&dir.path().join("a/b"), Path::new("/run/x.sock"), false);
        assert!(cache.load().is_none());
        cache.store(&catalogue()).unwrap();
        cache.store(&catalogue()).unwrap();
        assert_eq!(std::fs::metadata(&cache.path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(cache.load().unwrap().tools.get(), catalogue().tools.get());
        assert!(Cache::new(&dir.path().join("a/b"), Path::new("/run/x.sock"), true).load().is_none());
        assert!(Cache::new(&dir.path().join("a/b"), Path::new("/run/y.sock"), false).load().is_none());
        std::fs::set_permissions(&cache.path, std::fs::Permissions::from_mode(0o622)).unwrap();
        assert!(cache.load().is_none());
        std::fs::write(&cache.path, "{").unwrap();
        assert!(cache.load().is_none());
    }
}
