//! `teleclaude mcp`: the process an editor starts and never restarts. Here is the loop that moves bytes between
//! the editor's stdio and the daemon's socket; what it decides is in `relay`, what it may put into an editor's
//! configuration is in `clients`.

pub mod catalogue;
pub mod clients;

mod absent;
mod line;
mod message;
mod pending;
mod relay;

use absent::Absence;
use catalogue::{Cache, Catalogue};
use line::{Line, LineReader};
use relay::{Limits, Outgoing, Place, Relay};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of a line from the editor, at most; the daemon has the same bound.
const EDITOR_LINE_MAX: usize = 1024 * 1024;
/// Bytes of a line from the daemon, at most: its largest answer and the envelope.
const DAEMON_LINE_MAX: usize = crate::wire::limits::ANSWER_BYTES_MAX + 64 * 1024;
/// How long one attempt to connect may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long answers are still read from a daemon that takes nothing more: one that stops has 5 s for them.
const LAST_WORDS: Duration = Duration::from_secs(6);

/// What a bridge needs to know. `Options::new` has the defaults.
pub struct Options {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Where the last catalogue is kept, in a file of mode 0600.
    pub cache_dir: PathBuf,
    /// What is offered before the daemon was ever seen.
    pub catalogue: Catalogue,
    /// The token of the session in which this runs, if an agent runs it.
    pub token: Option<secrecy::SecretString>,
    /// How a person starts the daemon, as part of a sentence.
    pub start_hint: String,
    /// How long a request waits for a daemon that is not there.
    pub hold: Duration,
    /// After what time `initialize`, `server/discover`, `tools/list` and `ping` are answered here.
    pub answer_locally_after: Duration,
    /// How long a daemon may be silent while it owes an answer; it is then probed, and after the same time again
    /// given up.
    pub answer_deadline: Duration,
    /// How long a `tools/call` may take in all.
    pub call_deadline: Duration,
    /// How long any other request may take in all; `subscriptions/listen` may last for ever.
    pub request_deadline: Duration,
    /// How long open requests get after the editor closed its end.
    pub drain: Duration,
    /// Requests open at once, at most.
    pub held_max: usize,
    /// Their bytes, at most.
    pub held_bytes_max: usize,
    /// Called after each connection on which the daemon answered. Must not block.
    pub on_connect: Option<Box<dyn Fn() + Send>>,
}

impl Options {
    /// The usual times and bounds.
    pub fn new(socket: PathBuf, cache_dir: PathBuf, catalogue: Catalogue, start_hint: String) -> Self {
        Self {
            socket,
            cache_dir,
            catalogue,
            token: None,
            start_hint,
            hold: Duration::from_secs(20),
            answer_locally_after: Duration::from_millis(50),
            answer_deadline: Duration::from_secs(10),
            call_deadline: Duration::from_secs(600),
            request_deadline: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            held_max: 256,
            held_bytes_max: 8 * 1024 * 1024,
            on_connect: None,
        }
    }
}

type Dial = Pin<Box<dyn Future<Output = io::Result<UnixStream>> + Send>>;

/// The connection, or the one attempt at it.
enum Connection {
    None,
    Dialing(Dial),
    Open {
        read: LineReader<OwnedReadHalf>,
        write: OwnedWriteHalf,
        written: usize,
        shut: bool,
        greeted: bool,
        broken: Option<Instant>,
    },
}

enum Event {
    Shutdown,
    Editor(io::Result<Line>),
    EditorWrote(io::Result<usize>),
    EditorFlushed(io::Result<()>),
    Dialed(io::Result<UnixStream>),
    Daemon(io::Result<Line>),
    DaemonWrote(Outgoing, io::Result<usize>),
    Time,
}

/// Relays until the editor closes its end (then open requests get `drain`), `shutdown` fires, or the editor no
/// longer reads.
///
/// # Errors
/// When a restarted daemon speaks another protocol version than this session was begun with: the editor must
/// start over. Everything else is told to the editor, in the protocol.
pub async fn run(
    options: Options,
    stdin: impl AsyncRead + Unpin,
    mut stdout: impl AsyncWrite + Unpin,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let cache = Cache::new(&options.cache_dir, &options.socket, options.token.is_some());
    let catalogue = cache.load().unwrap_or(options.catalogue);
    let limits = Limits {
        hold: options.hold,
        answer_locally_after: options.answer_locally_after,
        answer_deadline: options.answer_deadline,
        call_deadline: options.call_deadline,
        request_deadline: options.request_deadline,
        drain: options.drain,
        held_max: options.held_max,
        held_bytes_max: options.held_bytes_max,
    };
    let place = Place { socket: options.socket.clone(), start_hint: options.start_hint };
    let mut relay = Relay::new(limits, place, options.token, catalogue, Instant::now());
    let mut editor = LineReader::new(stdin, EDITOR_LINE_MAX);
    let mut written = 0;
    let mut unflushed = false;
    let mut connection = Connection::None;

    loop {
        if let Some(why) = relay.fatal() {
            anyhow::bail!(why);
        }
        if let Some(catalogue) = relay.changed_catalogue() {
            // Without the cache the next bridge begins with the built-in catalogue.
            let _ = cache.store(catalogue);
        }
        if !relay.wants_link() {
            connection = Connection::None;
        }
        if (relay.finished() && !unflushed) || relay.overdue(Instant::now()) {
            return Ok(());
        }
        if relay.dial(Instant::now()) {
            connection = Connection::Dialing(dial(options.socket.clone()));
        }
        if let Connection::Open { write, shut, greeted, .. } = &mut connection {
            if relay.is_ready()
                && !std::mem::replace(greeted, true)
                && let Some(hook) = &options.on_connect
            {
                hook();
            }
            if relay.may_shut() && !std::mem::replace(shut, true) {
                let _ = write.shutdown().await;
            }
        }
        if !relay.wants_daemon() {
            relay.excuse_silence(Instant::now());
        }

        let (wants_editor, wants_daemon) = (relay.wants_editor(), relay.wants_daemon());
        let front = relay.editor_front().map(|line| line.get(written..).unwrap_or_default());
        let deadline = relay.next_deadline();
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            event = editor_event(&mut stdout, front), if front.is_some() || unflushed => event,
            event = connection_event(&mut connection, relay.daemon_front(), wants_daemon) => event,
            line = editor.next(), if wants_editor => Event::Editor(line),
            () = sleep_until(deadline) => Event::Time,
        };

        let now = Instant::now();
        match event {
            Event::Shutdown => return Ok(()),
            Event::EditorWrote(Ok(count)) if count > 0 => {
                unflushed = true;
                written += count;
                if relay.editor_front().is_some_and(|line| written >= line.len()) {
                    relay.editor_written();
                    written = 0;
                }
            }
            // The editor is gone: there is nobody to tell.
            Event::EditorWrote(_) | Event::EditorFlushed(Err(_)) => return Ok(()),
            Event::EditorFlushed(Ok(())) => unflushed = false,
            Event::Editor(Ok(Line::Whole(line))) => relay.editor_line(line, now),
            Event::Editor(Ok(Line::TooLong(id))) => relay.editor_oversized(id.as_deref()),
            Event::Editor(Ok(Line::End) | Err(_)) => relay.editor_end(now),
            Event::Dialed(Ok(stream)) => {
                let (read, write) = stream.into_split();
                let read = LineReader::new(read, DAEMON_LINE_MAX);
                connection =
                    Connection::Open { read, write, written: 0, shut: false, greeted: false, broken: None };
                relay.connected(now);
            }
            Event::Dialed(Err(error)) => relay.lost(Absence::from_error(&error), now),
            Event::Daemon(Ok(Line::Whole(line))) => relay.daemon_line(line, now),
            Event::Daemon(Ok(Line::TooLong(id))) => relay.daemon_oversized(id.as_deref(), now),
            Event::Daemon(Ok(Line::End) | Err(_)) => relay.lost(Absence::Closed, now),
            Event::DaemonWrote(line, Ok(count)) if count > 0 => {
                if let Connection::Open { written, .. } = &mut connection {
                    if *written == 0 {
                        relay.daemon_begun(&line, now);
                    }
                    *written += count;
                    if *written >= line.bytes.len() {
                        *written = 0;
                        relay.daemon_written();
                    }
                }
            }
            // Answers may still be there to read; the end of the stream will tell.
            Event::DaemonWrote(..) => {
                if let Connection::Open { broken, .. } = &mut connection {
                    *broken = Some(now + LAST_WORDS);
                }
            }
            Event::Time => relay.tick(now),
        }
    }
}

/// Writes the line to the editor as far as it goes, or flushes when there is none.
async fn editor_event(stdout: &mut (impl AsyncWrite + Unpin), front: Option<&[u8]>) -> Event {
    match front {
        Some(bytes) => Event::EditorWrote(write_some(stdout, bytes).await),
        None => Event::EditorFlushed(stdout.flush().await),
    }
}

/// What happens next on the connection; pending for ever when there is none.
async fn connection_event(connection: &mut Connection, front: Option<Outgoing>, reading: bool) -> Event {
    match connection {
        Connection::None => std::future::pending().await,
        Connection::Dialing(dial) => Event::Dialed(dial.await),
        Connection::Open { read, broken: Some(until), .. } => {
            match tokio::time::timeout_at(*until, read.next()).await {
                Ok(line) => Event::Daemon(line),
                Err(_) => Event::Daemon(Ok(Line::End)),
            }
        }
        Connection::Open { read, write, written, broken: None, .. } => {
            let bytes = front.as_ref().map(|line| line.bytes.get(*written..).unwrap_or_default());
            tokio::select! {
                biased;
                line = read.next(), if reading => Event::Daemon(line),
                result = write_some(write, bytes.unwrap_or_default()), if bytes.is_some() => match front {
                    Some(line) => Event::DaemonWrote(line.clone(), result),
                    None => std::future::pending().await,
                },
                else => std::future::pending().await,
            }
        }
    }
}

fn dial(socket: PathBuf) -> Dial {
    Box::pin(async move {
        match tokio::time::timeout(DIAL_TIMEOUT, UnixStream::connect(socket)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
        }
    })
}

/// Writes what the stream takes now. Cancel-safe.
async fn write_some(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    to.write(bytes).await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
