//! What the runner may do: from a request, the root-owned config and what the system knows of a uid to a [`Plan`], or
//! to the reason why not. Pure; a plan can only be made here. Who a person is to the daemon, and whether they are
//! banned, is the daemon's check.

use crate::agent::wiring::{Installed, wiring};
use crate::agent::{self, Owner, SessionVars, transcript};
use crate::config::schema::access::{AccessEntry, ProjectEntry};
use crate::config::schema::agents::Agent;
use crate::config::schema::{Config, RunAs};
use crate::domain::session::SessionId;
use crate::runner::account::Account;
use crate::runner::message::{Native, Open, Place, Request, Run, Which};
use std::path::PathBuf;

/// What a request is judged by.
pub struct Facts<'a> {
    /// The config.
    pub config: &'a Config,
    /// Whom the request's uid names, if anybody.
    pub account: Option<&'a Account>,
    /// Who may ask: never somebody to run as.
    pub service_uid: u32,
    /// The first uid of people.
    pub uid_min: u32,
    /// The uid that stands for another user namespace.
    pub overflow_uid: u32,
    /// What is installed for agents to use.
    pub installed: Option<&'a Installed>,
    /// The gid of a group, if there is one.
    pub gid_of: &'a dyn Fn(&str) -> Option<u32>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Run an agent.
    Run(Launch),
    /// Add a worktree.
    AddWorktree(Worktree),
    /// Remove a worktree.
    RemoveWorktree(Worktree),
    /// Open a file below a folder of the home.
    Open(Transcripts),
}

/// An agent's process, but for what only its user can find out: the temporary folder, where the command lies.
#[derive(Debug, PartialEq, Eq)]
pub struct Launch {
    /// The command line, with [`TMP`](agent::wiring::TMP) for the temporary folder; the command may be a bare name.
    pub argv: Vec<String>,
    /// Its PATH.
    pub path: String,
    /// Whose it is.
    pub owner: Owner,
    /// What ties it to its session; no temporary folder yet.
    pub vars: SessionVars,
    /// Values for names of the config.
    pub listed: Listed,
    /// The folder it must stay below: the project's, or its worktree.
    pub root: PathBuf,
    /// Where in there it begins.
    pub subdir: Option<String>,
    /// Files to be made in the temporary folder: name and text.
    pub files: Vec<(String, String)>,
}

/// Names and values of variables. Debug shows the names.
#[derive(PartialEq, Eq)]
pub struct Listed(pub Vec<(String, String)>);

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Launch {
    /// The whole environment, once the temporary folder is known.
    pub fn environment(&self, tmp_dir: String) -> Vec<(String, String)> {
        let vars = SessionVars { tmp_dir, ..self.vars.clone() };
        agent::environment(&self.owner, &self.path, LANG, &vars, &self.listed.0)
    }
}

/// A session's worktree of a project.
#[derive(Debug, PartialEq, Eq)]
pub struct Worktree {
    /// The project's folder.
    pub project: PathBuf,
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Its branch.
    pub branch: String,
    /// Where git is looked for.
    pub search: String,
    /// As whom.
    pub owner: Owner,
}

impl Worktree {
    /// That of a session, in its owner's home. `name` is the project's.
    ///
    /// # Errors
    /// No folder can have that name.
    pub fn of(
        name: &str,
        project: PathBuf,
        session: SessionId,
        search: String,
        owner: Owner,
    ) -> Result<Self, String> {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(format!("the project {name:?} cannot have worktrees: its name is no folder's"));
        }
        let short = short(session);
        let below = [".local/share/teleclaude/worktrees", name, &short];
        let path = below.iter().fold(PathBuf::from(&owner.home), |path, part| path.join(part));
        Ok(Self { project, path, branch: format!("teleclaude/{short}"), search, owner })
    }
}

/// Where an agent keeps what it writes about its sessions, and which file of it is meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcripts {
    /// The home folder.
    pub home: PathBuf,
    /// Folders below it, one in the other.
    pub below: &'static [&'static str],
    /// Which file.
    pub which: Which,
}

/// The locale of agents: no file that a user could write says otherwise.
const LANG: &str = "C.UTF-8";
/// The uid that many systems call nobody.
const NOBODY: u32 = 65_534;

/// Judges a request.
///
/// # Errors
/// Why not, for the log and for whoever asked. Holds no secret.
pub fn judge(request: Request, facts: &Facts<'_>) -> Result<Plan, String> {
    if facts.config.sessions.run_as != RunAs::Owner {
        return Err("sessions.run_as is not `owner` in the config".to_owned());
    }
    let account = person(request.uid(), facts)?;
    let owner =
        Owner { home: account.home.clone(), user: account.name.clone(), shell: account.shell.clone() };
    let config = facts.config;
    match request {
        Request::Run(run) => launch(run, facts, owner).map(Plan::Run),
        Request::AddWorktree(place) => worktree(&place, config, owner).map(Plan::AddWorktree),
        Request::RemoveWorktree(place) => worktree(&place, config, owner).map(Plan::RemoveWorktree),
        Request::Open(open) => transcripts(open, config, &owner).map(Plan::Open),
    }
}

/// The account of a uid that may be served: an ordinary user whom the config maps, or of the runner's group.
fn person<'a>(uid: u32, facts: &Facts<'a>) -> Result<&'a Account, String> {
    if uid == 0 {
        return Err("nothing is run as root".to_owned());
    }
    if uid == u32::MAX || uid == NOBODY || uid == facts.overflow_uid {
        return Err(format!("uid {uid} is nobody"));
    }
    if uid == facts.service_uid {
        return Err(format!("uid {uid} is the service's own"));
    }
    if uid < facts.uid_min {
        return Err(format!("uid {uid} is a system user's: those of people begin at {}", facts.uid_min));
    }
    let account = facts
        .account
        .filter(|a| a.uid == uid)
        .ok_or_else(|| format!("the system knows no user of uid {uid}"))?;
    let in_group = |name: &String| (facts.gid_of)(name).is_some_and(|gid| account.gids.contains(&gid));
    let names = |entry: &AccessEntry| match entry {
        AccessEntry::User(name) => *name == account.name,
        AccessEntry::Group(name) => in_group(name),
        AccessEntry::Uid(listed) => *listed == uid,
    };
    let config = facts.config;
    if config.access.deny.iter().any(names) {
        return Err(format!("uid {uid} is on access.deny"));
    }
    if !config.access.allow.is_empty() && !config.access.allow.iter().any(names) {
        return Err(format!("uid {uid} is not on access.allow"));
    }
    let mapped = config.people.iter().any(|person| {
        person.os_uid == Some(uid)
            || person.os_username.as_ref() == Some(&account.name)
            || person.os_group.as_ref().is_some_and(in_group)
    });
    if !mapped && !config.runner.group.as_ref().is_some_and(in_group) {
        return Err(format!("uid {uid} is nobody's under `people`, nor of the group `runner.group`"));
    }
    if !account.home.starts_with('/') {
        return Err(format!("uid {uid} has no home folder"));
    }
    Ok(account)
}

fn agent<'a>(name: &str, config: &'a Config) -> Result<&'a Agent, String> {
    let agent =
        config.agents.by_name.get(name).ok_or_else(|| format!("there is no agent {name:?} in the config"))?;
    if agent.enabled { Ok(agent) } else { Err(format!("the agent {name:?} is not enabled")) }
}

fn project<'a>(name: &str, config: &'a Config) -> Result<&'a ProjectEntry, String> {
    let found = config.projects.iter().find(|project| project.name == name);
    found.ok_or_else(|| format!("there is no project {name:?} in the config"))
}

fn launch(run: Run, facts: &Facts<'_>, owner: Owner) -> Result<Launch, String> {
    let config = facts.config;
    let agent = agent(&run.agent, config)?;
    let new_id;
    let native = match &run.native {
        Native::New(id) => {
            new_id = id.to_string();
            agent::Native::New(&new_id)
        }
        Native::Resume(_) if agent.resume.is_empty() => {
            return Err(format!("the agent {:?} cannot resume a session", run.agent));
        }
        Native::Resume(id) => agent::Native::Resume(id),
    };
    let wired = wiring(agent, facts.installed);
    let argv = agent::argv(agent, &owner, run.profile, run.thinking, native, &wired.args)
        .ok_or_else(|| format!("the agent {:?} has no profile `{}`", run.agent, run.profile.name()))?;
    if let Some((name, _)) = run.values.iter().find(|(name, _)| !agent.env.contains(name)) {
        return Err(format!("{name} is not among the names that the agent {:?} is given", run.agent));
    }
    let root = if run.worktree {
        worktree(&run.place, config, owner.clone())?.path
    } else {
        project(&run.place.project, config)?.path.clone()
    };
    Ok(Launch {
        argv,
        path: agent::path(&config.agents.path, &owner, None),
        vars: SessionVars {
            session: run.place.session.to_string(),
            token: run.token,
            socket: config.socket.to_string_lossy().into_owned(),
            tmp_dir: String::new(),
        },
        owner,
        listed: Listed([run.values, wired.env].concat()),
        root,
        subdir: run.subdir,
        files: wired.files,
    })
}

fn worktree(place: &Place, config: &Config, owner: Owner) -> Result<Worktree, String> {
    let project = project(&place.project, config)?;
    if !project.worktrees {
        return Err(format!("the project {:?} has no worktrees", project.name));
    }
    let search = agent::path(&config.agents.path, &owner, None);
    Worktree::of(&project.name, project.path.clone(), place.session, search, owner)
}

/// A session's id as people can say it: when it began, and enough of what is random.
fn short(session: SessionId) -> String {
    let hex = session.0.simple().to_string();
    format!("{}-{}", &hex[..8], &hex[hex.len() - 4..])
}

fn transcripts(open: Open, config: &Config, owner: &Owner) -> Result<Transcripts, String> {
    let below = transcript::folder(agent(&open.agent, config)?.transcript);
    if below.is_empty() {
        return Err(format!("the agent {:?} has no transcript of its own", open.agent));
    }
    Ok(Transcripts { home: PathBuf::from(&owner.home), below, which: open.which })
}

#[cfg(test)]
mod tests;
