//! One type for what queries run on: the readers' pool or a unit's transaction. Inside a unit it remembers the first
//! statement that failed, so that a unit cannot swallow a broken transaction and be acknowledged.

use crate::store::error::StoreError;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement,
};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Read connections of a store.
pub(super) const READERS: u32 = 4;

/// Longest a read may take, also from a server that no longer answers.
const READ: Duration = Duration::from_secs(15);

/// Something queries run on.
pub struct Conn {
    inner: Inner,
    failure: Mutex<Option<StoreError>>,
}

enum Inner {
    Pool(DatabaseConnection),
    Transaction(DatabaseTransaction),
}

impl Conn {
    pub(super) fn pool(pool: DatabaseConnection) -> Self {
        Self { inner: Inner::Pool(pool), failure: Mutex::new(None) }
    }

    pub(super) fn transaction(transaction: DatabaseTransaction) -> Self {
        Self { inner: Inner::Transaction(transaction), failure: Mutex::new(None) }
    }

    /// The transaction inside, if it is one.
    pub(super) fn into_transaction(self) -> Option<DatabaseTransaction> {
        match self.inner {
            Inner::Transaction(transaction) => Some(transaction),
            Inner::Pool(_) => None,
        }
    }

    /// The first failure since the last call.
    pub(super) fn take_failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Closes the pool; a transaction is left alone.
    pub async fn close(&self) {
        if let Inner::Pool(pool) = &self.inner {
            // Closing a pool gives no error in this driver.
            let _ = pool.close_by_ref().await;
        }
    }

    /// How many connections may have died unnoticed since they were used last: that many reads are tried again.
    fn stale(&self) -> u32 {
        match &self.inner {
            Inner::Pool(_) => READERS,
            Inner::Transaction(_) => 0,
        }
    }

    fn noted<T>(&self, answer: Result<T, DbErr>) -> Result<T, DbErr> {
        if let (Err(error), Inner::Transaction(_)) = (&answer, &self.inner) {
            self.failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert_with(|| StoreError::from(error.clone()));
        }
        answer
    }
}

/// Whether a pooled connection turned out to be dead when it was used. Not having got one at all is another thing.
fn is_stale(error: &DbErr) -> bool {
    matches!(error, DbErr::Query(_) | DbErr::Exec(_)) && StoreError::from(error.clone()).is_lost()
}

macro_rules! forward {
    ($self:ident, $method:ident, $argument:expr) => {{
        let answer = match &$self.inner {
            Inner::Pool(pool) => tokio::time::timeout(READ, pool.$method($argument))
                .await
                .unwrap_or(Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))),
            Inner::Transaction(transaction) => transaction.$method($argument).await,
        };
        $self.noted(answer)
    }};
}

#[async_trait]
impl ConnectionTrait for Conn {
    fn get_database_backend(&self) -> DbBackend {
        match &self.inner {
            Inner::Pool(pool) => pool.get_database_backend(),
            Inner::Transaction(transaction) => transaction.get_database_backend(),
        }
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        forward!(self, execute_raw, stmt)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        forward!(self, execute_unprepared, sql)
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        for _ in 0..self.stale() {
            match forward!(self, query_one_raw, stmt.clone()) {
                Err(error) if is_stale(&error) => {}
                answer => return answer,
            }
        }
        forward!(self, query_one_raw, stmt)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        for _ in 0..self.stale() {
            match forward!(self, query_all_raw, stmt.clone()) {
                Err(error) if is_stale(&error) => {}
                answer => return answer,
            }
        }
        forward!(self, query_all_raw, stmt)
    }
}
