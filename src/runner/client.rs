//! The runner as the session host and the daemon ask it: connect, ask once, hear the answers, give orders. Neither
//! waits longer than it says, so a loop over `poll` can hold a [`Connection`]. What the messages mean is `message`.

use crate::runner::message::{FRAME_BYTES_MAX, MessageError, Order, Reply, Request, frame_length};
use crate::runner::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, setsockopt,
    socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

/// Seconds that connecting, and sending a request, may take.
const SEND_SECONDS: i64 = 5;

/// Why there is no answer. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket fails.
    #[error("the runner: {0}")]
    Io(#[from] io::Error),
    /// What was to be sent, or what came, is no message.
    #[error("the runner: {0}")]
    Message(#[from] MessageError),
    /// The runner closed before it had answered.
    #[error("the runner closed the connection without an answer")]
    Closed,
    /// No answer in time.
    #[error("the runner does not answer")]
    Timeout,
}

/// What [`Connection::hear`] gives.
#[derive(Debug)]
pub enum Heard {
    /// The next message; the descriptor comes with [`Reply::Opened`] and with nothing else.
    Reply(Reply, Option<OwnedFd>),
    /// Nothing yet: poll for reading and come again.
    Nothing,
    /// The runner has closed. Only after [`Reply::Gone`] does that say that no process is left.
    Closed,
}

/// One call of the runner. Closing it ends the tree of a [`Request::Run`].
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// Connects and asks; waits at most a few seconds for each. `descriptor` is the terminal's slave end for
    /// [`Request::Run`], and nothing for the others. From then on the connection is nonblocking.
    ///
    /// # Errors
    /// There is no runner, it is not for this user, or the request cannot be sent.
    pub fn ask(
        path: &Path,
        request: &Request,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Self, ClientError> {
        let frame = request.encode()?;
        #[cfg(target_os = "linux")]
        let flags = SockFlag::SOCK_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = SockFlag::empty();
        let raw = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(io::Error::from)?;
        #[cfg(not(target_os = "linux"))]
        nix::fcntl::fcntl(&raw, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
            .map_err(io::Error::from)?;
        // Holds for connecting too: a full queue at the other end does not keep us.
        setsockopt(&raw, SendTimeout, &TimeVal::seconds(SEND_SECONDS)).map_err(io::Error::from)?;
        let address = UnixAddr::new(path).map_err(io::Error::from)?;
        connect(raw.as_raw_fd(), &address).map_err(io::Error::from)?;
        let mut stream = UnixStream::from(raw);
        let sent = send_with(&stream, &frame, descriptor)?;
        stream.write_all(&frame[sent..])?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new(), descriptor: None })
    }

    /// Gives an order. Never waits.
    ///
    /// # Errors
    /// The runner is gone, or takes no more orders: the connection is of no use then.
    pub fn order(&mut self, order: Order) -> io::Result<()> {
        let frame = order.encode();
        match self.stream.write(&frame)? {
            whole if whole == frame.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// The next message, if it is there. Never waits; holds at most one message and a little more.
    ///
    /// # Errors
    /// The connection is of no use then.
    pub fn hear(&mut self) -> Result<Heard, ClientError> {
        loop {
            if let Some(length) = frame_length(&self.buffer)?
                && self.buffer.len() >= 4 + length
            {
                let reply = Reply::decode(&self.buffer[4..4 + length])?;
                self.buffer.drain(..4 + length);
                let descriptor = match reply {
                    Reply::Opened { .. } => self.descriptor.take(),
                    _ => None,
                };
                return Ok(Heard::Reply(reply, descriptor));
            }
            let mut chunk = [0; 4_096];
            let room = chunk.len().min(4 + FRAME_BYTES_MAX - self.buffer.len());
            match sys::receive(&self.stream, &mut chunk[..room]) {
                Ok((0, _)) => return Ok(Heard::Closed),
                Ok((bytes, descriptors)) => {
                    self.buffer.extend_from_slice(&chunk[..bytes]);
                    self.descriptor = descriptors.into_iter().next().or(self.descriptor.take());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Heard::Nothing),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Heard::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next message, waited for until `deadline`. Blocks.
    ///
    /// # Errors
    /// None came.
    pub fn wait(&mut self, deadline: Instant) -> Result<(Reply, Option<OwnedFd>), ClientError> {
        loop {
            match self.hear()? {
                Heard::Reply(reply, descriptor) => return Ok((reply, descriptor)),
                Heard::Closed => return Err(ClientError::Closed),
                Heard::Nothing => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout);
            }
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], left) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}

/// Sends the beginning of `bytes`, and a descriptor with its first byte. Says how many were sent.
///
/// # Errors
/// The socket's.
pub fn send_with(stream: &UnixStream, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let raw = descriptor.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    let control = rights.as_slice();
    loop {
        match sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None) {
            Err(nix::errno::Errno::EINTR) => {}
            sent => return sent.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Connection, Heard, send_with};
    use crate::domain::session::SessionId;
    use crate::runner::message::{FRAME_BYTES_MAX, Order, Place, Reply, Request, frame_length};
    use crate::runner::sys;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    fn connected() -> (Connection, UnixStream, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let place = Place { uid: 1, session: SessionId(Uuid::from_u128(7)), project: "shop".to_owned() };
        let request = Request::AddWorktree(place);
        let (one, _other) = UnixStream::pair().unwrap();
        let connection = Connection::ask(&path, &request, Some(one.as_fd())).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4];
        let (bytes, descriptors) = sys::receive(&stream, &mut head).unwrap();
        assert_eq!((bytes, descriptors.len()), (4, 1), "the descriptor comes with the first byte");
        let mut rest = vec![0; frame_length(&head).unwrap().unwrap()];
        stream.read_exact(&mut rest).unwrap();
        assert_eq!(Request::decode(&rest), Ok(request));
        (connection, stream, dir)
    }

    #[test]
    fn answers_are_heard_whole_and_in_order_however_they_arrive() {
        let (mut connection, mut runner, _dir) = connected();
        assert!(matches!(connection.hear(), Ok(Heard::Nothing)));
        let said = [Reply::Started { pid: 7 }, Reply::Refused("é".repeat(20)), Reply::Gone];
        // In a thread of its own: thousands of single bytes are more than a socket holds.
        let bytes: Vec<u8> = said.iter().flat_map(Reply::encode).collect();
        let mut end = runner.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            for byte in bytes {
                end.write_all(&[byte]).unwrap();
            }
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        for reply in said {
            let (heard, descriptor) = connection.wait(deadline).unwrap();
            assert!(heard == reply && descriptor.is_none(), "{heard:?}");
        }
        writing.join().unwrap();
        connection.order(Order::End { grace_ms: 9 }).unwrap();
        let mut order = [0; 9];
        runner.read_exact(&mut order).unwrap();
        assert_eq!(Order::decode(&order[4..]), Ok(Order::End { grace_ms: 9 }));
        drop(runner);
        assert!(matches!(connection.wait(deadline), Err(ClientError::Closed)));
    }

    #[test]
    fn a_descriptor_comes_with_what_was_opened_and_only_there() {
        let (mut connection, mut runner, dir) = connected();
        let file = std::fs::File::create_new(dir.path().join("f")).unwrap();
        runner.write_all(&Reply::Gone.encode()).unwrap();
        let frame = Reply::Opened { path: "f".to_owned(), size: 3 }.encode();
        let sent = send_with(&runner, &frame, Some(file.as_fd())).unwrap();
        runner.write_all(&frame[sent..]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(matches!(connection.wait(deadline), Ok((Reply::Gone, None))));
        assert!(matches!(connection.wait(deadline), Ok((Reply::Opened { .. }, Some(_)))));
    }

    #[test]
    fn silence_and_nonsense_are_errors_in_time() {
        let (mut connection, mut runner, _dir) = connected();
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(matches!(connection.wait(soon), Err(ClientError::Timeout)));
        let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
        runner.write_all(&length.to_be_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(matches!(connection.wait(deadline), Err(ClientError::Message(_))));
    }
}
