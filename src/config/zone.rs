//! Time zones by name, as the system's time zone database has them, or our own copy where there is none; and the
//! machine's.

use crate::domain::deadline::{Zone, is_name, meant};
use jiff::tz::{self, TimeZone};

/// The zone of this name; upper and lower case are the same.
///
/// # Errors
/// There is none: says which name was meant, if one is like it.
pub fn named(name: &str) -> Result<Zone, String> {
    let name = name.trim();
    if is_name(name)
        && let Ok(zone) = TimeZone::get(name)
    {
        return Ok(Zone(zone));
    }
    let shown: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
    let known: Vec<String> = tz::db().available().map(|known| known.to_string()).collect();
    Err(match meant(&shown, known.iter().map(String::as_str)) {
        Some(other) => format!("there is no time zone `{shown}`; did you mean `{other}`?"),
        None => format!("there is no time zone `{shown}`; give a name such as Europe/Berlin or UTC"),
    })
}

/// The machine's zone; UTC where it has none.
pub fn of_machine() -> Zone {
    TimeZone::try_system().map_or(Zone::UTC, Zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_name_and_others_are_guessed_at() {
        assert_eq!(named("Europe/Berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(named("utc").unwrap().name(), "UTC");
        assert_eq!(
            named("Europe/Berln").unwrap_err(),
            "there is no time zone `Europe/Berln`; did you mean `Europe/Berlin`?"
        );
        assert!(named("berlin").unwrap_err().ends_with("did you mean `Europe/Berlin`?"));
        for wrong in ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\0b"] {
            assert!(named(wrong).unwrap_err().contains("there is no time zone"), "{wrong:?}");
        }
    }
}
