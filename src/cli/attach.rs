//! `teleclaude sessions attach` and `watch`: a session's terminal on this one, raw both ways, until it is left, ends,
//! or is taken away. However it ends, this terminal is as it was before, and it is said why.

mod keys;

use crate::cli::attach::keys::{Keys, Shown};
use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{BOLD, visible};
use crate::cli::transcript::banner;
use crate::client::attach::{Receiver, Sender};
use crate::client::{Client, ClientError};
use crate::platform::terminal::{self, Raw};
use crate::wire::attach::{FromDaemon, TerminalSize};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::request::AttachSession;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

/// Pieces that wait for a slow terminal before nothing more is read for it.
const PIECES: usize = 16;
/// At the end a terminal has this long to take what still waits for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// With this a paint of the whole screen begins. A terminal that obeyed it would lose its scrollback.
const RESET: &[u8] = b"\x1bc";

/// How it ended.
enum End {
    /// It was left with the keys.
    Left,
    /// The session ended.
    Exit(String),
    /// The daemon ended it.
    Error(FaultCode, String),
    /// A signal told this command to end.
    Signal,
    /// The terminal is gone.
    NoTerminal,
    /// The daemon is gone.
    Lost,
}

/// Runs either command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    id: &str,
    input: bool,
    why: Option<&str>,
) -> Result<(), Failure> {
    if !terminal::is_there() {
        return Err(no_terminal());
    }
    let who = client.whoami().await?.reply;
    let session = client.session(id).await?.reply;
    let mut asked = AttachSession {
        session_id: session.session_id.clone(),
        input,
        size: size(),
        reason: why.map(str::to_owned),
    };
    let mut attached = client.attach(&asked).await;
    if let Some(reason) = reason::ask_for(console, attached.as_ref().err(), why) {
        asked.reason = Some(reason);
        attached = client.attach(&asked).await;
    }
    let (sender, receiver) = attached?;
    let mut signals = Signals::new().map_err(local)?;
    if let Some(banner) = banner(&who, &session) {
        let banner = paint(console.colour_errors, BOLD, &banner);
        console.note(&banner);
    }
    console.note(if input { "Ctrl-\\ twice detaches." } else { "Ctrl-C, or Ctrl-\\ twice, ends watching." });
    let (from, to) = terminal::streams().map_err(local)?;
    let raw = Raw::new().map_err(local)?;
    let end = show(sender, receiver, (from, to), &mut signals, input).await;
    drop(raw);
    said(console, end, &session.session_id)
}

fn no_terminal() -> Failure {
    Failure::Client(ClientError::Fault(
        Fault::new(FaultCode::Invalid, "standard input and output must be a terminal")
            .hint("`teleclaude transcript ID` reads a session without one, `sessions send` types into it"),
    ))
}

fn local(error: io::Error) -> Failure {
    Failure::Local(format!("cannot use this terminal: {error}"))
}

/// The size of this terminal.
fn size() -> Option<TerminalSize> {
    let (cols, rows) = terminal_size::terminal_size()?;
    Some(TerminalSize { cols: cols.0, rows: rows.0 })
}

/// Says how it ended.
fn said(console: &mut Console<'_>, end: End, id: &str) -> Result<(), Failure> {
    let goes_on = format!("the session goes on: `teleclaude sessions attach {id}` comes back to it");
    match end {
        End::Left => console.note(&format!("Detached; {goes_on}.")),
        End::Exit(exit) => console.note(&format!("The session has ended ({}).", visible(&exit))),
        End::Error(code, message) => {
            let hint = if code == FaultCode::Denied { None } else { Some(goes_on) };
            let fault = Fault { hint, ..Fault::new(code, format!("cut off: {message}")) };
            return Err(ClientError::Fault(fault).into());
        }
        End::Signal => return Err(Failure::Local(format!("detached by a signal; {goes_on}"))),
        End::NoTerminal => return Err(Failure::Local(format!("this terminal is gone; {goes_on}"))),
        End::Lost => {
            let fault = Fault::new(FaultCode::Unavailable, "the connection to the daemon was lost");
            return Err(ClientError::Fault(fault.hint(goes_on)).into());
        }
    }
    Ok(())
}

/// The signals that matter here.
struct Signals {
    resized: Signal,
    ending: [Signal; 3],
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            ending: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ],
        })
    }
}

/// Passes everything on until the end.
async fn show(
    mut sender: Sender,
    mut receiver: Receiver,
    (from, to): (impl Read + Send + 'static, impl Write + Send + 'static),
    signals: &mut Signals,
    input: bool,
) -> End {
    let mut typed = read_keys(from);
    let (screen, painted) = write_screen(to);
    let (mut keys, mut shown) = (Keys::new(!input), Shown::default());
    let Signals { resized, ending: [terminate, hangup, interrupt] } = signals;
    let end = loop {
        let late = keys.deadline().unwrap_or_else(Instant::now);
        let frame = tokio::select! {
            _ = terminate.recv() => break End::Signal,
            _ = hangup.recv() => break End::Signal,
            _ = interrupt.recv() => break End::Signal,
            _ = resized.recv() => {
                if let Some(size) = size()
                    && sender.resize(size).await.is_err()
                {
                    break End::Lost;
                }
                continue;
            }
            bytes = typed.recv() => {
                let Some(bytes) = bytes else { break End::NoTerminal };
                let typed = keys.typed(&bytes, Instant::now());
                if input && !typed.pass.is_empty() && sender.input(&typed.pass).await.is_err() {
                    // What the daemon said before it went may still be there to be read.
                    break last_word(&mut receiver).await;
                }
                if typed.leave {
                    break End::Left;
                }
                continue;
            }
            () = sleep_until(late.into()), if keys.deadline().is_some() => {
                let late = keys.late(Instant::now());
                if input && !late.is_empty() && sender.input(&late).await.is_err() {
                    break last_word(&mut receiver).await;
                }
                continue;
            }
            // A slow terminal makes this end slow, and then the daemon leaves something out.
            frame = next(&mut receiver, &screen) => frame,
        };
        match frame {
            Some((place, FromDaemon::Output(bytes))) => place.send(match bytes.strip_prefix(RESET) {
                Some(painted) => [terminal::SWITCH_OFF, terminal::CLEAR, &shown.shown(painted)].concat(),
                None => shown.shown(&bytes),
            }),
            Some((place, FromDaemon::Refused { .. })) => place.send(vec![0x07]),
            Some((_, FromDaemon::Resized(_) | FromDaemon::Presence(_))) => {}
            Some((_, FromDaemon::Exit { exit })) => break End::Exit(exit),
            Some((_, FromDaemon::Error { code, message })) => break End::Error(code, message),
            None => break End::Lost,
        };
    };
    if matches!(end, End::Left | End::Signal | End::NoTerminal) {
        // Gone is gone, whether the daemon hears of it or not.
        let _ = sender.detach().await;
    }
    drop(screen);
    let _ = timeout(LAST_WORDS, painted).await;
    end
}

/// The next frame, once the terminal has room for what it may show. `None` when the connection is over.
async fn next<'a>(
    receiver: &mut Receiver,
    screen: &'a mpsc::Sender<Vec<u8>>,
) -> Option<(mpsc::Permit<'a, Vec<u8>>, FromDaemon)> {
    let place = screen.reserve().await.ok()?;
    let frame = receiver.next().await.ok()??;
    Some((place, frame))
}

/// Why the daemon has gone, if it said so.
async fn last_word(receiver: &mut Receiver) -> End {
    let word = async {
        loop {
            match receiver.next().await {
                Ok(Some(FromDaemon::Exit { exit })) => return End::Exit(exit),
                Ok(Some(FromDaemon::Error { code, message })) => return End::Error(code, message),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return End::Lost,
            }
        }
    };
    timeout(LAST_WORDS, word).await.unwrap_or(End::Lost)
}

/// A thread that waits for keys. It ends with the process: nothing else wakes it.
fn read_keys(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (tell, typed) = mpsc::channel(PIECES);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(n) if tell.blocking_send(buffer[..n].to_vec()).is_err() => return,
                Ok(_) => {}
            }
        }
    });
    typed
}

/// A thread that paints, so that a terminal that stands still stops nothing else. The second fires when it has painted
/// all.
fn write_screen(mut to: impl Write + Send + 'static) -> (mpsc::Sender<Vec<u8>>, oneshot::Receiver<()>) {
    let (screen, mut pieces) = mpsc::channel::<Vec<u8>>(PIECES);
    let (done, painted) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(piece) = pieces.blocking_recv() {
            if to.write_all(&piece).and_then(|()| to.flush()).is_err() {
                return;
            }
        }
        let _ = done.send(());
    });
    (screen, painted)
}
