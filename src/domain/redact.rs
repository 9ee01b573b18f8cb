//! Taking credentials out of text: the one place that every entry of a transcript passes on its way to a row or an
//! index. It knows the shapes that providers give their keys, so ordinary code stays as it is; what has no shape (a
//! password in a sentence) it cannot know.

use regex::{Captures, Regex, RegexBuilder, RegexSet};
use std::borrow::Cow;

/// Own patterns, at most.
pub const PATTERNS_MAX: usize = 64;
/// Bytes of one of them, at most.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Bytes that one of them may need once it is compiled.
const COMPILED_MAX: usize = 256 * 1024;

/// What is looked for: the name that stands in its place, and the pattern. Where a pattern has a group `secret`, only
/// that part goes. The shapes are those that the providers document for their keys.
const SHAPES: [(&str, &str); 20] = [
    ("anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("openai key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]*[A-Za-z0-9]{20,}[A-Za-z0-9_-]*"),
    ("google key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("google token", r"\bya29\.[A-Za-z0-9_-]{20,}"),
    ("github token", r"\bgh[pousr]_[A-Za-z0-9]{36,}"),
    ("github token", r"\bgithub_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("slack webhook", r"\bhooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/]{20,})"),
    ("aws key id", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("aws secret", r#"(?i)aws_?secret_?access_?key["']?\s*[:=]\s*["']?(?P<secret>[A-Za-z0-9/+]{40})"#),
    ("stripe key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}"),
    ("pypi token", r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ("hugging face token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("sendgrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("json web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
    ("password", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:(?P<secret>[^\s/@]{1,256})@"),
    ("bearer token", r"(?i)\bauthorization:\s*(?:bearer|basic|token)\s+(?P<secret>[A-Za-z0-9._~+/-]{16,}=*)"),
];

/// Finds what must not be kept.
#[derive(Debug)]
pub struct Redactor {
    names: Vec<String>,
    any: RegexSet,
    each: Vec<Regex>,
}

impl Redactor {
    /// The known shapes and these patterns besides.
    ///
    /// # Errors
    /// Which pattern cannot be used, counted from 0, and why; or that there are too many.
    pub fn new(patterns: &[String]) -> Result<Self, (usize, String)> {
        if patterns.len() > PATTERNS_MAX {
            return Err((PATTERNS_MAX, format!("at most {PATTERNS_MAX} patterns are possible")));
        }
        let known = SHAPES.map(|(name, pattern)| (name, pattern.to_owned()));
        let own = patterns.iter().map(|pattern| ("pattern", pattern.clone()));
        let (names, all): (Vec<&str>, Vec<String>) = known.into_iter().chain(own).unzip();
        let mut each = Vec::with_capacity(all.len());
        for (i, pattern) in all.iter().enumerate() {
            let own = i.checked_sub(SHAPES.len());
            if own.is_some() && pattern.len() > PATTERN_BYTES_MAX {
                let problem = format!("may have at most {PATTERN_BYTES_MAX} bytes");
                return Err((own.unwrap_or(0), problem));
            }
            let mut built = RegexBuilder::new(pattern);
            if own.is_some() {
                built.size_limit(COMPILED_MAX);
            }
            let regex = built.build().map_err(|e| (own.unwrap_or(0), in_one_line(&e)))?;
            if regex.is_match("") {
                return Err((own.unwrap_or(0), "matches nothing at all, so everywhere".to_owned()));
            }
            each.push(regex);
        }
        let any = RegexSet::new(&all).map_err(|e| (0, in_one_line(&e)))?;
        Ok(Self { names: names.into_iter().map(str::to_owned).collect(), any, each })
    }

    /// The text without what was found in it; the text itself if that is nothing. Doing it twice changes nothing more.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for i in self.any.matches(&text).iter() {
            let marker = format!("[redacted: {}]", self.names[i]);
            let replaced = self.each[i].replace_all(&text, |found: &Captures<'_>| {
                let whole = found.get_match();
                match found.name("secret") {
                    Some(secret) => {
                        let (before, after) = (secret.start() - whole.start(), secret.end() - whole.start());
                        format!("{}{marker}{}", &whole.as_str()[..before], &whole.as_str()[after..])
                    }
                    None => marker.clone(),
                }
            });
            if let Cow::Owned(changed) = replaced {
                text = Cow::Owned(changed);
            }
        }
        text
    }
}

/// What is wrong with a pattern: the crate draws a picture, and says it below.
fn in_one_line(problem: &regex::Error) -> String {
    let text = problem.to_string();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    format!("is no pattern: {}", last.trim().trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::{PATTERNS_MAX, Redactor};
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::borrow::Cow;
    use std::sync::OnceLock;

    static KNOWN: OnceLock<Redactor> = OnceLock::new();

    /// Invented, in the providers' shapes; put together here so that no scanner takes them for real ones.
    fn invented() -> Vec<(&'static str, String)> {
        let long = "Made0up1Value2".repeat(6);
        let join = |parts: &[&str]| parts.concat();
        vec![
            ("anthropic key", join(&["sk-", "ant-api03-", &long[..40]])),
            ("openai key", join(&["sk-", "proj-", &long[..48]])),
            ("openai key", join(&["sk-", &long[..48]])),
            ("google key", join(&["AI", "za", &long[..35]])),
            ("github token", join(&["gh", "p_", &long[..36]])),
            ("github token", join(&["github", "_pat_", &long[..60]])),
            ("gitlab token", join(&["gl", "pat-", &long[..20]])),
            ("slack token", join(&["xo", "xb-", "1234567890-", &long[..24]])),
            ("aws key id", join(&["AK", "IA", "MADEUPMADEUP1234"])),
            ("stripe key", join(&["sk", "_live_", &long[..24]])),
            ("npm token", join(&["np", "m_", &long[..36]])),
            ("hugging face token", join(&["h", "f_", &long[..34]])),
            (
                "json web token",
                join(&["ey", "JhbGciOiJub25lIn0.", "ey", "JzdWIiOiJtYWRlLXVwIn0.", &long[..20]]),
            ),
        ]
    }

    #[test]
    fn known_shapes_go_and_what_is_around_them_stays() {
        let redactor = Redactor::new(&[]).unwrap();
        for (name, key) in invented() {
            let shown = redactor.redact(&format!("export KEY=\"{key}\"; echo done")).into_owned();
            assert_eq!(shown, format!("export KEY=\"[redacted: {name}]\"; echo done"));
        }
        let pem =
            ["-----BEGIN RSA ", "PRIVATE KEY-----\nTWFkZSB1cA==\n-----END RSA ", "PRIVATE KEY-----"].concat();
        assert_eq!(redactor.redact(&format!("a\n{pem}\nb")), "a\n[redacted: private key]\nb");
        assert_eq!(redactor.redact(&pem[..40]), "[redacted: private key]", "also without its end");
        assert_eq!(
            redactor.redact("postgres://ann:made-up@db.example/x"),
            "postgres://ann:[redacted: password]@db.example/x"
        );
        assert_eq!(
            redactor.redact("curl -H 'Authorization: Bearer made.up.token.0123456789' https://x.example"),
            "curl -H 'Authorization: Bearer [redacted: bearer token]' https://x.example"
        );
    }

    #[test]
    fn ordinary_code_stays_as_it_is() {
        let redactor = Redactor::new(&[]).unwrap();
        let code = [
            include_str!("redact.rs").split("#[cfg(test)]").next().unwrap(),
            include_str!("policy.rs"),
            include_str!("audit.rs"),
            include_str!("../agent/transcript/codex.rs"),
            include_str!("../../Cargo.lock"),
            include_str!("../../etc/config.yml"),
            include_str!("../../README.md"),
            "let sk = task-manager; risk-assessment-of-the-whole-department-and-more",
            "git clone https://example.org/a/b.git && ssh ann@host:/srv",
            "https://ann@example.org:8080/path?x=y@z",
            "class=\"mask-image-linear-gradient-to-bottom-right\"",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "550e8400-e29b-41d4-a716-446655440000 sk-1 ghp_ AKIA xoxb- AIza",
            "authorization: required for every endpoint",
            "-----BEGIN CERTIFICATE-----\nTWFkZSB1cA==\n-----END CERTIFICATE-----",
        ];
        for text in code {
            match redactor.redact(text) {
                Cow::Borrowed(_) => {}
                Cow::Owned(changed) => {
                    let line = changed.lines().find(|line| line.contains("[redacted:")).unwrap_or("");
                    panic!("changed: {line}");
                }
            }
        }
    }

    #[test]
    fn own_patterns_are_checked_and_used() {
        let redactor = Redactor::new(&[r"\bPROJ-SECRET-\d+".to_owned()]).unwrap();
        assert_eq!(redactor.redact("a PROJ-SECRET-12 b"), "a [redacted: pattern] b");
        assert_eq!(Redactor::new(&["ok".to_owned(), "(".to_owned()]).unwrap_err().0, 1);
        assert_eq!(Redactor::new(&["x*".to_owned()]).unwrap_err().0, 0);
        assert!(Redactor::new(&vec!["a".to_owned(); PATTERNS_MAX + 1]).is_err());
        assert_eq!(Redactor::new(&["(".to_owned()]).unwrap_err().1, "is no pattern: unclosed group");
        for large in ["a".repeat(1_001), r"\w{1000}".to_owned()] {
            assert_eq!(Redactor::new(&["ok".to_owned(), large]).unwrap_err().0, 1);
        }
        let part = Redactor::new(&[r"ticket (?P<secret>\d{6})".to_owned()]).unwrap();
        assert_eq!(part.redact("see ticket 123456."), "see ticket [redacted: pattern].");
    }

    proptest! {
        #[test]
        fn twice_is_once(before in "[ -~\n]{0,60}", after in "[ -~\n]{0,60}", which in 0_usize..13) {
            let redactor = KNOWN.get_or_init(|| Redactor::new(&[]).unwrap());
            let text = format!("{before} {} {after}", invented()[which].1);
            let once = redactor.redact(&text).into_owned();
            prop_assert_eq!(redactor.redact(&once), once.as_str());
        }
    }
}
