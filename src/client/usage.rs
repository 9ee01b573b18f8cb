//! The client's methods for what was used and who did what.

use crate::client::{Answer, Client, ClientError, query};
use crate::wire::activity::{ActivityReply, ListActivity};
use crate::wire::usage::{ShowUsage, UsageReply};

impl Client {
    /// What was used.
    pub async fn usage(&self, asked: &ShowUsage) -> Result<Answer<UsageReply>, ClientError> {
        self.get(&format!("/usage{}", query(asked, &[])?)).await
    }

    /// Who did what, when.
    pub async fn activity(&self, asked: &ListActivity) -> Result<Answer<ActivityReply>, ClientError> {
        self.get(&format!("/activity{}", query(asked, &[])?)).await
    }
}
