//! Labels of sessions: names with a value each, by which people find their own order in them.

use std::collections::BTreeMap;

/// Labels of one session, at most.
pub const LABELS_MAX: usize = 16;
/// Characters of a label's name or value, at most.
pub const LABEL_CHARS: usize = 64;

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Checks a name or a value. The error completes "labels: …".
///
/// # Errors
/// What is wrong with it.
pub fn check(word: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/:".contains(&b);
    if word.is_empty() || word.len() > LABEL_CHARS || !word.bytes().all(plain) {
        return Err(format!(
            "a name or a value is 1 to {LABEL_CHARS} of a-z, 0-9, `.`, `_`, `-`, `/` and `:`"
        ));
    }
    Ok(())
}

/// Checks all of a session's labels. The error completes "labels: …".
///
/// # Errors
/// What is wrong with them.
pub fn check_all(labels: &Labels) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("a session has at most {LABELS_MAX}"));
    }
    labels.iter().try_for_each(|(name, value)| check(name).and_then(|()| check(value)))
}

/// Reads `name=value`, several with commas between them. The error completes "label: …".
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for pair in text.split(',') {
        let (name, value) = pair.split_once('=').ok_or("is written name=value")?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err("names one label twice".to_owned());
        }
    }
    check_all(&labels)?;
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::{LABELS_MAX, Labels, check_all, parse};

    #[test]
    fn labels_are_plain_words() {
        let read = parse("team=web,ref=fix/1.2:a_b-c").unwrap();
        assert_eq!(read["ref"], "fix/1.2:a_b-c");
        assert_eq!(read.len(), 2);
        let long = format!("a={}", "x".repeat(65));
        for bad in ["", "a", "a=", "=b", "A=b", "a=b c", "a=b=c", "a=ü", "a=b,a=c", "a=b,", long.as_str()] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many: Labels = (0..=LABELS_MAX).map(|n| (format!("l{n}"), "x".to_owned())).collect();
        assert!(check_all(&many).is_err());
    }
}
