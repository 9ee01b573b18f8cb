//! What the runner may do: from a request, the root-owned config and what the system knows of a uid to a [`Plan`], or
//! to the reason why not. Pure; a plan can only be made here. Who a person is to the daemon, and whether they are
//! banned, is the daemon's check.

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
    /// The command line; the command may be a bare name.
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
        Request::Run(run) => launch(run, config, owner).map(Plan::Run),
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

fn launch(run: Run, config: &Config, owner: Owner) -> Result<Launch, String> {
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
    let argv = agent::argv(agent, &owner, run.profile, run.thinking, native)
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
        listed: Listed(run.values),
        root,
        subdir: run.subdir,
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
mod tests {
    use super::{Facts, Plan, judge, short};
    use crate::config::schema::access::{AccessEntry, PersonEntry, ProjectEntry};
    use crate::config::schema::{Config, RunAs};
    use crate::domain::caller::Role;
    use crate::domain::session::{Profile, SessionId, ThinkingMode};
    use crate::runner::account::Account;
    use crate::runner::message::{Native, Open, Place, Request, Run, Which};
    use std::path::Path;
    use uuid::Uuid;

    const ANN: u32 = 4_242;
    const PROJ: u32 = 77;

    fn config() -> Config {
        let mut config = Config::default();
        config.people.push(PersonEntry {
            name: "ann".to_owned(),
            email: None,
            os_username: None,
            os_uid: Some(ANN),
            os_group: None,
            role: Role::Member,
            projects: Vec::new(),
        });
        for name in ["shop", ".."] {
            config.projects.push(ProjectEntry {
                name: name.to_owned(),
                path: "/srv/shop".into(),
                description: None,
                roles: Vec::new(),
                people: Vec::new(),
                worktrees: true,
            });
        }
        config
    }

    fn ann() -> Account {
        Account {
            uid: ANN,
            gid: ANN,
            name: "ann".to_owned(),
            home: "/home/ann".to_owned(),
            shell: "/bin/bash".to_owned(),
            gids: vec![PROJ, ANN],
        }
    }

    fn run() -> Run {
        Run {
            place: Place {
                uid: ANN,
                session: SessionId(Uuid::from_u128(7 << 100 | 9)),
                project: "shop".to_owned(),
            },
            subdir: Some("api".to_owned()),
            worktree: false,
            agent: "claude".to_owned(),
            profile: Profile::Restricted,
            thinking: ThinkingMode::Slow,
            native: Native::New(Uuid::from_u128(3)),
            token: "not-a-real-token".to_owned(),
            values: vec![("ANTHROPIC_API_KEY".to_owned(), "invented value".to_owned())],
        }
    }

    fn judged(request: Request, account: Option<&Account>, config: &Config) -> Result<Plan, String> {
        let gid_of = |group: &str| (group == "proj").then_some(PROJ);
        let facts = Facts {
            config,
            account,
            service_uid: 2_000,
            uid_min: 1_000,
            overflow_uid: 65_530,
            gid_of: &gid_of,
        };
        judge(request, &facts)
    }

    #[test]
    fn who_is_served_and_who_is_not() {
        type Change = fn(&mut Config, &mut Account);
        let nobodys = "uid 4242 is nobody's under `people`, nor of the group `runner.group`";
        let table: [(&str, Change, Result<(), &str>); 15] = [
            ("mapped by uid", |_, _| {}, Ok(())),
            ("mapped by nothing", |c, _| c.people.clear(), Err(nobodys)),
            ("mapped to another uid", |c, _| c.people[0].os_uid = Some(ANN + 1), Err(nobodys)),
            (
                "by name",
                |c, _| (c.people[0].os_uid, c.people[0].os_username) = (None, Some("ann".into())),
                Ok(()),
            ),
            (
                "renamed since",
                |c, a| {
                    (c.people[0].os_uid, c.people[0].os_username) = (None, Some("ann".into()));
                    a.name = "anna".into();
                },
                Err(nobodys),
            ),
            (
                "by group",
                |c, _| (c.people[0].os_uid, c.people[0].os_group) = (None, Some("proj".into())),
                Ok(()),
            ),
            (
                "by no group",
                |c, _| (c.people[0].os_uid, c.people[0].os_group) = (None, Some("x".into())),
                Err(nobodys),
            ),
            (
                "of the runner's group",
                |c, _| {
                    c.people.clear();
                    c.runner.group = Some("proj".into());
                },
                Ok(()),
            ),
            (
                "denied by uid",
                |c, _| c.access.deny.push(AccessEntry::Uid(ANN)),
                Err("uid 4242 is on access.deny"),
            ),
            (
                "denied by group",
                |c, _| c.access.deny.push(AccessEntry::Group("proj".into())),
                Err("uid 4242 is on access.deny"),
            ),
            (
                "denied by name though allowed",
                |c, _| {
                    c.access.deny.push(AccessEntry::User("ann".into()));
                    c.access.allow.push(AccessEntry::Uid(ANN));
                },
                Err("uid 4242 is on access.deny"),
            ),
            (
                "others allowed",
                |c, _| c.access.allow.push(AccessEntry::User("bob".into())),
                Err("uid 4242 is not on access.allow"),
            ),
            ("homeless", |_, a| a.home = String::new(), Err("uid 4242 has no home folder")),
            ("of another uid", |_, a| a.uid = 1_001, Err("the system knows no user of uid 4242")),
            (
                "not as the owner",
                |c, _| c.sessions.run_as = RunAs::Service,
                Err("sessions.run_as is not `owner` in the config"),
            ),
        ];
        for (case, change, expected) in table {
            let (mut config, mut account) = (config(), ann());
            change(&mut config, &mut account);
            let got = judged(Request::Run(run()), Some(&account), &config);
            assert_eq!(
                got.map(drop).as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|e| *e),
                "{case}"
            );
        }
    }

    #[test]
    fn uids_that_are_never_anybody() {
        for (uid, expected) in [
            (0, "nothing is run as root"),
            (1, "uid 1 is a system user's: those of people begin at 1000"),
            (999, "uid 999 is a system user's: those of people begin at 1000"),
            (2_000, "uid 2000 is the service's own"),
            (65_530, "uid 65530 is nobody"),
            (65_534, "uid 65534 is nobody"),
            (u32::MAX, "uid 4294967295 is nobody"),
            (5_000, "the system knows no user of uid 5000"),
        ] {
            let mut config = config();
            config.people[0].os_uid = Some(uid);
            let open = Open { uid, agent: "claude".to_owned(), which: Which::Path("a".to_owned()) };
            let account = (uid != 5_000).then(|| Account { uid, ..ann() });
            let requests = [
                Request::Run(Run { place: Place { uid, ..run().place }, ..run() }),
                Request::AddWorktree(Place { uid, ..run().place }),
                Request::RemoveWorktree(Place { uid, ..run().place }),
                Request::Open(open),
            ];
            for request in requests {
                assert_eq!(judged(request, account.as_ref(), &config).unwrap_err(), expected);
            }
        }
    }

    #[test]
    fn only_what_the_config_names() {
        type Change = fn(&mut Config, &mut Run);
        let table: [(Change, &str); 9] = [
            (|_, r| r.agent = "cat".into(), "there is no agent \"cat\" in the config"),
            (|_, r| r.agent = "shell".into(), "the agent \"shell\" is not enabled"),
            (
                |c, r| {
                    r.agent = "shell".into();
                    c.agents.by_name.get_mut("shell").unwrap().enabled = true;
                },
                "the agent \"shell\" has no profile `restricted`",
            ),
            (
                |c, r| {
                    r.native = Native::Resume("x".into());
                    c.agents.by_name.get_mut("claude").unwrap().resume.clear();
                },
                "the agent \"claude\" cannot resume a session",
            ),
            (|_, r| r.place.project = "other".into(), "there is no project \"other\" in the config"),
            (|_, r| r.place.project = "/srv/shop".into(), "there is no project \"/srv/shop\" in the config"),
            (
                |_, r| r.values.push(("LD_PRELOAD".into(), String::new())),
                "LD_PRELOAD is not among the names that the agent \"claude\" is given",
            ),
            (
                |c, r| {
                    r.worktree = true;
                    c.projects[0].worktrees = false;
                },
                "the project \"shop\" has no worktrees",
            ),
            (
                |_, r| {
                    r.worktree = true;
                    r.place.project = "..".into();
                },
                "the project \"..\" cannot have worktrees: its name is no folder's",
            ),
        ];
        for (change, expected) in table {
            let (mut config, mut run) = (config(), run());
            change(&mut config, &mut run);
            assert_eq!(judged(Request::Run(run), Some(&ann()), &config).unwrap_err(), expected);
        }
    }

    fn launched(run: Run) -> super::Launch {
        match judged(Request::Run(run), Some(&ann()), &config()).unwrap() {
            Plan::Run(launch) => launch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_launch_is_made_of_the_config_and_the_account() {
        let launch = launched(run());
        let id = Uuid::from_u128(3).to_string();
        assert_eq!(
            launch.argv,
            [
                "claude",
                "--permission-mode",
                "default",
                "--strict-mcp-config",
                "--model",
                "opus",
                "--session-id",
                &id
            ]
        );
        assert_eq!((launch.root.as_path(), launch.subdir.as_deref()), (Path::new("/srv/shop"), Some("api")));
        let environment = launch.environment("/tmp/x".to_owned());
        let value = |name: &str| environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("HOME"), Some("/home/ann"));
        assert_eq!(
            value("PATH"),
            Some("/home/ann/.local/bin:/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin")
        );
        assert_eq!(value("TELECLAUDE_SOCKET"), Some("/var/run/teleclaude.sock"));
        assert_eq!(value("ANTHROPIC_API_KEY"), Some("invented value"));
        assert_eq!((value("TMPDIR"), environment.len()), (Some("/tmp/x"), 13));
        let shown = format!("{launch:?}");
        assert!(!shown.contains("not-a-real-token") && !shown.contains("invented value"), "{shown}");
    }

    #[test]
    fn what_is_resumed_stands_where_a_new_id_would() {
        let resume = |agent: &str| {
            let launch = launched(Run {
                agent: agent.to_owned(),
                native: Native::Resume("N1".to_owned()),
                values: vec![],
                ..run()
            });
            launch.argv.join(" ")
        };
        assert_eq!(
            resume("claude"),
            "claude --permission-mode default --strict-mcp-config --model opus --resume N1"
        );
        assert_eq!(resume("codex"), "codex --full-auto -c model_reasoning_effort=xhigh resume N1");
    }

    #[test]
    fn worktrees_lie_in_the_home_and_transcripts_where_the_agent_keeps_them() {
        let session = run().place.session;
        assert_eq!(short(session), "00000070-0009");
        let launch = launched(Run { worktree: true, ..run() });
        let path = Path::new("/home/ann/.local/share/teleclaude/worktrees/shop/00000070-0009");
        assert_eq!(launch.root, path);
        match judged(Request::AddWorktree(run().place), Some(&ann()), &config()).unwrap() {
            Plan::AddWorktree(worktree) => {
                assert_eq!(worktree.path, path);
                assert_eq!(worktree.branch, "teleclaude/00000070-0009");
            }
            other => panic!("{other:?}"),
        }
        for (agent, below) in [
            ("claude", Some([".claude", "projects"])),
            ("codex", Some([".codex", "sessions"])),
            ("gemini", Some([".gemini", "tmp"])),
            ("shell", None),
        ] {
            let mut config = config();
            config.agents.by_name.get_mut("shell").unwrap().enabled = true;
            let open = Open { uid: ANN, agent: agent.to_owned(), which: Which::Path("a".to_owned()) };
            match (judged(Request::Open(open), Some(&ann()), &config), below) {
                (Ok(Plan::Open(found)), Some(below)) => assert_eq!(found.below, below),
                (Err(why), None) => assert_eq!(why, "the agent \"shell\" has no transcript of its own"),
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
