//! The key `limits`: bounds on what clients may do. Those that clients can rely on are `wire::limits`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds on what clients may do. Seconds unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once.
    pub connections: u32,
    /// Connections of one uid at once; uids nobody knows share one such pool.
    pub connections_per_uid: u32,
    /// Bytes of one line or body that comes in.
    pub message_bytes: usize,
    /// A request's deadline.
    pub request_seconds: u64,
    /// Requests of one connection in flight.
    pub in_flight_per_connection: u32,
    /// Requests of one uid in flight.
    pub in_flight_per_uid: u32,
    /// Until the first byte.
    pub first_byte_seconds: u64,
    /// For one write.
    pub write_seconds: u64,
    /// Malformed lines before the connection is closed.
    pub bad_lines: u32,
    /// Answers not yet taken by the client before we stop reading …
    pub unwritten_answers: usize,
    /// … and their bytes.
    pub unwritten_bytes: usize,
    /// Between two HTTP requests.
    pub keep_alive_seconds: u64,
    /// HTTP headers in one request.
    pub headers: usize,
    /// Bytes of the HTTP headers of one request.
    pub header_bytes: usize,
    /// For HTTP headers to arrive.
    pub header_seconds: u64,
    /// For an HTTP body to arrive.
    pub body_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_uid: 256,
            message_bytes: 1024 * 1024,
            request_seconds: 30,
            in_flight_per_connection: 64,
            in_flight_per_uid: 256,
            first_byte_seconds: 60,
            write_seconds: 30,
            bad_lines: 16,
            unwritten_answers: 64,
            unwritten_bytes: 8 * 1024 * 1024,
            keep_alive_seconds: 75,
            headers: 64,
            header_bytes: 64 * 1024,
            header_seconds: 10,
            body_seconds: 30,
        }
    }
}
