//! `teleclaude sessions label`: gives a session labels and takes some away; and how labels are shown.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::sessions::changed;
use crate::client::Client;
use crate::domain::label::{self, Labels};
use crate::wire::request::LabelSession;
use clap::builder::NonEmptyStringValueParser;

/// Arguments of `sessions label`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The session's id, or the first 8 characters of it or more
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// `name=value` sets a label, `name-` takes it away
    #[arg(required = true, value_name = "NAME=VALUE|NAME-")]
    labels: Vec<String>,
    /// Why, where the session is somebody else's
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let (remove, set): (Vec<&String>, Vec<&String>) =
        args.labels.iter().partition(|word| word.ends_with('-') && !word.contains('='));
    let mut asked = LabelSession {
        session_id: args.id.clone(),
        set: of_arguments(set)?.unwrap_or_default(),
        remove: remove.iter().filter_map(|word| word.strip_suffix('-')).map(str::to_owned).collect(),
        if_version: None,
        reason: args.reason.clone(),
    };
    let mut answer = client.label_session(&asked).await;
    if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), args.reason.as_deref()) {
        asked.reason = Some(reason);
        answer = client.label_session(&asked).await;
    }
    changed(console, answer?, json)
}

/// Labels as they were typed; `None` for none.
///
/// # Errors
/// [`Failure::usage`] for what is no label.
pub fn of_arguments<'a>(typed: impl IntoIterator<Item = &'a String>) -> Result<Option<Labels>, Failure> {
    let typed: Vec<&str> = typed.into_iter().map(String::as_str).collect();
    if typed.is_empty() {
        return Ok(None);
    }
    label::parse(&typed.join(",")).map(Some).map_err(|problem| Failure::usage(format!("label: {problem}")))
}

/// Labels on one line.
pub fn shown(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{of_arguments, shown};

    #[test]
    fn labels_are_read_and_shown() {
        let typed = ["team=web".to_owned(), "a/b=1.0".to_owned()];
        assert_eq!(shown(&of_arguments(&typed).unwrap().unwrap()), "a/b=1.0 team=web");
        assert!(of_arguments(&[]).unwrap().is_none());
        assert_eq!(of_arguments(&["web".to_owned()]).unwrap_err().exit_code(), 2);
    }
}
