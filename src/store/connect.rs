//! Opening a database: the instance lock first, then the schema, then the writer, then the readers. [`Store`] is the
//! handle everybody else holds; cheap to clone.

use crate::domain::timestamp::Timestamp;
use crate::store::conn::{Conn, READERS};
use crate::store::error::{StoreError, from_sqlx};
use crate::store::lock::{self, LockFile};
use crate::store::migrate;
use crate::store::writer::{Meter, Queue, Writer};
use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use secrecy::{ExposeSecret, SecretString};
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Pages of 4 KiB in SQLite's log before they are copied into the database, which whoever commits then waits for. At its
/// own 1,000 that is one audited read in seventy.
const WAL_PAGES: &str = "4000";
/// Longest wait for SQLite's write lock when another process holds it.
const BUSY: Duration = Duration::from_secs(5);
/// Longest a single statement of the writer may run on Postgres, in milliseconds.
const STATEMENT_MS: &str = "20000";
/// Longest a single read may run on Postgres, in milliseconds.
const READ_MS: &str = "15000";
/// How long a Postgres may take to notice that the daemon before this one was killed.
const LET_GO: Duration = Duration::from_secs(2);

/// The moment now; the store asks it only for what it writes by itself (locks, instances).
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Which database, and where.
#[derive(Clone, Debug)]
pub enum Engine {
    /// A file on this machine.
    Sqlite {
        /// The database file; its folder exists.
        path: PathBuf,
        /// Sync at every commit (`synchronous=FULL`): an acknowledged write survives a power cut.
        synchronous_full: bool,
    },
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://…`; may hold a password.
        url: SecretString,
    },
}

impl Engine {
    /// The engine's name as `health` shows it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgresql",
        }
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which database.
    pub engine: Engine,
    /// This machine's name in it.
    pub computer: String,
    /// Bring the schema up to date; without it an old schema is refused.
    pub auto_migrate: bool,
}

/// An open database with its one writer. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    computer: String,
    engine: &'static str,
    queue: Queue,
    readers: Conn,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Store {
    /// Opens the database. Takes the lock first, then migrates (or checks the schema's version), then starts the
    /// writer, then opens the readers.
    pub async fn open(options: Options, clock: Clock) -> Result<Self, StoreError> {
        let Options { engine, computer, auto_migrate } = options;
        let started = clock();
        let lock = match &engine {
            Engine::Sqlite { path, .. } => {
                let lock = LockFile::take(path, &computer, started)?;
                private_file(path)?;
                Some(lock)
            }
            Engine::Postgres { .. } => None,
        };
        let opener = Opener { engine, computer };
        let writer = match &opener.engine {
            Engine::Sqlite { .. } => {
                let writer = opener.writer().await?;
                bring_up(&writer, auto_migrate).await?;
                writer
            }
            Engine::Postgres { url } => {
                let plain = plain(url, 2).await?;
                let writer = opener.locked(&plain).await?;
                let done = migrate_together(&plain, url, auto_migrate).await;
                let _ = plain.close().await;
                done?;
                writer
            }
        };
        let readers = Conn::pool(opener.readers().await?);
        crate::store::instance::begin(&writer, &opener.computer, started).await?;
        let (queue, writer) = Writer::new(writer, opener.clone(), lock, clock);
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        let engine = opener.engine.name();
        Ok(Self { inner: Arc::new(Inner { computer: opener.computer, engine, queue, readers, task }) })
    }

    /// What queries run on: read-only connections.
    pub fn reader(&self) -> &Conn {
        &self.inner.readers
    }

    /// This machine's name in the database.
    pub fn computer(&self) -> &str {
        &self.inner.computer
    }

    /// `sqlite` or `postgresql`.
    pub fn engine(&self) -> &'static str {
        self.inner.engine
    }

    /// What is wrong with the database at the moment, as a sentence; `None` if nothing is known to be.
    pub fn problem(&self) -> Option<String> {
        let full = || {
            self.inner
                .queue
                .is_full()
                .then(|| "the database has too much to do: its queue is full".to_owned())
        };
        self.inner.queue.problem().map(|p| p.to_string()).or_else(full)
    }

    /// Writes that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.inner.queue.waiting()
    }

    /// What the writer has done.
    pub fn meter(&self) -> &Meter {
        self.inner.queue.meter()
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Takes no more writes, finishes those that are queued, and frees the lock.
    pub async fn close(&self) {
        self.inner.queue.close();
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A writer that panicked has nothing left to finish.
            let _ = task.await;
        }
        self.inner.readers.close().await;
    }
}

/// Opens a database only to read it, with or without a daemon on it.
pub async fn open_read_only(engine: Engine) -> Result<Conn, StoreError> {
    let opener = Opener { engine, computer: String::new() };
    if let Engine::Sqlite { path, .. } = &opener.engine
        && !path.exists()
    {
        return Err(StoreError::Unreachable("there is no such file".to_owned()));
    }
    Ok(Conn::pool(opener.readers().await?))
}

/// Migrates by hand (`teleclaude db migrate`): under the instance lock. Gives the steps that were done.
pub async fn migrate_now(engine: Engine, computer: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let opener = Opener { engine, computer: computer.to_owned() };
    match &opener.engine {
        Engine::Sqlite { path, .. } => {
            let _lock = LockFile::take(path, computer, now)?;
            private_file(path)?;
            let writer = opener.writer().await?;
            let done = migrate::up(&writer).await;
            let _ = writer.close().await;
            done
        }
        Engine::Postgres { url } => {
            let plain = plain(url, 2).await?;
            let writer = opener.locked(&plain).await?;
            let done = migrate_together(&plain, url, true).await;
            let _ = writer.close().await;
            let _ = plain.close().await;
            done
        }
    }
}

async fn bring_up(db: &DatabaseConnection, auto_migrate: bool) -> Result<Vec<String>, StoreError> {
    if auto_migrate {
        migrate::up(db).await
    } else {
        migrate::status_of(db).await?.current()?;
        Ok(Vec::new())
    }
}

/// Several computers may open one Postgres at once; one of them migrates, the others wait for it.
async fn migrate_together(
    db: &DatabaseConnection,
    url: &SecretString,
    auto_migrate: bool,
) -> Result<Vec<String>, StoreError> {
    let guard = plain(url, 1).await?;
    let lock = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_advisory_lock($1)",
        [lock::migrate_key().into()],
    );
    let done = match guard.execute_raw(lock).await {
        Ok(_) => bring_up(db, auto_migrate).await,
        Err(error) => Err(error.into()),
    };
    // The lock goes with the connection.
    let _ = guard.close().await;
    done
}

/// Makes the database file readable by its owner only; `-wal` and `-shm` inherit the mode.
fn private_file(path: &Path) -> Result<(), StoreError> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        std::io::ErrorKind::StorageFull => StoreError::Full,
        kind => StoreError::Unreachable(format!("database file: {kind}")),
    };
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    let mut permissions = file.metadata().map_err(failed)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o600);
        file.set_permissions(permissions).map_err(failed)?;
    }
    Ok(())
}

/// Opens (again) what an engine needs.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) engine: Engine,
    pub(super) computer: String,
}

impl Opener {
    /// The one connection that writes. On Postgres it carries the computer's lock.
    async fn writer(&self) -> Result<DatabaseConnection, StoreError> {
        Ok(Database::connect(self.writer_options()?).await?)
    }

    /// The same on Postgres, with a clear refusal if another daemon has the lock, also if it was faster just now.
    async fn locked(&self, plain: &DatabaseConnection) -> Result<DatabaseConnection, StoreError> {
        let give_up = tokio::time::Instant::now() + LET_GO;
        while let Err(error) = lock::probe(plain, &self.computer).await {
            if !matches!(error, StoreError::Served { .. }) || tokio::time::Instant::now() >= give_up {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        match self.writer().await {
            Ok(writer) => Ok(writer),
            Err(error) => {
                lock::probe(plain, &self.computer).await?;
                Err(error)
            }
        }
    }

    /// The same, connecting only when it is used.
    pub(super) async fn writer_later(&self) -> Result<DatabaseConnection, StoreError> {
        let mut o = self.writer_options()?;
        o.connect_lazy(true);
        Ok(Database::connect(o).await?)
    }

    fn writer_options(&self) -> Result<ConnectOptions, StoreError> {
        let mut o = match &self.engine {
            Engine::Sqlite { path, synchronous_full } => {
                let synchronous =
                    if *synchronous_full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
                let path = path.clone();
                let mut o = common("sqlite://database");
                o.map_sqlx_sqlite_opts(move |s| {
                    s.filename(&path)
                        .create_if_missing(false)
                        .journal_mode(SqliteJournalMode::Wal)
                        .synchronous(synchronous)
                        .busy_timeout(BUSY)
                        .foreign_keys(true)
                        .pragma("wal_autocheckpoint", WAL_PAGES)
                });
                o
            }
            Engine::Postgres { url } => {
                let key = lock::computer_key(&self.computer);
                let mut o = postgres(url)?;
                o.map_sqlx_postgres_pool_opts(move |p| {
                    p.after_connect(move |c, _| Box::pin(async move { fence(c, key).await }))
                });
                o
            }
        };
        o.max_connections(1).min_connections(1);
        Ok(o)
    }

    async fn readers(&self) -> Result<DatabaseConnection, StoreError> {
        match &self.engine {
            Engine::Sqlite { path, .. } => {
                let path = path.clone();
                let mut o = common("sqlite://database");
                o.max_connections(READERS);
                o.map_sqlx_sqlite_opts(move |s| {
                    s.filename(&path).create_if_missing(false).read_only(true).busy_timeout(BUSY)
                });
                Ok(Database::connect(o).await?)
            }
            Engine::Postgres { url } => {
                let mut o = postgres(url)?;
                o.max_connections(READERS);
                o.map_sqlx_postgres_pool_opts(|p| {
                    p.after_connect(|c, _| {
                        Box::pin(async move {
                            sqlx::query(
                                "SELECT set_config('default_transaction_read_only', 'on', false), \
                                 set_config('statement_timeout', $1, false)",
                            )
                            .bind(READ_MS)
                            .execute(&mut *c)
                            .await
                            .map(|_| ())
                        })
                    })
                });
                Ok(Database::connect(o).await?)
            }
        }
    }
}

/// What every new connection of the writer does first: no lock, no writing. A commit must wait for the disk, and a
/// statement may not run for ever.
async fn fence(c: &mut sqlx::PgConnection, key: i64) -> Result<(), sqlx::Error> {
    let held: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(&mut *c).await?;
    if !held {
        return Err(sqlx::Error::Configuration("another daemon holds this computer's lock".into()));
    }
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, false), set_config('synchronous_commit', \
         CASE WHEN current_setting('synchronous_commit') = 'off' THEN 'on' \
         ELSE current_setting('synchronous_commit') END, false)",
    )
    .bind(STATEMENT_MS)
    .execute(&mut *c)
    .await
    .map(|_| ())
}

fn common(url: &str) -> ConnectOptions {
    let mut o = ConnectOptions::new(url);
    o.sqlx_logging(false)
        .record_stmt_in_spans(false)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>);
    o
}

fn postgres(url: &SecretString) -> Result<ConnectOptions, StoreError> {
    // The driver knows only the short scheme.
    let url = url.expose_secret();
    let url = match url.strip_prefix("postgresql://") {
        Some(rest) => format!("postgres://{rest}"),
        None => url.to_owned(),
    };
    if url.parse::<sqlx::postgres::PgConnectOptions>().is_err() || !url.starts_with("postgres://") {
        return Err(from_sqlx(&sqlx::Error::Configuration("url".into())));
    }
    let mut o = common(&url);
    o.set_application_name("teleclaude");
    o.test_before_acquire_if_idle_for(Duration::from_secs(30));
    Ok(o)
}

/// A connection or a few, without a lock.
pub(super) async fn plain(url: &SecretString, connections: u32) -> Result<DatabaseConnection, StoreError> {
    let mut o = postgres(url)?;
    o.max_connections(connections);
    Ok(Database::connect(o).await?)
}
