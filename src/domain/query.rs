//! What people search for, and whether a text has it. Words are told apart here, and only here, for the index and for
//! the question alike: so both databases find the same. How an index is asked is `store::search`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes of a query, at most.
pub const QUERY_BYTES_MAX: usize = 1_000;
/// Words of a query, at most.
pub const QUERY_WORDS_MAX: usize = 32;
/// Characters of a word that count; what is longer is taken for the same if it begins the same.
const WORD_CHARS: usize = 64;
/// Characters of a snippet before the first match, and in all.
const BEFORE: usize = 60;
const SNIPPET_CHARS: usize = 240;
/// What a match stands between in a snippet.
pub const MARKS: [char; 2] = ['⟦', '⟧'];

/// What is looked for: every wanted term must be there, and none of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Must be there.
    pub wanted: Vec<Term>,
    /// Must not be there.
    pub unwanted: Vec<Term>,
}

/// One word, or several that stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As the index has them; never empty.
    pub words: Vec<String>,
    /// Whether the last one is only how a word begins.
    pub prefix: bool,
}

/// A word of a text: where it stands, and how the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// In small letters.
    pub key: String,
}

/// Whether words are written without blanks in this script, so that each character counts as one.
fn stands_alone(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// Marks that belong to the letter before them: a letter counts without them, however it was put together.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0300..=0x036F)
}

/// The words of a text, in order: letters and digits, small; everything else stands between words.
pub fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut open: Option<Word> = None;
    let mut chars = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if is_mark(c) {
            if let Some(word) = &mut open {
                word.at.end = end;
            }
        } else if !c.is_alphanumeric() {
            found.extend(open.take());
        } else if stands_alone(c) {
            found.extend(open.take());
            found.push(Word { at: at..end, key: c.to_string() });
        } else {
            let word = open.get_or_insert_with(|| {
                chars = 0;
                Word { at: at..end, key: String::new() }
            });
            word.at.end = end;
            chars += 1;
            if chars <= WORD_CHARS {
                // The sign at a Greek word's end is the same letter.
                let c = if c == 'ς' { 'σ' } else { c };
                word.key.extend(c.to_lowercase().filter(|c| !is_mark(*c)).map(unaccented));
            }
        }
    }
    found.extend(open);
    found
}

/// A Latin letter without its accent, so that one sign and two signs for it are the same word.
fn unaccented(c: char) -> char {
    /// Each letter, and those that it is with an accent.
    const LETTERS: [(char, &str); 23] = [
        ('a', "àáâãäåāăąǎ"),
        ('c', "çćĉċč"),
        ('d', "ď"),
        ('e', "èéêëēĕėęě"),
        ('g', "ĝğġģ"),
        ('h', "ĥ"),
        ('i', "ìíîïĩīĭįǐ"),
        ('j', "ĵ"),
        ('k', "ķ"),
        ('l', "ĺļľ"),
        ('n', "ñńņň"),
        ('o', "òóôõöōŏőǒ"),
        ('r', "ŕŗř"),
        ('s', "śŝşšș"),
        ('t', "ţťț"),
        ('u', "ùúûüũūŭůűųǔ"),
        ('w', "ŵ"),
        ('y', "ýÿŷ"),
        ('z', "źżž"),
        ('и', "йѝ"),
        ('е', "ёѐ"),
        ('і', "ї"),
        ('у', "ў"),
    ];
    if c.is_ascii() {
        return c;
    }
    LETTERS.iter().find(|(_, with)| with.contains(c)).map_or(c, |(plain, _)| *plain)
}

/// The words of a text, each once: what an index keeps of it.
pub fn distinct(text: &str) -> BTreeSet<String> {
    words(text).into_iter().map(|word| word.key).collect()
}

/// A tool call's text is JSON: what is escaped in it would hide words and begin others.
pub fn unescaped(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escaped = &rest[at + 1..];
        let Some(c) = escaped.chars().next() else {
            rest = "";
            break;
        };
        rest = &escaped[c.len_utf8()..];
        match c {
            'n' | 'r' | 't' | 'b' | 'f' => text.push(' '),
            'u' => match rest.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
                Some(code) => {
                    text.push(char::from_u32(code).unwrap_or(' '));
                    rest = &rest[4..];
                }
                None => text.push('u'),
            },
            c => text.push(c),
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

impl Query {
    /// Reads what somebody typed: words (all of them), "words one after the other", `begin*`, `-not`. Every other sign
    /// stands between words, so `a::b` is `"a b"`. The error completes "query: …".
    ///
    /// # Errors
    /// Nothing to look for, or too much of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(format!("may have at most {QUERY_BYTES_MAX} bytes"));
        }
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        let mut query = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let not = rest.strip_prefix('-').filter(|after| !after.starts_with(['-', ' ']));
            let begin = not.unwrap_or(rest);
            let (inside, mut after) = match begin.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => begin.split_at(begin.find([' ', '\t', '\n', '\r', '"']).unwrap_or(begin.len())),
            };
            let mut prefix = inside.ends_with('*');
            if begin.starts_with('"')
                && let Some(further) = after.strip_prefix('*')
            {
                (prefix, after) = (true, further);
            }
            let words: Vec<String> = words(inside).into_iter().map(|word| word.key).collect();
            if !words.is_empty() {
                let term = Term { words, prefix };
                if not.is_some() { query.unwanted.push(term) } else { query.wanted.push(term) }
            }
            rest = after.trim_start();
        }
        if query.wanted.is_empty() {
            let problem = if query.unwanted.is_empty() {
                "has no word in it"
            } else {
                "must have a word that is wanted, not only words that are not"
            };
            return Err(problem.to_owned());
        }
        if query.wanted.iter().chain(&query.unwanted).map(|term| term.words.len()).sum::<usize>()
            > QUERY_WORDS_MAX
        {
            return Err(format!("may have at most {QUERY_WORDS_MAX} words"));
        }
        Ok(query)
    }

    /// Where in the text what is wanted stands, in order; `None` if the text is not what is looked for.
    pub fn find(&self, text: &str) -> Option<Vec<Range<usize>>> {
        let words = words(text);
        if self.unwanted.iter().any(|term| term.all(&words).next().is_some()) {
            return None;
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        for term in &self.wanted {
            let before = found.len();
            found.extend(term.all(&words));
            if found.len() == before {
                return None;
            }
        }
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut end = 0;
        found.retain(|range| {
            let beside = range.start >= end;
            if beside {
                end = range.end;
            }
            beside
        });
        Some(found)
    }
}

impl Term {
    fn all<'a>(&'a self, words: &'a [Word]) -> impl Iterator<Item = Range<usize>> + 'a {
        let last = self.words.len() - 1;
        words.windows(self.words.len()).filter_map(move |window| {
            let fits = window.iter().zip(&self.words).enumerate().all(|(i, (word, wanted))| {
                if i == last && self.prefix {
                    word.key.starts_with(wanted.as_str())
                } else {
                    word.key == *wanted
                }
            });
            fits.then(|| window[0].at.start..window[last].at.end)
        })
    }
}

/// A part of the text around its first match, on one line, every match in it between [`MARKS`].
pub fn snippet(text: &str, found: &[Range<usize>]) -> String {
    let [open, close] = MARKS;
    let first = found.first().map_or(0, |range| range.start);
    let mut start = text[..first].char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
    if start > 0 {
        // Not in the middle of a word, if there is an end of one.
        start = text[start..first].find(char::is_whitespace).map_or(start, |blank| start + blank);
    }
    let mut shown = String::from(if start > 0 { "…" } else { "" });
    let mut left = SNIPPET_CHARS;
    let mut matches = found.iter().skip_while(|range| range.start < start).peekable();
    let mut inside: Option<usize> = None;
    let mut blank = true;
    for (at, c) in text[start..].char_indices().map(|(at, c)| (start + at, c)) {
        if inside.is_some_and(|end| at >= end) {
            inside = None;
            shown.push(close);
        }
        if left == 0 {
            shown.push('…');
            break;
        }
        if let Some(range) = matches.next_if(|range| range.start == at) {
            inside = Some(range.end);
            shown.push(open);
        }
        let c = match c {
            c if c.is_whitespace() || c.is_control() => ' ',
            c if c == open => '[',
            c if c == close => ']',
            c => c,
        };
        if c != ' ' || !blank {
            shown.push(c);
            left -= 1;
        }
        blank = c == ' ';
    }
    if inside.is_some() {
        shown.push(close);
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use super::{QUERY_BYTES_MAX, Query, Term, distinct, snippet, unescaped, words};
    use proptest::prelude::{any, proptest};

    fn keys(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.key).collect()
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(keys("Foo_bar a::b, /usr/local/lib64"), ["foo", "bar", "a", "b", "usr", "local", "lib64"]);
        assert_eq!(keys("Привет, МИР"), ["привет", "мир"]);
        assert_eq!(keys("全文 検索x"), ["全", "文", "検", "索", "x"]);
        assert_eq!(keys("Στάσις"), keys("ΣΤΆΣΙΣ"));
        assert_eq!(keys("caf\u{e9} cafe\u{301} CAFÉ"), ["cafe", "cafe", "cafe"]);
        assert_eq!(keys("\u{301} ++ — 🙂"), Vec::<String>::new());
        let long = "x".repeat(100);
        assert_eq!(keys(&long), [long[..64].to_owned()]);
        assert_eq!(distinct("b a B").into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_typed() {
        let term =
            |words: &[&str], prefix| Term { words: words.iter().map(|w| (*w).to_owned()).collect(), prefix };
        let query = Query::parse(r#"one "two three" fo* -four -"five six" a::b --all c-d"#).unwrap();
        assert_eq!(
            query.wanted,
            [
                term(&["one"], false),
                term(&["two", "three"], false),
                term(&["fo"], true),
                term(&["a", "b"], false),
                term(&["all"], false),
                term(&["c", "d"], false),
            ]
        );
        assert_eq!(query.unwanted, [term(&["four"], false), term(&["five", "six"], false)]);
        assert_eq!(Query::parse("\"ab cd\"*").unwrap().wanted, [term(&["ab", "cd"], true)]);
        assert_eq!(Query::parse("\"no end").unwrap().wanted, [term(&["no", "end"], false)]);
        for (bad, why) in [
            ("", "empty"),
            (" \n", "empty"),
            ("*", "no word"),
            ("\"\" - -- && |", "no word"),
            ("-a", "wanted"),
            (&"a ".repeat(33), "words"),
            (&"a".repeat(QUERY_BYTES_MAX + 1), "bytes"),
        ] {
            assert!(Query::parse(bad).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn texts_that_have_it() {
        for (query, text, has) in [
            ("foo bar", "bar and foo", true),
            ("foo bar", "foo", false),
            ("\"foo bar\"", "bar foo bar", true),
            ("\"foo bar\"", "foo and bar", false),
            ("foo_bar", "let foo_bar = 1;", true),
            ("foo_bar", "bar_foo", false),
            ("foo -bar", "foo baz", true),
            ("foo -bar", "foo Bar", false),
            ("foo -\"bar baz\"", "foo baz bar", true),
            ("fo*", "a FOOD", true),
            ("fo*", "info", false),
            ("src/li*", "see src/lib.rs", true),
            ("検索", "全文検索する", true),
            ("索検", "全文検索する", false),
            ("ёлка", "Елка", true),
        ] {
            assert_eq!(Query::parse(query).unwrap().find(text).is_some(), has, "{query} in {text}");
        }
    }

    #[test]
    fn a_snippet_shows_where() {
        let shown = |query: &str, text: &str| {
            snippet(text, &Query::parse(query).unwrap().find(text).unwrap_or_default())
        };
        assert_eq!(shown("b::c", "a\n\n b::c\td ⟦x⟧"), "a ⟦b::c⟧ d [x]");
        let long = format!("{} needle {}", "before ".repeat(100), "after ".repeat(100));
        let text = shown("needle", &long);
        assert!(
            text.starts_with("…before") && text.contains(" ⟦needle⟧ after") && text.ends_with('…'),
            "{text}"
        );
        assert!(text.chars().count() < 250, "{text}");
    }

    #[test]
    fn escapes_hide_no_words() {
        assert_eq!(unescaped(r#"{"a":"x\nfoo\t\"b\" C:\\dir \u00e9"}"#), r#"{"a":"x foo "b" C:\dir é"}"#);
        assert_eq!(unescaped(r"\"), "");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_every_match_is_a_part(query in any::<String>(), text in any::<String>()) {
            for word in words(&text) {
                assert!(!word.key.is_empty(), "{word:?}");
                assert!(word.key.chars().all(|c| c.is_ascii_alphanumeric() || !c.is_ascii()), "{word:?}");
            }
            let _ = unescaped(&text);
            if let Ok(query) = Query::parse(&query) {
                let found = query.find(&text).unwrap_or_default();
                snippet(&text, &found);
            }
        }

        #[test]
        fn every_word_of_a_text_is_found_in_it(text in "[a-zA-Zé全_.:/ -]{0,40}") {
            for word in words(&text) {
                let query = Query { wanted: vec![Term { words: vec![word.key], prefix: false }], unwanted: vec![] };
                assert!(query.find(&text).is_some());
            }
        }
    }
}
