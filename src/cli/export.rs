//! `teleclaude sessions export`: a session as a file. It is written beside its place and moved there when it is whole, so
//! that whatever happens nothing is half done, and nothing of somebody's is written over unasked.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::progress::{self, size};
use crate::cli::reason;
use crate::cli::render::{BOLD, json_visible, visible, visible_text};
use crate::cli::transcript::banner;
use crate::client::export::Download;
use crate::client::{Client, ClientError};
use crate::domain::export::ExportFormat;
use crate::host::screen::Decoder;
use crate::wire::export::ExportSession;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `sessions export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The session's id, or the first 8 characters of it or more
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// As what; if not given, what the file's name ends in says it
    #[arg(long, short, value_parser = ["cast", "txt", "md", "jsonl", "html"])]
    format: Option<String>,
    /// Where to; `-`, or nothing, is the standard output, where what a terminal would obey is spelt out
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Why, where the session is somebody else's: 10 characters or more
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let to = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let format = format(args.format.as_deref(), to)?;
    let to = to.map(|path| console.cwd.join(path));
    if let Some(to) = &to {
        look(to, args.force)?;
    }
    let who = client.whoami().await?.reply;
    let session = client.session(&args.id).await?.reply;
    let mut asked =
        ExportSession { session_id: session.session_id.clone(), format, reason: args.reason.clone() };
    let mut download = client.export(&asked).await;
    if let Some(reason) = reason::ask_for(console, download.as_ref().err(), asked.reason.as_deref()) {
        asked.reason = Some(reason);
        download = client.export(&asked).await;
    }
    let mut download = download?;
    if let Some(banner) = banner(&who, &session) {
        let banner = paint(console.colour_errors, BOLD, &banner);
        console.note(&banner);
    }
    let Some(to) = to else {
        let shown = show(console, &mut download, format).await;
        return why(client, &session.session_id, shown).await;
    };
    let saved = save(console, &mut download, &to, args.force).await;
    let mut bytes = 0;
    why(client, &session.session_id, saved.map(|saved| bytes = saved)).await?;
    let name = format.name();
    if json {
        let told = json!({
            "session_id": session.session_id, "format": name, "path": to.to_string_lossy(), "bytes": bytes,
        });
        return console.say_json(&told.to_string());
    }
    let path = visible(&to.display().to_string());
    console.say(&format!("Wrote {path} ({name}, {}).\n", size(bytes)))
}

fn format(given: Option<&str>, to: Option<&Path>) -> Result<ExportFormat, Failure> {
    let ending = to.and_then(Path::extension).and_then(|ending| ending.to_str()).map(str::to_lowercase);
    given.or(ending.as_deref()).and_then(ExportFormat::parse).ok_or_else(|| {
        let all: Vec<&str> = ExportFormat::ALL.iter().map(|format| format.name()).collect();
        let all = all.join(", ");
        Failure::usage(format!(
            "as what? Give --format ({all}), or --output with a name that ends in one of them"
        ))
    })
}

/// Whether a file may be written there, before anybody is asked for anything.
fn look(to: &Path, force: bool) -> Result<(), Failure> {
    let shown = visible(&to.display().to_string());
    match fs::symlink_metadata(to) {
        Ok(there) if !there.is_file() => Err(Failure::usage(format!(
            "{shown} is no regular file; `--output -` writes to the standard output"
        ))),
        Ok(_) if !force => Err(exists(&shown)),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound && to.parent().is_none_or(Path::is_dir) => Ok(()),
        Err(e) => Err(cannot(to, &e)),
    }
}

fn exists(shown: &str) -> Failure {
    Failure::Local(format!("{shown} is there already; --force writes over it"))
}

fn cannot(path: &Path, e: &io::Error) -> Failure {
    Failure::Local(format!("cannot write {}: {e}", visible(&path.display().to_string())))
}

/// Why no whole file came.
enum Broken {
    /// The connection's or the daemon's fault.
    Cut(String),
    /// This side's.
    Here(Failure),
}

/// Says why an export broke off: the daemon may have an answer to that.
async fn why(client: &Client, id: &str, done: Result<(), Broken>) -> Result<(), Failure> {
    match done {
        Ok(()) => Ok(()),
        Err(Broken::Here(failure)) => Err(failure),
        Err(Broken::Cut(problem)) => match client.session(id).await {
            Err(refused @ ClientError::Fault(_)) => Err(refused.into()),
            Ok(_) | Err(_) => Err(Failure::Local(problem)),
        },
    }
}

/// Shows it on the standard output. What a terminal could obey is spelt out; of JSON that is the same document, and a page
/// has none of it.
async fn show(
    console: &mut Console<'_>,
    download: &mut Download,
    format: ExportFormat,
) -> Result<(), Broken> {
    let cut = |problem| Broken::Cut(format!("{problem}; this is not all of it"));
    let mut decoder = Decoder::default();
    while let Some(piece) = download.next().await.map_err(cut)? {
        let text = decoder.push(&piece);
        let text = match format {
            ExportFormat::Cast | ExportFormat::Jsonl => json_visible(&text),
            ExportFormat::Txt | ExportFormat::Md => visible_text(&text),
            ExportFormat::Html => text,
        };
        console.say(&text).map_err(Broken::Here)?;
    }
    Ok(())
}

/// A file beside its place that goes away unless it is moved there.
struct Half {
    path: PathBuf,
    file: File,
}

impl Half {
    fn beside(to: &Path) -> io::Result<Self> {
        let name = to.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        // Names may have 255 bytes.
        let name = &name[..name.floor_char_boundary(200)];
        let path = to.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    /// Moves it to its place, all of it, or leaves what is there.
    fn finish(self, to: &Path, force: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if force {
            return fs::rename(&self.path, to);
        }
        match fs::hard_link(&self.path, to) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Err(e),
            // A file system without links.
            Err(_) if !to.exists() => fs::rename(&self.path, to),
            Err(e) => Err(e),
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // Moved away already if all went well.
        let _ = fs::remove_file(&self.path);
    }
}

/// Saves it. Gives its bytes.
async fn save(
    console: &mut Console<'_>,
    download: &mut Download,
    to: &Path,
    force: bool,
) -> Result<u64, Broken> {
    let here = |e: io::Error| Broken::Here(cannot(to, &e));
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [mut interrupt, mut terminate, mut hangup] = match signals {
        [Ok(a), Ok(b), Ok(c)] => [a, b, c],
        [Err(e), _, _] | [_, Err(e), _] | [_, _, Err(e)] => return Err(here(e)),
    };
    let mut half = Half::beside(to).map_err(here)?;
    let progress = progress::bytes(console, download.length());
    let mut bytes = 0;
    let done = loop {
        let piece = tokio::select! {
            piece = download.next() => piece,
            _ = interrupt.recv() => break Err(Broken::Here(interrupted())),
            _ = terminate.recv() => break Err(Broken::Here(interrupted())),
            _ = hangup.recv() => break Err(Broken::Here(interrupted())),
        };
        match piece {
            Ok(Some(piece)) => {
                if let Err(e) = half.file.write_all(&piece) {
                    break Err(here(e));
                }
                bytes += piece.len() as u64;
                progress.set_position(bytes);
            }
            Ok(None) => break Ok(()),
            Err(problem) => break Err(Broken::Cut(format!("{problem}; nothing was written"))),
        }
    };
    progress.finish_and_clear();
    done?;
    half.finish(to, force).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Broken::Here(exists(&visible(&to.display().to_string()))),
        _ => here(e),
    })?;
    Ok(bytes)
}

fn interrupted() -> Failure {
    Failure::Local("interrupted; nothing was written".to_owned())
}
