//! Taking a session out as a file: the answer is handed on piece by piece, as it comes.

use crate::client::{Client, ClientError, encoded, query};
use crate::wire::export::ExportSession;
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use std::time::Duration;
use tokio::time::timeout;

/// A daemon that is there may have nothing to hand on for this long: a large recording whose text is known at its end.
const PIECE_TIME: Duration = Duration::from_secs(600);

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    length: Option<u64>,
    /// The connection ends with it.
    _sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Takes a session out, on a connection of its own.
    ///
    /// # Errors
    /// As every request; then nothing was shown.
    pub async fn export(&self, asked: &ExportSession) -> Result<Download, ClientError> {
        let rest = query(asked, &["session_id"])?;
        let path = format!("/sessions/{}/export{rest}", encoded(&asked.session_id));
        let request = self.request(Method::GET, &path, None)?;
        let (sender, response) = self.begin(request, StatusCode::OK, "it is no file").await?;
        let (head, body) = response.into_parts();
        let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Download { body, length, _sender: sender })
    }
}

impl Download {
    /// Bytes in all, if the daemon says.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; `None` if that was all.
    ///
    /// # Errors
    /// In words: the connection ended before the file did, or nothing came for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match timeout(PIECE_TIME, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(_))) => return Err("the connection was cut off".to_owned()),
                Ok(None) => return Ok(None),
                Err(_) => return Err(format!("nothing came for {} s", PIECE_TIME.as_secs())),
            }
        }
    }
}
