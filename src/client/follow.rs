//! Following a transcript: one answer, line by line, for as long as the session runs.

use crate::client::{Client, ClientError, encoded, query};
use crate::wire::follow::{FollowSession, Followed, LINE_BYTES_MAX};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use std::time::Duration;
use tokio::time::timeout;

/// The lines of one answer.
#[derive(Debug)]
pub struct Following {
    body: Incoming,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold no line end.
    looked: usize,
    /// The daemon says more often than this that it is there.
    quiet: Duration,
    /// The connection lives as long as it.
    _sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Begins to follow a session, on a connection of its own.
    ///
    /// # Errors
    /// As every request; then nothing was shown.
    pub async fn follow(&self, asked: &FollowSession) -> Result<Following, ClientError> {
        let rest = query(asked, &["session_id"])?;
        let path = format!("/sessions/{}/transcript{rest}", encoded(&asked.session_id));
        let request = self.request(Method::GET, &path, None)?;
        let (sender, response) = self.begin(request, StatusCode::OK, "it is not followed").await?;
        Ok(Following {
            body: response.into_body(),
            buffer: Vec::new(),
            looked: 0,
            quiet: self.endpoint().answer_time,
            _sender: sender,
        })
    }
}

impl Following {
    /// The next line; `None` if the connection is over, or nothing was heard of the daemon for too long.
    ///
    /// # Errors
    /// What came was none of ours.
    pub async fn next(&mut self) -> Result<Option<Followed>, ClientError> {
        loop {
            if let Some(end) = self.buffer[self.looked..].iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.looked + end).collect();
                self.looked = 0;
                let line = line.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                let followed = serde_json::from_slice(line);
                return followed.map(Some).map_err(|e| ClientError::Protocol(e.to_string()));
            }
            self.looked = self.buffer.len();
            if self.looked > LINE_BYTES_MAX {
                return Err(ClientError::Protocol("a line without end".to_owned()));
            }
            match timeout(self.quiet, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.buffer.extend_from_slice(&bytes);
                    }
                }
                Ok(Some(Err(_)) | None) | Err(_) => return Ok(None),
            }
        }
    }
}
