//! One connection, from the first byte to the last: MCP lines or HTTP. Who it is was settled before.

use crate::daemon::front::Front;
use crate::daemon::http;
use crate::daemon::mcp;
use crate::domain::caller::Peer;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Serves `stream` until its end. Nothing is returned: an end is an end, and what a client sends is not logged.
pub async fn serve(front: Arc<Front>, http: http::Mouth, stream: UnixStream, peer: Arc<Peer>) {
    let limits = front.backend.limits();
    let first = tokio::select! {
        first = tokio::time::timeout(limits.first_byte, first_byte(&stream)) => first,
        () = front.drain.cancelled() => return,
    };
    match first {
        Ok(Ok(Some(b'A'..=b'Z'))) => http.serve(front, stream, peer, limits).await,
        Ok(Ok(Some(_))) => mcp::serve::lines(front, stream, peer).await,
        Ok(Ok(None) | Err(_)) | Err(_) => {}
    }
}

/// The first byte, left where it is. `None` if the peer left without one.
async fn first_byte(stream: &UnixStream) -> io::Result<Option<u8>> {
    loop {
        stream.readable().await?;
        let mut byte = [MaybeUninit::new(0_u8)];
        let peeked = stream.try_io(Interest::READABLE, || socket2::SockRef::from(stream).peek(&mut byte));
        match peeked {
            Ok(0) => return Ok(None),
            // SAFETY: the byte was initialised above, whatever the peek did.
            Ok(_) => return Ok(Some(unsafe { byte[0].assume_init() })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
