//! The store on both engines: the chain under load, rollback, locks, pages, faults and healing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail here")]

mod chain;
mod fault;
mod index;
mod load;
mod lost_commit;
mod opening;
mod people;
mod rows;
mod tasks;
mod transcript;

use crate::postgres::Db;
use crate::postgres::NOW;
use futures_util::FutureExt;
use sea_orm::ConnectOptions;
use sea_orm::Database;
use sea_orm::DatabaseConnection;
use secrecy::ExposeSecret;
use std::time::Duration;
use teleclaude::domain::audit::AuditDraft;
use teleclaude::domain::audit::AuditOutcome;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::session::Profile;
use teleclaude::domain::session::Session;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::session::SessionStatus;
use teleclaude::domain::session::SessionTitle;
use teleclaude::domain::session::ThinkingMode;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::Engine;
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::session;
use teleclaude::store::verify::ChainReport;
use teleclaude::store::verify::verify;
use teleclaude::store::writer::Tx;
use teleclaude::store::writer::WriteError;
use tokio::time::Instant;
use uuid::Uuid;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(NOW + second * 1_000_000)
}

fn draft(action: &str) -> AuditDraft {
    AuditDraft::by_daemon(7, action, AuditOutcome::Success, at(0))
}

pub fn a_session(n: u128, second: i64) -> Session {
    Session {
        id: SessionId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n)),
        title: Some(SessionTitle::parse("a title").unwrap()),
        owner: PersonId(Uuid::from_u128(1)),
        owner_name: "ann".to_owned(),
        owner_uid: u32::MAX - 1,
        actor_name: "ann".to_owned(),
        computer: "here".to_owned(),
        project: Some("site".to_owned()),
        project_path: "/srv/site".to_owned(),
        subdir: None,
        worktree: None,
        agent: "claude".to_owned(),
        thinking_mode: ThinkingMode::Slow,
        profile: Profile::Restricted,
        status: SessionStatus::Starting,
        activity: None,
        exit: None,
        parent: None,
        native_id: None,
        client_id: None,
        created: at(second),
        last_activity: at(second),
        ended: None,
    }
}

/// Runs one change with its rows.
pub async fn change<T: Send + 'static>(
    store: &Store,
    unit: impl for<'a> FnMut(&'a mut Tx) -> futures_util::future::BoxFuture<'a, Result<T, StoreError>>
    + Send
    + 'static,
) -> Result<T, WriteError<StoreError>> {
    store.write(soon(), unit).await
}

pub async fn keep(store: &Store, session: Session) {
    change(store, move |tx| {
        let session = session.clone();
        async move { session::insert(tx.conn(), &session).await }.boxed()
    })
    .await
    .unwrap();
}

/// A connection beside the store, that may do anything.
pub async fn raw(db: &Db) -> DatabaseConnection {
    let url = match &db.engine {
        Engine::Sqlite { path, .. } => format!("sqlite://{}", path.display()),
        Engine::Postgres { url } => url.expose_secret().to_owned(),
    };
    let mut o = ConnectOptions::new(url);
    o.max_connections(1).sqlx_logging(false);
    Database::connect(o).await.unwrap()
}

async fn whole(store: &Store) -> ChainReport {
    let mut reports = verify(store.reader(), None, |_| {}).await.unwrap();
    assert_eq!(reports.len(), 1);
    reports.pop().unwrap()
}
