//! Reading a file of `NAME=value` lines, as shells and most tools understand them: comments, `export`, quotes of both
//! kinds (also over several lines). Nothing is substituted: a `$` is a `$`. Problems name the line and quote no value.

use crate::domain::credential::Secret;

/// A name and its value, and the line it began on.
#[derive(Debug, PartialEq)]
pub struct Assignment {
    /// Where it is, from 1.
    pub line: usize,
    /// The name, as it stands there.
    pub name: String,
    /// The value.
    pub value: Secret,
}

/// Every assignment of the file, or every problem.
pub fn parse(text: &str) -> Result<Vec<Assignment>, Vec<String>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut found, mut problems, mut line) = (Vec::new(), Vec::new(), 1);
    while !rest.is_empty() {
        let began = line;
        let (this, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let content = this.trim();
        let mut taken = rest.len() - after.len();
        if !content.is_empty() && !content.starts_with('#') {
            let content = content.strip_prefix("export ").map_or(content, str::trim_start);
            match content.split_once('=') {
                None => problems.push(format!("line {began}: is not NAME=value")),
                Some((name, _)) => {
                    let start = rest.find('=').map_or(rest.len(), |at| at + 1);
                    match value(&rest[start..]) {
                        Ok((value, used)) => {
                            taken = start + used;
                            found.push(Assignment {
                                line: began,
                                name: name.trim_end().to_owned(),
                                value: Secret::from(value),
                            });
                        }
                        Err(problem) => problems.push(format!("line {began}: {problem}")),
                    }
                }
            }
        }
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// The value at the beginning of this text, and how many bytes it and the rest of its line take.
fn value(text: &str) -> Result<(String, usize), &'static str> {
    let end_of_line = |from: usize| text[from..].find('\n').map_or(text.len(), |at| from + at + 1);
    let lead = text.len() - text.trim_start_matches([' ', '\t']).len();
    let quote = text[lead..].chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let end = end_of_line(0);
        let plain = text[..end].trim();
        // A `#` begins a comment only behind a blank.
        let comment = plain
            .char_indices()
            .find(|(at, c)| *c == '#' && (*at == 0 || plain[..*at].ends_with([' ', '\t'])));
        let plain = comment.map_or(plain, |(at, _)| plain[..at].trim_end());
        return Ok((plain.to_owned(), end));
    };
    let mut value = String::new();
    let mut chars = text[lead + 1..].char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let after = lead + 1 + at + 1;
            let end = end_of_line(after);
            let rest = text[after..end].trim();
            return match rest.is_empty() || rest.starts_with('#') {
                true => Ok((value, end)),
                false => Err("something follows the closing quote"),
            };
        }
        if c == '\\' && quote == '"' {
            match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => return Err("the quote is not closed"),
            }
        } else {
            value.push(c);
        }
    }
    Err("the quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::parse;
    use proptest::prelude::proptest;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        let all = parse(text).unwrap();
        all.into_iter().map(|a| (a.line, a.name, a.value.expose().to_owned())).collect()
    }

    #[test]
    fn what_files_look_like() {
        let text = "\u{feff}# keys\r\n\r\nA=plain\r\nexport B = \"two words\" # why\nC='it is $HOME \\n'\n\
                    D=\"line one\nline two\\n\\\"x\\\"\"\nE=a#b c # comment\nF=\nG= # nothing\n  H=x=y==\n";
        let expected = [
            (3, "A", "plain"),
            (4, "B", "two words"),
            (5, "C", "it is $HOME \\n"),
            (6, "D", "line one\nline two\n\"x\""),
            (8, "E", "a#b c"),
            (9, "F", ""),
            (10, "G", ""),
            (11, "H", "x=y=="),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, name, value)| (*line, (*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("A=1")[0].2, "1");
    }

    #[test]
    fn every_problem_is_named_and_none_quotes() {
        let problems = parse("sk-invented\nA=1\nB=\"open\n").unwrap_err();
        assert_eq!(problems, ["line 1: is not NAME=value", "line 3: the quote is not closed"]);
        let problems = parse("A='x' sk-invented\n").unwrap_err();
        assert_eq!(problems, ["line 1: something follows the closing quote"]);
    }

    proptest! {
        #[test]
        fn anything_is_read_to_its_end(text in "[A=\"'\\\\# \n\u{e4}]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_in_single_quotes_is_as_it_is(value in "[^']{0,60}") {
            let all = parse(&format!("A='{value}'\nB=1\n")).unwrap();
            assert_eq!(all[0].value.expose(), value);
            assert_eq!(all[1].name, "B");
        }
    }
}
