//! Asking about the daemon's jobs.

use super::{Answer, Client, ClientError, encoded};
use crate::wire::job::{JobRow, JobsReply};
use serde_json::json;

impl Client {
    /// The jobs of the daemon's computer.
    pub async fn jobs(&self) -> Result<Answer<JobsReply>, ClientError> {
        self.get("/jobs").await
    }

    /// Has one done now.
    pub async fn run_job(&self, name: &str) -> Result<Answer<JobRow>, ClientError> {
        self.post(&format!("/jobs/{}/run", encoded(name)), &json!({})).await
    }
}
