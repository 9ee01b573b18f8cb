//! What was used, as it is asked for and answered, in JSON and as lines for a spreadsheet.

use crate::domain::usage::{By, Group, Key, Used};
use crate::wire::csv::field;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of lines for a spreadsheet.
pub const CSV: &str = "text/csv; charset=utf-8; header=present";

/// As what it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UsageForm {
    /// As other answers.
    Json,
    /// As lines for a spreadsheet; the sum is left out.
    Csv,
}

/// Arguments of `GET /usage`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowUsage {
    /// By what it is told apart: one or more of person, project, agent, model and day, with commas between; if absent,
    /// it is one sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The first day, as a date or an RFC 3339 time; 30 days before the last one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The last day; today if absent. Days are of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only in this project, or folder where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Only of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Only of this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Groups at most, 1 to 1000; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i64>,
    /// `json` or `csv`; if absent, as the `Accept` header wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<UsageForm>,
}

/// What one person, project, agent, model or day used: as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageRow {
    /// Whose sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The project, or the folder where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model; `unknown` where the agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The day, of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Sessions that were there.
    #[schemars(range(min = 0))]
    pub sessions: i64,
    /// Messages that were sent to them; absent where models are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub messages: Option<i64>,
    /// Tokens read, without those of a cache.
    #[schemars(range(min = 0))]
    pub input_tokens: i64,
    /// Tokens read from a cache.
    #[schemars(range(min = 0))]
    pub cache_read_tokens: i64,
    /// Tokens read and put into a cache.
    #[schemars(range(min = 0))]
    pub cache_write_tokens: i64,
    /// Tokens written.
    #[schemars(range(min = 0))]
    pub output_tokens: i64,
    /// How long agents ran; absent where models are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub running_seconds: Option<i64>,
}

impl UsageRow {
    /// Counts as they are answered; `of_models`: without what no model has.
    pub fn new(used: &Used, of_models: bool) -> Self {
        let of_sessions = |n: i64| (!of_models).then_some(n);
        Self {
            sessions: used.sessions,
            messages: of_sessions(used.messages),
            input_tokens: used.input,
            cache_read_tokens: used.cache_read,
            cache_write_tokens: used.cache_write,
            output_tokens: used.output,
            running_seconds: of_sessions(used.running / 1_000_000),
            ..Self::default()
        }
    }

    /// A group, told apart by `by`.
    pub fn of(group: &Group, by: &[By], of_models: bool) -> Self {
        let mut row = Self::new(&group.used, of_models);
        for (by, key) in by.iter().zip(&group.key) {
            *row.name_mut(*by) = Some(match key {
                Key::Name(name) => name.clone(),
                Key::Day(day) => day.to_string(),
            });
        }
        row
    }

    /// What tells it apart.
    pub fn name(&self, by: By) -> &str {
        let name = match by {
            By::Person => &self.person,
            By::Project => &self.project,
            By::Agent => &self.agent,
            By::Model => &self.model,
            By::Day => &self.day,
        };
        name.as_deref().unwrap_or_default()
    }

    const fn name_mut(&mut self, by: By) -> &mut Option<String> {
        match by {
            By::Person => &mut self.person,
            By::Project => &mut self.project,
            By::Agent => &mut self.agent,
            By::Model => &mut self.model,
            By::Day => &mut self.day,
        }
    }

    /// All its tokens.
    pub const fn tokens(&self) -> i64 {
        self.input_tokens
            .saturating_add(self.cache_read_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.output_tokens)
    }
}

/// A page of groups, in the order of what tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReply {
    /// By what they are told apart.
    pub by: Vec<String>,
    /// The first day.
    pub since: String,
    /// The last day.
    pub until: String,
    /// The groups.
    pub groups: Vec<UsageRow>,
    /// All of them together, on this page or not; only on the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<UsageRow>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

impl UsageReply {
    /// The head of the lines for a spreadsheet.
    pub fn csv_head(by: &[By]) -> String {
        let names = by.iter().map(|by| by.name());
        let counts = [
            "sessions",
            "messages",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "output_tokens",
            "running_seconds",
        ];
        let all: Vec<&str> = names.chain(counts).collect();
        format!("{}\r\n", all.join(","))
    }

    /// The groups as lines for a spreadsheet, without a head.
    pub fn csv_rows(&self, by: &[By]) -> String {
        let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        let mut text = String::new();
        for row in &self.groups {
            let mut fields: Vec<String> = by.iter().map(|by| field(row.name(*by))).collect();
            fields.extend([
                row.sessions.to_string(),
                number(row.messages),
                row.input_tokens.to_string(),
                row.cache_read_tokens.to_string(),
                row.cache_write_tokens.to_string(),
                row.output_tokens.to_string(),
                number(row.running_seconds),
            ]);
            text.push_str(&fields.join(","));
            text.push_str("\r\n");
        }
        text
    }

    /// By what the groups are told apart.
    pub fn told_apart(&self) -> Vec<By> {
        self.by.iter().filter_map(|word| By::parse(word)).collect()
    }
}
