//! Asking about people.

use super::{Answer, Client, ClientError, encoded, query};
use crate::wire::people::{
    FindPerson, FoundPersonReply, ListPeople, PeopleReply, PeopleStatsReply, PersonReply,
};
use crate::wire::reply::WhoamiReply;

impl Client {
    /// A page of people.
    pub async fn people(&self, asked: &ListPeople) -> Result<Answer<PeopleReply>, ClientError> {
        self.get(&format!("/people{}", query(asked, &[])?)).await
    }

    /// Who is meant by some words.
    pub async fn find_person(&self, asked: &FindPerson) -> Result<Answer<FoundPersonReply>, ClientError> {
        self.get(&format!("/people/find{}", query(asked, &[])?)).await
    }

    /// Somebody; oneself without words.
    pub async fn person(&self, who: Option<&str>) -> Result<Answer<PersonReply>, ClientError> {
        match who {
            Some(who) => self.get(&format!("/people/{}", encoded(who))).await,
            None => self.get("/people/me").await,
        }
    }

    /// How many people there are.
    pub async fn people_stats(&self) -> Result<Answer<PeopleStatsReply>, ClientError> {
        self.get("/people/stats").await
    }

    /// Why somebody is who they are.
    pub async fn explain_person(&self, user: &str) -> Result<Answer<WhoamiReply>, ClientError> {
        self.get(&format!("/people/{}/explain", encoded(user))).await
    }
}
