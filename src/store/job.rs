//! How each of a computer's jobs is: a row a job.

use crate::domain::job::{Job, JobState};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::job::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

/// The jobs of a computer that were ever done there. Jobs that this program does not know are left out.
///
/// # Errors
/// The database.
pub async fn all(conn: &Conn, computer: &str) -> Result<Vec<(Job, JobState)>, StoreError> {
    let rows =
        Entity::find().filter(Column::Computer.eq(computer)).order_by_asc(Column::Name).all(conn).await?;
    let known = rows.into_iter().filter_map(|row| Some((Job::parse(&row.name)?, row)));
    known.map(|(job, row)| Ok((job, state(row)?))).collect()
}

/// Keeps how a job is; what was kept of it is gone.
///
/// # Errors
/// The database.
pub async fn put(conn: &Conn, computer: &str, job: Job, state: &JobState) -> Result<(), StoreError> {
    let micros = |at: Option<Timestamp>| at.map(Timestamp::micros);
    let row = ActiveModel {
        computer: Set(computer.to_owned()),
        name: Set(job.name().to_owned()),
        last_started: Set(micros(state.last_started)),
        last_finished: Set(micros(state.last_finished)),
        last_ok: Set(micros(state.last_ok)),
        error: Set(state.error.clone().map(crate::store::clean)),
        next_run: Set(state.next_run.micros()),
        runs: Set(i64::try_from(state.runs).unwrap_or(i64::MAX)),
        failures: Set(i64::try_from(state.failures).unwrap_or(i64::MAX)),
    };
    let again = OnConflict::columns([Column::Computer, Column::Name])
        .update_columns([
            Column::LastStarted,
            Column::LastFinished,
            Column::LastOk,
            Column::Error,
            Column::NextRun,
            Column::Runs,
            Column::Failures,
        ])
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

fn state(row: Model) -> Result<JobState, StoreError> {
    let at = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    Ok(JobState {
        last_started: at(row.last_started),
        last_finished: at(row.last_finished),
        last_ok: at(row.last_ok),
        error: row.error,
        next_run: Timestamp::from_micros(row.next_run),
        runs: u64::try_from(row.runs).map_err(|_| StoreError::Unreadable("runs of a job"))?,
        failures: u64::try_from(row.failures).map_err(|_| StoreError::Unreadable("failures of a job"))?,
    })
}
