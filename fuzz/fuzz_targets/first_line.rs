//! What anybody may send first: a whole connection after the kernel said whose it is. The first byte decides between
//! lines of MCP and HTTP; the input goes on from there. Nothing may panic (also not where a panic would be caught) and
//! nothing may hang once the sender is done. Behind the mouths answers somebody who knows nothing.

#![no_main]

use futures_util::future::BoxFuture;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::daemon::backend::{Backend, Call, Event};
use teleclaude::daemon::front::Front;
use teleclaude::daemon::limits::Limits;
use teleclaude::daemon::peer::Names;
use teleclaude::daemon::{connection, http};
use teleclaude::domain::verb::Verb;
use teleclaude::domain::caller::{Caller, Peer, Role, Rule, Via};
use teleclaude::domain::person::Standing;
use teleclaude::wire::fault::Fault;
use teleclaude::wire::reply::{HealthReply, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::broadcast;

/// Longer than any input needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nobody(Arc<Limits>);

impl Backend for Nobody {
    fn handle<'a>(&'a self, _: &'a Peer, _: Call) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async { Ok(Reply::Health(HealthReply { status: "ok".to_owned(), detail: None })) })
    }

    fn caller(&self, peer: &Peer, via: Via, _: Option<&SecretString>) -> Caller {
        Caller {
            uid: peer.uid,
            gid: peer.gid,
            groups: Vec::new(),
            os_username: None,
            person: None,
            // An admin, so that every tool and path is there to be asked for.
            role: Role::Admin,
            standing: Standing::Active,
            rule: Rule { text: "fuzzing".to_owned(), origin: None },
            via,
            agent_of: None,
        }
    }

    fn may(&self, _: &Caller, _: Verb) -> bool {
        true
    }

    fn refused<'a>(&'a self, _: &'a Peer, _: Via, _: Option<&'a SecretString>, _: Verb) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.0)
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        broadcast::channel(1).1
    }
}

struct World {
    runtime: tokio::runtime::Runtime,
    front: Arc<Front>,
    mouth: http::Mouth,
}

thread_local! {
    static WORLD: LazyCell<World> = LazyCell::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let nobody: Arc<dyn Backend> = Arc::new(Nobody(Arc::default()));
        let front = Arc::new(Front::new(nobody, Arc::new(Names::default()), Arc::default()));
        let mouth = http::Mouth::new(&front);
        World { runtime, front, mouth }
    });
}

fuzz_target!(|data: &[u8]| {
    WORLD.with(|world| {
        let all = async {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let peer = Arc::new(Peer {
                uid: 3_000_001,
                gid: 3_000_001,
                groups: Vec::new(),
                pid: None,
                runner: None,
            });
            let served =
                tokio::spawn(connection::serve(Arc::clone(&world.front), world.mouth.clone(), theirs, peer));
            let (mut reads, mut writes) = ours.into_split();
            let sent = async {
                // The other side may have had enough.
                let _ = writes.write_all(data).await;
                let _ = writes.shutdown().await;
            };
            let mut answers = Vec::new();
            let (_, _) = tokio::join!(sent, reads.read_to_end(&mut answers));
            served.await.expect("the connection's task panicked");
        };
        let done = world.runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await });
        assert!(done.is_ok(), "the connection does not end");
    });
});
