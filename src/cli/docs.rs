//! `teleclaude docs`: which shared documents there are for one's role, their texts, and what is wrong with them.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, Look, YELLOW, cell, more, table, visible, visible_text};
use crate::client::{Client, ClientError};
use crate::wire::docs::{ContextReply, DocProblemsReply, DocText, GetContext};
use clap::builder::NonEmptyStringValueParser;

/// Commands of `docs`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the documents that your role may read
    Index {
        /// Only documents of this type; may be given several times
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
        /// Rows at most
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
        limit: Option<i64>,
        /// All of them, page after page (with --json: a line for each page)
        #[arg(long, conflicts_with_all = ["cursor", "limit"])]
        all: bool,
        /// Show what is wrong with files instead, and which are left out for it (admins)
        #[arg(long, conflicts_with_all = ["types", "cursor", "limit", "all"])]
        problems: bool,
    },
    /// Print documents as markdown, what they require before them
    Get {
        /// Their ids
        #[arg(required = true, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        ids: Vec<String>,
        /// Without what they require
        #[arg(long)]
        only: bool,
    },
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::Index { problems: true, .. } => {
            let answer = client.doc_problems().await?;
            if json {
                return console.say_json(&answer.text);
            }
            let text = problems(&answer.reply, &console.look);
            console.say(&text)
        }
        Command::Index { types, cursor, limit, all, .. } => {
            let asked = GetContext {
                types: (!types.is_empty()).then(|| types.clone()),
                cursor: cursor.clone(),
                limit: if *all { Some(100) } else { *limit },
                ..GetContext::default()
            };
            list(console, client, asked, *all, json).await
        }
        Command::Get { ids, only } => {
            let asked = GetContext {
                ids: Some(ids.clone()),
                include_requirements: only.then_some(false),
                ..GetContext::default()
            };
            get(console, client, asked, json).await
        }
    }
}

async fn list(
    console: &mut Console<'_>,
    client: &Client,
    mut asked: GetContext,
    all: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut whole = ContextReply::default();
    loop {
        let answer = client.context(&asked).await?;
        let reply = answer.reply;
        if json {
            console.say_json(&answer.text)?;
        }
        let next = reply.next_cursor.clone();
        whole.index.extend(reply.index);
        whole.next_cursor = next.clone();
        match next.filter(|_| all) {
            Some(next) => asked.cursor = Some(another(asked.cursor.take(), next)?),
            None => break,
        }
    }
    if json {
        return Ok(());
    }
    let text = index(&whole, &console.look);
    console.say(&text)
}

async fn get(
    console: &mut Console<'_>,
    client: &Client,
    mut asked: GetContext,
    json: bool,
) -> Result<(), Failure> {
    let mut begun = false;
    let mut left_out = 0;
    loop {
        let answer = client.context(&asked).await?;
        if json {
            console.say_json(&answer.text)?;
        } else {
            for part in &answer.reply.documents {
                let text = text(part, begun);
                console.say(&text)?;
                begun = true;
            }
        }
        left_out = left_out.max(answer.reply.requirements_left_out);
        match answer.reply.next_cursor {
            Some(next) => asked.cursor = Some(another(asked.cursor.take(), next)?),
            None => break,
        }
    }
    if left_out > 0 && !json {
        console
            .warn(&format!("{left_out} required documents are left out: they are not there, or not for you"));
    }
    Ok(())
}

/// The next cursor, which must not be the one before.
fn another(before: Option<String>, next: String) -> Result<String, Failure> {
    if before.as_ref() == Some(&next) {
        return Err(ClientError::Protocol("the next page is the same one again".to_owned()).into());
    }
    Ok(next)
}

/// The index as a table.
pub fn index(reply: &ContextReply, look: &Look) -> String {
    if reply.index.is_empty() {
        return "No documents.\n".to_owned();
    }
    let rows: Vec<_> = reply
        .index
        .iter()
        .map(|row| {
            vec![cell(&row.id), cell(&row.kind), cell(row.role.name()).sgr(DIM), cell(&row.description)]
        })
        .collect();
    table(&["ID", "TYPE", "FOR", "ABOUT"], &rows, look) + &more(reply.next_cursor.as_deref(), look)
}

/// A document, or a part of it; between two documents a line that says which comes.
fn text(part: &DocText, begun: bool) -> String {
    let mut text = String::new();
    if part.offset == 0 {
        if begun {
            text.push('\n');
        }
        text.push_str(&format!("<!-- {} -->\n\n", visible(&part.id)));
    }
    text.push_str(&visible_text(&part.content));
    if part.complete && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// What is wrong, each in a line that is never cut.
pub fn problems(reply: &DocProblemsReply, look: &Look) -> String {
    let mut text = format!("{} documents in {}\n", reply.documents, visible(&reply.path));
    if reply.problems.is_empty() {
        text.push_str("Nothing is wrong with them.\n");
    }
    for problem in &reply.problems {
        let line = problem.line.map(|line| format!("{line}:")).unwrap_or_default();
        let place = format!("{}:{line}", problem.path);
        let key = problem.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        let place = crate::cli::console::paint(look.colour, YELLOW, &visible(&place));
        text.push_str(&format!("{place} {}\n", visible(&format!("{key}{}", problem.message))));
    }
    if reply.more > 0 {
        text.push_str(&format!("and {} more\n", reply.more));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{index, problems, text};
    use crate::cli::render::plain;
    use crate::domain::caller::Role;
    use crate::wire::docs::{ContextReply, DocProblemRow, DocProblemsReply, DocRow, DocText};

    #[test]
    fn an_index_is_a_table() {
        let row = |id: &str, kind: &str, role, description: &str| DocRow {
            id: id.to_owned(),
            description: description.to_owned(),
            kind: kind.to_owned(),
            role,
            requires: vec![],
        };
        let reply = ContextReply {
            index: vec![
                row("house-rules", "policy", Role::Public, "How we treat each other"),
                row("team/review", "guide", Role::Member, &"How a review is done, and by whom. ".repeat(4)),
            ],
            next_cursor: Some("dteam/review".to_owned()),
            ..ContextReply::default()
        };
        insta::assert_snapshot!(index(&reply, &plain()), @r"
        ID           TYPE    FOR     ABOUT
        house-rules  policy  public  How we treat each other
        team/review  guide   member  How a review is done, and by whom. How a review is done, and by whom. …
        more: --cursor dteam/review
        ");
        assert_eq!(index(&ContextReply::default(), &plain()), "No documents.\n");
    }

    #[test]
    fn texts_are_told_apart_and_made_harmless() {
        let part = |id: &str, content: &str, offset, complete| DocText {
            id: id.to_owned(),
            description: String::new(),
            kind: "guide".to_owned(),
            content: content.to_owned(),
            offset,
            complete,
        };
        let all = text(&part("a", "# A\nbegin", 0, false), false)
            + &text(&part("a", "s", 9, true), true)
            + &text(&part("b", "\u{1b}[2J", 0, true), true);
        insta::assert_snapshot!(all, @r"
        <!-- a -->

        # A
        begins

        <!-- b -->

        \x1b[2J
        ");
    }

    #[test]
    fn problems_say_where() {
        let row = |path: &str, line, key: Option<&str>, message: &str| DocProblemRow {
            path: path.to_owned(),
            line,
            key: key.map(str::to_owned),
            message: message.to_owned(),
        };
        let reply = DocProblemsReply {
            path: "/usr/share/teleclaude/docs".to_owned(),
            documents: 12,
            problems: vec![
                row("a.md", Some(3), Some("role"), "must be one of public, newcomer"),
                row("pipe.md", None, None, "is not a regular file; left out"),
            ],
            more: 2,
        };
        insta::assert_snapshot!(problems(&reply, &plain()), @r"
        12 documents in /usr/share/teleclaude/docs
        a.md:3: role: must be one of public, newcomer
        pipe.md: is not a regular file; left out
        and 2 more
        ");
    }
}
