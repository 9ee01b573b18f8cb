//! Paths about credentials and the keys they are encrypted with.

use crate::daemon::http::routes::row::{Route, delete, get, post, put};
use crate::domain::verb::Verb;
use crate::wire::credential::{
    CredentialDeletedReply, CredentialRow, CredentialsReply, ImportedReply, KeysReply,
};
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get("/credentials", "list_credentials", Verb::ListCredentials, "Lists the names of your credentials.")
            .query(Request::ListCredentials)
            .gives::<CredentialsReply>(),
        post(
            "/credentials/import",
            "import_credentials",
            Verb::ImportCredentials,
            "Keeps many credentials, all or none.",
        )
        .body(Request::ImportCredentials)
        .secret(
            "{\"credentials\": [{\"name\": NAME, \"value\": TEXT}, …], \"replace\": true|false, \"system\": true|false}",
        )
        .gives::<ImportedReply>(),
        put("/credentials/{name}", "put_credential", Verb::PutCredential, "Keeps a credential, encrypted.")
            .body(Request::PutCredential)
            .secret("{\"value\": TEXT, \"system\": true|false}")
            .guarded("if_updated_at")
            .versioned("updated_at")
            .gives::<CredentialRow>(),
        delete("/credentials/{name}", "delete_credential", Verb::DeleteCredential, "Deletes a credential.")
            .query(Request::DeleteCredential)
            .guarded("if_updated_at")
        .gives::<CredentialDeletedReply>(),
        get("/keys", "show_keys", Verb::ShowKeys, "Shows how the encryption keys are.")
            .asks(Request::ShowKeys)
            .gives::<KeysReply>(),
        post("/keys", "generate_key", Verb::GenerateKey, "Makes the first encryption key.")
            .asks(Request::GenerateKey)
            .gives::<KeysReply>(),
        post(
            "/keys/rotate",
            "rotate_key",
            Verb::RotateKey,
            "Makes another encryption key, and encrypts everything anew with it.",
        )
        .asks(Request::RotateKey)
        .gives::<KeysReply>(),
    ]
}
