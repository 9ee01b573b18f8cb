//! The connection to the one who asks, from the runner's side: who that is, the request, the orders, the answers.
//! Nothing here waits without a bound or takes more bytes than one message has.

use crate::runner::child::readable;
use crate::runner::client::send_with;
use crate::runner::message::{MessageError, Order, Reply, Request, frame_length};
use crate::runner::sys;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// Bytes of an order's frame, at most: there are no longer ones.
const ORDER_BYTES_MAX: usize = 64;

/// The connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    orders: Vec<u8>,
}

/// What [`Connection::hear`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An order.
    Order(Order),
    /// Nothing yet.
    Nothing,
    /// The other end has closed, or speaks nonsense.
    Closed,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The socket fails.
    #[error("the connection: {0}")]
    Io(#[from] io::Error),
    /// It did not come in time.
    #[error("the request did not come in time")]
    Late,
    /// What came is none.
    #[error("the request: {0}")]
    Message(#[from] MessageError),
    /// It came with another number of descriptors than it should.
    #[error("the request came with {0} descriptors, not with {1}")]
    Descriptors(usize, usize),
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// Takes the connection that the service manager put at standard input, and leaves nothing there.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> io::Result<Self> {
        let stream = UnixStream::from(sys::standard(sys::Standard::Input).try_clone_to_owned()?);
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, orders: Vec::new() })
    }

    /// The uid of who connected, by the kernel.
    ///
    /// # Errors
    /// It is no connection of a Unix socket.
    pub fn peer_uid(&self) -> io::Result<u32> {
        #[cfg(target_os = "linux")]
        let peer =
            nix::sys::socket::getsockopt(&self.stream, nix::sys::socket::sockopt::PeerCredentials)?.uid();
        #[cfg(target_os = "macos")]
        let peer =
            nix::sys::socket::getsockopt(&self.stream, nix::sys::socket::sockopt::LocalPeerCred)?.uid();
        Ok(peer)
    }

    /// The request and its descriptor. Takes not a byte more, so that orders may follow at once.
    ///
    /// # Errors
    /// [`RequestError`]; whatever came with it is closed.
    pub fn request(&mut self, deadline: Instant) -> Result<(Request, Option<OwnedFd>), RequestError> {
        let mut descriptors = Vec::new();
        let mut head = [0; 4];
        self.fill(&mut head, &mut descriptors, deadline)?;
        let mut body = vec![0; frame_length(&head)?.unwrap_or(0)];
        self.fill(&mut body, &mut descriptors, deadline)?;
        let request = Request::decode(&body)?;
        if descriptors.len() != request.descriptors() {
            return Err(RequestError::Descriptors(descriptors.len(), request.descriptors()));
        }
        Ok((request, descriptors.pop()))
    }

    fn fill(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        deadline: Instant,
    ) -> Result<(), RequestError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if !readable(self.as_fd(), deadline)? {
                return Err(RequestError::Late);
            }
            match sys::receive(&self.stream, &mut buffer[filled..]) {
                Ok((0, _)) => return Err(MessageError::Truncated.into()),
                Ok((bytes, more)) => {
                    filled += bytes;
                    descriptors.extend(more);
                    // No request has more than one: nobody fills this process with descriptors.
                    if descriptors.len() > 1 {
                        return Err(RequestError::Descriptors(descriptors.len(), 1));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next order, if it is there. Descriptors that come with orders are not taken.
    pub fn hear(&mut self) -> Heard {
        loop {
            match frame_length(&self.orders) {
                Ok(Some(length)) if length > ORDER_BYTES_MAX => return Heard::Closed,
                Ok(Some(length)) if self.orders.len() >= 4 + length => {
                    let order = Order::decode(&self.orders[4..4 + length]);
                    self.orders.drain(..4 + length);
                    return order.map_or(Heard::Closed, Heard::Order);
                }
                Ok(_) => {}
                Err(_) => return Heard::Closed,
            }
            let mut chunk = [0; 4 + ORDER_BYTES_MAX];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Closed,
                Ok(bytes) => self.orders.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Heard::Closed,
            }
        }
    }

    /// Answers. Never waits: the few answers of one call fit into any socket.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn say(&mut self, reply: &Reply) -> io::Result<()> {
        self.stream.write_all(&reply.encode())
    }

    /// Answers, and passes a descriptor on.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn pass(&mut self, reply: &Reply, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let frame = reply.encode();
        let sent = send_with(&self.stream, &frame, Some(descriptor))?;
        self.stream.write_all(&frame[sent..])
    }
}
