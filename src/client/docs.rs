//! Asking about shared documents.

use super::{Answer, Client, ClientError, encoded, query};
use crate::wire::docs::{ContextReply, DocProblemsReply, DocText, GetContext};

impl Client {
    /// The index, or the texts of some.
    pub async fn context(&self, asked: &GetContext) -> Result<Answer<ContextReply>, ClientError> {
        let mut path = format!("/docs{}", query(asked, &["ids", "types"])?);
        for (name, list) in [("ids", &asked.ids), ("types", &asked.types)] {
            for one in list.iter().flatten() {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(&format!("{name}={}", encoded(one)));
            }
        }
        self.get(&path).await
    }

    /// One document, whole.
    pub async fn document(&self, id: &str) -> Result<Answer<DocText>, ClientError> {
        self.get(&format!("/docs/{}", encoded(id))).await
    }

    /// What is wrong with the documents.
    pub async fn doc_problems(&self) -> Result<Answer<DocProblemsReply>, ClientError> {
        self.get("/health/docs").await
    }
}
