//! `teleclaude usage`: what was used, as a table with bars on a terminal, or as lines for a spreadsheet.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{Cell, DIM, GREEN, Look, cell, table, visible};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::domain::usage::{By, Day};
use crate::wire::limits::GROUPS_MAX;
use crate::wire::usage::{ShowUsage, UsageReply, UsageRow};
use unicode_width::UnicodeWidthStr;

/// Pages that are shown as one table, at most.
const PAGES_MAX: usize = 10;
/// Columns of the longest bar: as many as are left, between these.
const BAR: (usize, usize) = (6, 24);
/// A column's parts, in eighths.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Arguments of `usage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// By what to tell it apart: one or more of person, project, agent, model and day
    #[arg(long, value_delimiter = ',', value_parser = by, default_value = "day", value_name = "BY")]
    by: Vec<By>,
    /// The first day: a date, or how long ago (7d); 30 days before the last one if not given. Days are of UTC
    #[arg(long, value_parser = day, value_name = "DAY")]
    since: Option<When>,
    /// The last day; today if not given
    #[arg(long, value_parser = day, value_name = "DAY")]
    until: Option<When>,
    /// Only of this person
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
    /// Only in this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// As lines for a spreadsheet: everything, without the sum
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Where the page before ended (with --json)
    #[arg(long)]
    cursor: Option<String>,
    /// Groups at most (with --json)
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=1000), value_name = "N")]
    limit: Option<i64>,
}

fn by(word: &str) -> Result<By, String> {
    By::parse(word).ok_or_else(|| "give one or more of person, project, agent, model and day".to_owned())
}

fn day(text: &str) -> Result<When, String> {
    match Day::parse(text) {
        Ok(_) => Ok(When::At(text.to_owned())),
        Err(_) => when::parse(text).map_err(|_| "give a date (2026-01-31) or how long ago (7d)".to_owned()),
    }
}

/// Runs `usage`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let now = console.look.now;
    let words: Vec<&str> = args.by.iter().map(|by| by.name()).collect();
    let mut asked = ShowUsage {
        by: Some(words.join(",")),
        since: args.since.as_ref().map(|when| when.rfc3339(now)),
        until: args.until.as_ref().map(|when| when.rfc3339(now)),
        person: args.person.clone(),
        project: args.project.clone(),
        agent: args.agent.clone(),
        model: args.model.clone(),
        cursor: args.cursor.clone(),
        limit: args.limit,
        format: None,
    };
    if json {
        return console.say_json(&client.usage(&asked).await?.text);
    }
    asked.limit = Some(args.limit.unwrap_or(i64::try_from(GROUPS_MAX).unwrap_or(i64::MAX)));
    if args.csv {
        return csv(console, client, asked, &args.by).await;
    }
    let mut all = client.usage(&asked).await?.reply;
    for _ in 1..PAGES_MAX {
        let Some(cursor) = all.next_cursor.take() else { break };
        let page = client.usage(&ShowUsage { cursor: Some(cursor), ..asked.clone() }).await?.reply;
        all.groups.extend(page.groups);
        all.next_cursor = page.next_cursor;
    }
    let text = shown(all, &args.by, console.out_is_terminal, &console.look);
    console.say(&text)
}

/// Everything, page by page.
async fn csv(
    console: &mut Console<'_>,
    client: &Client,
    mut asked: ShowUsage,
    by: &[By],
) -> Result<(), Failure> {
    console.say(&UsageReply::csv_head(by))?;
    loop {
        let page = client.usage(&asked).await?.reply;
        console.say(&page.csv_rows(by))?;
        if page.next_cursor.is_none() {
            return Ok(());
        }
        asked.cursor = page.next_cursor;
    }
}

/// A table; days in their order, else who used most first. Bars only on a terminal.
fn shown(mut reply: UsageReply, by: &[By], bars: bool, look: &Look) -> String {
    let span = format!("{} to {}, days of UTC", visible(&reply.since), visible(&reply.until));
    if reply.groups.is_empty() {
        return format!("Nothing was used. ({span})\n");
    }
    if by.first() != Some(&By::Day) {
        reply.groups.sort_by_key(|row| std::cmp::Reverse((row.tokens(), row.running_seconds, row.sessions)));
    }
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let numbers: Vec<[String; 7]> = reply.groups.iter().chain(&reply.total).map(counts).collect();
    let widest = |column: usize| numbers.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let heads = ["SESSIONS", "MESSAGES", "IN", "CACHE READ", "CACHE WRITE", "OUT", "HOURS"];
    let widths: Vec<usize> = (0..heads.len()).map(|i| widest(i).max(heads[i].len())).collect();
    let named = reply.groups.iter().map(|row| by.iter().map(|by| row.name(*by).to_owned()).collect());
    let of_total = reply.total.iter().map(|_| {
        (0..by.len()).map(|i| if i == 0 { "all".to_owned() } else { String::new() }).collect::<Vec<_>>()
    });
    let names: Vec<Vec<String>> = named.chain(of_total).collect();
    for (names, numbers) in names.iter().zip(&numbers) {
        let mut row: Vec<Cell> = names.iter().map(cell).collect();
        row.extend(numbers.iter().zip(&widths).map(|(n, width)| cell(format!("{n:>width$}"))));
        rows.push(row);
    }
    let mut head: Vec<String> = by.iter().map(|by| by.name().to_uppercase()).collect();
    let name_widths = (0..by.len())
        .map(|i| names.iter().map(|row| row[i].width()).chain([head[i].len()]).max().unwrap_or(0));
    let used: usize =
        name_widths.sum::<usize>() + widths.iter().sum::<usize>() + 2 * (by.len() + widths.len());
    head.extend(heads.iter().zip(&widths).map(|(title, width)| format!("{title:>width$}")));
    let columns = look.width.saturating_sub(used).min(BAR.1);
    if bars && columns >= BAR.0 {
        add_bars(&mut rows, &mut head, &reply.groups, columns);
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut text = table(&head, &rows, look);
    if reply.next_cursor.is_some() {
        let many = reply.groups.len();
        text.push_str(&format!(
            "Only the first {many} groups are shown: ask for fewer days, or use --csv.\n"
        ));
    }
    text + &format!("{}\n", paint(look.colour, DIM, &span))
}

/// One bar a group: of its tokens, or of how long it ran where no tokens are known.
fn add_bars(rows: &mut [Vec<Cell>], head: &mut Vec<String>, groups: &[UsageRow], columns: usize) {
    let tokens = groups.iter().any(|row| row.tokens() > 0);
    let size = |row: &UsageRow| if tokens { row.tokens() } else { row.running_seconds.unwrap_or(0) };
    let most = groups.iter().map(size).max().unwrap_or(0);
    if most <= 0 {
        return;
    }
    head.push(if tokens { "TOKENS" } else { "RUNNING" }.to_owned());
    for (row, group) in rows.iter_mut().zip(groups) {
        row.push(cell(bar(size(group), most, columns)).sgr(GREEN));
    }
}

/// A bar whose full length, `columns`, stands for `most`. What is not nothing is seen.
fn bar(n: i64, most: i64, columns: usize) -> String {
    let eighths = i128::from(n.max(0)) * 8 * i128::try_from(columns).unwrap_or(0) / i128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(n > 0));
    let mut bar = "█".repeat(eighths / 8);
    if let Some(part) = (eighths % 8).checked_sub(1) {
        bar.push(EIGHTHS[part]);
    }
    bar
}

fn counts(row: &UsageRow) -> [String; 7] {
    let absent = || "-".to_owned();
    [
        short(row.sessions),
        row.messages.map_or_else(absent, short),
        short(row.input_tokens),
        short(row.cache_read_tokens),
        short(row.cache_write_tokens),
        short(row.output_tokens),
        row.running_seconds.map_or_else(absent, hours),
    ]
}

/// A number in at most five characters; the whole is in `--csv` and `--json`.
fn short(n: i64) -> String {
    const STEPS: [(i64, char); 4] =
        [(1_000_000_000_000, 'T'), (1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')];
    let Some((step, unit)) = STEPS.into_iter().find(|(step, _)| n >= *step) else { return n.to_string() };
    let tenths = n / (step / 10);
    if tenths < 1_000 {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    } else {
        format!("{}{unit}", tenths / 10)
    }
}

fn hours(seconds: i64) -> String {
    let tenths = (seconds + 180) / 360;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{bar, hours, short, shown};
    use crate::cli::render::{Look, plain};
    use crate::domain::usage::By;
    use crate::wire::usage::{UsageReply, UsageRow};

    fn row(person: &str, day: &str, n: i64) -> UsageRow {
        UsageRow {
            person: Some(person.to_owned()),
            day: Some(day.to_owned()),
            sessions: n,
            messages: Some(n * 7),
            input_tokens: n * 12_345,
            cache_read_tokens: n * 1_234_567,
            cache_write_tokens: n * 99,
            output_tokens: n * 4_321,
            running_seconds: Some(n * 1_234),
            ..UsageRow::default()
        }
    }

    fn reply(groups: Vec<UsageRow>, total: Option<UsageRow>) -> UsageReply {
        UsageReply {
            by: Vec::new(),
            since: "2026-11-01".to_owned(),
            until: "2026-11-30".to_owned(),
            groups,
            total,
            next_cursor: None,
        }
    }

    #[test]
    fn most_first_and_bars_on_a_terminal() {
        let of = |names: [&str; 3]| {
            let rows = vec![row(names[0], "-", 3), row(names[1], "-", 100), row(names[2], "-", 0)];
            reply(rows, Some(UsageRow { person: None, ..row("", "-", 102) }))
        };
        let names = ["ann", "bob\u{1b}[2J", "漢字"];
        let wide = Look { width: 110, ..plain() };
        insta::assert_snapshot!(shown(of(names), &[By::Person], true, &wide), @r"
        PERSON      SESSIONS  MESSAGES     IN  CACHE READ  CACHE WRITE    OUT  HOURS  TOKENS
        bob\x1b[2J       100       700   1.2M        123M         9.9k   432k   34.3  ████████████████████████
        ann                3        21  37.0k        3.7M          297  12.9k    1.0  ▋
        漢字               0         0      0           0            0      0    0.0
        all              102       714   1.2M        125M        10.0k   440k   35.0
        2026-11-01 to 2026-11-30, days of UTC
        ");
        insta::assert_snapshot!(shown(of(names), &[By::Person], false, &wide), @r"
        PERSON      SESSIONS  MESSAGES     IN  CACHE READ  CACHE WRITE    OUT  HOURS
        bob\x1b[2J       100       700   1.2M        123M         9.9k   432k   34.3
        ann                3        21  37.0k        3.7M          297  12.9k    1.0
        漢字               0         0      0           0            0      0    0.0
        all              102       714   1.2M        125M        10.0k   440k   35.0
        2026-11-01 to 2026-11-30, days of UTC
        ");
        let narrow = Look { width: 60, ..plain() };
        assert!(!shown(of(names), &[By::Person], true, &narrow).contains('█'));
    }

    #[test]
    fn days_stay_in_their_order_and_models_have_no_hours() {
        let days = [row("x", "2026-11-01", 1), row("x", "2026-11-02", 5)];
        let of_models: Vec<UsageRow> = days
            .iter()
            .map(|day| UsageRow {
                messages: None,
                running_seconds: None,
                model: Some("m".to_owned()),
                ..day.clone()
            })
            .collect();
        let text = shown(reply(of_models, None), &[By::Day, By::Model], true, &plain());
        insta::assert_snapshot!(text, @r"
        DAY         MODEL  SESSIONS  MESSAGES     IN  CACHE READ  CACHE WRITE    OUT  HOURS  TOKENS
        2026-11-01  m             1         -  12.3k        1.2M           99   4.3k      -  ███
        2026-11-02  m             5         -  61.7k        6.1M          495  21.6k      -  ███████████████
        2026-11-01 to 2026-11-30, days of UTC
        ");
        assert_eq!(
            shown(reply(Vec::new(), None), &[By::Day], true, &plain()),
            "Nothing was used. (2026-11-01 to 2026-11-30, days of UTC)\n"
        );
    }

    #[test]
    fn numbers_and_bars() {
        for (n, said) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (99_999, "99.9k"),
            (123_456, "123k"),
            (1_500_000, "1.5M"),
            (7_000_000_000, "7.0G"),
            (i64::MAX, "9223372T"),
        ] {
            assert_eq!(short(n), said);
        }
        assert_eq!(
            (hours(0), hours(179), hours(180), hours(36_000)),
            ("0.0".into(), "0.0".into(), "0.1".into(), "10.0".into())
        );
        assert_eq!((bar(0, 8, 2), bar(8, 8, 2), bar(4, 8, 2)), (String::new(), "██".into(), "█".into()));
        assert_eq!((bar(1, i64::MAX, 10), bar(5, 16, 2)), ("▏".into(), "▋".into()));
        assert_eq!(bar(i64::MAX, i64::MAX, 24).chars().count(), 24);
    }
}
