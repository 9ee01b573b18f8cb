//! Asking about credentials and encryption keys.

use super::{Answer, Client, ClientError, encoded, query};
use crate::wire::credential::{
    CredentialDeletedReply, CredentialRow, CredentialsReply, DeleteCredential, ImportCredentials,
    ImportedReply, KeysReply, ListCredentials, PutCredential,
};
use http::Method;
use serde_json::json;

impl Client {
    /// Names of credentials.
    pub async fn credentials(
        &self,
        asked: &ListCredentials,
    ) -> Result<Answer<CredentialsReply>, ClientError> {
        self.get(&format!("/credentials{}", query(asked, &[])?)).await
    }

    /// Keeps a credential.
    pub async fn put_credential(&self, asked: &PutCredential) -> Result<Answer<CredentialRow>, ClientError> {
        let fields = json!({ "value": asked.value, "system": asked.system });
        self.ask(Method::PUT, &format!("/credentials/{}", encoded(&asked.name)), Some(&fields)).await
    }

    /// Deletes one.
    pub async fn delete_credential(
        &self,
        asked: &DeleteCredential,
    ) -> Result<Answer<CredentialDeletedReply>, ClientError> {
        let rest = query(asked, &["name"])?;
        self.ask(Method::DELETE, &format!("/credentials/{}{rest}", encoded(&asked.name)), None).await
    }

    /// Keeps many, all or none.
    pub async fn import_credentials(
        &self,
        asked: &ImportCredentials,
    ) -> Result<Answer<ImportedReply>, ClientError> {
        self.post("/credentials/import", &super::body(asked)?).await
    }

    /// How the encryption keys are.
    pub async fn keys(&self) -> Result<Answer<KeysReply>, ClientError> {
        self.get("/keys").await
    }

    /// Makes the first encryption key.
    pub async fn generate_key(&self) -> Result<Answer<KeysReply>, ClientError> {
        self.post("/keys", &json!({})).await
    }

    /// Makes another.
    pub async fn rotate_key(&self) -> Result<Answer<KeysReply>, ClientError> {
        self.post("/keys/rotate", &json!({})).await
    }
}
