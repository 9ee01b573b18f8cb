//! One type for what queries run on: the readers' pool or a unit's transaction. Inside a unit it remembers the first
//! statement that failed, so that a unit cannot swallow a broken transaction and be acknowledged.

use crate::store::error::StoreError;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    Statement,
};
use std::sync::{Mutex, PoisonError};

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

macro_rules! forward {
    ($self:ident, $method:ident, $argument:expr) => {{
        let answer = match &$self.inner {
            Inner::Pool(pool) => pool.$method($argument).await,
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
        forward!(self, query_one_raw, stmt)
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        forward!(self, query_all_raw, stmt)
    }
}
