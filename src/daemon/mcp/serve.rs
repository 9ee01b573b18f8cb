//! Where rmcp's two servers begin: one for each raw connection, one for all of HTTP.

use crate::daemon::front::Front;
use crate::daemon::mcp::handler::McpHandler;
use crate::daemon::mcp::transport::{Asker, LineTransport};
use crate::daemon::mcp::watch::Connection;
use crate::domain::caller::Peer;
use http::{Request, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
use rmcp::ServiceExt as _;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::UnixStream;

/// Serves lines until the connection ends.
pub async fn lines(front: Arc<Front>, stream: UnixStream, peer: Arc<Peer>) {
    let limits = front.backend.limits();
    let connection = Arc::new(Connection::default());
    let _closed = connection.closed.clone().drop_guard();
    // The drain ends the transport's input and nothing else: rmcp's own token would cut short what is in flight.
    let transport = LineTransport::new(stream.into_split(), Asker(peer), limits, front.drain.clone());
    if let Ok(service) = McpHandler::raw(front, connection).serve(transport).await {
        let _why = service.waiting().await;
    }
}

/// MCP over HTTP.
#[derive(Clone)]
pub struct Streamable(StreamableHttpService<McpHandler, NeverSessionManager>);

impl Streamable {
    /// The one server before `front`. No sessions: a session made by one uid could be used by another that learns its
    /// id. `Origin` is refused before this, for every path.
    pub fn new(front: &Arc<Front>) -> Self {
        let handler = McpHandler::http(Arc::clone(front));
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(front.backend.limits().message_bytes)
            .with_allowed_hosts(["localhost", "127.0.0.1", "::1", "teleclaude"]);
        Self(StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config))
    }

    /// Answers one request of `peer`.
    pub async fn answer(
        &self,
        peer: Arc<Peer>,
        mut request: Request<Full<Bytes>>,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        request.extensions_mut().insert(Asker(peer));
        self.0.handle(request).await
    }
}
