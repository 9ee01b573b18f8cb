//! The client's methods for the audit log, and reading an answer that is sent while it is made.

use crate::client::{Answer, Client, ClientError, encoded, query};
use crate::domain::audit_format::AuditFormat;
use crate::wire::audit::{
    AuditKeysReply, AuditReply, FollowAudit, HoldRow, HoldsReply, ListHolds, PlaceHold, PruneAudit,
    PrunedReply, VerifiedReply, VerifyAudit,
};
use crate::wire::limits::{COMPLETE_TRAILER, PLACES_HEADER};
use crate::wire::request::ListAudit;
use http::header::{HeaderValue, TE};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::time::timeout;

/// A part of an answer that is sent while it is made.
#[derive(Debug)]
pub enum Heard<'a> {
    /// By computer the row after which those come that are followed.
    Places(BTreeMap<String, i64>),
    /// Bytes of rows.
    Rows(&'a [u8]),
}

impl Client {
    /// Rows of the audit log.
    pub async fn audit(&self, asked: &ListAudit) -> Result<Answer<AuditReply>, ClientError> {
        self.get(&format!("/audit{}", query(asked, &[])?)).await
    }

    /// Checks the audit chains.
    pub async fn verify_audit(&self, asked: &VerifyAudit) -> Result<Answer<VerifiedReply>, ClientError> {
        self.post("/audit/verify", &super::body(asked)?).await
    }

    /// The public keys of the checkpoints.
    pub async fn audit_keys(&self) -> Result<Answer<AuditKeysReply>, ClientError> {
        self.get("/audit/keys").await
    }

    /// A new key for the checkpoints.
    pub async fn rotate_audit_key(&self) -> Result<Answer<AuditKeysReply>, ClientError> {
        self.post("/audit/keys/rotate", &json!({})).await
    }

    /// Cuts old rows off.
    pub async fn prune_audit(&self, asked: &PruneAudit) -> Result<Answer<PrunedReply>, ClientError> {
        self.post("/audit/prune", &super::body(asked)?).await
    }

    /// Places a hold.
    pub async fn place_hold(&self, asked: &PlaceHold) -> Result<Answer<HoldRow>, ClientError> {
        self.post("/audit/holds", &super::body(asked)?).await
    }

    /// Releases one.
    pub async fn release_hold(&self, id: &str, reason: &str) -> Result<Answer<HoldRow>, ClientError> {
        self.post(&format!("/audit/holds/{}/release", encoded(id)), &json!({ "reason": reason })).await
    }

    /// Holds.
    pub async fn holds(&self, asked: &ListHolds) -> Result<Answer<HoldsReply>, ClientError> {
        self.get(&format!("/audit/holds{}", query(asked, &[])?)).await
    }

    /// Writes the log out, piece by piece to `take`; how many rows it says there were, if it came to its end.
    pub async fn export_audit<E: From<ClientError>>(
        &self,
        format: AuditFormat,
        asked: &ListAudit,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let mut rows = |heard: Heard<'_>| match heard {
            Heard::Places(_) => Ok(()),
            Heard::Rows(bytes) => take(bytes),
        };
        let filters = query(asked, &[])?.replacen('?', "&", 1);
        self.in_parts(&format!("/audit/export?format={}{filters}", format.name()), &mut rows).await
    }

    /// Where they begin, then rows as they come, piece by piece to `take`, until the daemon or `take` ends it.
    pub async fn follow_audit<E: From<ClientError>>(
        &self,
        asked: &FollowAudit,
        mut take: impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut path = format!("/audit/tail{}", query(&asked.filter, &[])?);
        if let Some(after) = &asked.after {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("after={}", encoded(&json!(after).to_string())));
        }
        self.in_parts(&path, &mut take).await.map(|_| ())
    }

    /// One answer on a connection of its own. Each piece has to come as soon as an answer would.
    async fn in_parts<E: From<ClientError>>(
        &self,
        path: &str,
        take: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let mut request = self.request(Method::GET, path, None)?;
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let (_sender, response) = self.begin(request, StatusCode::OK, "it is no audit log").await?;
        let (head, mut body) = response.into_parts();
        let places =
            head.headers.get(PLACES_HEADER).and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
        if let Some(places) = places {
            take(Heard::Places(places))?;
        }
        loop {
            let Ok(frame) = timeout(self.endpoint().answer_time, body.frame()).await else { return Ok(None) };
            let Some(Ok(frame)) = frame else { return Ok(None) };
            if let Some(trailers) = frame.trailers_ref() {
                let rows = trailers.get(COMPLETE_TRAILER).and_then(|rows| rows.to_str().ok()?.parse().ok());
                return Ok(rows);
            }
            if let Some(bytes) = frame.data_ref() {
                take(Heard::Rows(bytes))?;
            }
        }
    }
}
