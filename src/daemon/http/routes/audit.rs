//! Paths about the audit log.

use crate::daemon::http::routes::read::take;
use crate::daemon::http::routes::row::{Route, Whence, get, post};
use crate::daemon::mcp::tools::arguments;
use crate::domain::audit_format::AuditFormat;
use crate::domain::verb::Verb;
use crate::wire::audit::{
    AuditKeysReply, AuditReply, AuditRow, ExportAudit, ExportForm, FollowAudit, FollowFrom, HoldRow,
    HoldsReply, PrunedReply, VerifiedReply, VerifyAudit,
};
use crate::wire::fault::Fault;
use crate::wire::request::{ListAudit, Request};
use serde_json::{Map, Value};

/// The rows.
pub fn rows() -> Vec<Route> {
    let export = get(
        "/audit/export",
        "export_audit",
        Verb::ExportAudit,
        "Writes rows of the audit log out. A trailer says how many there were; without it they are not all.",
    )
    .reads::<ExportForm>(Whence::Query, export)
    .and::<ListAudit>()
    .without(&["cursor", "limit"]);
    vec![
        get(
            "/audit/mine",
            "who_read_my_sessions",
            Verb::WhoReadMine,
            "Lists who read or steered your sessions, and why.",
        )
        .query(Request::WhoReadMine)
        .gives::<AuditReply>(),
        get("/audit", "audit_query", Verb::ListAudit, "Lists rows of the audit log, newest first.")
            .query(Request::ListAudit)
            .gives::<AuditReply>(),
        get("/audit/verify", "check_audit", Verb::VerifyAudit, "Checks the chains of the audit log.")
            .asks(Request::VerifyAudit(VerifyAudit::default()))
            .gives::<VerifiedReply>(),
        post(
            "/audit/verify",
            "verify_audit",
            Verb::VerifyAudit,
            "Checks the chains of the audit log, also with checkpoints and keys from elsewhere.",
        )
        .body(Request::VerifyAudit)
        .gives::<VerifiedReply>(),
        [AuditFormat::Jsonl, AuditFormat::Csv]
            .into_iter()
            .fold(export, |row, format| row.sends(format.media_type())),
        get(
            "/audit/tail",
            "follow_audit",
            Verb::FollowAudit,
            "Sends rows of the audit log as they are written.",
        )
        .reads::<FollowFrom>(Whence::Query, follow)
        .and::<ListAudit>()
        .without(&["cursor"])
        .sends_lines::<AuditRow>(AuditFormat::Jsonl.media_type()),
        get(
            "/audit/keys",
            "show_audit_keys",
            Verb::ShowAuditKeys,
            "Shows the public keys of the checkpoints.",
        )
        .asks(Request::ShowAuditKeys)
        .gives::<AuditKeysReply>(),
        post(
            "/audit/keys/rotate",
            "rotate_audit_key",
            Verb::RotateAuditKey,
            "Signs checkpoints with a new key.",
        )
        .asks(Request::RotateAuditKey)
        .gives::<AuditKeysReply>(),
        post("/audit/prune", "prune_audit", Verb::PruneAudit, "Cuts old rows off the audit log.")
            .body(Request::PruneAudit)
            .gives::<PrunedReply>(),
        get("/audit/holds", "list_holds", Verb::ListHolds, "Lists what is kept from being pruned.")
            .query(Request::ListHolds)
            .gives::<HoldsReply>(),
        post("/audit/holds", "place_hold", Verb::HoldAudit, "Keeps rows of the audit log from being pruned.")
            .body(Request::PlaceHold)
            .gives::<HoldRow>(),
        post(
            "/audit/holds/{id}/release",
            "release_hold",
            Verb::HoldAudit,
            "No longer keeps what a hold kept.",
        )
        .body(Request::ReleaseHold)
        .gives::<HoldRow>(),
    ]
}

fn export(mut fields: Map<String, Value>) -> Result<Request, Fault> {
    let form: ExportForm = arguments(take(&mut fields, &["format"]))?;
    let format = form.format.unwrap_or(AuditFormat::Jsonl);
    Ok(Request::ExportAudit(ExportAudit { format, filter: arguments(fields)? }))
}

fn follow(mut fields: Map<String, Value>) -> Result<Request, Fault> {
    let from: FollowFrom = arguments(take(&mut fields, &["after"]))?;
    let after = from.after.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| {
        Fault::invalid("after", "must be a JSON object of computers and the last row that one has")
    })?;
    Ok(Request::FollowAudit(FollowAudit { filter: arguments(fields)?, after }))
}
