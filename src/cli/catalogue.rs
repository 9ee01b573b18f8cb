//! `teleclaude projects`, `agents` and `computers`: what there is to work with.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{GREEN, Look, ago, cell, table};
use crate::client::Client;
use crate::wire::reply::{AgentsReply, ComputersReply, ProjectsReply};

/// Runs `projects`.
pub async fn run_projects(console: &mut Console<'_>, client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.projects().await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = projects(&answer.reply, &console.look);
    console.say(&text)
}

/// Runs `agents`.
pub async fn run_agents(console: &mut Console<'_>, client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.agents().await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = agents(&answer.reply, &console.look);
    console.say(&text)
}

/// Runs `computers`.
pub async fn run_computers(console: &mut Console<'_>, client: &Client, json: bool) -> Result<(), Failure> {
    let answer = client.computers().await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = computers(&answer.reply, &console.look);
    console.say(&text)
}

/// The projects.
pub fn projects(reply: &ProjectsReply, look: &Look) -> String {
    if reply.projects.is_empty() {
        return "No projects.\n".to_owned();
    }
    let rows: Vec<_> = reply
        .projects
        .iter()
        .map(|p| vec![cell(&p.name), cell(&p.path), cell(p.description.as_deref().unwrap_or_default())])
        .collect();
    table(&["NAME", "PATH", "DESCRIPTION"], &rows, look)
}

/// The agents; the default one has a star.
pub fn agents(reply: &AgentsReply, look: &Look) -> String {
    if reply.agents.is_empty() {
        return "No agents.\n".to_owned();
    }
    let rows: Vec<_> = reply
        .agents
        .iter()
        .map(|a| {
            let star = if a.default { "*" } else { "" };
            vec![cell(&a.name), cell(star).sgr(GREEN), cell(&a.profile), cell(&a.command)]
        })
        .collect();
    table(&["NAME", "DEFAULT", "PROFILE", "COMMAND"], &rows, look)
}

/// The machines; the one that answers has a star.
pub fn computers(reply: &ComputersReply, look: &Look) -> String {
    let rows: Vec<_> = reply
        .computers
        .iter()
        .map(|c| {
            let star = if c.this { "*" } else { "" };
            vec![cell(&c.name), cell(star).sgr(GREEN), cell(ago(&c.started_at, look))]
        })
        .collect();
    table(&["NAME", "THIS", "STARTED"], &rows, look)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::wire::reply::{AgentRow, ComputerRow, ProjectRow};

    #[test]
    fn what_there_is() {
        let project = |name: &str, description: Option<&str>| ProjectRow {
            name: name.to_owned(),
            path: format!("/srv/{name}"),
            description: description.map(str::to_owned),
        };
        let reply = ProjectsReply {
            projects: vec![
                project(
                    "web",
                    Some(
                        "The shop, and a description that is a good deal longer than what fits in a line of a hundred",
                    ),
                ),
                project("漢字", None),
            ],
        };
        insta::assert_snapshot!(projects(&reply, &plain()), @r"
        NAME  PATH       DESCRIPTION
        web   /srv/web   The shop, and a description that is a good deal longer than what fits in a line of…
        漢字  /srv/漢字
        ");
        let agent = |name: &str, default| AgentRow {
            name: name.to_owned(),
            command: format!("/usr/bin/{name}"),
            default,
            profile: "restricted".to_owned(),
        };
        let reply = AgentsReply { agents: vec![agent("claude", true), agent("codex", false)] };
        insta::assert_snapshot!(agents(&reply, &plain()), @r"
        NAME    DEFAULT  PROFILE     COMMAND
        claude  *        restricted  /usr/bin/claude
        codex            restricted  /usr/bin/codex
        ");
        let reply = ComputersReply {
            computers: vec![ComputerRow {
                name: "build-1".to_owned(),
                this: true,
                started_at: "2026-11-21T09:00:00Z".to_owned(),
            }],
        };
        insta::assert_snapshot!(computers(&reply, &plain()), @r"
        NAME     THIS  STARTED
        build-1  *     3h ago
        ");
        assert_eq!(projects(&ProjectsReply { projects: vec![] }, &plain()), "No projects.\n");
    }
}
