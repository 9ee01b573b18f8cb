//! Asking about one's inbox, and writing to others.

use super::{Answer, Client, ClientError, body, encoded, query};
use crate::wire::audit::AuditReply;
use crate::wire::inbox::{DeliveredReply, Inbox, InboxReply, SendSummary, SendToPerson, WhoRead};
use serde_json::json;

impl Client {
    /// One's messages.
    pub async fn inbox(&self, asked: &Inbox) -> Result<Answer<InboxReply>, ClientError> {
        if asked.marks() {
            return self.post("/inbox/read", &body(asked)?).await;
        }
        self.get(&format!("/inbox{}", query(asked, &[])?)).await
    }

    /// Who read what of one's own.
    pub async fn who_read_mine(&self, asked: &WhoRead) -> Result<Answer<AuditReply>, ClientError> {
        self.get(&format!("/audit/mine{}", query(asked, &[])?)).await
    }

    /// Writes to a person.
    pub async fn send_to_user(&self, asked: &SendToPerson) -> Result<Answer<DeliveredReply>, ClientError> {
        let mut fields = json!({ "message": asked.message });
        for (name, value) in [("into_session", &asked.into_session), ("reason", &asked.reason)] {
            if let Some(value) = value {
                fields[name] = json!(value);
            }
        }
        self.post(&format!("/people/{}/messages", encoded(&asked.user)), &fields).await
    }

    /// Tells who gave a task what was done.
    pub async fn send_summary(&self, asked: &SendSummary) -> Result<Answer<DeliveredReply>, ClientError> {
        self.post("/inbox/summaries", &body(asked)?).await
    }
}
