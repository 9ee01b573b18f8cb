//! What several checks need and is asked once: mode, paths, config, the service user, and (when the first check wants
//! them) the units, the daemon and the database. A check that comes while another asks waits for the same answer.

use crate::config::load::{self, Loaded};
use crate::config::paths::{Mode, Os, Paths};
use crate::config::problem::Problems;
use crate::config::schema::RunAs;
use crate::install::doctor::daemon::Asked;
use crate::install::doctor::database::Answer;
use crate::install::doctor::system::{System, Who};
use crate::install::doctor::units::Units;
use crate::install::doctor::{Found, daemon, database, units};
use crate::platform::account::Account;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What is known before any check looks.
#[derive(Debug)]
pub struct Facts {
    /// The machine.
    pub system: System,
    /// Whose daemon it is.
    pub mode: Mode,
    /// Where everything is.
    pub paths: Paths,
    /// The config, or all that is wrong with it.
    pub config: Result<Loaded, Problems>,
    /// The account of the service, in system mode.
    pub service: Option<Account>,
    units: OnceLock<Option<Units>>,
    asked: OnceLock<Asked>,
    answer: OnceLock<Answer>,
}

impl Facts {
    /// Reads the config and looks for the service user. Blocks on the disk and on NSS.
    pub fn gather(system: System) -> Self {
        let mode = Mode::detect(&system.environment);
        let name = service_user(system.environment.os);
        Self {
            mode,
            paths: Paths::of(&system.environment, mode),
            config: load::load(&system.environment),
            service: (mode == Mode::System).then(|| (system.account)(Who::Name(name))).flatten(),
            system,
            units: OnceLock::new(),
            asked: OnceLock::new(),
            answer: OnceLock::new(),
        }
    }

    /// Whether it is the machine's daemon.
    pub fn is_system(&self) -> bool {
        self.mode == Mode::System
    }

    /// Whether it is macOS.
    pub fn is_macos(&self) -> bool {
        self.system.environment.os == Os::MacOs
    }

    /// The name the service user has, or should have.
    pub fn service_name(&self) -> &'static str {
        service_user(self.system.environment.os)
    }

    /// The config, or why a check that needs it is skipped.
    ///
    /// # Errors
    /// Says so as a finding.
    pub fn loaded(&self) -> Result<&Loaded, Vec<Found>> {
        self.config.as_ref().map_err(|_| vec![Found::skipped("the config is not valid")])
    }

    /// The config of a machine whose agents run as their owners.
    pub fn runs_as_owner(&self) -> bool {
        self.is_system() && self.config.as_ref().is_ok_and(|l| l.config.sessions.run_as == RunAs::Owner)
    }

    /// The uid to which state, database and recordings belong; unknown without a service user.
    pub fn keeper(&self) -> Option<u32> {
        if self.is_system() {
            self.service.as_ref().map(|s| s.uid)
        } else {
            Some(self.system.environment.uid)
        }
    }

    /// How the keeper is written in a command.
    pub fn keeper_name(&self) -> String {
        if self.is_system() { self.service_name().to_owned() } else { "\"$USER\"".to_owned() }
    }

    /// Whether what only the keeper may see can be looked at.
    pub fn may_look_inside(&self) -> bool {
        self.system.is_root() || self.keeper() == Some(self.system.environment.uid)
    }

    /// Where the daemon listens, as far as the config can be read.
    pub fn socket(&self) -> PathBuf {
        self.config.as_ref().map_or_else(|_| self.paths.socket.clone(), |l| l.config.socket.clone())
    }

    /// The units; nothing where systemd does not run.
    pub fn units(&self) -> Option<&Units> {
        self.units.get_or_init(|| units::ask(self)).as_ref()
    }

    /// What the daemon answered.
    pub fn asked(&self) -> &Asked {
        self.asked.get_or_init(|| daemon::ask(self))
    }

    /// What the database answered.
    pub fn answer(&self) -> &Answer {
        self.answer.get_or_init(|| database::ask(self))
    }

    /// `sudo `, where the commands of this mode need it.
    pub fn sudo(&self) -> &'static str {
        if self.is_system() { "sudo " } else { "" }
    }
}

/// The service's account.
const fn service_user(os: Os) -> &'static str {
    match os {
        Os::Linux => "teleclaude",
        Os::MacOs => "_teleclaude",
    }
}
