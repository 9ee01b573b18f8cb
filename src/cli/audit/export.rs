//! `teleclaude audit export`: rows written out, to a file that is there whole or not at all.

use crate::cli::audit::list::Filters;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::progress;
use crate::client::{Client, ClientError};
use crate::domain::audit_format::AuditFormat;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Arguments of `audit export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// jsonl, csv, ocsf, or bundle: the whole log with checkpoints and keys, which proves itself
    #[arg(long, value_parser = ["jsonl", "csv", "ocsf", "bundle"], default_value = "jsonl")]
    format: String,
    #[command(flatten)]
    filters: Filters,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Export) -> Result<(), Failure> {
    let asked = args.filters.asked(console.look.now);
    let format = AuditFormat::parse(&args.format).unwrap_or(AuditFormat::Jsonl);
    let Some(output) = args.output.as_ref().filter(|path| path.as_os_str() != "-") else {
        let whole = client
            .export_audit(format, &asked, |bytes| console.out.write_all(bytes).map_err(Failure::Output))
            .await?;
        return whole.map(|_| ()).ok_or_else(cut_off);
    };
    let path = console.cwd.join(output);
    let failed = |e: io::Error| Failure::Local(format!("{}: {e}", path.display()));
    if !args.force && path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} is there already; --force replaces it", path.display())));
    }
    let partial = Partial::beside(&path).map_err(failed)?;
    let mut file = BufWriter::new(&partial.file);
    let bar = progress::counter(console, "rows");
    let whole = client
        .export_audit(format, &asked, |bytes| {
            bar.inc(bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
            file.write_all(bytes).map_err(failed)
        })
        .await;
    bar.finish_and_clear();
    let rows = whole?.ok_or_else(cut_off)?;
    file.flush().map_err(failed)?;
    drop(file);
    partial.keep(&path).map_err(failed)?;
    console.note(&format!("{rows} rows written to {}", path.display()));
    Ok(())
}

fn cut_off() -> Failure {
    Failure::Client(ClientError::Protocol("the rows were cut off before their end".to_owned()))
}

/// A file that is gone again unless it is kept.
struct Partial {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Partial {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, kept: false })
    }

    fn keep(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            // It is ours, and half of something.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
