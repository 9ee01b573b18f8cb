//! Checkpoints of this computer's chain: signed every `audit.checkpoint.every` and at the start (the job `checkpoint`),
//! and at each clean stop; put into the table, the journal, and a file that may lie elsewhere. Where one of these fails the daemon is not
//! well and says why; it does not stop.

use crate::daemon::app::App;
use crate::daemon::effects::write;
use crate::daemon::notary::Part;
use crate::domain::checkpoint::Checkpoint;
use crate::store::{audit, checkpoint};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where journald listens, below the system's root.
const JOURNAL: &str = "run/systemd/journal/socket";

/// Signs the chain's head and hands the checkpoint on; whether every part of it worked.
pub async fn make(app: &App) -> bool {
    let notary = app.notary();
    let _turn = notary.turn().await;
    let computer = app.store().computer().to_owned();
    let head = match audit::last(app.store().reader(), &computer).await {
        Ok(head) => head,
        Err(error) => {
            notary.report(Part::Table, Some(format!("no checkpoint: the audit log cannot be read: {error}")));
            return false;
        }
    };
    if !fits_the_last(app, head).await {
        return false;
    }
    let (seq, hash) = head.unwrap_or((0, [0; 32]));
    let point = Checkpoint { origin: computer, seq, hash, at: app.now() };
    // Without a key there is a problem reported already.
    let Some(note) = notary.sign(&point.text()) else { return false };
    let settings = app.settings();
    let config = &settings.loaded.config.audit.checkpoint;
    let mut well = true;
    let mut outcome = |part: Part, what: &str, done: Result<(), String>| {
        well &= done.is_ok();
        notary.report(part, done.err().map(|error| format!("no checkpoint {what}: {error}")));
    };
    let kept = (point.clone(), note.clone());
    let table = write(app, move |tx| {
        let (point, note) = kept.clone();
        Box::pin(async move { checkpoint::insert(tx.conn(), &point, &note).await })
    })
    .await;
    outcome(Part::Table, "in the database", table.map_err(|e| e.to_string()));
    let last = notary.keep_last(&note);
    outcome(Part::Key, "in the state directory", last.map_err(|e| e.to_string()));
    let file = match config.file.clone() {
        None => Ok(()),
        Some(path) => elsewhere(app, path, note.clone()).await,
    };
    outcome(Part::File, "in audit.checkpoint.file", file);
    let journal =
        if config.journald { to_journal(&app.system_root().join(JOURNAL), &point, &note) } else { Ok(()) };
    outcome(Part::Journal, "in the journal", journal.map_err(|e| e.to_string()));
    well
}

/// Whether the log still has what this daemon signed last. A log that has not is not signed: that would hide it.
async fn fits_the_last(app: &App, head: Option<(i64, [u8; 32])>) -> bool {
    let notary = app.notary();
    let Some((last, _)) = notary.last().filter(|(last, _)| last.origin == app.store().computer()) else {
        return true;
    };
    let there = match head {
        _ if last.seq == 0 => true,
        Some((seq, hash)) if seq == last.seq => hash == last.hash,
        Some((seq, _)) if seq > last.seq => {
            match audit::chain_page(app.store().reader(), &last.origin, last.seq - 1, last.seq, 1).await {
                // It may have been pruned.
                Ok(rows) => rows.first().is_none_or(|row| row.hash == last.hash),
                Err(_) => return false,
            }
        }
        _ => false,
    };
    let path = notary.last_path();
    notary.report(
        Part::Log,
        (!there).then(|| {
            format!(
                "the audit log is not the one that was signed: it had row {} at {}. `teleclaude audit verify` says \
                 more; after restoring an older database on purpose, remove {}",
                last.seq,
                last.at,
                path.display()
            )
        }),
    );
    there
}

/// Appends it to a file that may lie on another machine: nobody waits for that one, and one attempt at most hangs there.
async fn elsewhere(app: &App, path: PathBuf, note: String) -> Result<(), String> {
    let shown = path.display().to_string();
    let Ok(turn) = app.notary().elsewhere().try_lock_owned() else {
        return Err(format!("{shown}: the one before is still being written"));
    };
    let appended = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        append(&path, &note)
    });
    match tokio::time::timeout(Duration::from_secs(10), appended).await {
        Ok(Ok(done)) => done.map_err(|error| format!("{shown}: {error}")),
        Ok(Err(_)) | Err(_) => Err(format!("{shown}: it takes too long")),
    }
}

fn append(path: &PathBuf, note: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // An empty line between them, for people; and so that one that was torn off takes none but itself along.
    let mut end = [0; 2];
    let length = file.metadata()?.len();
    let torn =
        length > 0 && file.read_exact_at(&mut end, length.saturating_sub(2)).is_ok() && end != *b"\n\n";
    let gap = if torn { "\n\n" } else { "" };
    file.write_all(format!("{gap}{note}\n").as_bytes())?;
    file.sync_all()
}

/// Sends it to journald, whatever the daemon's own log goes to. A machine without a journal has none to send it to.
fn to_journal(socket: &Path, point: &Checkpoint, note: &str) -> io::Result<()> {
    let mut fields = Vec::new();
    for (name, value) in [
        ("MESSAGE", format!("audit checkpoint: {} has row {}", point.origin, point.seq).as_str()),
        ("PRIORITY", "5"),
        ("SYSLOG_IDENTIFIER", "teleclaude"),
        ("TELECLAUDE_AUDIT_SEQ", &point.seq.to_string()),
        ("TELECLAUDE_AUDIT_CHECKPOINT", note),
    ] {
        fields.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            fields.push(b'\n');
            fields.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            fields.push(b'=');
        }
        fields.extend_from_slice(value.as_bytes());
        fields.push(b'\n');
    }
    if !socket.exists() {
        return Ok(());
    }
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    match sender.send_to(&fields, socket) {
        Ok(_) => Ok(()),
        // A journal that is full or on its way to be restarted gets the next one.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}
