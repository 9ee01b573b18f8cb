//! Refusals: what is written down of them, and what the refused are told.

use crate::domain::action::Action;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::policy::Denied;
use crate::domain::verb::Verb;
use crate::usecase::resolve::{no_session, no_user};
use crate::usecase::{Facts, activity, letter, people, task};
use crate::wire::fault::{Fault, FaultCode};
use serde_json::json;

/// The audit row for a refusal that needed no look at any thing.
pub fn of_verb(facts: &Facts, caller: &Caller, verb: Verb) -> AuditDraft {
    let request = facts.request_id.to_string();
    AuditDraft::by(caller, "access.denied", AuditOutcome::Denied, facts.now, &request)
        .with_detail(&json!({ "action": verb.name() }))
}

/// The audit row for a refusal.
pub fn of_action(facts: &Facts, caller: &Caller, action: &Action) -> AuditDraft {
    let draft = of_verb(facts, caller, action.verb());
    match action.session() {
        Some(session) => draft.about(session),
        None => draft,
    }
}

/// What a refusal is to a client. What they may not see answers as what does not exist.
pub fn fault(denied: Denied, action: &Action, caller: &Caller) -> Fault {
    let denied_with = |message: String| Fault::new(FaultCode::Denied, message);
    match denied {
        Denied::Standing(why) => denied_with(why).hint("ask an admin; `teleclaude whoami` still works"),
        Denied::Role { verb, least } => {
            denied_with(format!("the role {} may not do `{}`", caller.role, verb.name()))
                .hint(format!("it takes the role {least} or more; `teleclaude whoami --explain` shows yours"))
        }
        Denied::OnlyAgents(verb) => {
            denied_with(format!("only an agent may do `{}`, of its own session", verb.name()))
        }
        Denied::Agent(verb) => denied_with(format!("an agent may not do `{}`", verb.name())),
        Denied::Hidden => match action {
            Action::ListSessions(query) => {
                Fault::not_found("sessions of", query.owner.as_deref().unwrap_or_default())
            }
            Action::ShowPerson { person, .. } => people::nobody("person", &person.name),
            Action::SendToPerson(letter) => letter::nobody(&letter.asked),
            Action::ExplainPerson { who, .. } => no_user(who.os_username.as_deref().unwrap_or_default()),
            Action::ShowUsage(query) => activity::no_person(query.person.as_deref().unwrap_or_default()),
            Action::ListActivity(query) if query.session.is_none() => {
                activity::no_person(query.person.as_deref().unwrap_or_default())
            }
            Action::ShowTask(task) => task::no_task(&task.id.to_string()),
            Action::UpdateTask(change) => task::no_task(&change.task.id.to_string()),
            other => {
                let id = other.session().map(|s| s.id.to_string()).unwrap_or_default();
                no_session(&id)
            }
        },
        Denied::TaskStep(step) => task::no_step(step, action),
        Denied::TaskText => {
            denied_with("what a task says is for who gave it, or an admin, to change".to_owned())
                .hint("write to them instead")
        }
        Denied::NotYours => denied_with("the session is somebody else's".to_owned())
            .hint("an admin may type into it only with `roles.admin.steer_others: true`, and with a reason"),
        Denied::Reason(why) => Fault::invalid("reason", why)
            .hint("say why in 10 characters or more; it is written down and shown to the owner"),
        Denied::ProjectHidden(name) => {
            Fault::not_found("project", &name).hint("`teleclaude projects` lists those open to you")
        }
        Denied::ProfileTooWide(agent) => {
            // A session runs as its owner, whoever resumes it.
            let role = match action {
                Action::ResumeSession(resumption) => resumption.owner.role,
                _ => caller.role,
            };
            denied_with(format!("the role {role} may not run `{agent}`")).hint("it has no restricted profile")
        }
        Denied::NotAdmin => {
            denied_with(format!("the role {} may not touch what is the system's", caller.role))
                .hint("your own credentials need no `system`")
        }
        Denied::Owner(why) => denied_with(format!("the session's owner may not run it: {why}")),
        Denied::TooManySessions(most) => Fault::new(
            FaultCode::LimitReached,
            match action {
                Action::ResumeSession(resumption) if resumption.owner.uid != caller.uid => {
                    format!("the session's owner has {most} open sessions, as many as their role may")
                }
                _ => format!("you have {most} open sessions, as many as your role may"),
            },
        )
        .hint("end one with `teleclaude sessions end ID`, or ask an admin (roles.*.max_sessions)"),
    }
}
