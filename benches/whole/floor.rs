//! What the socket is measured beside, each in a process of its own: an echo that parses and writes JSON, and plain
//! rmcp behind our bounded transport with one tool that always gives the same.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, InitializeResult,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::daemon::limits::Limits;
use teleclaude::daemon::mcp::transport::{Asker, LineTransport};
use teleclaude::domain::caller::Peer;
use teleclaude::domain::policy::only_for_agents;
use teleclaude::domain::verb::Verb;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// The word that makes this program a floor.
pub const SERVE: &str = "serve-floor";

/// Serves until it is killed.
pub fn serve(kind: &str, socket: &Path) {
    // Whoever started us may vanish without a word.
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(3_600));
        std::process::abort();
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            match kind {
                "echo" => tokio::spawn(echo(stream)),
                "rmcp" => tokio::spawn(plain(stream)),
                other => panic!("{other}: no such floor"),
            };
        }
    });
}

/// Parses each line and writes it back.
async fn echo(stream: UnixStream) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !matches!(stream.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let value: Value = serde_json::from_slice(&line).unwrap();
        let mut answer = serde_json::to_vec(&value).unwrap();
        answer.push(b'\n');
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn plain(stream: UnixStream) {
    let peer = Arc::new(Peer { uid: 0, gid: 0, groups: Vec::new(), pid: None, runner: None });
    let limits = Arc::new(Limits::default());
    let transport = LineTransport::new(stream.into_split(), Asker(peer), limits, CancellationToken::new());
    if let Ok(service) = (OneTool { answer: Arc::new(answer()) }).serve(transport).await {
        let _why = service.waiting().await;
    }
}

struct OneTool {
    answer: Arc<Value>,
}

/// As much as the real `whoami` says.
fn answer() -> Value {
    let may: Vec<&str> = Verb::ALL.iter().filter(|verb| !only_for_agents(**verb)).map(|v| v.name()).collect();
    serde_json::json!({
        "person": "root", "role": "admin", "os_username": "root", "uid": 0, "gid": 0, "groups": [],
        "mode": "single-user", "single_user": true,
        "rule": { "text": "single-user mode: the daemon's own user" },
        "may": may,
    })
}

impl ServerHandler for OneTool {
    fn get_info(&self) -> ServerConfig {
        InitializeResult::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if params.name == "whoami" {
            return Ok(CallToolResult::structured((*self.answer).clone()).into());
        }
        Ok(CallToolResult::success(vec![ContentBlock::text("thirty-two bytes of text, as said")]).into())
    }
}
