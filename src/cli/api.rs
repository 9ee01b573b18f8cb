//! `teleclaude api`: the paths of the REST interface, or the OpenAPI document that describes them.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{Look, cell, table};
use crate::client::Client;
use serde_json::Value;

/// Arguments of `api`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the whole OpenAPI 3.1 document (as --json does)
    #[arg(long)]
    pub openapi: bool,
}

/// Runs `api`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let answer = client.api().await?;
    if json || args.openapi {
        return console.say_json(&answer.text);
    }
    let text = render(&answer.reply, &console.look);
    console.say(&text)
}

/// The paths, a line each.
fn render(document: &Value, look: &Look) -> String {
    let rows: Vec<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(path, operations)| {
            operations.as_object().into_iter().flatten().map(move |(method, operation)| {
                let summary = operation["summary"].as_str().unwrap_or_default();
                vec![cell(method.to_ascii_uppercase()), cell(path), cell(summary)]
            })
        })
        .collect();
    table(&["METHOD", "PATH", "WHAT IT DOES"], &rows, look)
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::cli::render::plain;
    use serde_json::json;

    #[test]
    fn a_path_is_a_line_for_each_of_its_methods() {
        let document = json!({ "paths": {
            "/inbox": { "get": { "summary": "Reads your messages" } },
            "/sessions": { "get": { "summary": "Lists sessions" }, "post": { "summary": "Starts one" } },
        } });
        insta::assert_snapshot!(render(&document, &plain()), @r"
        METHOD  PATH       WHAT IT DOES
        GET     /inbox     Reads your messages
        GET     /sessions  Lists sessions
        POST    /sessions  Starts one
        ");
    }
}
