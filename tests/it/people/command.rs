//! `teleclaude people` as administrators type it, against a real daemon of several users.

use crate::process::{World, can_be_others, ends};
use serde_json::Value;

// Uids that no system gives to anybody.
const ADA: u32 = 61_051;
const ZOE: u32 = 61_052;
const CONFIG: &str = "people: [ { name: ada, os_uid: 61051, role: admin } ]
sessions: { run_as: service }
";

#[test]
fn people_from_the_command_line() {
    if !can_be_others("people_from_the_command_line") {
        return;
    }
    let mut world = World::system(CONFIG);
    world.up();
    let run = |args: &[&str]| world.run(Some(ADA), &[&["people"], args].concat());
    let json = |args: &[&str]| -> Value { world.run_json(Some(ADA), &[&["people"], args].concat()) };
    let zoes = |args: &[&str]| world.run(Some(ZOE), args);
    ends(&zoes(&["whoami"]), 0, "public");
    // To strangers nothing exists, nor does to members what is for admins.
    ends(&zoes(&["tasks"]), 4, "nothing at this path");

    ends(
        &run(&["add", "zoe", "--uid", "61052", "--role", "member", "--email", "zoe@example.org"]),
        0,
        "zoe is added",
    );
    ends(&run(&["add", "zoe", "--uid", "61053"]), 1, "belongs to `zoe` already");
    ends(&run(&["add", "zoe two", "--role", "boss"]), 2, "must be one of");
    ends(&run(&["add", "bad/name"]), 2, "name");
    ends(&zoes(&["whoami"]), 0, "member");
    ends(&zoes(&["tasks"]), 0, "No tasks.");
    ends(&zoes(&["people", "add", "yan"]), 4, "nothing at this path");

    ends(
        &run(&["update", "zoe", "--full-name", "Zoe Ж. Example", "--notes", "on call"]),
        0,
        "zoe is changed",
    );
    let version = json(&["show", "zoe"])["updated_at"].as_str().unwrap().to_owned();
    ends(&run(&["update", "ZOE", "--notes", "", "--if-updated-at", &version]), 0, "zoe is changed");
    ends(&run(&["update", "zoe", "--notes", "late", "--if-updated-at", &version]), 1, "changed");
    let shown = json(&["show", "zoe"]);
    assert_eq!(
        (shown["full_name"].as_str(), shown["notes"].as_str()),
        (Some("Zoe Ж. Example"), Some("")),
        "{shown}"
    );
    ends(&run(&["find", "ж."]), 0, "zoe");
    ends(&run(&["list"]), 0, "zoe");
    ends(&run(&["find", "nobody-here"]), 4, "nobody-here");
    ends(&run(&["role", "zoe", "contributor"]), 0, "zoe is now contributor");
    ends(&run(&["role", "zoe", "contributor"]), 0, "was so already");
    ends(&run(&["role", "ada", "member"]), 1, "config");

    let why = ["--reason", "making noise all night"];
    ends(&run(&[&["warn", "zoe"][..], &why].concat()), 0, "zoe was warned, 1 by now");
    ends(&run(&["warn", "zoe", "--reason", "short"]), 2, "reason");
    ends(&run(&[&["ban", "zoe", "--until", "yesterday"][..], &why].concat()), 2, "until");
    ends(&run(&[&["ban", "ada", "--until", "1h"][..], &why].concat()), 1, "yourself");
    ends(&run(&[&["ban", "zoe", "--until", "1h"][..], &why].concat()), 0, "zoe is banned until 20");
    ends(&zoes(&["tasks"]), 3, "making noise all night");
    ends(&run(&["bans"]), 0, "making noise all night");
    ends(&run(&["unban", "zoe"]), 0, "lifted: 1");
    ends(&run(&["bans"]), 0, "Nobody is banned.");
    ends(&run(&["bans", "--all"]), 0, "by ada");
    ends(&zoes(&["tasks"]), 0, "No tasks.");
    ends(&zoes(&["inbox"]), 0, "making noise all night");

    ends(&run(&["bulk", "suspend"]), 2, "--role");
    ends(&run(&["bulk", "suspend", "--role", "contributor", "--dry-run"]), 0, "1 would be changed: zoe");
    ends(&run(&["bulk", "suspend", "--role", "contributor"]), 2, "nothing was done");
    ends(&run(&["bulk", "suspend", "--role", "contributor", "--yes"]), 0, "1 were changed: zoe");
    ends(&zoes(&["tasks"]), 3, "");
    ends(&run(&["activate", "zoe"]), 0, "zoe is now active");

    ends(&run(&["add", "zora"]), 2, "os_username");
    ends(&run(&["add", "zora", "--uid", "61053"]), 0, "zora is added");
    ends(&run(&["merge", "zora", "zoe"]), 2, "nothing was done");
    ends(&run(&["merge", "zora", "zora", "--yes"]), 2, "same person");
    ends(&run(&["merge", "zora", "zoe", "--yes"]), 0, "zora is zoe now");
    ends(&run(&["delete", "zoe"]), 2, "nothing was done");
    ends(&run(&["delete", "zoe", "--yes"]), 0, "zoe is deleted");
    ends(&run(&["purge", "zoe", "--yes"]), 0, "zoe is removed");
    ends(&run(&["show", "zoe"]), 4, "zoe");
    ends(&zoes(&["whoami"]), 0, "public");
}
