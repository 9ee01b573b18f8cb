//! Attaching: the request that changes a connection's protocol, and frames both ways from then on.

use crate::client::{Client, ClientError, encoded};
use crate::wire::attach::{FromDaemon, PIECE_BYTES_MAX, TerminalSize, ToDaemon, UPGRADE};
use crate::wire::request::AttachSession;
use http::header::{CONNECTION, HeaderValue, UPGRADE as UPGRADE_HEADER};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// A daemon that takes nothing for this long is not there.
const SEND_TIME: Duration = Duration::from_secs(10);

/// To an attached session.
#[derive(Debug)]
pub struct Sender(OwnedWriteHalf);

/// From an attached session.
#[derive(Debug)]
pub struct Receiver {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Client {
    /// Attaches to a session's terminal, on a connection of its own.
    ///
    /// # Errors
    /// As every request; then nothing was shown.
    pub async fn attach(&self, asked: &AttachSession) -> Result<(Sender, Receiver), ClientError> {
        let mut fields = json!({ "input": asked.input, "reason": asked.reason, "size": asked.size });
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| *value != Value::Null);
        }
        let path = format!("/sessions/{}/attach", encoded(&asked.session_id));
        let mut request = self.request(Method::POST, &path, Some(&fields))?;
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE_HEADER, HeaderValue::from_static(UPGRADE));
        let other = format!("it did not change to {UPGRADE}");
        let (_sender, response) = self.begin(request, StatusCode::SWITCHING_PROTOCOLS, &other).await?;
        let upgrade = async { hyper::upgrade::on(response).await.map_err(|e| e.to_string()) };
        let upgraded = self.answered(upgrade, false).await?;
        let parts = upgraded
            .downcast::<TokioIo<UnixStream>>()
            .map_err(|_| ClientError::Protocol("the connection is of another kind".to_owned()))?;
        let (read, write) = parts.io.into_inner().into_split();
        Ok((Sender(write), Receiver { read, buffer: parts.read_buf.to_vec() }))
    }
}

impl Sender {
    /// Sends keystrokes.
    ///
    /// # Errors
    /// The daemon is gone, or takes nothing.
    pub async fn input(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            self.send(&ToDaemon::Input(piece.to_vec())).await?;
        }
        Ok(())
    }

    /// Says that this terminal has another size now.
    ///
    /// # Errors
    /// As [`Self::input`].
    pub async fn resize(&mut self, size: TerminalSize) -> Result<(), ClientError> {
        self.send(&ToDaemon::Resize(size)).await
    }

    /// Leaves.
    ///
    /// # Errors
    /// As [`Self::input`]; it has left all the same.
    pub async fn detach(mut self) -> Result<(), ClientError> {
        self.send(&ToDaemon::Detach).await
    }

    async fn send(&mut self, frame: &ToDaemon) -> Result<(), ClientError> {
        match timeout(SEND_TIME, self.0.write_all(&frame.encode())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ClientError::Protocol(error.to_string())),
            Err(_) => Err(ClientError::Protocol("the daemon takes nothing".to_owned())),
        }
    }
}

impl Receiver {
    /// The next frame; `None` if the connection is over. Cancelling loses nothing.
    ///
    /// # Errors
    /// What came was no frame.
    pub async fn next(&mut self) -> Result<Option<FromDaemon>, ClientError> {
        loop {
            let frame =
                FromDaemon::take(&mut self.buffer).map_err(|e| ClientError::Protocol(e.to_string()))?;
            if frame.is_some() {
                return Ok(frame);
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}
