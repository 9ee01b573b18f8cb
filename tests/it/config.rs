//! The config: layers and their order, every kind of bad input with its file, line and key, and that no
//! secret is ever shown. A little machine in a temp dir stands in for `/`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fall over")]

use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use teleclaude::config::load::{self, Loaded};
use teleclaude::config::paths::{Environment, Mode, Os, Paths, client_socket};
use teleclaude::config::personal;
use teleclaude::config::schema::Config;
use teleclaude::config::schema::access::AccessEntry;
use teleclaude::config::schema::database::Target;
use teleclaude::config::show;
use teleclaude::config::tree::{self, Kind, Node};
use teleclaude::domain::session::Profile;

/// A machine with nothing on it but what a test writes.
struct Machine {
    dir: tempfile::TempDir,
    env: Environment,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment {
            vars: BTreeMap::new(),
            home: dir.path().join("home/ann"),
            uid: 4_711,
            hostname: "box".to_owned(),
            os: Os::Linux,
            root: dir.path().to_owned(),
            socket: None,
        };
        Self { dir, env }
    }

    /// One whose system config is `text`.
    fn with(text: &str) -> Self {
        Self::new().file("etc/teleclaude/config.yml", text)
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    fn secrets(self, text: &str) -> Self {
        self.file("etc/teleclaude/secrets.yml", text)
    }

    fn mode(self, path: &str, mode: u32) -> Self {
        std::fs::set_permissions(self.dir.path().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn var(mut self, name: &str, value: &str) -> Self {
        self.env.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Loaded {
        load::load(&self.env).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is wrong, with the machine's root cut out.
    fn problems(&self) -> Vec<String> {
        self.cut(&load::load(&self.env).expect_err("nothing is wrong").to_string())
    }

    fn cut(&self, text: &str) -> Vec<String> {
        text.replace(&format!("{}/", self.dir.path().display()), "/").lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_example_config_is_the_defaults_and_names_every_key() {
    let example = include_str!("../../etc/config.yml");
    let machine = Machine::with(example).secrets(include_str!("../../etc/secrets.yml"));
    let loaded = machine.load();
    let mut config = (*loaded.config).clone();
    assert_eq!(config.computer.name, "box");
    config.computer.name = String::new();
    let mut defaults = Config::default();
    defaults.log.target = teleclaude::config::schema::LogTarget::Journald;
    defaults.audit.checkpoint.journald = true;
    assert_eq!(config, defaults);
    for row in show::rows(&loaded) {
        assert!(
            row.key == "computer.name" || row.origin != "default",
            "{} is not in etc/config.yml",
            row.key
        );
    }
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn nothing_needs_to_be_configured() {
    let machine = Machine::new();
    let loaded = machine.load();
    assert_eq!(loaded.mode, Mode::SingleUser);
    assert!(loaded.config.agents.by_name["shell"].enabled);
    assert_eq!(loaded.config.computer.name, "box");
    assert_eq!(loaded.config.socket, machine.env.home.join(".teleclaude/run/teleclaude.sock"));
    assert!(loaded.warnings.is_empty());
    // A file of nothing but comments, or nothing at all, is a config too.
    for text in ["", "# nothing yet\n", "---\n", "agents:\n  # nothing\n  path: [/usr/bin]\n"] {
        assert_eq!(Machine::with(text).load().mode, Mode::System);
    }
}

#[test]
fn every_bad_input_names_file_line_and_key() {
    let cases = [
        ("\nlimit: {}\n", "2: limit: unknown key (did you mean `limits`?)"),
        (
            "limits:\n  connections: 1\n  conections: 2\n",
            "3: limits.conections: unknown key (did you mean `connections`?)",
        ),
        (
            "limits: {connections: many}\n",
            "1: limits.connections: expected a whole number, 0 or more, found text",
        ),
        (
            "limits:\n  connections: -1\n",
            "2: limits.connections: expected a whole number, 0 or more, found -1",
        ),
        (
            "limits:\n  connections:\n",
            "2: limits.connections: expected a whole number, 0 or more, found nothing",
        ),
        ("limits: 5\n", "1: limits: expected a map, found a whole number"),
        (
            "computer:\n  name: 12\n",
            "2: computer.name: expected text, found a whole number (put it in quotes)",
        ),
        (
            "docs: {path: /a}\nlog: {level: info}\ndocs: {path: /b}\n",
            "3: docs: duplicate key, first on line 1",
        ),
        ("log:\n  level: loud\n", "2: log.level: must be one of error, warn, info, debug, trace"),
        (
            "people:\n- name: ann\n  os_uid: 1\n  role: boss\n",
            "4: people[0].role: must be one of public, newcomer, contributor, member, admin",
        ),
        (
            "people:\n- name: ann\n  os_uid: 1\n- os_uid: 2\n  role: admin\n",
            "2: people[0]: `role` is missing",
        ),
        ("socket_mode: 438\n", "1: socket_mode: expected text, found a whole number (put it in quotes)"),
        ("socket_mode: \"999\"\n", "1: socket_mode: must be mode bits in octal, such as \"0666\""),
        (
            "audit:\n  checkpoint:\n    every: soon\n",
            "3: audit.checkpoint.every: must be a span of time such as 90s, 30m, 1h or 7d",
        ),
        ("access:\n  deny:\n  - bob\n  - \"@\"\n", "4: access.deny[1]: must be a user name, @group or a uid"),
        ("access:\n  allow: [5000000000]\n", "2: access.allow[0]: must be a uid below 4294967296"),
        ("socket: run/x.sock\n", "1: socket: must be an absolute path"),
        ("projects:\n- name: web\n  path: srv/web\n", "3: projects[0].path: must be an absolute path"),
        ("projects:\n- {name: web, path: /a/../b}\n", "2: projects[0].path: must not contain `..`"),
        (
            "agents:\n  default: clod\n",
            "2: agents.default: is not an agent; there are claude, codex, gemini, shell",
        ),
        ("agents:\n  aider: {enabled: true}\n", "2: agents.aider.command: is missing"),
        (
            "agents:\n  claude:\n    env: [LD_PRELOAD]\n",
            "3: agents.claude.env[0]: must be a variable's name that an agent may be given",
        ),
        (
            "agents:\n  claude:\n    resume: [--resume]\n",
            "3: agents.claude.resume: must say where the id goes: {id}",
        ),
        ("roles:\n  member: {steer_others: true}\n", "2: roles.member.steer_others: only admins can"),
        (
            "roles:\n  newcomer:\n    profile: full\n",
            "3: roles.newcomer.profile: a newcomer can only have restricted",
        ),
        ("limits: {bad_lines: 0}\n", "1: limits.bad_lines: must be at least 1"),
        (
            "people: [{name: a, os_uid: 1, role: member, projects: [x]}]\n",
            "1: people[0].projects[0]: there is no project `x`",
        ),
        (
            "people: [{name: a, os_uid: 1, os_group: b, role: member}]\n",
            "1: people[0].os_group: stands for everybody of the group and cannot go with os_username or os_uid",
        ),
        ("limits: [1, 2]\n", "1: limits: expected a map, found a list"),
        ("- a\n- b\n", "1: expected a map, found a list"),
        ("socket: !secret x\n", "1: holds a tag, or a key that is not text"),
        ("a: 1\n---\nb: 2\n", " holds more than one document"),
    ];
    for (text, wanted) in cases {
        let got = Machine::with(text).problems();
        assert!(
            got.iter().any(|line| line == &format!("/etc/teleclaude/config.yml:{wanted}")),
            "for {text:?}\n got    {got:#?}\n wanted {wanted}"
        );
    }
}

#[test]
fn broken_yaml_oversize_and_wrong_files_are_reported() {
    let got = Machine::with("log:\n  level: [info\nsocket: /x\n").problems();
    assert!(got[0].starts_with("/etc/teleclaude/config.yml:3: is not valid YAML: "), "{got:?}");
    let got = Machine::with(&"#".repeat(256 * 1024 + 1)).problems();
    assert_eq!(got, ["/etc/teleclaude/config.yml: is larger than 256 KiB"]);
    let got = Machine::with(&format!("\nsocket: {}", "[".repeat(100_000))).problems();
    assert_eq!(got, ["/etc/teleclaude/config.yml:2: is nested too deeply"]);
    let got = Machine::with(&format!("a: 1\n{}: 1\n", "k".repeat(257))).problems();
    assert!(got[0].ends_with(" holds a key of more than 256 bytes"), "{got:?}");
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in "bcdefghi".chars().zip("abcdefgh".chars()) {
        bomb.push_str(&format!(
            "{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
        ));
    }
    assert!(Machine::with(&bomb).problems()[0].contains("too "));
    let machine = Machine::with("").file("etc/teleclaude/config.d/10.yml/x", "");
    assert_eq!(machine.problems(), ["/etc/teleclaude/config.d/10.yml: is not a regular file"]);
    let machine = Machine::with("");
    std::fs::write(machine.dir.path().join("etc/teleclaude/config.yml"), b"log: {}\n# \xff\n").unwrap();
    assert_eq!(machine.problems(), ["/etc/teleclaude/config.yml:2: is not UTF-8"]);
}

#[test]
fn all_problems_of_all_files_come_at_once() {
    let machine = Machine::with("limit: 1\nlog: {level: loud}\nsocket: here\n")
        .file("etc/teleclaude/config.d/20-b.yml", "projects:\n- {name: a, path: /a}\n- {name: a, path: /b}\n")
        .secrets("ok: 1\n")
        .var("TELECLAUDE_LIMITS__CONNECTIONS", "lots");
    insta::assert_snapshot!(machine.problems().join("\n"), @r#"
    /etc/teleclaude/config.yml:1: limit: unknown key (did you mean `limits`?)
    /etc/teleclaude/config.yml:2: log.level: must be one of error, warn, info, debug, trace
    TELECLAUDE_LIMITS__CONNECTIONS: expected a whole number, 0 or more, found text
    /etc/teleclaude/config.yml:3: socket: must be an absolute path
    /etc/teleclaude/config.d/20-b.yml:3: projects[1].name: is the same name as projects[0] at /etc/teleclaude/config.d/20-b.yml:2
    /etc/teleclaude/secrets.yml:1: is not the name of a secret (VARIABLE_NAMES, database.password, database.url, encryption.key or encryption.previous_key)
    "#);
}

#[test]
fn two_people_claiming_one_user_are_reported_with_both_lines() {
    let machine = Machine::with(
        "people:\n- name: ann\n  os_username: ann\n  role: admin\n- {name: bob, os_uid: 7, role: member}\n- name: eve\n  os_username: ann\n  os_uid: 7\n  role: member\n",
    );
    assert_eq!(
        machine.problems(),
        [
            "/etc/teleclaude/config.yml:8: people[2].os_uid: claims the same OS user as people[1] at /etc/teleclaude/config.yml:5",
            "/etc/teleclaude/config.yml:7: people[2].os_username: claims the same OS user as people[0] at /etc/teleclaude/config.yml:3",
        ]
    );
}

#[test]
fn later_layers_win_and_the_rest_stays() {
    let machine = Machine::with("limits: {connections: 1, bad_lines: 2, headers: 3}\nlog: {level: warn}\n")
        .file("etc/teleclaude/config.d/20.yml", "limits: {connections: 20, bad_lines: 20}\n")
        .file("etc/teleclaude/config.d/10.yml", "limits: {connections: 10, write_seconds: 10}\n")
        .file("etc/teleclaude/config.d/.30.yml", "limits: {connections: 30}\n")
        .file("etc/teleclaude/config.d/30.yml.bak", "limits: {connections: 31}\n")
        .var("TELECLAUDE_LIMITS__BAD_LINES", "99")
        .var("TELECLAUDE_COMPUTER__NAME", "0123")
        .var("TELECLAUDE_SESSIONS__NOTICE", "note: [all of it")
        .var("TELECLAUDE_ACCESS__DENY", "[eve, '@bad', 12]");
    let loaded = machine.load();
    let limits = &loaded.config.limits;
    assert_eq!((limits.connections, limits.bad_lines, limits.headers, limits.write_seconds), (20, 99, 3, 10));
    assert_eq!(loaded.config.computer.name, "0123");
    assert_eq!(loaded.config.sessions.notice, "note: [all of it");
    let deny =
        [AccessEntry::User("eve".into()), AccessEntry::Group("bad".into()), AccessEntry::Uid(12)].to_vec();
    assert_eq!(loaded.config.access.deny, deny);
    let origin = |key: &str| machine.cut(&loaded.origins.of(key).to_string()).concat();
    assert_eq!(origin("limits.connections"), "/etc/teleclaude/config.d/20.yml:1");
    assert_eq!(origin("limits.headers"), "/etc/teleclaude/config.yml:1");
    assert_eq!(origin("limits.bad_lines"), "TELECLAUDE_LIMITS__BAD_LINES");
    assert_eq!(origin("log.level"), "/etc/teleclaude/config.yml:2");
    assert_eq!(origin("log.target"), "default");
}

#[test]
fn a_part_of_an_agent_or_role_leaves_the_rest_at_its_own_default() {
    let loaded = Machine::with("agents: {codex: {enabled: false}}\nroles: {admin: {burst: 5}}\n").load();
    let codex = &loaded.config.agents.by_name["codex"];
    assert!(!codex.enabled);
    assert_eq!(codex.command, "codex");
    assert_eq!(codex.resume_args("7").unwrap(), ["resume", "7"]);
    assert_eq!(loaded.config.roles.admin.profile, Profile::Full);
    assert_eq!(loaded.config.roles.admin.max_sessions, 16);
    assert!(!loaded.config.agents.by_name["shell"].enabled);
    assert_eq!(loaded.config.agents.by_name["shell"].profile(Profile::Restricted), None);
}

#[test]
fn entries_of_lists_know_their_lines() {
    let loaded = Machine::with(
        "people:\n- name: ann\n  os_uid: 1\n  role: admin\n\n- {name: bob, os_uid: 2, role: member}\naccess:\n  deny:\n    - eve\n    - 13\n  allow: [a,\n    b]\n",
    )
    .load();
    let line = |key: &str| loaded.origins.file_line(key).unwrap().rsplit_once(':').unwrap().1.to_owned();
    let lines =
        ["people[0]", "people[0].role", "people[1]", "access.deny[0]", "access.deny[1]", "access.allow[1]"];
    assert_eq!(lines.map(line), ["2", "4", "6", "9", "10", "12"]);
}

#[test]
fn variables_of_ours_that_are_no_config_break_nothing() {
    let machine = Machine::with("")
        .var("TELECLAUDE_SESSION", "x")
        .var("TELECLAUDE_TOKEN", "invented")
        .var("TELECLAUDE_SOCKET", "/elsewhere.sock")
        .var("TELECLAUDE_SYSTEM_MODE", "1")
        .var("TELECLAUDE_SOMETHING", "x");
    let loaded = machine.load();
    assert_eq!(loaded.config.socket, machine.dir.path().join("var/run/teleclaude.sock"));
    assert_eq!(client_socket(&machine.env), Path::new("/elsewhere.sock"));
    assert_eq!(loaded.warnings, ["TELECLAUDE_SOMETHING: is no config key; passed over"]);
    let machine = Machine::with("").var("TELECLAUDE_LIMIT__CONNECTIONS", "1");
    assert_eq!(machine.problems(), ["TELECLAUDE_LIMIT: unknown key (did you mean `limits`?)"]);
}

#[test]
fn secrets_come_from_file_credentials_and_environment_in_this_order() {
    let machine = Machine::with("database: {engine: postgresql}\nagents: {claude: {env: [MY_KEY]}}\n")
        .secrets("ANTHROPIC_API_KEY: file-a\nOPENAI_API_KEY: file-b\nMY_KEY: 0123\ndatabase:\n  password: file-p\n")
        .file("credentials/ANTHROPIC_API_KEY", "credential-a\n")
        .file("credentials/secrets.yml", "database.password: credential-p\n")
        .file("credentials/unrelated.pem", "x");
    let dir = machine.dir.path().join("credentials");
    let machine =
        machine.var("CREDENTIALS_DIRECTORY", dir.to_str().unwrap()).var("OPENAI_API_KEY", "[environment-b");
    let loaded = machine.load();
    let secret = |name: &str| loaded.secrets.get(name).map(|s| s.expose_secret().to_owned());
    assert_eq!(secret("ANTHROPIC_API_KEY").as_deref(), Some("credential-a"));
    assert_eq!(secret("OPENAI_API_KEY").as_deref(), Some("[environment-b"));
    assert_eq!(secret("MY_KEY").as_deref(), Some("0123"));
    let Target::Postgresql { password, .. } = loaded.config.database.target(&loaded.secrets) else {
        panic!("not postgres")
    };
    assert_eq!(password.unwrap().expose_secret(), "credential-p");
    let machine = machine.var("DATABASE_URL", "postgres://u:p@h/d");
    let loaded = machine.load();
    assert!(matches!(loaded.config.database.target(&loaded.secrets), Target::Url { .. }));
}

#[test]
fn badly_guarded_secrets_are_a_warning_or_with_strict_an_error() {
    let at = "etc/teleclaude/secrets.yml";
    let machine = Machine::with("").secrets("A_KEY: x\n").mode(at, 0o644);
    let warnings = machine.load().warnings;
    assert_eq!(machine.cut(&warnings.join("\n")), [format!("/{at}: can be read or written by everybody")]);
    let machine = Machine::with("secrets: {strict: true}\n").secrets("A_KEY: x\n").mode(at, 0o660);
    assert_eq!(
        machine.problems(),
        [format!("/{at}: can be written by the service user (secrets.strict is on; mode 0640 or 0600)")]
    );
    assert!(Machine::with("").secrets("A_KEY: x\n").mode(at, 0o640).load().warnings.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a secrets file looks like, what stands in it is in no error, Debug or row.
    #[test]
    fn a_secret_is_never_shown(
        form in 0_usize..12,
        noise in "[a-z]{8}",
    ) {
        let secret = format!("hunter2{noise}");
        let text = [
            format!("ANTHROPIC_API_KEY: {secret}\n"),
            format!("ANTHROPIC_API_KEY: [{secret}]\n"),
            format!("ANTHROPIC_API_KEY: {{x: {secret}}}\n"),
            format!("ANTHROPIC_API_KEY: {secret}\nANTHROPIC_API_KEY: {secret}\n"),
            format!("{secret}\n"),
            format!("- {secret}\n"),
            format!("ANTHROPIC_API_KEY: \"{secret}\n"),
            format!("ANTHROPIC_API_KEY: !{secret} x\n"),
            format!("ANTHROPIC_API_KEY: *{secret}\n"),
            format!("{secret}: x\n"),
            format!("database: {{url: \"{secret}\", password: {secret}}}\n"),
            format!("ANTHROPIC_API_KEY: %{secret}\n  @{secret}: \t{secret}\n"),
        ][form].clone();
        let url = format!("postgres://me:{secret}@h/d?password={secret}");
        let machine = Machine::with(&format!("database: {{url: \"{url}\"}}\n"))
            .secrets(&text)
            .var("OPENAI_API_KEY", &secret)
            .var("TELECLAUDE_DATABASE__PASSWORD", &secret);
        let said = match load::load(&machine.env) {
            Ok(loaded) => format!("{loaded:?} {:?} {:?}", show::rows(&loaded), machine.env),
            Err(problems) => format!("{problems} {problems:?}"),
        };
        prop_assert!(!said.contains("hunter2"), "{said}");
        let bad = Machine::with(&format!("database:\n  url: \"my:{secret}\"\n")).problems().concat();
        prop_assert!(!bad.contains("hunter2"), "{bad}");
    }

    /// Every key's line is the line on which it stands, in block and in flow style.
    #[test]
    fn lines_are_those_of_the_keys(
        blanks in proptest::collection::vec(0_usize..3, 1..20),
        flow in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut text = String::new();
        for (i, blank) in blanks.iter().enumerate() {
            text.push_str(&"# comment: {no: key}\n\n"[..].repeat(*blank));
            text.push_str(&if flow[i] {
                format!("key{i}: {{inner{i}: 1,\n  'other{i}': [a, \"b\"]}}\n")
            } else {
                format!("key{i}:\n  inner{i}: |\n    other{i}: no key\n  \"other{i}\": 2\n")
            });
        }
        let root = tree::parse(&text).unwrap();
        let mut seen = 0;
        check_lines(&root, &text, &mut seen);
        prop_assert_eq!(seen, blanks.len() * 3);
    }

    /// No text at all makes the parser fall over.
    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-c:\\-\\[\\]{}&*!|>'\"#%@`,?~ \n\t]{0,80}") {
        match tree::parse(&text) {
            Ok(_) => {}
            Err(problem) => prop_assert!(!problem.message.is_empty()),
        }
        let _ = tree::parse_loose(&text);
    }
}

fn check_lines(node: &Node, text: &str, seen: &mut usize) {
    if let Kind::Map(entries) = &node.kind {
        for (key, inner) in entries {
            let line = text.lines().nth(inner.line - 1).unwrap();
            assert!(
                line.contains(key.as_str()) && !line.contains("no key"),
                "{key} at {}: {line}",
                inner.line
            );
            *seen += 1;
            check_lines(inner, text, seen);
        }
    }
}

#[test]
fn show_says_where_each_value_came_from() {
    let machine = Machine::with("log: {level: debug}\npeople:\n- {name: ann, os_uid: 1, role: admin}\ndatabase:\n  url: postgres://me:hunter2@db/x\n")
        .secrets("ANTHROPIC_API_KEY: hunter2\n")
        .var("TELECLAUDE_DOCS__PATH", "/srv/docs");
    let rows = show::rows(&machine.load());
    let picked: Vec<String> = rows
        .iter()
        .filter(|r| r.origin != "default")
        .map(|r| format!("{} = {}  <- {}", r.key, r.value_json, r.origin))
        .collect();
    insta::assert_snapshot!(machine.cut(&picked.join("\n")).join("\n"), @r#"
    database.url = "postgres://***@db/x"  <- /etc/teleclaude/config.yml:5
    docs.path = "/srv/docs"  <- TELECLAUDE_DOCS__PATH
    log.level = "debug"  <- /etc/teleclaude/config.yml:1
    people[0].email = null  <- /etc/teleclaude/config.yml:3
    people[0].name = "ann"  <- /etc/teleclaude/config.yml:3
    people[0].os_group = null  <- /etc/teleclaude/config.yml:3
    people[0].os_uid = 1  <- /etc/teleclaude/config.yml:3
    people[0].os_username = null  <- /etc/teleclaude/config.yml:3
    people[0].projects = []  <- /etc/teleclaude/config.yml:3
    people[0].role = "admin"  <- /etc/teleclaude/config.yml:3
    secrets:ANTHROPIC_API_KEY = "***"  <- secrets /etc/teleclaude/secrets.yml:1
    "#);
}

#[test]
fn differences_name_what_needs_a_restart() {
    let old = Machine::with("log: {level: info}\n").secrets("A_KEY: x\n").load();
    let machine =
        Machine::with("log: {level: warn}\nsocket: /x.sock\ndatabase: {port: 1}\n").secrets("A_KEY: y\n");
    let mut new = machine.load();
    // Two machines in two folders: only what was written differs.
    let mut config = (*new.config).clone();
    config.docs = old.config.docs.clone();
    config.database.path = old.config.database.path.clone();
    new.config = std::sync::Arc::new(config);
    let (changed, restart) = Loaded::differences(&old, &new);
    assert_eq!(changed, ["A_KEY", "database.port", "log.level", "socket"]);
    assert_eq!(restart, ["database.port", "socket"]);
    assert_eq!(Loaded::differences(&old, &old), (vec![], vec![]));
}

#[test]
fn paths_of_both_modes_on_both_systems() {
    let base = Environment {
        vars: BTreeMap::new(),
        home: PathBuf::from("/home/ann"),
        uid: 1_000,
        hostname: "box".to_owned(),
        os: Os::Linux,
        root: PathBuf::from("/"),
        socket: None,
    };
    let shown = |env: &Environment, mode| {
        let p = Paths::of(env, mode);
        [p.config, p.config_d, p.secrets, p.personal, p.state_dir, p.run_dir, p.socket, p.database, p.docs]
            .map(|p| p.to_str().unwrap().to_owned())
            .join("\n")
    };
    let mac = Environment { os: Os::MacOs, ..base.clone() };
    let mut xdg = base.clone();
    for (name, value) in [
        ("XDG_RUNTIME_DIR", "/run/user/1000"),
        ("XDG_STATE_HOME", "/s"),
        ("XDG_CONFIG_HOME", "/c"),
        ("XDG_DATA_HOME", "relative"),
    ] {
        xdg.vars.insert(name.to_owned(), value.to_owned());
    }
    let mut over = base.clone();
    over.vars.insert("TELECLAUDE_CONFIG_PATH".to_owned(), "/opt/t/my.yml".to_owned());
    over.vars.insert("TELECLAUDE_SECRETS_PATH".to_owned(), "/opt/s.yml".to_owned());
    insta::assert_snapshot!(shown(&base, Mode::System), @r#"
    /etc/teleclaude/config.yml
    /etc/teleclaude/config.d
    /etc/teleclaude/secrets.yml
    /home/ann/.teleclaude/config.yml
    /var/lib/teleclaude
    /run/teleclaude
    /var/run/teleclaude.sock
    /var/lib/teleclaude/teleclaude.db
    /usr/local/share/teleclaude/docs
    "#);
    insta::assert_snapshot!(shown(&mac, Mode::System), @r#"
    /usr/local/etc/teleclaude/config.yml
    /usr/local/etc/teleclaude/config.d
    /usr/local/etc/teleclaude/secrets.yml
    /home/ann/.teleclaude/config.yml
    /usr/local/var/lib/teleclaude
    /usr/local/var/run/teleclaude
    /var/run/teleclaude.sock
    /usr/local/var/lib/teleclaude/teleclaude.db
    /usr/local/share/teleclaude/docs
    "#);
    insta::assert_snapshot!(shown(&base, Mode::SingleUser), @r#"
    /home/ann/.config/teleclaude/config.yml
    /home/ann/.config/teleclaude/config.d
    /home/ann/.config/teleclaude/secrets.yml
    /home/ann/.teleclaude/config.yml
    /home/ann/.local/state/teleclaude
    /home/ann/.teleclaude/run
    /home/ann/.teleclaude/run/teleclaude.sock
    /home/ann/.local/state/teleclaude/teleclaude.db
    /home/ann/.local/share/teleclaude/docs
    "#);
    insta::assert_snapshot!(shown(&xdg, Mode::SingleUser), @r#"
    /c/teleclaude/config.yml
    /c/teleclaude/config.d
    /c/teleclaude/secrets.yml
    /home/ann/.teleclaude/config.yml
    /s/teleclaude
    /run/user/1000/teleclaude
    /run/user/1000/teleclaude.sock
    /s/teleclaude/teleclaude.db
    /home/ann/.local/share/teleclaude/docs
    "#);
    insta::assert_snapshot!(shown(&over, Mode::System), @r#"
    /opt/t/my.yml
    /opt/t/config.d
    /opt/s.yml
    /home/ann/.teleclaude/config.yml
    /var/lib/teleclaude
    /run/teleclaude
    /var/run/teleclaude.sock
    /var/lib/teleclaude/teleclaude.db
    /usr/local/share/teleclaude/docs
    "#);
}

#[test]
fn the_mode_is_what_the_variable_says_or_whether_the_system_config_exists() {
    assert_eq!(Mode::detect(&Machine::new().env), Mode::SingleUser);
    assert_eq!(Mode::detect(&Machine::with("").env), Mode::System);
    assert_eq!(Mode::detect(&Machine::new().var("TELECLAUDE_SYSTEM_MODE", "1").env), Mode::System);
    assert_eq!(Mode::detect(&Machine::with("").var("TELECLAUDE_SYSTEM_MODE", "0").env), Mode::SingleUser);
    let machine = Machine::new().file("elsewhere.yml", "");
    let path = machine.dir.path().join("elsewhere.yml");
    let machine = machine.var("TELECLAUDE_CONFIG_PATH", path.to_str().unwrap());
    assert_eq!(Mode::detect(&machine.env), Mode::System);
}

#[test]
fn an_earlier_systems_file_is_read_for_what_we_know() {
    let text = "computer: {name: desk, timezone: UTC}\ndatabase: {path: /home/ann/old.db}\npeople:\n- {name: Ann, username: ann, role: admin}\ntelegram: {trusted_bots: [x]}\nredis:\n  password: hunter2\nagents: {codex: {enabled: false}}\n";
    let machine = Machine::new().file("home/ann/.config/teleclaude/config.yml", text);
    let loaded = machine.load();
    assert_eq!(loaded.config.computer.name, "desk");
    assert!(!loaded.config.agents.by_name["codex"].enabled);
    assert_ne!(loaded.config.database.path, Path::new("/home/ann/old.db"));
    insta::assert_snapshot!(machine.cut(&loaded.warnings.join("\n")).join("\n"), @r#"
    /home/ann/.config/teleclaude/config.yml:2: database: is the earlier system's; not opened
    /home/ann/.config/teleclaude/config.yml:1: computer.timezone: not a key of this version; passed over
    /home/ann/.config/teleclaude/config.yml:4: people[0].username: not a key of this version; passed over
    /home/ann/.config/teleclaude/config.yml:5: telegram: not a key of this version; passed over
    /home/ann/.config/teleclaude/config.yml:6: redis: not a key of this version; passed over
    /home/ann/.config/teleclaude/config.yml:4: people[0]: nobody can be this person: no os_username, os_uid or os_group
    people: not used in single-user mode
    "#);
    // In system mode the same file is an error.
    let got = Machine::with(text).problems();
    assert!(got.iter().any(|l| l.contains(":5: telegram: unknown key (this looks like")), "{got:#?}");
    // A file that is not the earlier system's is held to our keys in single-user mode too.
    let got = Machine::new().file("home/ann/.config/teleclaude/config.yml", "sockt: /x\n").problems();
    assert_eq!(
        got,
        ["/home/ann/.config/teleclaude/config.yml:1: sockt: unknown key (did you mean `socket`?)"]
    );
}

#[test]
fn a_personal_file_may_set_the_allowed_keys() {
    let text = "ui: {theme: dark, width: 80}\nterminal: {}\nthinking_mode: slow\ndefault_agent: codex\nnotifications: {on: true}\ninterests: [rust]\ntts: {enabled: false}\n";
    let personal = personal::parse(text, Path::new("/p.yml")).unwrap();
    assert_eq!(personal.keys(), personal::ALLOWED);
    assert_eq!(personal.interests.unwrap(), ["rust"]);
    assert!(personal::parse("", Path::new("/p.yml")).unwrap().keys().is_empty());
}

#[test]
fn a_personal_file_may_set_nothing_else_and_hold_no_secret() {
    let refused = "secrets do not belong in a personal file";
    let cases = [
        ("ui: {}\ndatabase: {path: /x}\n", "/p.yml:2: database: may not be set in a personal file"),
        ("role: admin\n", "/p.yml:1: role: may not be set in a personal file"),
        ("thinking_mode: deep\n", "/p.yml:1: thinking_mode: must be one of restricted"),
        ("default_agent: [a]\n", "/p.yml:1: default_agent: expected text, found a list"),
        ("ui: {a: 1}\nui: {b: 1}\n", "/p.yml:2: ui: duplicate key, first on line 1"),
        ("tts:\n  api_key: x\n", &format!("/p.yml:2: tts.api_key: {refused}")),
        ("tts:\n  AUTH-TOKEN: x\n", &format!("/p.yml:2: tts.AUTH-TOKEN: {refused}")),
        ("my_password: x\n", &format!("/p.yml:1: my_password: {refused}")),
        ("interests:\n- rust\n- sk-hunter2\n", &format!("/p.yml:3: interests[1]: {refused}")),
        ("ui: {a: xoxb-hunter2}\n", &format!("/p.yml:1: ui.a: {refused}")),
        ("ui: {a: [{b: ghp_hunter2}]}\n", &format!("/p.yml:1: ui.a[0].b: {refused}")),
        ("ui: {a: AKIAHUNTER2}\n", &format!("/p.yml:1: ui.a: {refused}")),
        ("ui: {sk-hunter2hunter2: 1}\n", &format!("/p.yml:1: ui.?: {refused}")),
        (
            "ui:\n  a: |\n    -----BEGIN PRIVATE KEY-----\n    hunter2\n",
            &format!("/p.yml:2: ui.a: {refused}"),
        ),
    ];
    for (text, wanted) in cases {
        let got = personal::parse(text, Path::new("/p.yml")).unwrap_err().to_string();
        let wanted = wanted.replace("restricted", "fast, med, slow");
        assert!(
            got.lines().any(|line| line.starts_with(&wanted)),
            "for {text:?}\n got {got}\n wanted {wanted}"
        );
        assert!(!got.to_lowercase().contains("hunter2"), "{got}");
    }
    let big = personal::parse(&"#".repeat(70_000), Path::new("/p.yml")).unwrap_err();
    assert_eq!(big.to_string(), "/p.yml: is larger than 64 KiB");
    let many: String = (0..5_000).map(|i| format!("k{i}: 1\n")).collect();
    assert_eq!(personal::parse(&many, Path::new("/p.yml")).unwrap_err().0.len(), 100);
}

#[test]
fn check_reads_files_in_place_of_the_installed_ones() {
    let machine =
        Machine::with("broken: [").file("new.yml", "log: {level: warn}\n").file("bad.yml", "nope: 1\n");
    let at = |name: &str| machine.dir.path().join(name);
    assert_eq!(load::check(&machine.env, &[at("new.yml")]), Ok(vec![]));
    let problems = load::check(&machine.env, &[at("bad.yml"), at("missing.yml")]).unwrap_err();
    let got = machine.cut(&problems.to_string());
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(got[0].starts_with("/missing.yml: does not exist"));
    assert!(got[1].starts_with("/bad.yml:1: nope: unknown key"));
    assert!(load::check(&machine.env, &[]).is_err());
}

#[test]
fn the_json_schema_knows_every_section() {
    let schema = teleclaude::config::json_schema();
    let text = serde_json::to_value(Config::default()).unwrap();
    for key in text.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
}
