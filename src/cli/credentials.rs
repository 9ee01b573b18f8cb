//! `teleclaude credentials`: one's own API keys, which the daemon keeps encrypted and never shows again.

use crate::cli::console::Console;
use crate::cli::env_file::{self, Assignment};
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, Look, ago, cell, table, visible};
use crate::client::Client;
use crate::domain::credential::{CredentialName, CredentialValue, Secret, VALUE_BYTES_MAX};
use crate::wire::credential::{
    CredentialsReply, DeleteCredential, ImportCredentials, ListCredentials, NamedValue, PutCredential,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a file to import, at most.
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// Commands of `credentials`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List their names; values are never shown
    List {
        /// The system's instead of your own (admins)
        #[arg(long)]
        system: bool,
    },
    /// Keep one; the value is read from the input, or asked for without being shown
    Put {
        /// The name of the variable that agents get, such as ANTHROPIC_API_KEY
        name: String,
        /// The system's instead of your own (admins)
        #[arg(long)]
        system: bool,
    },
    /// Delete some
    Delete {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
        /// The system's instead of your own (admins)
        #[arg(long)]
        system: bool,
    },
    /// Keep all that a file of NAME=value lines holds, or none
    ImportEnv {
        /// The file; `-` is the input
        file: PathBuf,
        /// Earlier values of these names may go
        #[arg(long)]
        replace: bool,
        /// The system's instead of your own (admins)
        #[arg(long)]
        system: bool,
    },
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::List { system } => {
            let answer = client.credentials(&ListCredentials { system: only(*system) }).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = listed(&answer.reply, &console.look);
            console.say(&text)
        }
        Command::Put { name, system } => {
            // Before anybody types a value for nothing.
            CredentialName::parse(name).map_err(|problem| Failure::usage(format!("name: {problem}")))?;
            let value = read_value(console, name)?;
            let asked =
                PutCredential { name: name.clone(), value, system: only(*system), if_updated_at: None };
            let answer = client.put_credential(&asked).await?;
            if json {
                return console.say_json(&answer.text);
            }
            console.say(&format!("{name} is kept, encrypted; it is not shown again\n"))
        }
        Command::Delete { names, system } => delete(console, client, names, *system, json).await,
        Command::ImportEnv { file, replace, system } => {
            import(console, client, file, (*replace, *system), json).await
        }
    }
}

fn only(system: bool) -> Option<bool> {
    system.then_some(true)
}

fn read_value(console: &mut Console<'_>, name: &str) -> Result<Secret, Failure> {
    let text = if console.interactive {
        console
            .ask_secret(&format!("Value of {name} (it is not shown):"), VALUE_BYTES_MAX)?
            .ok_or_else(|| Failure::usage("nothing was typed, so nothing was done"))?
    } else {
        let mut text = console.read_input(VALUE_BYTES_MAX + 2)?;
        // The line's end is the tool's that wrote it.
        if text.ends_with('\n') {
            text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
        }
        Secret::from(text)
    };
    CredentialValue::parse(text.clone()).map_err(|problem| Failure::usage(format!("value: {problem}")))?;
    Ok(text)
}

async fn delete(
    console: &mut Console<'_>,
    client: &Client,
    names: &[String],
    system: bool,
    json: bool,
) -> Result<(), Failure> {
    for name in names {
        CredentialName::parse(name).map_err(|problem| Failure::usage(format!("name: {problem}")))?;
    }
    for name in names {
        let asked = DeleteCredential { name: name.clone(), system: only(system), if_updated_at: None };
        let answer = client.delete_credential(&asked).await?;
        if json {
            console.say_json(&answer.text)?;
        } else {
            console.say(&format!("{name} deleted\n"))?;
        }
    }
    Ok(())
}

async fn import(
    console: &mut Console<'_>,
    client: &Client,
    file: &Path,
    (replace, system): (bool, bool),
    json: bool,
) -> Result<(), Failure> {
    let text = if file.as_os_str() == "-" {
        console.read_input(usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX))?
    } else {
        read_file(&console.cwd.join(file))?
    };
    let shown = file.display().to_string();
    let all = env_file::parse(&text).and_then(checked).map_err(|problems| {
        Failure::Config(problems.into_iter().map(|problem| format!("{shown}: {problem}")).collect())
    })?;
    if all.is_empty() {
        return Err(Failure::usage(format!("{shown} holds no NAME=value line")));
    }
    let credentials: Vec<NamedValue> =
        all.into_iter().map(|one| NamedValue { name: one.name, value: one.value }).collect();
    let asked = ImportCredentials { credentials, replace: only(replace), system: only(system) };
    let answer = client.import_credentials(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let reply = answer.reply;
    let mut said =
        format!("{} kept, each read back and decrypted\n", reply.added.len() + reply.replaced.len());
    let system = if system { "--system " } else { "" };
    if !reply.added.is_empty() {
        said += &format!("To undo: teleclaude credentials delete {system}{}\n", reply.added.join(" "));
    }
    if !reply.replaced.is_empty() {
        said += &format!("Replaced, the earlier values are gone: {}\n", reply.replaced.join(" "));
    }
    said += &format!("The values still stand in {}; remove it if nothing else needs it\n", visible(&shown));
    console.say(&said)
}

/// Looks at everything before anything is sent.
fn checked(all: Vec<Assignment>) -> Result<Vec<Assignment>, Vec<String>> {
    let mut problems = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &all {
        if let Err(problem) = CredentialName::parse(&one.name) {
            problems.push(format!("line {}: the name {problem}", one.line));
        } else if let Some(line) = first.insert(&one.name, one.line) {
            problems.push(format!("line {}: `{}` stands on line {line} already", one.line, one.name));
        }
        if let Err(problem) = CredentialValue::parse(one.value.clone()) {
            problems.push(format!("line {}: the value {problem}", one.line));
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    // Asked before opening, since opening a pipe waits.
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(wrong("is not a regular file".to_owned())),
        Ok(_) => {}
        Err(e) => return Err(wrong(e.to_string())),
    }
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    let mut text = String::new();
    let bytes = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(wrong(format!("is larger than {} KiB", FILE_BYTES_MAX / 1024)));
    }
    Ok(text)
}

/// The names.
pub fn listed(reply: &CredentialsReply, look: &Look) -> String {
    if reply.credentials.is_empty() {
        return "No credentials. `teleclaude credentials put NAME` keeps one.\n".to_owned();
    }
    let rows: Vec<_> = reply
        .credentials
        .iter()
        .map(|row| {
            vec![
                cell(&row.name),
                cell(ago(&row.updated_at, look)),
                cell(ago(&row.created_at, look)),
                cell(&row.key_id).sgr(DIM),
            ]
        })
        .collect();
    table(&["NAME", "PUT", "CREATED", "KEY"], &rows, look)
}

#[cfg(test)]
mod tests {
    use super::{checked, listed};
    use crate::cli::env_file;
    use crate::cli::render::plain;
    use crate::wire::credential::{CredentialRow, CredentialsReply};

    #[test]
    fn names_and_when_never_values() {
        let row = CredentialRow {
            name: "ANTHROPIC_API_KEY".to_owned(),
            system: false,
            created_at: "2026-11-20T12:00:00Z".to_owned(),
            updated_at: "2026-11-21T11:57:00Z".to_owned(),
            key_id: "0123456789abcdef".to_owned(),
        };
        insta::assert_snapshot!(listed(&CredentialsReply { credentials: vec![row] }, &plain()), @r"
        NAME               PUT     CREATED  KEY
        ANTHROPIC_API_KEY  3m ago  1d ago   0123456789abcdef
        ");
        assert!(listed(&CredentialsReply { credentials: vec![] }, &plain()).contains("put NAME"));
    }

    #[test]
    fn every_line_that_is_wrong_is_named() {
        let all = env_file::parse("A=1\nb=2\nA=3\nC=\nPATH=/x\n").unwrap();
        let problems = checked(all).unwrap_err().join("\n");
        for line in
            ["line 2: the name", "line 3: `A` stands on line 1", "line 4: the value must", "line 5: the name"]
        {
            assert!(problems.contains(line), "{line}: {problems}");
        }
    }
}
