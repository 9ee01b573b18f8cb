//! Taking a session out as a file: who may was judged before; here a place is taken, the row is written, and only then
//! something is given. What goes over the connection is `http::export`.

use crate::daemon::app::App;
use crate::daemon::limits::{Bucket, Entered};
use crate::domain::action::Action;
use crate::domain::export::ExportFormat;
use crate::domain::policy::Permit;
use crate::usecase::export::Export;
use crate::usecase::{Facts, sessions, witness};
use crate::wire::fault::{Fault, FaultCode};
use tokio::time::Instant;

/// Exports of one uid that go on at the same time, at most: each keeps some mebibytes.
pub const PER_UID: usize = 4;

/// A session that is being taken out by one who may.
pub struct Exported {
    /// The file as it is made.
    pub export: Export,
    /// As what.
    pub format: ExportFormat,
    /// What was permitted.
    pub action: Action,
    _place: Entered,
}

/// Takes a place, finds what there is, and writes it down if it is to be. Nothing is given before that.
///
/// # Errors
/// `not_found`: there is nothing to be taken out. `limit_reached`, `audit_unavailable`, `unavailable`.
pub async fn open(app: &App, facts: &Facts, permit: Permit, deadline: Instant) -> Result<Exported, Fault> {
    let (caller, action) = (permit.caller().clone(), permit.action().clone());
    let Action::ExportSession { session, format, .. } = &action else {
        return Err(Fault::new(FaultCode::Internal, "this is not exporting"));
    };
    let format = *format;
    let path = sessions::recording_path(facts, session)?;
    let place = app.exports().enter(Bucket::Uid(caller.uid), PER_UID).ok_or_else(|| {
        Fault::new(FaultCode::LimitReached, format!("{PER_UID} exports of yours go on already"))
            .hint("wait for one of them to end")
    })?;
    let export = Export::open(app.store(), (session, &path), format, caller.uid, facts.now).await?;
    let written = witness::write_down(app.store(), facts, permit, deadline).await?;
    app.tell_of(&written);
    Ok(Exported { export, format, action, _place: place })
}
