//! A client that does nothing but ask: many connections, each with one request in flight, and how long each answer
//! took.

use crate::daemon::{PATIENCE, cpu};
use crate::report::quantile;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// The first words of a client of the older era.
const HELLO: &[u8] = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","#,
    r#""capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}"#,
    "\n"
)
.as_bytes();
const READY: &[u8] = concat!(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "\n").as_bytes();

/// A call of a tool without arguments, as one line.
pub fn call(tool: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{}}}}}}\n"
    )
    .into_bytes()
}

/// One connection.
pub struct Connection {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream), line: Vec::new() })
    }

    /// Connects and says hello.
    pub async fn greeted(socket: &Path) -> Self {
        let mut connection = Self::open(socket).await.unwrap();
        assert!(connection.ask(HELLO).await.unwrap().windows(12).any(|w| w == b"\"serverInfo\""));
        connection.stream.write_all(READY).await.unwrap();
        connection
    }

    /// Asks and waits for one line.
    pub async fn ask(&mut self, request: &[u8]) -> std::io::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line).await?;
        if self.line.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&self.line)
    }
}

/// Waits until something answers there.
pub async fn wait_for(socket: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut connection) = Connection::open(socket).await
            && connection.ask(HELLO).await.is_ok()
        {
            return;
        }
        assert!(Instant::now() < deadline, "nothing answers at {}", socket.display());
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// What a round of load came to.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Answers a second.
    pub per_second: f64,
    /// Half of the answers took no longer, in µs.
    pub p50: f64,
    /// 99 of 100 answers took no longer, in µs.
    pub p99: f64,
    /// CPU time of the server for one answer, in µs.
    pub cpu: f64,
    /// Bytes of an answer.
    pub bytes: f64,
}

/// Keeps `connections` busy for `time` and looks at what the server `pid` used meanwhile.
pub async fn round(
    socket: &Path,
    pid: i32,
    greet: bool,
    request: &[u8],
    connections: usize,
    time: Duration,
) -> Round {
    let request: Arc<[u8]> = Arc::from(request);
    let begin = Arc::new(Barrier::new(connections + 1));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (request, begin, socket) = (Arc::clone(&request), Arc::clone(&begin), socket.to_owned());
        clients.spawn(async move {
            let mut connection = match greet {
                true => Connection::greeted(&socket).await,
                false => Connection::open(&socket).await.unwrap(),
            };
            let first = connection.ask(&request).await.unwrap().to_vec();
            let text = String::from_utf8_lossy(&first);
            assert!(!text.contains("\"isError\":true") && !text.contains("\"error\":"), "refused: {text}");
            let mut took = Vec::with_capacity(4_096);
            begin.wait().await;
            let until = Instant::now() + time;
            loop {
                let asked = Instant::now();
                if asked >= until {
                    break;
                }
                let length = connection.ask(&request).await.unwrap().len();
                assert_eq!(length, first.len(), "every answer is the same");
                took.push(asked.elapsed().as_secs_f64() * 1e6);
            }
            (took, first.len())
        });
    }
    begin.wait().await;
    let (began, before) = (Instant::now(), cpu(pid));
    let mut all = Vec::new();
    let mut bytes = 0;
    while let Some(done) = clients.join_next().await {
        let (took, length) = done.unwrap();
        all.extend(took);
        bytes = length;
    }
    let (used, lasted) = (cpu(pid) - before, began.elapsed());
    all.sort_by(f64::total_cmp);
    let count = all.len() as f64;
    Round {
        per_second: count / lasted.as_secs_f64(),
        p50: quantile(&all, 0.5),
        p99: quantile(&all, 0.99),
        cpu: used.as_secs_f64() * 1e6 / count,
        bytes: bytes as f64,
    }
}
