//! Beginning an answer that lives on, on a connection of its own; what then comes is the business of who asked.

use crate::client::{Client, ClientError, fault};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;

/// Bytes of the answer to a request that was refused, at most.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

impl Client {
    /// The answer, as soon as its head is there, and the connection, which ends with the sender. `other` says what is
    /// wrong with one that succeeds in another way than by `wanted`.
    ///
    /// # Errors
    /// As every request; then nothing was shown.
    pub(super) async fn begin(
        &self,
        request: Request<Full<Bytes>>,
        wanted: StatusCode,
        other: &str,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), ClientError> {
        let mut sender = self.dial().await?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            if status == wanted {
                return Ok(Ok(response));
            }
            let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
            Ok::<_, String>(Err((status, body.map_err(|e| e.to_string())?.to_bytes())))
        };
        match self.answered(exchange, false).await? {
            Ok(response) => Ok((sender, response)),
            Err((status, _)) if status.is_success() => Err(ClientError::Protocol(other.to_owned())),
            Err((status, bytes)) => Err(fault(status, &bytes)),
        }
    }
}
