//! Moments as people type them: RFC 3339, or how long ago (`90s`, `45m`, `2h`, `7d`).

use crate::domain::timestamp::Timestamp;

/// A moment as typed; relative ones become absolute when the request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// RFC 3339, as typed.
    At(String),
    /// So many seconds ago.
    Ago(u32),
}

impl When {
    /// As the wire spells it.
    pub fn rfc3339(&self, now: Timestamp) -> String {
        match self {
            Self::At(text) => text.clone(),
            Self::Ago(seconds) => {
                Timestamp::from_micros(now.micros().saturating_sub(i64::from(*seconds) * 1_000_000))
                    .to_string()
            }
        }
    }
}

/// Reads what was typed; for clap.
pub fn parse(text: &str) -> Result<When, String> {
    let ago = || {
        let unit = text.chars().next_back()?;
        let seconds: u32 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        text.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(seconds).map(When::Ago)
    };
    match ago() {
        Some(when) => Ok(when),
        None => Timestamp::parse(text).map(|_| When::At(text.to_owned())).map_err(|_| {
            "give an RFC 3339 time (2026-01-31T12:00:00Z) or how long ago (45m, 2h, 7d)".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_moments() {
        let now = Timestamp::from_micros(1_795_262_400_000_000);
        let said = |text: &str| parse(text).map(|when| when.rfc3339(now));
        assert_eq!(said("2h").unwrap(), "2026-11-21T10:00:00Z");
        assert_eq!(said("7d").unwrap(), "2026-11-14T12:00:00Z");
        assert_eq!(said("2026-01-31T12:00:00+01:00").unwrap(), "2026-01-31T12:00:00+01:00");
        for wrong in ["", "d", "-2h", "2", "yesterday", "99999999999d", "4294967295d"] {
            assert!(said(wrong).is_err(), "{wrong}");
        }
    }
}
