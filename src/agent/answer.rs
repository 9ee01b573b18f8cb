//! How an agent's question is answered at its terminal, and how to see there that it asks at all. What the real programs
//! take, seen of claude 2.1, codex 0.169 and gemini 0.61: a dialogue of numbered options, one of them marked, where a
//! number chooses at once and Escape says no.

use crate::domain::question::{Answer, Asked, QuestionKind};

/// The signs by which an agent marks the option that Enter would take.
const MARKS: [char; 4] = ['❯', '›', '●', '>'];

/// One thing to type. Between two of them the agent has a moment to paint.
pub type Keys = Vec<u8>;

/// What to type for an answer to this.
///
/// # Errors
/// Why it is no answer to what is asked.
pub fn keys(asked: &Asked, answer: &Answer) -> Result<Vec<Keys>, String> {
    const ESCAPE: &[u8] = b"\x1b";
    const ENTER: &[u8] = b"\r";
    let number = |n: usize| vec![n.to_string().into_bytes()];
    let labelled = |text: &str| asked.options.iter().position(|label| label.eq_ignore_ascii_case(text));
    match (asked.kind, answer) {
        (_, Answer::Option(chosen)) => {
            // Of a permission it is not known what else is offered.
            if asked.kind == QuestionKind::Question
                && !asked.options.is_empty()
                && usize::from(*chosen) > asked.options.len()
            {
                return Err(format!("there are {} options", asked.options.len()));
            }
            Ok(number(usize::from(*chosen)))
        }
        (QuestionKind::Permission, Answer::Yes) => Ok(number(1)),
        (_, Answer::No) if labelled("no").is_none() => Ok(vec![ESCAPE.to_vec()]),
        // The agent is told what to do instead.
        (QuestionKind::Permission, Answer::Text(text)) => {
            Ok(vec![ESCAPE.to_vec(), pasted(text), ENTER.to_vec()])
        }
        (QuestionKind::Permission | QuestionKind::Question, answer) => {
            let text = match answer {
                Answer::Text(text) => text.as_str(),
                Answer::No => "no",
                Answer::Yes | Answer::Option(_) => "yes",
            };
            match labelled(text) {
                Some(at) => Ok(number(at + 1)),
                None if asked.options.is_empty() => Ok(vec![pasted(text), ENTER.to_vec()]),
                // Behind the last option there is one for an answer in words.
                None => Ok([number(asked.options.len() + 1), vec![pasted(text), ENTER.to_vec()]].concat()),
            }
        }
    }
}

/// As a terminal pastes it, so that a line break in it is no Enter.
fn pasted(text: &str) -> Keys {
    if text.contains('\n') { format!("\x1b[200~{text}\x1b[201~").into_bytes() } else { text.into() }
}

/// Whether a screen shows a dialogue that waits for a choice: a numbered option that is marked, with another one below
/// or above it.
pub fn asks(screen: &str) -> bool {
    // Somebody's words further up may look like it.
    let last: Vec<&str> = screen.lines().rev().filter(|line| !line.trim().is_empty()).take(40).collect();
    let inner = |line: &str| line.trim_matches(|c: char| c.is_whitespace() || c == '│').to_owned();
    let numbered = |text: &str| {
        let digits = text.chars().take_while(char::is_ascii_digit).count();
        digits > 0 && text[digits..].starts_with(". ")
    };
    let marked = |line: &str| {
        let line = inner(line);
        line.strip_prefix(MARKS).is_some_and(|rest| numbered(rest.trim_start()))
    };
    let plain = |line: &str| numbered(&inner(line));
    last.iter().any(|line| marked(line)) && last.iter().any(|line| plain(line))
}

#[cfg(test)]
mod tests {
    use super::{asks, keys};
    use crate::domain::question::{Answer, Asked, QuestionKind};

    fn typed(kind: QuestionKind, options: &[&str], answer: &str) -> Result<Vec<String>, String> {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let asked = Asked { kind, options, ..Asked::default() };
        let keys = keys(&asked, &Answer::parse(answer).unwrap())?;
        Ok(keys.into_iter().map(|keys| String::from_utf8(keys).unwrap()).collect())
    }

    #[test]
    fn what_is_typed_for_an_answer() {
        use QuestionKind::{Permission, Question};
        let (none, colours, choice): (&[&str], &[&str], &[&str]) = (&[], &["Red", "Blue"], &["Yes", "No"]);
        for (kind, options, answer, expected) in [
            (Permission, none, "yes", Ok(vec!["1"])),
            (Permission, none, "no", Ok(vec!["\x1b"])),
            (Permission, none, "2", Ok(vec!["2"])),
            (Permission, none, "use cp", Ok(vec!["\x1b", "use cp", "\r"])),
            (Permission, none, "a\nb", Ok(vec!["\x1b", "\x1b[200~a\nb\x1b[201~", "\r"])),
            (Question, colours, "blue", Ok(vec!["2"])),
            (Question, colours, "1", Ok(vec!["1"])),
            (Question, colours, "3", Err("there are 2 options")),
            (Question, colours, "green", Ok(vec!["3", "green", "\r"])),
            (Question, colours, "no", Ok(vec!["\x1b"])),
            (Question, choice, "no", Ok(vec!["2"])),
            (Question, choice, "yes", Ok(vec!["1"])),
            (Question, none, "green", Ok(vec!["green", "\r"])),
        ] {
            let expected: Result<Vec<String>, String> =
                expected.map(|keys| keys.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
            assert_eq!(typed(kind, options, answer), expected, "{kind:?} {answer}");
        }
    }

    #[test]
    fn a_dialogue_is_seen_on_the_screen() {
        for screen in [
            " Do you want to proceed?\n ❯ 1. Yes\n   2. Yes, and always\n   3. No\n\n Esc to cancel",
            " Do you want to proceed?\n   1. Yes\n   2. Yes, and always\n ❯ 3. No\n",
            "  $ touch x\n\n› 1. Yes, proceed (y)\n  2. No (esc)\n\n  Press enter to confirm",
            "│ Allow execution of [Shell]? │\n│ ● 1. Allow once │\n│   2. No, suggest changes (esc) │",
        ] {
            assert!(asks(screen), "{screen}");
        }
        for screen in
            ["", "❯ \n", "❯ 1. is the first\n● done", "● 1 file", "$ ls\n1. one\n2. two", "> 1.5 times"]
        {
            assert!(!asks(screen), "{screen}");
        }
    }
}
