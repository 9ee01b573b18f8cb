//! Where everything is: system mode or single-user mode, Linux or macOS. All that is read from outside the
//! files comes in by [`Environment`], so that tests are exact.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything that is read from the outside.
#[derive(Clone)]
pub struct Environment {
    /// The variables. Those that are not UTF-8 are left out.
    pub vars: BTreeMap<String, String>,
    /// The user's home.
    pub home: PathBuf,
    /// The effective uid.
    pub uid: u32,
    /// The machine's name.
    pub hostname: String,
    /// Which layout.
    pub os: Os,
    /// Where the system's folders begin: `/`, elsewhere only in tests.
    pub root: PathBuf,
    /// Where the daemon is told on its command line to listen; beats every layer.
    pub socket: Option<PathBuf>,
}

/// Which layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux, and what is not macOS.
    Linux,
    /// macOS.
    MacOs,
}

impl Os {
    /// The one this was built for.
    pub const HERE: Self = if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux };
}

impl Environment {
    /// That of this process. Blocks on NSS.
    pub fn of_process() -> Self {
        let vars: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = std::env::home_dir().filter(|h| h.is_absolute()).unwrap_or_else(|| PathBuf::from("/"));
        let hostname = nix::unistd::gethostname().ok().and_then(|h| h.into_string().ok());
        Self {
            vars,
            home,
            uid: nix::unistd::geteuid().as_raw(),
            hostname: hostname.filter(|h| !h.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
            os: Os::HERE,
            root: PathBuf::from("/"),
            socket: None,
        }
    }

    /// A variable.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// A variable that holds an absolute path; others are as good as unset (XDG says so too).
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from).filter(|p| p.is_absolute())
    }

    /// A folder that the service manager gives to the daemon: the first of a list with colons.
    fn given(&self, name: &str) -> Option<PathBuf> {
        let first = self.var(name)?.split(':').next().map(PathBuf::from);
        first.filter(|p| p.is_absolute())
    }

    /// An XDG folder, or its place below the home.
    fn xdg(&self, name: &str, below_home: &str) -> PathBuf {
        self.path(name).unwrap_or_else(|| self.home.join(below_home))
    }
}

impl std::fmt::Debug for Environment {
    // Variables hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

/// Whose daemon it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The machine's: people, roles, audit.
    System,
    /// One user's: nothing to configure.
    SingleUser,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The config file.
    pub config: PathBuf,
    /// The folder beside it whose `*.yml` are read after it, in name order.
    pub config_d: PathBuf,
    /// The secrets file.
    pub secrets: PathBuf,
    /// What the user says for themselves (`~/.teleclaude/config.yml`).
    pub personal: PathBuf,
    /// Database, recordings, keys. 0700.
    pub state_dir: PathBuf,
    /// Run files and sockets of the session hosts.
    pub run_dir: PathBuf,
    /// Where the daemon listens unless the config says otherwise.
    pub socket: PathBuf,
    /// Where the runner is asked, in system mode.
    pub runner_socket: PathBuf,
    /// The `SQLite` file unless the config says otherwise.
    pub database: PathBuf,
    /// Shared documents unless the config says otherwise.
    pub docs: PathBuf,
}

impl Mode {
    /// `TELECLAUDE_SYSTEM_MODE` says it (1 or 0); else system mode is on when the system config exists.
    pub fn detect(env: &Environment) -> Self {
        match env.var("TELECLAUDE_SYSTEM_MODE") {
            Some("1" | "true" | "yes") => Self::System,
            Some("0" | "false" | "no") => Self::SingleUser,
            _ if Paths::system(env).config.is_file() => Self::System,
            _ => Self::SingleUser,
        }
    }
}

impl Paths {
    /// Those of a mode.
    pub fn of(env: &Environment, mode: Mode) -> Self {
        match mode {
            Mode::System => Self::system(env),
            Mode::SingleUser => Self::single_user(env),
        }
    }

    fn system(env: &Environment) -> Self {
        let at = |linux: &str, macos: &str| {
            env.root.join(match env.os {
                Os::Linux => linux,
                Os::MacOs => macos,
            })
        };
        let state_dir = env
            .given("STATE_DIRECTORY")
            .unwrap_or_else(|| at("var/lib/teleclaude", "usr/local/var/lib/teleclaude"));
        Self {
            config: at("etc/teleclaude/config.yml", "usr/local/etc/teleclaude/config.yml"),
            config_d: PathBuf::new(),
            secrets: PathBuf::new(),
            personal: personal(env),
            database: state_dir.join("teleclaude.db"),
            state_dir,
            run_dir: env
                .given("RUNTIME_DIRECTORY")
                .unwrap_or_else(|| at("run/teleclaude", "usr/local/var/run/teleclaude")),
            socket: at("var/run/teleclaude.sock", "var/run/teleclaude.sock"),
            runner_socket: runner_socket(env),
            docs: at("usr/local/share/teleclaude/docs", "usr/local/share/teleclaude/docs"),
        }
        .overridden(env)
    }

    fn single_user(env: &Environment) -> Self {
        let state_dir = env.xdg("XDG_STATE_HOME", ".local/state").join("teleclaude");
        let fallback = env.home.join(".teleclaude/run");
        let runtime = env.path("XDG_RUNTIME_DIR");
        Self {
            config: env.xdg("XDG_CONFIG_HOME", ".config").join("teleclaude/config.yml"),
            config_d: PathBuf::new(),
            secrets: PathBuf::new(),
            personal: personal(env),
            database: state_dir.join("teleclaude.db"),
            state_dir,
            run_dir: runtime.as_ref().map_or_else(|| fallback.clone(), |dir| dir.join("teleclaude")),
            socket: runtime.unwrap_or(fallback).join("teleclaude.sock"),
            runner_socket: runner_socket(env),
            docs: env.xdg("XDG_DATA_HOME", ".local/share").join("teleclaude/docs"),
        }
        .overridden(env)
    }

    /// Puts the overrides in, and `config.d` and the secrets beside the config.
    fn overridden(mut self, env: &Environment) -> Self {
        if let Some(config) = env.path("TELECLAUDE_CONFIG_PATH") {
            self.config = config;
        }
        let beside = self.config.parent().unwrap_or_else(|| Path::new("/"));
        self.config_d = beside.join("config.d");
        self.secrets = env.path("TELECLAUDE_SECRETS_PATH").unwrap_or_else(|| beside.join("secrets.yml"));
        self
    }
}

/// `TELECLAUDE_RUNNER_SOCKET`, else where its service manager has it.
fn runner_socket(env: &Environment) -> PathBuf {
    env.path("TELECLAUDE_RUNNER_SOCKET").unwrap_or_else(|| {
        env.root.join(match env.os {
            Os::Linux => "run/teleclaude-runner.sock",
            Os::MacOs => "usr/local/var/run/teleclaude-runner.sock",
        })
    })
}

fn personal(env: &Environment) -> PathBuf {
    env.home.join(".teleclaude/config.yml")
}

/// Where a client looks for the daemon: `TELECLAUDE_SOCKET`, else where a daemon of this mode listens by
/// default. Does not read the config.
pub fn client_socket(env: &Environment) -> PathBuf {
    env.path("TELECLAUDE_SOCKET").unwrap_or_else(|| Paths::of(env, Mode::detect(env)).socket)
}
