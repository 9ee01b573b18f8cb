//! What each editor or agent needs in its configuration to start the bridge: text to paste, and writing it into
//! the file. A file that is not understood is never touched; everything else in it stays, byte for byte.

use super::message::{entries, quoted, splice, with_entry};
use anyhow::{Context, bail};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Under what name the server is known to the client.
const NAME: &str = "teleclaude";
/// Bytes of a configuration file, at most.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The lines around what we wrote into a TOML file.
const BEGIN: &str = "# teleclaude: begin (written by `teleclaude mcp install`)";
const END: &str = "# teleclaude: end";

/// A program that speaks MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// Claude Code, for the user (all projects).
    Claude,
    /// Visual Studio Code.
    Vscode,
    /// Cursor.
    Cursor,
    /// Zed.
    Zed,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
}

impl Client {
    /// The user's configuration file, below `home`.
    pub fn path(self, home: &Path) -> PathBuf {
        let support = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
        match self {
            Self::Claude => home.join(".claude.json"),
            Self::Vscode => home.join(support).join("Code/User/mcp.json"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::Zed => home.join(".config/zed/settings.json"),
            Self::Codex => home.join(".codex/config.toml"),
            Self::Gemini => home.join(".gemini/settings.json"),
        }
    }

    /// The member of the file's object that holds the servers.
    const fn section(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Zed => "context_servers",
            Self::Codex => "mcp_servers",
            Self::Claude | Self::Cursor | Self::Gemini => "mcpServers",
        }
    }

    /// The server's own object, on one line.
    fn entry(self, exe: &Path, socket: &Path) -> anyhow::Result<String> {
        let exe = quoted(exe.to_str().context("the path of the program is not UTF-8")?);
        let socket = quoted(socket.to_str().context("the path of the socket is not UTF-8")?);
        let kind = if matches!(self, Self::Claude | Self::Vscode) { "\"type\": \"stdio\", " } else { "" };
        Ok(format!("{{ {kind}\"command\": {exe}, \"args\": [\"mcp\", \"--socket\", {socket}] }}"))
    }
}

/// What to paste into the client's configuration.
///
/// # Errors
/// When a path is not UTF-8.
pub fn print_config(client: Client, exe: &Path, socket: &Path) -> anyhow::Result<String> {
    if client == Client::Codex {
        return toml_table(exe, socket);
    }
    let entry = client.entry(exe, socket)?;
    Ok(format!("{{\n  \"{}\": {{\n    \"{NAME}\": {entry}\n  }}\n}}\n", client.section()))
}

/// VS Code's entry without the bridge, over HTTP on the socket; none if the path would have to be escaped in a URL.
pub fn without_bridge(socket: &Path) -> Option<String> {
    let path = socket.to_str().filter(|path| path.starts_with('/'))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    path.chars().all(plain).then(|| format!("{{ \"type\": \"http\", \"url\": \"unix://{path}#/mcp\" }}"))
}

/// The path under which this program, whose file is `exe`, is to be started from now on: where `search` (a `PATH`)
/// finds the same file, since the file itself may lie where an upgrade moves it (Homebrew's Cellar, say). The
/// file itself if it lies on the `PATH`, or if nothing there leads to it.
pub fn lasting_path(exe: &Path, search: &str) -> PathBuf {
    let folders = || std::env::split_paths(search).filter(|folder| folder.is_absolute());
    if folders().any(|folder| exe.parent() == Some(&folder)) {
        return exe.to_owned();
    }
    let file = std::fs::canonicalize(exe).ok();
    let leads_there = |path: &PathBuf| file.is_some() && std::fs::canonicalize(path).ok() == file;
    folders().map(|folder| folder.join(NAME)).find(leads_there).unwrap_or_else(|| exe.to_owned())
}

/// What `install` did or would do.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// The whole new text, or `None` when there is nothing to do.
    pub text: Option<String>,
    /// Where the former text was kept, if there was one and it was changed.
    pub backup: Option<PathBuf>,
}

/// What is asked of `install`.
#[derive(Clone, Copy, Debug)]
pub struct Install<'a> {
    /// Whose configuration.
    pub client: Client,
    /// The user's home directory.
    pub home: &'a Path,
    /// This program, absolute.
    pub exe: &'a Path,
    /// The daemon's socket.
    pub socket: &'a Path,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Take our entry out instead.
    pub remove: bool,
}

/// Puts our entry into the client's configuration, or takes it out; doing it twice is doing it once.
///
/// # Errors
/// When the file cannot be read or written, or is not understood (comments in JSON, a table of the same name that
/// is not ours): it is then left alone, and the error says what to paste.
pub fn install(ask: Install<'_>) -> anyhow::Result<Change> {
    let named = ask.client.path(ask.home);
    // A link is often how people keep these files in a repository: change what it leads to.
    let path = std::fs::canonicalize(&named).unwrap_or(named);
    let (old, mode) = read(&path)?;
    let before = old.as_deref().unwrap_or_default();
    let new = match ask.client {
        Client::Codex => edit_toml(before, ask),
        _ => edit_json(before, ask),
    };
    let paste = || -> anyhow::Result<String> {
        Ok(format!(
            "{} was left alone; by hand, {} this:\n{}",
            path.display(),
            if ask.remove { "remove" } else { "add" },
            print_config(ask.client, ask.exe, ask.socket)?
        ))
    };
    let new = match new {
        Ok(new) => new,
        Err(error) => return Err(error.context(paste()?)),
    };
    if new == before {
        return Ok(Change { path, text: None, backup: None });
    }
    let backup = old.is_some().then(|| with_suffix(&path, ".before-teleclaude"));
    if !ask.dry_run {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        if let (Some(backup), Some(old)) = (&backup, &old) {
            write(backup, old, mode)?;
        }
        write(&path, &new, mode)?;
    }
    Ok(Change { path, text: Some(new), backup })
}

/// The text of a file and its mode; no text when there is no file.
fn read(path: &Path) -> anyhow::Result<(Option<String>, u32)> {
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((None, 0o600)),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    if !about.is_file() || about.len() > CONFIG_BYTES_MAX {
        bail!("{} is not a configuration file", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((Some(text), about.mode() & 0o777))
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = with_suffix(path, &format!(".{}.new", std::process::id()));
    let _ = std::fs::remove_file(&new);
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn edit_json(before: &str, ask: Install<'_>) -> anyhow::Result<String> {
    let section = ask.client.section();
    if before.trim().is_empty() {
        return match ask.remove {
            true => Ok(before.to_owned()),
            false => print_config(ask.client, ask.exe, ask.socket),
        };
    }
    let all = entries(before).context("it is not plain JSON (comments or trailing commas, perhaps)")?;
    let mut found = all.iter().filter(|(key, _)| key == section);
    let servers = found.next().map(|(_, raw)| raw.get());
    if found.next().is_some() {
        bail!("it has `{section}` twice");
    }
    if ask.remove {
        let Some(servers) = servers else { return Ok(before.to_owned()) };
        return Ok(splice(before, servers, &without_entry(servers, section)?));
    }
    let entry = ask.client.entry(ask.exe, ask.socket)?;
    let Some(servers) = servers else {
        let block = format!("{{\n    \"{NAME}\": {entry}\n  }}");
        return with_entry(before, section, &block).context("it is not an object");
    };
    let old = entries(servers).with_context(|| format!("`{section}` is not an object"))?;
    if let Some((_, raw)) = old.iter().find(|(key, _)| key == NAME)
        && serde_json::from_str::<serde_json::Value>(raw.get())?
            == serde_json::from_str::<serde_json::Value>(&entry)?
    {
        return Ok(before.to_owned());
    }
    let servers_new = with_entry(servers, NAME, &entry).context("it is not an object")?;
    Ok(splice(before, servers, &servers_new))
}

/// A JSON object without our entry and the comma that parted it from the others.
fn without_entry(object: &str, section: &str) -> anyhow::Result<String> {
    let all = entries(object).with_context(|| format!("`{section}` is not an object"))?;
    let Some(at) = all.iter().position(|(key, _)| key == NAME) else { return Ok(object.to_owned()) };
    let end_of = |raw: &str| raw.as_ptr().addr() - object.as_ptr().addr() + raw.len();
    let end = end_of(all[at].1.get());
    let start = match at.checked_sub(1) {
        // After the value before us: the comma goes with us.
        Some(before) => end_of(all[before].1.get()),
        None => object.find('{').unwrap_or_default() + 1,
    };
    let rest = &object[end..];
    let rest = match at {
        0 => rest.trim_start().strip_prefix(',').unwrap_or(rest),
        _ => rest,
    };
    Ok(format!("{}{rest}", &object[..start]))
}

fn toml_table(exe: &Path, socket: &Path) -> anyhow::Result<String> {
    let text = |path: &Path| -> anyhow::Result<String> {
        let text = path.to_str().context("a path is not UTF-8")?;
        if text.chars().any(char::is_control) {
            bail!("a path has control characters");
        }
        // Without those, a JSON string is a TOML basic string.
        Ok(quoted(text))
    };
    Ok(format!(
        "[mcp_servers.{NAME}]\ncommand = {}\nargs = [\"mcp\", \"--socket\", {}]\n",
        text(exe)?,
        text(socket)?
    ))
}

/// TOML is not parsed: our table stands between two marks at the end of the file, where it cannot change the
/// meaning of anything before it.
fn edit_toml(before: &str, ask: Install<'_>) -> anyhow::Result<String> {
    let (head, tail) = match before.split_once(BEGIN) {
        None => (before, ""),
        Some((head, rest)) => {
            let (_, tail) = rest.split_once(END).context("our first mark is there, but not the second")?;
            (head, tail)
        }
    };
    let rest = format!("{head}{}", tail.trim_start_matches('\n'));
    let after = tail.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    if after.is_some_and(|line| !line.starts_with('[')) {
        bail!("something was added to our table after its end mark");
    }
    if rest.contains(BEGIN) || rest.contains(END) {
        bail!("our marks are there more than once");
    }
    if ask.remove {
        return Ok(match before == head {
            true => before.to_owned(),
            false => format!("{}\n", rest.trim_end()).trim_start_matches('\n').to_owned(),
        });
    }
    if rest.contains("'''") || rest.contains("\"\"\"") {
        bail!("it has multi-line strings, in which a table cannot be told from text");
    }
    let ours = |line: &str| line.contains(NAME) && line.contains("mcp_servers");
    let inline = |line: &str| line.trim_start().starts_with("mcp_servers");
    if rest.lines().any(|line| ours(line) || inline(line)) || rest.contains(&format!("\n{NAME}")) {
        bail!("it has a server `{NAME}` already, or servers written in a way that is not understood");
    }
    let gap = if rest.trim().is_empty() { String::new() } else { format!("{}\n\n", rest.trim_end()) };
    Ok(format!("{gap}{BEGIN}\n{}{END}\n", toml_table(ask.exe, ask.socket)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Client; 6] =
        [Client::Claude, Client::Vscode, Client::Cursor, Client::Zed, Client::Codex, Client::Gemini];

    fn ask(client: Client, home: &Path) -> Install<'_> {
        let (exe, socket) = (Path::new("/usr/bin/teleclaude"), Path::new("/run/x \"y\".sock"));
        Install { client, home, exe, socket, dry_run: false, remove: false }
    }

    fn write_config(client: Client, home: &Path, text: &str) -> PathBuf {
        let path = client.path(home);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn installing_twice_is_installing_once_and_removing_undoes_it() {
        for client in ALL {
            let home = tempfile::tempdir().unwrap();
            let dry = install(Install { dry_run: true, ..ask(client, home.path()) }).unwrap();
            assert!(dry.text.is_some() && !dry.path.exists());
            let done = install(ask(client, home.path())).unwrap();
            assert_eq!(done.text, dry.text);
            assert_eq!(std::fs::read_to_string(&done.path).unwrap(), done.text.unwrap());
            assert_eq!(install(ask(client, home.path())).unwrap().text, None);
            install(Install { remove: true, ..ask(client, home.path()) }).unwrap();
            let left = std::fs::read_to_string(&done.path).unwrap();
            assert!(!left.contains("teleclaude"), "{client:?}: {left}");
            assert_eq!(install(Install { remove: true, ..ask(client, home.path()) }).unwrap().text, None);
        }
    }

    #[test]
    fn the_rest_of_a_json_file_keeps_its_order_bytes_and_mode_and_a_backup_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let text = "{\n\t\"z\": 1.0,\n  \"mcpServers\": { \"b\": {\"x\":[1]}, \"a\": {} },\n \"a\": \"\\u00e9\"\n}\n";
        let path = write_config(Client::Cursor, home.path(), text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let change = install(ask(Client::Cursor, home.path())).unwrap();
        assert_eq!(std::fs::read_to_string(change.backup.unwrap()).unwrap(), text);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let new = std::fs::read_to_string(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&new).unwrap();
        assert_eq!(value["mcpServers"]["teleclaude"]["args"][2], "/run/x \"y\".sock");
        install(Install { remove: true, ..ask(Client::Cursor, home.path()) }).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn an_entry_in_any_place_is_taken_out_cleanly() {
        for (before, after) in [
            (r#"{"teleclaude":1,"b":2}"#, r#"{"b":2}"#),
            (r#"{"a":1,"teleclaude":{},"b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1 , "teleclaude":{} }"#, r#"{"a":1 }"#),
            (r#"{ "teleclaude":{} }"#, "{ }"),
        ] {
            assert_eq!(without_entry(before, "x").unwrap(), after);
        }
    }

    #[test]
    fn what_is_not_understood_is_left_alone_and_the_error_says_what_to_paste() {
        for (client, text) in [
            (Client::Zed, "// mine\n{ \"theme\": \"x\", }\n"),
            (Client::Vscode, "{ \"servers\": [] }"),
            (Client::Gemini, "[]"),
            (Client::Codex, "[mcp_servers.teleclaude]\ncommand = \"old\"\n"),
            (Client::Codex, "mcp_servers = { }\n"),
            (Client::Codex, "x = '''\n# y\n'''\n"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let path = write_config(client, home.path(), text);
            let error = format!("{:#}", install(ask(client, home.path())).unwrap_err());
            assert!(error.contains("/usr/bin/teleclaude"), "{error}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
    }

    #[test]
    fn the_entry_names_a_path_that_outlives_an_upgrade() {
        let root = tempfile::tempdir().unwrap();
        // The folder for temporary files may itself be behind a link.
        let root = std::fs::canonicalize(root.path()).unwrap();
        let at = |below: &str| root.join(below);
        for folder in ["cellar/1.0/bin", "bin", "other"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let exe = at("cellar/1.0/bin/teleclaude");
        std::fs::write(&exe, "1.0").unwrap();
        std::fs::write(at("other/teleclaude"), "somebody else's").unwrap();
        std::os::unix::fs::symlink(&exe, at("bin/teleclaude")).unwrap();
        let search = |folders: &[&str]| {
            std::env::join_paths(folders.iter().map(|f| at(f))).unwrap().into_string().unwrap()
        };
        let linked = at("bin/teleclaude");
        for (folders, expected) in [
            (&["other", "bin"][..], &linked),
            (&["bin", "cellar/1.0/bin"], &exe),
            (&["other"], &exe),
            (&[], &exe),
        ] {
            assert_eq!(lasting_path(&exe, &search(folders)), *expected, "{folders:?}");
        }
        assert_eq!(lasting_path(Path::new("/nowhere/teleclaude"), "bin:."), Path::new("/nowhere/teleclaude"));
    }

    #[test]
    fn the_socket_is_named_as_a_url_where_no_escaping_is_needed() {
        let entry = without_bridge(Path::new("/var/run/teleclaude.sock")).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(entry["url"], "unix:///var/run/teleclaude.sock#/mcp");
        for path in ["/a b.sock", "/a#b", "/a%b", "a.sock", "/a\"b"] {
            assert_eq!(without_bridge(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn codex_gets_a_marked_table_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let text = "model = \"m\"\n\n[mcp_servers.other]\ncommand = \"o\"\n";
        let path = write_config(Client::Codex, home.path(), text);
        install(ask(Client::Codex, home.path())).unwrap();
        let new = std::fs::read_to_string(&path).unwrap();
        assert!(new.starts_with(text) && new.contains("[mcp_servers.teleclaude]"), "{new}");
        install(Install { socket: Path::new("/run/new.sock"), ..ask(Client::Codex, home.path()) }).unwrap();
        let moved = std::fs::read_to_string(&path).unwrap();
        assert!(moved.contains("/run/new.sock") && moved.matches("[mcp_servers.teleclaude]").count() == 1);
        install(Install { remove: true, ..ask(Client::Codex, home.path()) }).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
