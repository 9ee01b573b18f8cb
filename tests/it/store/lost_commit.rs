//! A COMMIT whose answer is lost, through a socket that loses it.

use crate::postgres::Db;
use crate::postgres::clock;
use crate::store::{a_session, change, draft, whole};
use futures_util::FutureExt;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use teleclaude::store::connect::Engine;
use teleclaude::store::connect::Options;
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::session;
use teleclaude::store::writer::WriteError;
use tokio::time::Instant;

/// Where a connection is cut when COMMIT passes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Before,
    After,
}

/// Stands between the store and the server and, when told to, loses the next COMMIT or its answer.
struct Cutter {
    folder: tempfile::TempDir,
    next: Arc<std::sync::Mutex<Option<Cut>>>,
}

impl Cutter {
    fn start(server: std::path::PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("tccut").tempdir_in("/tmp").unwrap();
        let listener = tokio::net::UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let next = Arc::new(std::sync::Mutex::new(None));
        let told = next.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Self::pass(client, server.clone(), told.clone()));
            }
        });
        Self { folder, next }
    }

    async fn pass(
        client: tokio::net::UnixStream,
        server: std::path::PathBuf,
        told: Arc<std::sync::Mutex<Option<Cut>>>,
    ) -> std::io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let server = tokio::net::UnixStream::connect(server).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                n = from_client.read(&mut asked) => {
                    let n = n?;
                    if n == 0 {
                        return Ok(());
                    }
                    let commit = asked[..n].windows(6).any(|w| w == b"COMMIT");
                    let cut = if commit { told.lock().unwrap().take() } else { None };
                    if cut == Some(Cut::Before) {
                        return Ok(());
                    }
                    to_server.write_all(&asked[..n]).await?;
                    if cut == Some(Cut::After) {
                        // The answer to COMMIT means that it is done; nobody hears of it.
                        let _answer = from_server.read(&mut answered).await?;
                        return Ok(());
                    }
                }
                n = from_server.read(&mut answered) => {
                    let n = n?;
                    if n == 0 {
                        return Ok(());
                    }
                    to_client.write_all(&answered[..n]).await?;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_done_once() {
    let db = Db::postgres();
    let cutter = Cutter::start(db.cluster.as_ref().unwrap().socket());
    let Engine::Postgres { url } = &db.engine else { unreachable!() };
    let through = url.expose_secret().replace(
        &db.cluster.as_ref().unwrap().socket().parent().unwrap().display().to_string(),
        &cutter.folder.path().display().to_string(),
    );
    let options = Options {
        engine: Engine::Postgres { url: through.into() },
        computer: "here".to_owned(),
        auto_migrate: true,
    };
    let store = Store::open(options, clock()).await.unwrap();
    let cases =
        [(Cut::After, true, 1), (Cut::Before, true, 2), (Cut::After, false, 2), (Cut::Before, false, 2)];
    for (n, (cut, audited, runs)) in cases.into_iter().enumerate() {
        let id = 100 + n as u128;
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = ran.clone();
        *cutter.next.lock().unwrap() = Some(cut);
        let done = change(&store, move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                session::insert(tx.conn(), &a_session(id, 0)).await?;
                if audited {
                    tx.audit(draft(&format!("commit {id}")));
                }
                Ok(id)
            }
            .boxed()
        })
        .await;
        assert_eq!(done, Ok(id), "{cut:?} {audited}");
        assert_eq!(*cutter.next.lock().unwrap(), None, "the cut was made");
        assert_eq!(ran.load(Ordering::SeqCst), runs, "{cut:?} {audited}");
        assert!(session::by_id(store.reader(), a_session(id, 0).id).await.unwrap().is_some());
    }
    let report = whole(&store).await;
    assert_eq!((report.rows, report.first_bad), (2, None));

    // With the server gone for good, nobody can tell, and nobody pretends to.
    *cutter.next.lock().unwrap() = Some(Cut::After);
    std::fs::remove_file(cutter.folder.path().join(".s.PGSQL.5432")).unwrap();
    let answer = store
        .write::<(), StoreError, _>(Instant::now() + Duration::from_millis(700), |tx| {
            tx.audit(draft("who knows"));
            async { Ok(()) }.boxed()
        })
        .await;
    assert_eq!(answer, Err(WriteError::OutcomeUnknown));
    assert!(store.problem().is_some());
}
