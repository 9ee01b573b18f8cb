//! What was measured, as tables for people and as JSON for machines. A figure that is to be reached is shown beside
//! what is to be reached; nothing fails if it is not.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// One field of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, and how many decimals of it mean something.
    Number(f64, usize),
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn show(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, decimals) => grouped(*number, *decimals),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number, decimals) => {
                let scale = 10_f64.powi(i32::try_from(*decimals).unwrap_or(0));
                json!((number * scale).round() / scale)
            }
        }
    }
}

/// `1234567.8` as `1,234,568`, or with decimals.
fn grouped(number: f64, decimals: usize) -> String {
    let plain = format!("{number:.decimals$}");
    let (whole, rest) = plain.split_once('.').map_or((plain.as_str(), None), |(w, r)| (w, Some(r)));
    let mut out = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        let _ = write!(out, ".{rest}");
    }
    out
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

#[derive(Debug)]
struct Section {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    sections: Vec<Section>,
    goals: Vec<(String, f64, &'static str, Goal)>,
}

impl Report {
    /// A table.
    pub fn table(&mut self, title: impl Into<String>, columns: &[&'static str], rows: Vec<Vec<Cell>>) {
        self.sections.push(Section { title: title.into(), columns: columns.to_vec(), rows });
    }

    /// A figure that is to be reached.
    pub fn goal(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        self.goals.push((what.into(), value, unit, goal));
    }

    fn goals(&self) -> Section {
        let rows = self.goals.iter().map(|(what, value, unit, goal)| {
            let (word, bound, reached) = match *goal {
                Goal::AtMost(bound) => ("at most", bound, *value <= bound),
                Goal::AtLeast(bound) => ("at least", bound, *value >= bound),
            };
            let decimals = if bound < 100.0 { 2 } else { 0 };
            vec![
                Cell::text(what.as_str()),
                Cell::Number(*value, decimals),
                Cell::text(*unit),
                Cell::text(format!("{word} {}", grouped(bound, if bound.fract() == 0.0 { 0 } else { 1 }))),
                Cell::text(if reached { "yes" } else { "no" }),
            ]
        });
        Section {
            title: "To reach".to_owned(),
            columns: vec!["figure", "measured", "unit", "to reach", "reached"],
            rows: rows.collect(),
        }
    }

    fn all(&self) -> Vec<&Section> {
        self.sections.iter().collect()
    }

    /// Every table, as Markdown, on stdout.
    pub fn print(&self) {
        let goals = self.goals();
        let mut out = String::new();
        for section in self.all().into_iter().chain([&goals]).filter(|s| !s.rows.is_empty()) {
            let _ = writeln!(out, "### {}\n", section.title);
            let shown: Vec<Vec<String>> =
                section.rows.iter().map(|row| row.iter().map(Cell::show).collect()).collect();
            let widths: Vec<usize> = section
                .columns
                .iter()
                .enumerate()
                .map(|(i, name)| shown.iter().map(|row| row[i].chars().count()).fold(name.len(), usize::max))
                .collect();
            let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
            let head = section.columns.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
            let _ = writeln!(out, "{}", line(head));
            let rule = widths.iter().map(|w| "-".repeat(*w)).collect();
            let _ = writeln!(out, "{}", line(rule));
            for (row, cells) in section.rows.iter().zip(&shown) {
                let cells = row.iter().zip(cells).zip(&widths).map(|((cell, text), w)| match cell {
                    Cell::Text(_) => format!("{text:<w$}"),
                    Cell::Number(..) => format!("{text:>w$}"),
                });
                let _ = writeln!(out, "{}", line(cells.collect()));
            }
            out.push('\n');
        }
        let _ = std::io::stdout().write_all(out.as_bytes());
    }

    /// The same as JSON.
    pub fn write_json(&self, path: &Path) {
        let goals = self.goals();
        let sections: Vec<Value> = self
            .all()
            .into_iter()
            .chain([&goals])
            .map(|section| {
                let rows: Vec<Value> = section
                    .rows
                    .iter()
                    .map(|row| {
                        let fields = section.columns.iter().zip(row);
                        let fields: Map<String, Value> =
                            fields.map(|(name, cell)| ((*name).to_owned(), cell.json())).collect();
                        Value::Object(fields)
                    })
                    .collect();
                json!({ "title": section.title, "rows": rows })
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "version": 1, "tables": sections })).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `share` of all lie, of sorted values.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of this very list")]
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
