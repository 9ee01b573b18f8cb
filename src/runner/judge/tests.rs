//! Who is served, what the config must name, and what a plan is made of: as tables.

use super::{Facts, Plan, judge, short};
use crate::agent::Owner;
use crate::agent::wiring::Installed;
use crate::config::schema::access::{AccessEntry, PersonEntry, ProjectEntry};
use crate::config::schema::{Config, RunAs};
use crate::domain::caller::Role;
use crate::domain::session::{Profile, SessionId, ThinkingMode};
use crate::runner::account::Account;
use crate::runner::message::{Native, Open, Place, Request, Run, Which};
use std::path::{Path, PathBuf};
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
        installed: None,
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
        ("by group", |c, _| (c.people[0].os_uid, c.people[0].os_group) = (None, Some("proj".into())), Ok(())),
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

#[test]
fn an_agent_is_wired_to_what_is_installed_and_to_nothing_that_was_asked_for() {
    let config = config();
    let installed = Installed { binary: PathBuf::from("/usr/bin/teleclaude"), gemini: None };
    let gid_of = |_: &str| None;
    let facts = Facts {
        config: &config,
        account: None,
        service_uid: 2_000,
        uid_min: 1_000,
        overflow_uid: 65_530,
        installed: Some(&installed),
        gid_of: &gid_of,
    };
    let owner = Owner { home: "/home/ann".to_owned(), user: "ann".to_owned(), shell: "/bin/sh".to_owned() };
    let launch = super::launch(run(), &facts, owner).unwrap();
    let wired = launch.argv.windows(2).any(|two| two == ["--mcp-config", "{tmp}/mcp.json"]);
    assert!(wired && launch.argv.contains(&"--strict-mcp-config".to_owned()), "{:?}", launch.argv);
    assert!(
        launch
            .files
            .iter()
            .any(|(name, text)| name == "hooks.json" && text.contains("/usr/bin/teleclaude hook"))
    );
    assert!(!launch.files.iter().any(|(_, text)| text.contains("not-a-real-token")));
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
    assert_eq!(value("PATH"), Some("/home/ann/.local/bin:/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin"));
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
    assert_eq!(
        resume("codex"),
        "codex --sandbox workspace-write --ask-for-approval on-request -c model_reasoning_effort=xhigh resume N1"
    );
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
