//! What a doctor asks of the machine, as values and functions: the process's own in `System::of_process`, planted ones
//! in tests. Nothing here judges.

use crate::config::load::Loaded;
use crate::config::paths::Environment;
use crate::domain::timestamp::Timestamp;
use crate::platform::account::{self, Account, Group};
use crate::platform::command::{self, Output};
use crate::platform::process;
use crate::platform::volume::{self, Volume};
use crate::store::connect::Options;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long one command of the system may take: less than a check may.
pub const COMMAND_TIME: Duration = Duration::from_secs(4);

/// By what an account is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// Its name.
    Name(&'a str),
    /// Its uid.
    Uid(u32),
}

/// Looks an account up.
pub type FindAccount = Arc<dyn Fn(Who<'_>) -> Option<Account> + Send + Sync>;
/// Looks a group up by its name.
pub type FindGroup = Arc<dyn Fn(&str) -> Option<Group> + Send + Sync>;
/// Runs a command of the system; nothing where there is no such command, or it did not end in time.
pub type Run = Arc<dyn Fn(&[&str]) -> Option<Output> + Send + Sync>;
/// Runs a command as an account with all its groups, or as this process's own user if it is that; nothing as for [`Run`].
pub type RunAs = Arc<dyn Fn(&Account, &[&str]) -> Option<Output> + Send + Sync>;
/// Says which database the daemon would open with this config.
pub type FindDatabase = fn(&Loaded) -> anyhow::Result<Options>;
/// Looks at the file system that a path lies on.
pub type FindVolume = Arc<dyn Fn(&Path) -> io::Result<Volume> + Send + Sync>;

/// The machine.
#[derive(Clone)]
pub struct System {
    /// Variables, home, effective uid, and where the system's folders begin.
    pub environment: Environment,
    /// The time.
    pub now: Timestamp,
    /// This program.
    pub exe: PathBuf,
    /// How many files this process may open.
    pub open_files: u64,
    /// Accounts.
    pub account: FindAccount,
    /// Groups.
    pub group: FindGroup,
    /// Commands.
    pub run: Run,
    /// Commands as somebody else.
    pub run_as: RunAs,
    /// The daemon's choice of a database.
    pub database: FindDatabase,
    /// File systems.
    pub volume: FindVolume,
}

impl System {
    /// That of this process, with this environment. `database` is the daemon's way from a config to a database.
    pub fn of_process(environment: Environment, database: FindDatabase) -> Self {
        Self {
            environment,
            database,
            now: Timestamp::from(SystemTime::now()),
            exe: std::env::current_exe().unwrap_or_default(),
            open_files: process::open_files_limit(),
            account: Arc::new(|who| match who {
                Who::Name(name) => account::by_name(name),
                Who::Uid(uid) => account::by_uid(uid),
            }),
            group: Arc::new(account::group),
            run: Arc::new(|argv| command::run(argv, &[], None, COMMAND_TIME).ok()),
            run_as: Arc::new(run_as),
            volume: Arc::new(volume::of),
        }
    }

    /// A path of the system: `etc/login.defs` is `/etc/login.defs`.
    pub fn at(&self, below_root: &str) -> PathBuf {
        self.environment.root.join(below_root)
    }

    /// Whether everything may be looked at.
    pub const fn is_root(&self) -> bool {
        self.environment.uid == 0
    }
}

/// Runs a command as an account, within [`COMMAND_TIME`].
pub fn run_as(account: &Account, argv: &[&str]) -> Option<Output> {
    let other = (account.uid != process::own_uid()).then_some(account);
    let home = account.home.to_string_lossy();
    command::run(argv, &[("HOME", &home)], other, COMMAND_TIME).ok()
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("environment", &self.environment).finish_non_exhaustive()
    }
}
