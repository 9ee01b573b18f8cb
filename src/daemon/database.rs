//! From the config's database keys to what the store opens. A URL is made here and holds the password: it is a
//! secret from then on.

use crate::config::load::Loaded;
use crate::config::schema::database::{Synchronous, Target};
use crate::store::connect::{Engine, Options};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write as _;

/// How the store is to be opened.
///
/// # Errors
/// Says what of a URL cannot be used, without quoting it.
pub fn options(loaded: &Loaded) -> anyhow::Result<Options> {
    let config = &loaded.config;
    let engine = match config.database.target(&loaded.secrets) {
        Target::Sqlite { path, synchronous } => {
            Engine::Sqlite { path, synchronous_full: synchronous == Synchronous::Full }
        }
        Target::Postgresql { host, port, dbname, user, sslmode, password } => {
            let mut url = format!("postgres://{}", escape(&user));
            if let Some(password) = &password {
                let _ = write!(url, ":{}", escape(password.expose_secret()));
            }
            // The folder of a Unix socket goes into the host, escaped.
            let _ = write!(url, "@{}:{port}/{}?sslmode={}", escape(&host), escape(&dbname), sslmode.name());
            Engine::Postgres { url: SecretString::from(url) }
        }
        Target::Url { url, synchronous } => {
            let text = url.expose_secret();
            match text.split_once(':').map(|(scheme, _)| scheme) {
                Some("postgres" | "postgresql") => Engine::Postgres { url },
                Some("sqlite") => {
                    let path = text.trim_start_matches("sqlite:").trim_start_matches("//");
                    let path = path.split('?').next().unwrap_or(path);
                    anyhow::ensure!(
                        path.starts_with('/'),
                        "database.url: the file of sqlite must be an absolute path"
                    );
                    Engine::Sqlite { path: path.into(), synchronous_full: synchronous == Synchronous::Full }
                }
                _ => anyhow::bail!("database.url: must begin with postgres:// or sqlite://"),
            }
        }
    };
    Ok(Options { engine, computer: config.computer.name.clone(), auto_migrate: config.database.auto_migrate })
}

/// Percent-encodes everything but letters, digits and `-._~`.
fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_password_cannot_leave_its_place() {
        assert_eq!(escape("a@b:c/d?e#f%"), "a%40b%3Ac%2Fd%3Fe%23f%25");
        assert_eq!(escape("/var/run/postgresql"), "%2Fvar%2Frun%2Fpostgresql");
    }
}
