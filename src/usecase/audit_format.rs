//! Rows of the audit log as lines of JSON, of CSV, and as OCSF events. Pure.

use crate::domain::audit::{AuditEntry, AuditOutcome};
use crate::domain::audit_format::AuditFormat;
use crate::wire::audit::AuditRow;
use crate::wire::csv::field;
use serde_json::{Value, json};

/// The columns of the CSV, in the order of its head.
const COLUMNS: [&str; 18] = [
    "computer",
    "seq",
    "at",
    "actor",
    "actor_uid",
    "actor_role",
    "via",
    "action",
    "outcome",
    "session_id",
    "owner",
    "target_kind",
    "target_id",
    "reason",
    "request_id",
    "detail",
    "prev_hash",
    "hash",
];

/// What stands before the first row.
pub fn head(format: AuditFormat) -> String {
    match format {
        AuditFormat::Csv => format!("{}\r\n", COLUMNS.join(",")),
        AuditFormat::Jsonl | AuditFormat::Ocsf | AuditFormat::Bundle => String::new(),
    }
}

/// One row, with the end of its line. A bundle's rows are those of JSON with something around them, which is not here.
pub fn line(format: AuditFormat, entry: &AuditEntry) -> String {
    match format {
        AuditFormat::Csv => csv(&AuditRow::from(entry)),
        AuditFormat::Ocsf => format!("{}\n", ocsf(entry)),
        AuditFormat::Jsonl | AuditFormat::Bundle => {
            format!("{}\n", serde_json::to_string(&AuditRow::from(entry)).unwrap_or_default())
        }
    }
}

fn csv(row: &AuditRow) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let fields = [
        row.computer.clone(),
        row.seq.to_string(),
        row.at.clone(),
        row.actor.clone(),
        row.actor_uid.to_string(),
        row.actor_role.clone(),
        row.via.clone(),
        row.action.clone(),
        row.outcome.clone(),
        text(&row.session_id),
        text(&row.owner),
        text(&row.target_kind),
        text(&row.target_id),
        text(&row.reason),
        row.request_id.clone(),
        text(&row.detail),
        row.prev_hash.clone(),
        row.hash.clone(),
    ];
    let fields: Vec<String> = fields.iter().map(|text| field(text)).collect();
    format!("{}\r\n", fields.join(","))
}

/// What OCSF calls the kind of an activity.
fn activity(action: &str) -> i64 {
    let verb = action.rsplit('.').next().unwrap_or_default();
    match verb {
        "start" | "create" | "hold" | "prepare" => 1,
        "read" | "search" | "export" | "watch" | "list" | "verify" => 2,
        "send" | "attach" | "title" | "interrupt" | "resume" | "reload" | "rotate" | "put" => 3,
        "delete" | "purge" | "prune" => 4,
        _ => 99,
    }
}

/// The row as an event of OCSF's class API Activity, version 1.3.
fn ocsf(entry: &AuditEntry) -> Value {
    let row = AuditRow::from(entry);
    let draft = &entry.draft;
    let activity = activity(&draft.action);
    let (status_id, status, severity) = match draft.outcome {
        AuditOutcome::Success => (1, "Success", 1),
        AuditOutcome::Denied => (2, "Failure", 3),
        AuditOutcome::Failure => (2, "Failure", 2),
    };
    let mut resources = Vec::new();
    if let Some(session) = &draft.session {
        let mut resource = json!({ "type": "session", "uid": session });
        if let Some(owner) = &draft.owner {
            resource["owner"] = json!({ "name": owner });
        }
        resources.push(resource);
    }
    if let Some((kind, id)) = &draft.target {
        resources.push(json!({ "type": kind, "uid": id }));
    }
    let mut event = json!({
        "category_uid": 6, "category_name": "Application Activity",
        "class_uid": 6003, "class_name": "API Activity",
        "activity_id": activity, "type_uid": 600_300 + activity,
        "time": draft.at.micros() / 1_000,
        "severity_id": severity,
        "status_id": status_id, "status": status, "status_detail": draft.outcome.name(),
        "metadata": {
            "version": "1.3.0",
            "product": { "name": "teleclaude", "vendor_name": "teleclaude", "version": env!("CARGO_PKG_VERSION") },
            "uid": format!("{}/{}", entry.computer, entry.seq),
            "sequence": entry.seq,
            "log_name": "audit",
            "original_time": row.at,
        },
        "actor": {
            "user": { "name": draft.actor, "uid": draft.actor_uid.to_string(), "type": draft.actor_role.name() },
        },
        "api": {
            "operation": draft.action,
            "request": { "uid": draft.request_id },
            "service": { "name": format!("teleclaude/{}", draft.via) },
        },
        "src_endpoint": { "name": entry.computer, "hostname": entry.computer },
        "unmapped": { "prev_hash": row.prev_hash, "hash": row.hash, "detail": draft.detail },
    });
    if !resources.is_empty() {
        event["resources"] = resources.into();
    }
    if let Some(reason) = &draft.reason {
        event["message"] = reason.as_str().into();
    }
    event
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, head, line};
    use crate::domain::audit::{AuditDraft, AuditEntry, AuditOutcome};
    use crate::domain::audit_format::AuditFormat;
    use crate::domain::timestamp::Timestamp;
    use proptest::prelude::{any, proptest};
    use serde_json::Value;

    fn entry(reason: &str) -> AuditEntry {
        let at = Timestamp::from_micros(1_795_271_509_123_456);
        let draft = AuditDraft::by_daemon(7, "transcript.read", AuditOutcome::Denied, at);
        let draft = AuditDraft { session: Some("s1".to_owned()), owner: Some("bob".to_owned()), ..draft };
        let draft = draft.because(Some(reason));
        AuditEntry { computer: "c".to_owned(), seq: 3, draft, prev_hash: [1; 32], hash: [2; 32] }
    }

    #[test]
    fn no_field_is_a_formula() {
        let text = line(AuditFormat::Csv, &entry("=cmd|' /C calc'!A0"));
        assert!(text.contains(",'=cmd|"), "{text}");
        assert_eq!(head(AuditFormat::Csv).split(',').count(), COLUMNS.len());
        assert_eq!(text.matches(',').count(), COLUMNS.len() - 1);
    }

    #[test]
    fn an_ocsf_event_has_what_its_class_wants() {
        let event: Value = serde_json::from_str(&line(AuditFormat::Ocsf, &entry("an incident"))).unwrap();
        for key in [
            "activity_id",
            "actor",
            "api",
            "category_uid",
            "class_uid",
            "metadata",
            "severity_id",
            "src_endpoint",
            "time",
            "type_uid",
        ] {
            assert!(!event[key].is_null(), "{key}");
        }
        assert_eq!((&event["class_uid"], &event["type_uid"]), (&6003.into(), &600_302.into()));
        assert_eq!(event["type_uid"], 600_300 + event["activity_id"].as_i64().unwrap());
        assert_eq!(event["time"], 1_795_271_509_123_i64);
        assert_eq!(event["resources"][0]["owner"]["name"], "bob");
        assert_eq!(event["status_id"], 2);
    }

    proptest! {
        #[test]
        fn one_row_is_one_line(reason in any::<String>()) {
            let entry = entry(&reason);
            for format in [AuditFormat::Jsonl, AuditFormat::Ocsf] {
                let text = line(format, &entry);
                assert_eq!(text.matches('\n').count(), 1);
                assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
        }
    }
}
