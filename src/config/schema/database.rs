//! The key `database`: which engine, and where. The password is a secret (`secrets`); a `url` is treated
//! as one. Connecting is `store`.

use crate::config::secrets::Secrets;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// The database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// One file.
    Sqlite,
    /// A server.
    Postgresql,
}

/// How much `SQLite` waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// A commit survives a power cut.
    Full,
    /// A commit survives the process; the last ones may not survive a power cut.
    Normal,
}

/// How the connection to Postgres is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS, and its certificate is of a known authority.
    VerifyCa,
    /// And of the right name.
    VerifyFull,
}

impl SslMode {
    /// The word as libpq spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// A connection URL. May hold a password: never shown whole.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// Takes a URL, of `SQLite` or Postgres. The error never quotes it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        if known.iter().any(|scheme| text.starts_with(scheme)) {
            Ok(Self(SecretString::from(text)))
        } else {
            Err("must begin with sqlite:, postgres:// or postgresql://")
        }
    }

    /// The URL with its password.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The URL with everything that may be a password left out: user info and query.
    fn masked(&self) -> String {
        let url = self.0.expose_secret();
        let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?***"));
        let shown = match url.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((_, host)) => format!("{scheme}://***@{host}"),
                None => url.to_owned(),
            },
            None => url.to_owned(),
        };
        format!("{shown}{query}")
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.masked())
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Which engine, and where. Needs a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Which; a `url` says it itself.
    pub engine: Engine,
    /// The file of `SQLite`.
    pub path: PathBuf,
    /// How much `SQLite` waits for the disk.
    pub synchronous: Synchronous,
    /// Host of Postgres, or the folder of its socket.
    pub host: String,
    /// Port of Postgres.
    pub port: u16,
    /// Database on the server.
    pub dbname: String,
    /// User on the server.
    pub user: String,
    /// How the connection is secured.
    pub sslmode: SslMode,
    /// Instead of all of the above; so is the environment's `DATABASE_URL`.
    #[schemars(with = "Option<String>")]
    pub url: Option<DatabaseUrl>,
    /// Bring the schema up to date when the daemon starts.
    pub auto_migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            engine: Engine::Sqlite,
            path: PathBuf::from("/var/lib/teleclaude/teleclaude.db"),
            synchronous: Synchronous::Full,
            host: "/var/run/postgresql".to_owned(),
            port: 5_432,
            dbname: "teleclaude".to_owned(),
            user: "teleclaude".to_owned(),
            sslmode: SslMode::Prefer,
            url: None,
            auto_migrate: true,
        }
    }
}

/// What to connect to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file.
    Sqlite {
        /// Where.
        path: PathBuf,
        /// How much to wait for the disk.
        synchronous: Synchronous,
    },
    /// A server.
    Postgresql {
        /// Name or address; a folder (begins with `/`) is that of its socket.
        host: String,
        /// Port.
        port: u16,
        /// Database.
        dbname: String,
        /// User.
        user: String,
        /// How it is secured.
        sslmode: SslMode,
        /// `database.password`, if there is one.
        password: Option<SecretString>,
    },
    /// A URL of either engine, as it was written.
    Url {
        /// The URL with its password.
        url: SecretString,
        /// For `SQLite`.
        synchronous: Synchronous,
    },
}

impl Database {
    /// What to connect to. A `database.url` of the secrets beats the config's.
    pub fn target(&self, secrets: &Secrets) -> Target {
        let url = secrets.get("database.url").or_else(|| self.url.as_ref().map(DatabaseUrl::secret));
        if let Some(url) = url {
            return Target::Url { url: url.clone(), synchronous: self.synchronous };
        }
        match self.engine {
            Engine::Sqlite => Target::Sqlite { path: self.path.clone(), synchronous: self.synchronous },
            Engine::Postgresql => Target::Postgresql {
                host: self.host.clone(),
                port: self.port,
                dbname: self.dbname.clone(),
                user: self.user.clone(),
                sslmode: self.sslmode,
                password: secrets.get("database.password").cloned(),
            },
        }
    }
}
