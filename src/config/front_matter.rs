//! A document's file read: its front matter, which is YAML between two lines of `---`, and the text after it. What a
//! document is stands in `domain/document`.

use crate::config::decode;
use crate::config::problem::Problem;
use crate::config::tree;
use crate::domain::caller::Role;
use crate::domain::document::{
    DESCRIPTION_CHARS_MAX, DocId, DocProblem, DocType, Document, FILE_BYTES_MAX, REQUIRES_MAX,
};
use crate::domain::library::Shelved;
use serde::Deserialize;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The role that a document is for unless it says so.
const ROLE: Role = Role::Newcomer;
/// Problems of one file that are told, at most.
const PROBLEMS_MAX: usize = 10;

/// What stands between the lines of `---`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    id: String,
    description: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    requires: Vec<String>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<'t> {
    /// What it says of itself, and where.
    pub shelved: Shelved,
    /// The text after the front matter.
    pub text: &'t str,
}

/// Reads a file. `path` is said in what is wrong.
///
/// # Errors
/// All that is wrong with it, ten things at most; then it is no document.
pub fn parse<'t>(path: &str, bytes: &'t [u8]) -> Result<Read<'t>, Vec<DocProblem>> {
    let problem = |line: Option<usize>, key: Option<&str>, message: &str| DocProblem {
        path: path.to_owned(),
        line,
        key: key.map(str::to_owned),
        message: message.to_owned(),
    };
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("is larger than {} KiB", FILE_BYTES_MAX / 1024);
        return Err(vec![problem(None, None, &message)]);
    }
    let whole = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count();
        vec![problem(Some(line), None, "is not UTF-8")]
    })?;
    if let Some(at) = whole.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        let line = 1 + whole.bytes().take(at).filter(|b| *b == b'\n').count();
        return Err(vec![problem(Some(line), None, "holds a control character")]);
    }
    let Some((yaml, text)) = split(whole) else {
        let message = "has no front matter: it begins with a line `---`, and another one ends it";
        return Err(vec![problem(Some(1), None, message)]);
    };
    let (document, lines) = front(yaml).map_err(|found| {
        let below = |p: Problem| DocProblem {
            path: path.to_owned(),
            // The first line of the file is the one with `---`.
            line: Some(1 + p.line.unwrap_or(1)),
            key: p.key,
            message: match p.hint {
                Some(hint) => format!("{} ({hint})", p.message),
                None => p.message,
            },
        };
        found.into_iter().take(PROBLEMS_MAX).map(below).collect::<Vec<_>>()
    })?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let line_of = |key: &str| lines.iter().find(|(known, _)| known == key).map(|(_, line)| 1 + line);
    let shelved = Shelved {
        document,
        path: path.to_owned(),
        id_line: line_of("id"),
        requires_line: line_of("requires"),
        digest: hasher.finish(),
    };
    Ok(Read { shelved, text })
}

/// The front matter and the text after it.
fn split(whole: &str) -> Option<(&str, &str)> {
    let whole = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    let (first, rest) = whole.split_once('\n')?;
    if first.trim_end() != "---" {
        return None;
    }
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            let text = rest.get(end + line.len()..).unwrap_or_default();
            return Some((rest.get(..end).unwrap_or_default(), text.trim_start_matches(['\r', '\n'])));
        }
        end += line.len();
    }
    None
}

/// Keys and their lines in the YAML.
type Lines = Vec<(String, usize)>;

/// What the YAML says, and the lines of its keys.
fn front(yaml: &str) -> Result<(Document, Lines), Vec<Problem>> {
    let root = tree::parse(yaml).map_err(|problem| vec![problem])?;
    let mut found = Vec::new();
    root.drop_duplicates("", &mut found);
    let front = decode::read::<FrontMatter>(&root, &mut found);
    let lines: Lines = root.entries().map(|(key, node)| (key.to_owned(), node.line)).collect();
    let mut wrong = |key: String, message: &str| {
        let name = key.split('[').next().unwrap_or_default();
        let line = lines.iter().find(|(known, _)| known == name).map(|(_, line)| *line);
        found.push(Problem { line, ..Problem::new(message).key(key) });
    };
    let document = front.and_then(|front| {
        let id = DocId::parse(&front.id).map_err(|why| wrong("id".to_owned(), why)).ok();
        let kind = DocType::parse(&front.kind).map_err(|why| wrong("type".to_owned(), why)).ok();
        let description =
            description(&front.description).map_err(|why| wrong("description".to_owned(), why)).ok();
        if front.requires.len() > REQUIRES_MAX {
            wrong("requires".to_owned(), "may name at most 64 documents");
        }
        let mut requires = Vec::with_capacity(front.requires.len());
        for (i, text) in front.requires.iter().take(REQUIRES_MAX).enumerate() {
            match DocId::parse(text) {
                Ok(id) if requires.contains(&id) => wrong(format!("requires[{i}]"), "is named twice"),
                Ok(id) => requires.push(id),
                Err(why) => wrong(format!("requires[{i}]"), why),
            }
        }
        let role = front.role.unwrap_or(ROLE);
        Some(Document { id: id?, description: description?, kind: kind?, role, requires })
    });
    match document {
        Some(document) if found.is_empty() => Ok((document, lines)),
        _ => {
            // What is there and wrong is not missing as well.
            let keys: Vec<String> = found.iter().filter_map(|problem| problem.key.clone()).collect();
            let missing = |key: &String, problem: &Problem| problem.message == format!("`{key}` is missing");
            found.retain(|problem| !keys.iter().any(|key| missing(key, problem)));
            found.sort_by_key(|problem| problem.line);
            Err(found)
        }
    }
}

/// One line of text, its blanks each one.
fn description(text: &str) -> Result<String, &'static str> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count() {
        0 => Err("must not be empty"),
        n if n > DESCRIPTION_CHARS_MAX => Err("must be at most 1,000 characters"),
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::domain::caller::Role;
    use crate::domain::document::FILE_BYTES_MAX;
    use proptest::prelude::{any, prop, proptest};

    const GOOD: &str = "---\nid: team/review\ndescription: >\n  How we review,\n  and why\ntype: policy\nrole: member\n\
                        requires:\n  - team/style\n  - house-rules\n---\n\n# Reviews\n---\nmore\n";

    #[test]
    fn a_file_is_what_it_says() {
        for text in [GOOD.to_owned(), GOOD.replace('\n', "\r\n"), format!("\u{feff}{GOOD}")] {
            let read = parse("a.md", text.as_bytes()).unwrap();
            let document = &read.shelved.document;
            assert_eq!(document.id.as_str(), "team/review");
            assert_eq!(document.description, "How we review, and why");
            assert_eq!((document.kind.as_str(), document.role), ("policy", Role::Member));
            let requires: Vec<&str> = document.requires.iter().map(|id| id.as_str()).collect();
            assert_eq!(requires, ["team/style", "house-rules"]);
            assert_eq!((read.shelved.id_line, read.shelved.requires_line), (Some(2), Some(8)));
            assert!(read.text.starts_with("# Reviews") && read.text.trim_end().ends_with("more"));
        }
        let least = parse("a.md", b"---\nid: a\ndescription: b\ntype: c\n---").unwrap();
        assert_eq!((least.shelved.document.role, least.text), (Role::Newcomer, ""));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let with = |change: &str| format!("---\nid: a\ndescription: b\ntype: c\n{change}\n---\ntext\n");
        let long = "x".repeat(1_001);
        let many: String = (0..65).map(|n| format!("d{n}, ")).collect();
        let cases: Vec<(String, &str)> = vec![
            (with("rol: member"), "a.md:5: rol: unknown key (did you mean `role`?)"),
            (with("role: boss"), "a.md:5: role: must be one of public, newcomer, contributor, member, admin"),
            (with("type: d"), "a.md:5: type: duplicate key, first on line 3"),
            (with("requires: [b, B]"), "a.md:5: requires[1]: must be of a-z, 0-9, `.`, `_`, `-` and `/`"),
            (with("requires: [b, b]"), "a.md:5: requires[1]: is named twice"),
            (with("requires: b"), "a.md:5: requires: expected a list, found text"),
            (with(&format!("requires: [{many}]")), "a.md:5: requires: may name at most 64 documents"),
            (
                "---\nid: 7\ndescription: b\ntype: c\n---\n".to_owned(),
                "a.md:2: id: expected text, found a whole number (put it in quotes)",
            ),
            (
                "---\nid: A\ndescription:\ntype: c\n---\n".to_owned(),
                "a.md:3: description: expected text, found nothing",
            ),
            (
                "---\nid: A\ndescription: ''\ntype: a b\n---\n".to_owned(),
                "a.md:2: id: must be of a-z, 0-9, `.`, `_`, `-` and `/`; a.md:3: description: must not be empty; a.md:4: type: must be 1 to 40 characters of a-z, 0-9, `_` and `-`",
            ),
            (
                format!("---\nid: a\ndescription: {long}\ntype: c\n---\n"),
                "a.md:3: description: must be at most 1,000 characters",
            ),
            ("---\ndescription: b\ntype: c\n---\n".to_owned(), "a.md:2: `id` is missing"),
            ("---\n---\n".to_owned(), "a.md:2: `id` is missing"),
            ("---\n- a\n---\n".to_owned(), "a.md:2: expected a map, found a list"),
            (
                "---\nid: a\n".to_owned(),
                "a.md:1: has no front matter: it begins with a line `---`, and another one ends it",
            ),
            (
                "# Only text\n".to_owned(),
                "a.md:1: has no front matter: it begins with a line `---`, and another one ends it",
            ),
            (
                String::new(),
                "a.md:1: has no front matter: it begins with a line `---`, and another one ends it",
            ),
            (with("") + "\u{1b}[2J", "a.md:8: holds a control character"),
            (with("x: [1"), "a.md:6: is not valid YAML"),
        ];
        for (text, said) in cases {
            let problems = parse("a.md", text.as_bytes()).unwrap_err();
            let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            assert!(
                all == said || (said.ends_with("YAML") && all.contains("is not valid YAML")),
                "{all}\n{said}"
            );
        }
        let said = |bytes: &[u8]| parse("a.md", bytes).unwrap_err()[0].to_string();
        assert_eq!(said(b"---\nid: \xff\n---\n"), "a.md:2: is not UTF-8");
        assert_eq!(said(&vec![b'x'; FILE_BYTES_MAX + 1]), "a.md: is larger than 256 KiB");
    }

    #[test]
    fn hostile_yaml_is_bounded() {
        let bomb = "---\nid: &a [x, x]\ndescription: [*a, *a]\ntype: c\n---\n";
        assert!(parse("a.md", bomb.as_bytes()).is_err());
        let keys: String = (0..5_000).map(|n| format!("k{n}: 1\n")).collect();
        assert_eq!(parse("a.md", format!("---\n{keys}---\n").as_bytes()).unwrap_err().len(), 10);
        assert!(parse("a.md", format!("---\n{}\n---\n", "[".repeat(9_000)).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse("a.md", &bytes);
            let _ = parse("a.md", &[b"---\n", bytes.as_slice(), b"\n---\n"].concat());
        }
    }
}
