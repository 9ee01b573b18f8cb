//! Asking for changes of people and bans.

use super::{Answer, Client, ClientError, encoded, query};
use crate::wire::people_change::{
    AddPerson, BanPerson, BannedReply, BansReply, BulkPeople, BulkReply, LiftBan, LiftedReply, ListBans,
    MergePeople, MergedReply, PersonChangedReply, PersonPurgedReply, SetPersonRole, SetPersonStatus,
    UpdatePerson, WarnPerson, WarnedReply,
};
use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

impl Client {
    /// Adds somebody.
    pub async fn add_person(&self, asked: &AddPerson) -> Result<Answer<PersonChangedReply>, ClientError> {
        self.post("/people", &super::body(asked)?).await
    }

    /// Changes what is kept of somebody.
    pub async fn update_person(
        &self,
        asked: &UpdatePerson,
    ) -> Result<Answer<PersonChangedReply>, ClientError> {
        let fields = without_person(asked)?;
        self.ask(Method::PATCH, &format!("/people/{}", encoded(&asked.person)), Some(&fields)).await
    }

    /// Gives somebody a role.
    pub async fn set_role(&self, asked: &SetPersonRole) -> Result<Answer<PersonChangedReply>, ClientError> {
        let fields = without_person(asked)?;
        self.ask(Method::PUT, &format!("/people/{}/role", encoded(&asked.person)), Some(&fields)).await
    }

    /// Switches somebody on or off.
    pub async fn set_status(
        &self,
        asked: &SetPersonStatus,
    ) -> Result<Answer<PersonChangedReply>, ClientError> {
        let fields = without_person(asked)?;
        self.ask(Method::PUT, &format!("/people/{}/status", encoded(&asked.person)), Some(&fields)).await
    }

    /// Deletes somebody.
    pub async fn delete_person(&self, person: &str) -> Result<Answer<PersonChangedReply>, ClientError> {
        self.ask(Method::DELETE, &format!("/people/{}", encoded(person)), None).await
    }

    /// Removes all that is kept of somebody.
    pub async fn purge_person(&self, person: &str) -> Result<Answer<PersonPurgedReply>, ClientError> {
        self.ask(Method::POST, &format!("/people/{}/purge", encoded(person)), None).await
    }

    /// Makes one person of two.
    pub async fn merge_people(&self, asked: &MergePeople) -> Result<Answer<MergedReply>, ClientError> {
        self.post(&format!("/people/{}/merge", encoded(&asked.person)), &json!({ "into": asked.into })).await
    }

    /// Changes many.
    pub async fn bulk_people(&self, asked: &BulkPeople) -> Result<Answer<BulkReply>, ClientError> {
        self.post("/people/bulk", &super::body(asked)?).await
    }

    /// Warns somebody.
    pub async fn warn_person(&self, asked: &WarnPerson) -> Result<Answer<WarnedReply>, ClientError> {
        let fields = without_person(asked)?;
        self.post(&format!("/people/{}/warnings", encoded(&asked.person)), &fields).await
    }

    /// Bans somebody.
    pub async fn ban(&self, asked: &BanPerson) -> Result<Answer<BannedReply>, ClientError> {
        self.post("/bans", &super::body(asked)?).await
    }

    /// Lifts a ban.
    pub async fn lift_ban(&self, asked: &LiftBan) -> Result<Answer<LiftedReply>, ClientError> {
        self.post("/bans/lift", &super::body(asked)?).await
    }

    /// Bans.
    pub async fn bans(&self, asked: &ListBans) -> Result<Answer<BansReply>, ClientError> {
        self.get(&format!("/bans{}", query(asked, &[])?)).await
    }
}

/// The fields of a request whose person stands in the path.
fn without_person(asked: &impl Serialize) -> Result<Value, ClientError> {
    let mut fields = super::body(asked)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("person");
    }
    Ok(fields)
}
