//! Whether a session's hooks were heard in this run of it, and where its agent says that it writes its log.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::hook_state::{ActiveModel, Column, Entity};
use crate::store::error::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};

/// What is known by hooks of the run of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookState {
    /// When one was heard last.
    pub heard: Timestamp,
    /// Where the agent says that its log is.
    pub transcript_path: Option<String>,
}

/// One was heard. A path that is known stays known if this one named none.
pub async fn heard(
    conn: &Conn,
    session: SessionId,
    transcript_path: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        session: Set(session.0),
        heard: Set(at.micros()),
        transcript_path: Set(transcript_path.map(|path| crate::store::clean(path.to_owned()))),
    };
    let mut again = OnConflict::column(Column::Session);
    again.update_column(Column::Heard);
    if transcript_path.is_some() {
        again.update_column(Column::TranscriptPath);
    }
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    Ok(())
}

/// What is known of this session.
pub async fn by_session(conn: &Conn, session: SessionId) -> Result<Option<HookState>, StoreError> {
    let row = Entity::find_by_id(session.0).one(conn).await?;
    Ok(row.map(|row| HookState {
        heard: Timestamp::from_micros(row.heard),
        transcript_path: row.transcript_path,
    }))
}

/// Another run of the session begins: nothing of it was heard.
pub async fn forget(conn: &Conn, session: SessionId) -> Result<(), StoreError> {
    Entity::delete_by_id(session.0).exec(conn).await?;
    Ok(())
}
