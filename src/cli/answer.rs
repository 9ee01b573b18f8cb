//! `teleclaude sessions answer`: says what a session's agent asks, and answers it.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{visible, visible_text};
use crate::client::Client;
use crate::wire::request::AnswerSession;
use crate::wire::session::NeedsInputRow;

/// What is answered, and how.
pub struct Given<'a> {
    /// The session.
    pub id: &'a str,
    /// The answer; asked for if there is none.
    pub answer: Option<&'a str>,
    /// Which question; the oldest if it is not said.
    pub request: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    given: Given<'_>,
    json: bool,
) -> Result<(), Failure> {
    let mut found = None;
    if given.request.is_none() || given.answer.is_none() {
        let session = client.session(given.id).await?.reply;
        found = match given.request {
            Some(request) => session.needs_input.into_iter().find(|row| row.request_id == request),
            None => session.needs_input.into_iter().next(),
        };
        if found.is_none() && given.request.is_none() {
            return Err(Failure::Local("the session's agent asks nothing now".to_owned()));
        }
    }
    let request =
        given.request.map(str::to_owned).or_else(|| found.as_ref().map(|row| row.request_id.clone()));
    let answer = match given.answer {
        Some(answer) => answer.to_owned(),
        None => {
            if let Some(row) = &found {
                console.note(&asked(row));
            }
            console.ask("Your answer (yes, no, the number of an option, or words):").ok_or_else(|| {
                Failure::usage("say what to answer: yes, no, the number of an option, or words")
            })?
        }
    };
    let mut asked = AnswerSession {
        session_id: given.id.to_owned(),
        request_id: request.unwrap_or_default(),
        answer,
        reason: given.reason.map(str::to_owned),
    };
    let mut reply = client.answer_session(&asked).await;
    if let Some(reason) = reason::ask_for(console, reply.as_ref().err(), given.reason) {
        asked.reason = Some(reason);
        reply = client.answer_session(&asked).await;
    }
    let reply = reply?;
    if json {
        return console.say_json(&reply.text);
    }
    console.say(&format!("{}\n", visible(&format!("{} {}", reply.reply.request_id, reply.reply.state))))
}

/// What is asked, for people. Nothing in it is obeyed by a terminal.
pub fn asked(row: &NeedsInputRow) -> String {
    let mut text = visible_text(row.asked.as_deref().unwrap_or("(only its owner sees what is asked)"));
    for (nth, option) in row.options.iter().enumerate() {
        text.push_str(&format!("\n  {}. {}", nth + 1, visible(option)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::asked;
    use crate::wire::session::NeedsInputRow;

    #[test]
    fn what_is_asked_is_shown_and_not_obeyed() {
        let row = NeedsInputRow {
            request_id: "r".to_owned(),
            kind: "question".to_owned(),
            asked: Some("Which\u{1b}[2J colour?".to_owned()),
            options: vec!["Red".to_owned(), "Blue".to_owned()],
            since: "2026-11-21T10:00:00Z".to_owned(),
        };
        let shown = asked(&row);
        assert!(!shown.contains('\u{1b}') && shown.ends_with("\n  1. Red\n  2. Blue"), "{shown}");
        assert!(asked(&NeedsInputRow { asked: None, options: vec![], ..row }).contains("only its owner"));
    }
}
