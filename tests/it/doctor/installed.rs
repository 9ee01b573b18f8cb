//! Faults of what an installation consists of: config, secrets, service user, units, programs, runner, people.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::doctor::machine::{ANN, BOB, DEVS, Machine, SERVICE};
use crate::doctor::{E, N, W, bad, each_is_found, is_root};
use std::collections::BTreeSet;
use teleclaude::install::doctor::State;
use teleclaude::platform::account::Group;

#[test]
fn faults_of_the_config_and_its_files() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["mode", "people"], E, "is not there", |m| {
                m.remove("etc/teleclaude/config.yml");
                m.vars.insert("TELECLAUDE_SYSTEM_MODE".into(), "1".into());
                m.write("usr/bin/codex", "");
                m.write("usr/bin/gemini", "");
            }),
            (&["mode"], N, "TELECLAUDE_CONFIG_PATH", |m| {
                let path = m.at("etc/teleclaude/config.yml").display().to_string();
                m.vars.insert("TELECLAUDE_CONFIG_PATH".into(), path);
            }),
            (&["config"], E, "config.yml:1: computers: unknown key", |m| m.config("computer:", "computers:")),
            (&["config"], E, "config.yml:3: people[0].role", |m| m.config("admin", "king")),
            (&["config"], W, "TELECLAUDE_SOKET", |m| {
                m.vars.insert("TELECLAUDE_SOKET".into(), "x".into());
            }),
            (&["config-files", "config"], E, "can be written by everybody", |m| {
                m.mode("etc/teleclaude/config.yml", 0o666);
            }),
            (&["config-files"], E, "config.yml belongs to uid 3000002", |m| {
                m.own("etc/teleclaude/config.yml", BOB)
            }),
            (&["config-files"], E, "etc/teleclaude can be written by its group", |m| {
                m.mode("etc/teleclaude", 0o775);
            }),
            (&["config-files"], E, "the service user cannot read it", |m| {
                m.mode("etc/teleclaude/config.yml", 0o600)
            }),
            (&["config-files"], E, "cannot be entered by others", |m| m.mode("etc/teleclaude", 0o700)),
            (&["config-files"], E, "10-more.yml can be written by its group", |m| {
                m.write("etc/teleclaude/config.d/10-more.yml", "log: { level: info }\n");
                m.mode("etc/teleclaude/config.d/10-more.yml", 0o664);
            }),
            (&["secrets"], W, "can be read or written by everybody", |m| secrets(m, 0o644, 0)),
            (&["config-files"], E, "secrets.yml can be written by its group", |m| secrets(m, 0o660, SERVICE)),
            (&["secrets"], E, "the daemon cannot read it", |m| {
                secrets(m, 0o600, 0);
                m.says("systemctl cat", "LoadCredential", "#");
            }),
            (&["config-files"], E, "secrets.yml belongs to uid 3000002", |m| {
                secrets(m, 0o600, 0);
                m.own("etc/teleclaude/secrets.yml", BOB);
            }),
        ],
    );
    // Both ways in which the daemon gets its secrets are fine.
    for (mode, group, words) in [(0o600, 0, "systemd hands it over"), (0o640, SERVICE, "the service's group")]
    {
        let machine = Machine::system();
        secrets(&machine, mode, group);
        let report = machine.examine(&["secrets"]);
        assert!(report.findings[0].found.state == State::Ok, "{report:?}");
        assert!(report.findings[0].found.seen.contains(words), "{report:?}");
    }
}

fn secrets(m: &Machine, mode: u32, group: u32) {
    m.write("etc/teleclaude/secrets.yml", "ANTHROPIC_API_KEY: invented-example\n");
    std::os::unix::fs::chown(m.at("etc/teleclaude/secrets.yml"), None, Some(group)).unwrap();
    m.mode("etc/teleclaude/secrets.yml", mode);
}

#[test]
fn a_half_installed_machine_is_recognised() {
    if !is_root() {
        return;
    }
    let machine = Machine::system();
    machine.remove("etc/teleclaude/config.yml");
    assert_eq!(machine.examine(&["mode"]).worst, State::Ok, "that is single-user mode");
    machine.write("etc/systemd/system/teleclaude.service", "");
    let report = machine.examine(&["mode"]);
    assert!(
        report.findings[1].found.seen.starts_with("the service is installed, but its config"),
        "{report:?}"
    );
    assert_eq!(report.worst, W);
}

#[test]
fn faults_of_the_service_user_the_units_and_the_programs() {
    if !is_root() {
        return;
    }
    const SHOW: &str = "systemctl show";
    each_is_found(
        Machine::system,
        &[
            (&["service-user"], E, "there is no account teleclaude", |m| {
                m.users.retain(|u| u.name != "teleclaude")
            }),
            (&["service-user"], W, "can log in: its shell is /bin/bash", |m| {
                m.user("teleclaude").shell = "/bin/bash".into();
            }),
            (&["service-user"], W, "has a home", |m| m.user("teleclaude").home = m.at("home/bob")),
            (&["service-user"], E, "is in docker", |m| {
                m.groups.insert("docker".into(), Group { gid: 999, members: Vec::new() });
                m.user("teleclaude").groups.push(999);
            }),
            (&["units"], E, "teleclaude.socket is not installed (not-found)", |m| {
                m.says(SHOW, "LoadState=loaded", "LoadState=not-found");
            }),
            (&["units"], E, "teleclaude.socket is masked", |m| {
                m.says(SHOW, "LoadState=loaded", "LoadState=masked")
            }),
            (&["units"], W, "teleclaude.socket is not enabled", |m| {
                m.says(SHOW, "UnitFileState=enabled", "UnitFileState=disabled");
            }),
            (&["units"], E, "teleclaude.socket is inactive", |m| {
                m.says(SHOW, "ActiveState=active", "ActiveState=inactive");
            }),
            (&["units"], E, "teleclaude.service failed", |m| {
                m.says(
                    SHOW,
                    "ActiveState=active\nUnitFileState=disabled",
                    "ActiveState=failed\nUnitFileState=disabled",
                );
            }),
            (&["units"], W, "changed on the disk", |m| {
                m.says(SHOW, "NeedDaemonReload=no", "NeedDaemonReload=yes")
            }),
            (&["units"], E, "teleclaude-runner.socket is failed", |m| {
                let text = m.said.get_mut(SHOW).unwrap();
                let at = text.find("Id=teleclaude-runner.socket").unwrap();
                let rest = text.split_off(at).replacen("ActiveState=active", "ActiveState=failed", 1);
                text.push_str(&rest);
            }),
            (&["programs"], E, "teleclaude-runner is not there", |m| m.remove("usr/bin/teleclaude-runner")),
            (&["programs"], E, "teleclaude-runner cannot be run by everybody", |m| {
                m.mode("usr/bin/teleclaude-runner", 0o644);
            }),
            (&["programs"], E, "teleclaude can be written by its group", |m| {
                m.mode("usr/bin/teleclaude", 0o775)
            }),
            (&["programs"], E, "teleclaude-runner belongs to uid 3000001", |m| {
                m.own("usr/bin/teleclaude-runner", ANN);
            }),
            (&["programs"], N, "the service runs", |m| {
                let other = m.at("usr/bin/claude").display().to_string();
                let own = m.at("usr/bin/teleclaude").display().to_string();
                m.says(SHOW, &format!("path={own} "), &format!("path={other} "));
            }),
        ],
    );
    // Without systemd nothing is said about units, and nothing is wrong.
    let mut machine = Machine::system();
    machine.said.remove(SHOW);
    let report = machine.examine(&[]);
    assert_eq!(bad(&report), BTreeSet::new());
    for check in ["units", "open-files"] {
        assert!(
            report.findings.iter().any(|f| f.check == check && f.found.state == State::Skipped),
            "{check}"
        );
    }
}

#[test]
fn faults_of_the_runner_and_the_people() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["runner"], E, "is not there: no session can start", |m| {
                m.remove("run/teleclaude-runner.sock")
            }),
            (&["runner"], E, "is not a socket", |m| {
                m.remove("run/teleclaude-runner.sock");
                m.write("run/teleclaude-runner.sock", "");
            }),
            (&["runner"], E, "belongs to uid 0, not to teleclaude", |m| {
                m.own("run/teleclaude-runner.sock", 0)
            }),
            (&["runner"], E, "is open to others (mode 0666)", |m| {
                m.mode("run/teleclaude-runner.sock", 0o666)
            }),
            (&["runner"], N, "agents run as the service user", |m| {
                m.config("runner:", "sessions: { run_as: service }\nrunner:")
            }),
            (&["runner-group"], W, "there is no group others", |m| {
                m.config("group: devs }\n", "group: others }\n")
            }),
            (&["people"], W, "bob: there is no account robert", |m| {
                m.config("os_uid: 3000002", "os_username: robert")
            }),
            (&["people"], W, "no account has uid 3000077", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000077")
            }),
            (&["people"], W, "there is no group nerds", |m| m.config("os_group: devs", "os_group: nerds")),
            (&["people"], W, "the account bob has uid 3000002, os_uid says 3000003", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000003, os_username: bob");
            }),
            (&["people"], E, "bob and ann are both uid 3000001", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000001")
            }),
            (&["people"], E, "nobody is admin", |m| m.config("admin", "member")),
            (&["people"], E, "nobody is admin", |m| m.config("deny: [bob2]", "deny: [ann]")),
            (&["people"], E, "is the service user", |m| m.config("os_uid: 3000002", "os_uid: 3000100")),
            (&["people"], E, "stands for everybody of other user namespaces", |m| {
                m.write("proc/sys/kernel/overflowuid", "3000002\n");
            }),
            (&["people"], W, "uid 3 is a system account (below 1000)", |m| {
                m.config("os_uid: 3000002", "os_username: daemon")
            }),
            (&["people"], N, "agents are never run as root", |m| {
                m.users.push(teleclaude::platform::account::Account {
                    name: "root".into(),
                    uid: 0,
                    ..m.users[0].clone()
                });
                m.config("os_uid: 3000002", "os_uid: 0");
            }),
            (&["people"], N, "the group lists no members", |m| {
                m.groups.insert("devs".into(), Group { gid: DEVS, members: Vec::new() });
            }),
            (&["access"], W, "access.deny: there is no mallory", |m| {
                m.config("deny: [bob2]", "deny: [bob2, mallory]")
            }),
            (&["access"], W, "access.allow: there is no @friends", |m| {
                m.config("deny: [bob2]", "deny: [], allow: ['@friends', ann, bob]");
            }),
            (&["docs"], W, "docs is not there: there are no shared documents", |m| {
                m.remove("usr/local/share/teleclaude/docs");
            }),
            (&["docs"], E, "docs is not a folder", |m| {
                m.remove("usr/local/share/teleclaude/docs");
                m.write("usr/local/share/teleclaude/docs", "");
            }),
            (&["docs"], W, "has mode 0700: the service user cannot read it", |m| {
                m.mode("usr/local/share/teleclaude/docs", 0o700)
            }),
            (&["docs"], W, "docs can be written by everybody", |m| {
                m.mode("usr/local/share/teleclaude/docs", 0o777)
            }),
            (&["docs"], W, "lies where the daemon's unit does not let it look", |m| {
                m.folder_at("home/docs");
                let path = m.at("home/docs").display().to_string();
                m.config("runner:", &format!("docs: {{ path: {path} }}\nrunner:"));
            }),
            (&["docs"], W, "a.md:3: role: must be one of, and more", |m| {
                let problems = ["docs: a.md:3: role: must be one of", "docs: b.md: is a symbolic link"];
                m.answers.lock().unwrap().health["detail"]["problems"] = serde_json::json!(problems);
            }),
        ],
    );
}
