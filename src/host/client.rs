//! The daemon's end of a host's socket: connect, say hello, send and receive frames. What to do with them is in
//! `daemon/hosts.rs`.

use crate::host::protocol::{self, FROM_HOST_MAX, FromHost, Hello, Known, PROTOCOL_VERSION, Status, ToHost};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// A host that takes a frame, or answers hello, no faster than this is not there.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket fails.
    #[error("session host: {0}")]
    Io(#[from] io::Error),
    /// What comes is not the protocol.
    #[error("session host: {0}")]
    Frame(#[from] protocol::FrameError),
    /// The host does not want us; why.
    #[error("session host: {0}")]
    Refused(String),
    /// Nothing came for too long.
    #[error("session host: no answer")]
    Timeout,
}

/// Frames to a host.
#[derive(Debug)]
pub struct Sender(OwnedWriteHalf);

/// Frames from a host.
#[derive(Debug)]
pub struct Receiver {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// Connects to a host and says hello. With `claim` this becomes the one daemon's connection and every other ends.
///
/// # Errors
/// [`ClientError`]; the host may still be starting when the socket is missing or refuses.
pub async fn connect(
    socket: &Path,
    lease: &str,
    claim: bool,
) -> Result<(Sender, Receiver, Status), ClientError> {
    let (read, write) =
        timeout(PATIENCE, UnixStream::connect(socket)).await.map_err(|_| ClientError::Timeout)??.into_split();
    let (mut sender, mut receiver) = (Sender(write), Receiver { read, buffer: Vec::new() });
    sender.send(&ToHost::Hello(Hello { version: PROTOCOL_VERSION, lease: lease.to_owned(), claim })).await?;
    match timeout(PATIENCE, receiver.next()).await.map_err(|_| ClientError::Timeout)?? {
        Some(FromHost::Welcome(status)) => Ok((sender, receiver, status)),
        Some(FromHost::Dropped { why } | FromHost::Refused { why }) => Err(ClientError::Refused(why)),
        Some(_) => Err(ClientError::Refused("no welcome".to_owned())),
        None => Err(ClientError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

impl Sender {
    /// Sends one frame, whole.
    ///
    /// # Errors
    /// The host is gone or takes nothing; the connection is of no use then.
    pub async fn send(&mut self, frame: &ToHost) -> Result<(), ClientError> {
        timeout(PATIENCE, self.0.write_all(&frame.encode())).await.map_err(|_| ClientError::Timeout)??;
        Ok(())
    }
}

impl Receiver {
    /// The next frame; None when the host has closed. Kinds of a newer host are skipped. Cancelling loses nothing.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is of no use then.
    pub async fn next(&mut self) -> Result<Option<FromHost>, ClientError> {
        loop {
            while let Some(end) = protocol::complete(&self.buffer, FROM_HOST_MAX)? {
                let known = FromHost::decode(self.buffer[4], &self.buffer[5..end])?;
                self.buffer.drain(..end);
                if let Known::Frame(frame) = known {
                    return Ok(Some(frame));
                }
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}
