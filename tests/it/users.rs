//! One machine's daemon and several of its users, each asking over the socket as the kernel knows them: who sees
//! what, what is written down before something is shown, how a changed config reaches those who are connected, and
//! that an agent is less than its human. Root is nobody special, and the daemon here runs as root.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::process::{Answer, Asker, Mcp, World, answer, can_be_others, said, until};
use nix::sys::signal::Signal;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

// Uids that no system gives to anybody.
const ADA: u32 = 61_001;
const MEL: u32 = 61_002;
const MAX: u32 = 61_003;
const NIA: u32 = 61_004;
const STRANGER: u32 = 61_005;
const SUE: u32 = 61_006;

/// Everything but `people`.
const REST: &str = "access: { deny: [61006] }
roles:
  admin: { requests_per_minute: 100000, burst: 10000 }
  member: { requests_per_minute: 100000, burst: 10000 }
  newcomer: { requests_per_minute: 100000, burst: 10000 }
  public: { requests_per_minute: 100000, burst: 10000 }
projects: [ { name: proj, path: DIR/project } ]
agents:
  default: talker
  talker:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo $TELECLAUDE_TOKEN > token-$TELECLAUDE_SESSION; echo words of $TELECLAUDE_SESSION; exec sleep 600']
    profiles: { full: [], restricted: [] }
";
const PEOPLE: &str = "people:
  - { name: ada, os_uid: 61001, role: admin }
  - { name: mel, os_uid: 61002, role: member }
  - { name: max, os_uid: 61003, role: member }
  - { name: nia, os_uid: 61004, role: newcomer }
  - { name: sue, os_uid: 61006, role: member }
";
const SERVICE: &str = "sessions: { run_as: service }\n";

fn machine() -> World {
    let mut world = World::system(&format!("{PEOPLE}{REST}{SERVICE}"));
    world.up();
    world
}

/// A session that runs and has said its words.
fn session(world: &World, who: &Asker) -> String {
    let started = who.post("/sessions", json!({ "project": "proj" })).unwrap();
    assert_eq!(started.status, 201, "{started:?}");
    assert!(started.body["notice"].as_str().unwrap().contains("audit"), "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    who.until_status(&id, "running");
    let transcript = format!("/sessions/{id}/transcript");
    until("it says its words", || {
        let page = who.get(&transcript).unwrap();
        page.body["content"].as_str().is_some_and(|text| text.contains(&format!("words of {id}")))
    });
    assert!(world.project().join(format!("token-{id}")).exists());
    id
}

/// The token of a session's agent.
fn token(world: &World, id: &str) -> String {
    fs::read_to_string(world.project().join(format!("token-{id}"))).unwrap().trim().to_owned()
}

fn listed(who: &Asker) -> Vec<String> {
    let mut ids: Vec<String> = who
        .all("/sessions", "sessions")
        .iter()
        .map(|row| row["session_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn audit(admin: &Asker, action: &str) -> Vec<Value> {
    admin.all(&format!("/audit?action={action}"), "rows")
}

#[track_caller]
fn is_fault(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{answer:?}");
}

#[track_caller]
fn is_unknown_tool(mcp: &mut Mcp, tool: &str) {
    let refused = mcp.call(tool, json!({}));
    let invented = mcp.call("make_coffee", json!({}));
    assert_eq!(refused["error"]["code"], -32602, "{tool}: {refused}");
    assert_eq!(refused["error"], invented["error"], "{tool}");
}

const TOOLS: [&str; 8] = [
    "list_projects",
    "list_agents",
    "list_computers",
    "list_sessions",
    "start_session",
    "get_session",
    "get_session_data",
    "search_sessions",
];

#[test]
fn everybody_is_who_the_kernel_says() {
    if !can_be_others("everybody_is_who_the_kernel_says") {
        return;
    }
    let world = machine();
    for (uid, person, role) in [
        (ADA, json!("ada"), "admin"),
        (MEL, json!("mel"), "member"),
        (MAX, json!("max"), "member"),
        (NIA, json!("nia"), "newcomer"),
        (STRANGER, Value::Null, "public"),
        (0, Value::Null, "public"),
        (SUE, Value::Null, "public"),
    ] {
        let who = world.user(uid).get("/whoami").unwrap();
        assert_eq!(
            (who.status, &who.body["person"], &who.body["role"], &who.body["uid"]),
            (200, &person, &json!(role), &json!(uid)),
            "{who:?}"
        );
        let origin = who.body["rule"]["origin"].as_str();
        assert_eq!(origin.is_some(), uid != STRANGER && uid != 0, "{who:?}");
        assert_eq!(who.body.get("refused").is_some(), uid == SUE, "{who:?}");
    }
    // The same as real processes of those users.
    for (uid, role) in [(MEL, "member"), (STRANGER, "public"), (ADA, "admin")] {
        let who = world.run_json(Some(uid), &["whoami"]);
        assert_eq!((who["role"].as_str(), who["uid"].as_u64()), (Some(role), Some(uid.into())), "{who}");
    }
    let root = world.run_json(None, &["whoami"]);
    assert_eq!(root["role"], "public", "{root}");
    let refused = world.run(Some(STRANGER), &["sessions"]);
    assert!([Some(3), Some(4)].contains(&refused.status.code()), "{}", said(&refused));
    // Nobody says who they are: a header and an argument change nothing.
    let mut stream = world.user(MEL).connect().unwrap();
    let request = "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nX-Uid: 61001\r\nX-Remote-User: ada\r\nAuthorization: Basic YWRhOmFkYQ==\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).unwrap().body["person"], "mel");
}

#[test]
fn each_sees_their_own_and_the_admin_that_there_are_others() {
    if !can_be_others("each_sees_their_own_and_the_admin_that_there_are_others") {
        return;
    }
    let world = machine();
    let (ada, mel, max, nia) = (world.user(ADA), world.user(MEL), world.user(MAX), world.user(NIA));
    let (of_mel, of_max) = (session(&world, &mel), session(&world, &max));
    assert_eq!(listed(&mel), [of_mel.as_str()]);
    assert_eq!(listed(&max), [of_max.as_str()]);
    assert_eq!(listed(&nia), [""; 0]);
    assert_eq!(listed(&ada), sorted(vec![of_mel.clone(), of_max.clone()]));
    let seen = ada.session(&of_mel).unwrap();
    assert_eq!((&seen["owner_person"], &seen["owner_uid"]), (&json!("mel"), &json!(MEL)));
    assert!(!seen.to_string().contains("words of"), "metadata only: {seen}");

    // Another's is as good as none: the very same words as for one that does not exist.
    let none = "019a0000-0000-7000-8000-000000000000";
    for (method, path, body) in [
        ("GET", "", None),
        ("GET", "/transcript?reason=I+should+like+to+know", None),
        ("POST", "/messages", Some(json!({ "message": "hi", "reason": "I should like to type" }))),
        ("POST", "/end", Some(json!({}))),
        ("PUT", "/watch", Some(json!({}))),
    ] {
        let others = max.ask(method, &format!("/sessions/{of_mel}{path}"), body.clone()).unwrap();
        let missing = max.ask(method, &format!("/sessions/{none}{path}"), body).unwrap();
        is_fault(&others, 404, "not_found");
        let text = others.body.to_string().replace(&of_mel, none);
        assert_eq!(text, missing.body.to_string(), "{method} {path}");
    }
    is_fault(&max.get(&format!("/sessions?owner={}", "mel")).unwrap(), 404, "not_found");
    assert_eq!(mel.session(&of_mel).unwrap()["status"], "running", "nobody ended it");

    // A newcomer may look and not start; the audit log is for admins.
    is_fault(&nia.post("/sessions", json!({ "project": "proj" })).unwrap(), 404, "not_found");
    for who in [&mel, &nia, &world.user(STRANGER), &world.user(0)] {
        is_fault(&who.get("/audit").unwrap(), 404, "not_found");
        is_fault(&who.post("/audit/verify", json!({})).unwrap(), 404, "not_found");
        is_fault(&who.post("/reload", json!({})).unwrap(), 404, "not_found");
    }
    let refused = world.run(Some(MEL), &["audit", "list"]);
    assert_ne!(refused.status.code(), Some(0), "{}", said(&refused));
    assert_eq!(world.run_json(Some(MEL), &["sessions"])["sessions"].as_array().unwrap().len(), 1);

    // The admin steers nobody without the config's word.
    let typed = json!({ "message": "hi", "reason": "because I may do all" });
    is_fault(&ada.post(&format!("/sessions/{of_mel}/messages"), typed).unwrap(), 403, "denied");
    // But may end, and that is written down.
    assert_eq!(ada.post(&format!("/sessions/{of_max}/end"), json!({})).unwrap().status, 200);
    max.until_status(&of_max, "ended");
    let ends = audit(&ada, "session.end");
    assert!(ends.iter().any(|row| row["actor"] == "ada" && row["owner"] == "max"), "{ends:?}");
}

#[test]
fn strangers_root_and_the_denied_may_only_ask_who_they_are() {
    if !can_be_others("strangers_root_and_the_denied_may_only_ask_who_they_are") {
        return;
    }
    let world = machine();
    let of_mel = session(&world, &world.user(MEL));
    for uid in [STRANGER, 0, SUE] {
        let who = world.user(uid);
        let mut mcp = who.mcp();
        // What the operator has marked for the public is there for strangers too, and nothing else is.
        let tools: &[&str] = if uid == SUE { &["whoami"] } else { &["whoami", "get_context"] };
        assert_eq!(mcp.tools(), tools, "{uid}");
        assert_eq!(mcp.call("whoami", json!({}))["result"]["structuredContent"]["role"], "public");
        for tool in TOOLS {
            if uid == SUE {
                let told = mcp.call(tool, json!({}));
                assert_eq!(told["result"]["structuredContent"]["code"], "denied", "{told}");
            } else {
                is_unknown_tool(&mut mcp, tool);
            }
        }
        // Who is refused by name is told so, whatever they ask; to strangers nothing exists.
        let (status, code) = if uid == SUE { (403, "denied") } else { (404, "not_found") };
        for path in
            ["/sessions", "/projects", "/agents", "/computers", "/config", "/people/0/explain", "/events"]
        {
            is_fault(&who.get(path).unwrap(), status, code);
        }
        is_fault(&who.get(&format!("/sessions/{of_mel}")).unwrap(), status, code);
        let health = who.get("/health").unwrap();
        assert!(uid == SUE || health.body == json!({ "status": "ok" }), "one word: {health:?}");
    }
    let admin = world.user(ADA);
    assert!(admin.get("/health").unwrap().body["detail"].is_object());
    let refused = world.user(SUE).get("/whoami").unwrap();
    assert!(refused.body["refused"].is_string(), "{refused:?}");
    assert_eq!(admin.get("/people/61006/explain").unwrap().body["refused"], refused.body["refused"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_of_anothers_session_is_shown_before_it_is_written_down_who_read_it() {
    if !can_be_others("nothing_of_anothers_session_is_shown_before_it_is_written_down_who_read_it") {
        return;
    }
    let world = machine();
    let (ada, mel) = (world.user(ADA), world.user(MEL));
    let id = session(&world, &mel);
    let path = format!("/sessions/{id}/transcript");
    for without in [path.clone(), format!("{path}?reason=short"), format!("{path}?reason=+++++++++++++++")] {
        let refused = ada.get(&without).unwrap();
        is_fault(&refused, 422, "invalid");
        assert_eq!(refused.body["field"], "reason", "{refused:?}");
    }
    let refused = world.run(Some(ADA), &["transcript", &id]);
    assert!(!refused.status.success() && !said(&refused).contains("words of"), "{}", said(&refused));
    let mut mcp = ada.mcp();
    let refused = mcp.call("get_session_data", json!({ "session_id": id }));
    assert_eq!(refused["result"]["structuredContent"]["field"], "reason", "{refused}");
    assert!(audit(&ada, "transcript.read").is_empty());

    // While nothing can be written down nothing is shown, except to the owner.
    let raw = world.database().await;
    raw.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let mut waiting = ada.connect().unwrap();
    let with_reason = format!("{path}?reason=a+complaint+of+Tuesday");
    waiting.write_all(ada.request("GET", &with_reason, None).as_bytes()).unwrap();
    let own = mel.get(&path).unwrap();
    assert!(own.body["content"].as_str().unwrap().contains(&format!("words of {id}")), "{own:?}");
    waiting.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let early = waiting.read(&mut [0]);
    assert!(early.is_err(), "shown before it was written down: {early:?}");
    raw.execute_unprepared("COMMIT").await.unwrap();
    raw.close().await.unwrap();
    waiting.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    let shown = answer(&mut waiting).unwrap();
    assert_eq!(shown.status, 200, "{shown:?}");
    assert!(shown.body["content"].as_str().unwrap().contains(&format!("words of {id}")), "{shown:?}");

    let rows = audit(&ada, "transcript.read");
    assert_eq!(rows.len(), 1, "{rows:?}");
    for (field, value) in [
        ("actor", json!("ada")),
        ("actor_uid", json!(ADA)),
        ("owner", json!("mel")),
        ("session_id", json!(id)),
        ("reason", json!("a complaint of Tuesday")),
        ("outcome", json!("success")),
    ] {
        assert_eq!(rows[0][field], value, "{rows:?}");
    }
    let start = audit(&ada, "session.start");
    assert!(rows[0]["seq"].as_i64() > start[0]["seq"].as_i64());

    // By the two other mouths too, each a row; reading one's own is none.
    let read = world.run(Some(ADA), &["transcript", &id, "--reason", "the same complaint again"]);
    assert!(read.status.success() && said(&read).contains("words of"), "{}", said(&read));
    let by_mcp = json!({ "session_id": id, "reason": "and once more by MCP" });
    assert_eq!(mcp.call("get_session_data", by_mcp)["result"]["isError"], false);
    assert_eq!(mel.get(&path).unwrap().status, 200);
    let rows = audit(&ada, "transcript.read");
    assert_eq!(rows.len(), 3, "{rows:?}");
    let listed = world.run_json(Some(ADA), &["audit", "list", "--action", "transcript.read"]);
    assert_eq!(listed["rows"].as_array().unwrap().len(), 3, "{listed}");
    // Refusals for want of a reason are written down as well.
    let denied = audit(&ada, "access.denied");
    assert!(denied.iter().any(|row| row["actor"] == "ada" && row["owner"] == "mel"), "{denied:?}");
    assert_eq!(ada.post("/audit/verify", json!({})).unwrap().body["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_reaches_live_connections_and_a_bad_one_changes_nothing() {
    if !can_be_others("a_reload_reaches_live_connections_and_a_bad_one_changes_nothing") {
        return;
    }
    let world = machine();
    let ada = world.user(ADA);
    let (mut mel, mut max) = (world.user(MEL).mcp(), world.user(MAX).mcp());
    let role = |mcp: &mut Mcp| mcp.call("whoami", json!({}))["result"]["structuredContent"]["role"].clone();
    assert_eq!(role(&mut mel), "member");
    assert!(mel.tools().contains(&"start_session".to_owned()));
    let id = session(&world, &world.user(MEL));

    let demoted =
        PEOPLE.replace("name: mel, os_uid: 61002, role: member", "name: mel, os_uid: 61002, role: newcomer");
    world.configure(&format!("{demoted}{REST}{SERVICE}"));
    world.signal(Signal::SIGHUP);
    let sent = Instant::now();
    until("the new role is there", || role(&mut mel) == "newcomer");
    assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
    is_unknown_tool(&mut mel, "start_session");
    assert!(!mel.tools().contains(&"start_session".to_owned()));
    is_fault(&world.user(MEL).post("/sessions", json!({ "project": "proj" })).unwrap(), 404, "not_found");
    assert_eq!(listed(&world.user(MEL)), [id.as_str()], "still their own");
    assert_eq!(role(&mut max), "member");
    assert_eq!(audit(&ada, "config.reload").len(), 1);

    // A wrong one: the old one stays, and the audit log says why.
    world.configure(&format!("{PEOPLE}{REST}{SERVICE}nonsense: 5\nlimits: {{ connections: lots }}\n"));
    world.signal(Signal::SIGHUP);
    until("the rejection is written down", || !audit(&ada, "config.rejected").is_empty());
    let rejected = audit(&ada, "config.rejected");
    let detail = rejected[0]["detail"].as_str().unwrap();
    assert!(detail.contains("nonsense") && detail.contains("limits.connections"), "{detail}");
    assert!(detail.contains("config.yml:"), "{detail}");
    assert_eq!((&rejected[0]["outcome"], role(&mut mel)), (&json!("failure"), json!("newcomer")));
    let refused = world.run(Some(ADA), &["reload"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("nonsense"), "{}", said(&refused));

    // Who is suspended is told so, at the next request of a connection that stands.
    let raw = world.database().await;
    raw.execute_unprepared("UPDATE people SET status = 'suspended' WHERE name = 'max'").await.unwrap();
    raw.close().await.unwrap();
    world.configure(&format!("{PEOPLE}{REST}{SERVICE}"));
    let reloaded = ada.post("/reload", json!({})).unwrap();
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    assert_eq!(role(&mut mel), "member");
    let told = max.call("whoami", json!({}));
    let refused = told["result"]["structuredContent"]["refused"].as_str().unwrap_or_default().to_owned();
    assert!(refused.contains("suspended"), "{told}");
    let told = max.call("list_sessions", json!({}));
    assert!(told["result"]["structuredContent"]["message"].as_str().unwrap().contains("suspended"), "{told}");
    is_fault(&world.user(MAX).get("/sessions").unwrap(), 403, "denied");
}

#[test]
fn without_the_runner_a_system_starts_no_session_unless_it_is_told_to() {
    if !can_be_others("without_the_runner_a_system_starts_no_session_unless_it_is_told_to") {
        return;
    }
    // `run_as: owner` is the default.
    for run_as in ["", "sessions: { run_as: owner }\n"] {
        // Whether this machine has a runner of its own does not matter.
        let mut world = World::system(&format!("{PEOPLE}{REST}{run_as}"))
            .with("TELECLAUDE_RUNNER_SOCKET", "/nonexistent/runner.sock");
        world.up();
        let (ada, mel) = (world.user(ADA), world.user(MEL));
        let refused = mel.post("/sessions", json!({ "project": "proj" })).unwrap();
        is_fault(&refused, 503, "needs_runner");
        assert!(refused.body["hint"].as_str().unwrap().contains("run_as: service"), "{refused:?}");
        let by_mcp = mel.mcp().call("start_session", json!({ "project": "proj", "message": "hi" }));
        assert_eq!(by_mcp["result"]["structuredContent"]["code"], "needs_runner", "{by_mcp}");
        let typed = world.run(Some(MEL), &["sessions", "start", "talker", "--project", "proj"]);
        assert_eq!(typed.status.code(), Some(1), "{}", said(&typed));
        assert!(said(&typed).contains("teleclaude-runner"), "{}", said(&typed));
        // Who may not start at all learns nothing of it.
        is_fault(&mel.post("/sessions", json!({ "project": "other" })).unwrap(), 404, "not_found");
        // No row, no host, no agent.
        assert_eq!(listed(&ada), [""; 0]);
        assert!(audit(&ada, "session.start").is_empty());
        assert!(world.hosts().is_empty());
        assert_eq!(fs::read_dir(world.project()).unwrap().count(), 0, "no agent ran");
    }
}

#[test]
fn a_token_narrows_and_is_good_for_its_own_user_only() {
    if !can_be_others("a_token_narrows_and_is_good_for_its_own_user_only") {
        return;
    }
    let world = machine();
    let (ada, mel, max) = (world.user(ADA), world.user(MEL), world.user(MAX));
    let (own, other) = (session(&world, &mel), session(&world, &mel));
    let agent = mel.with_token(&token(&world, &own));
    let who = agent.get("/whoami").unwrap();
    assert_eq!((&who.body["person"], &who.body["agent_of"]), (&json!("mel"), &json!(own)), "{who:?}");

    // Its family and nothing else of its human's.
    assert_eq!(listed(&agent), [own.as_str()]);
    assert_eq!(listed(&mel), sorted(vec![own.clone(), other.clone()]));
    is_fault(&agent.get(&format!("/sessions/{other}")).unwrap(), 404, "not_found");
    is_fault(&agent.get(&format!("/sessions/{other}/transcript")).unwrap(), 404, "not_found");
    is_fault(&agent.post(&format!("/sessions/{other}/end"), json!({})).unwrap(), 404, "not_found");
    is_fault(&agent.post(&format!("/sessions/{own}/end"), json!({})).unwrap(), 404, "not_found");
    assert_eq!(agent.get(&format!("/sessions/{own}/transcript")).unwrap().status, 200);
    let child = session(&world, &agent);
    assert_eq!(mel.session(&child).unwrap()["parent_session_id"], own.as_str());
    assert_eq!(listed(&agent), sorted(vec![own.clone(), child.clone()]));
    let mut mcp = agent.mcp();
    let seen = mcp.call("list_sessions", json!({}));
    assert_eq!(seen["result"]["structuredContent"]["sessions"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(agent.post(&format!("/sessions/{child}/end"), json!({})).unwrap().status, 200);

    // An admin's agent is no admin.
    let of_ada = session(&world, &ada);
    let agent_of_ada = ada.with_token(&token(&world, &of_ada));
    for (method, path) in
        [("GET", "/audit"), ("POST", "/audit/verify"), ("POST", "/reload"), ("GET", "/config")]
    {
        is_fault(&agent_of_ada.ask(method, path, None).unwrap(), 404, "not_found");
    }
    assert_eq!(listed(&agent_of_ada), [of_ada.as_str()]);
    let reason = "?reason=I+am+an+agent+of+an+admin";
    is_fault(&agent_of_ada.get(&format!("/sessions/{own}/transcript{reason}")).unwrap(), 404, "not_found");
    assert!(agent_of_ada.get("/health").unwrap().body.get("detail").is_none());

    // Another user's token opens nothing, also for an admin, and that is written down.
    for (thief, uid) in [(&max, MAX), (&ada, ADA), (&world.user(STRANGER), STRANGER)] {
        let with = thief.with_token(&token(&world, &own));
        is_fault(&with.get("/whoami").unwrap(), 403, "denied");
        assert_ne!(with.get("/sessions").unwrap().status, 200);
        let mut mcp = thief.mcp();
        let stolen = mcp.ask(
            "tools/call",
            json!({ "name": "whoami", "arguments": {}, "_meta": { "teleclaude/token": token(&world, &own) } }),
        );
        assert_eq!(stolen["result"]["structuredContent"]["code"], "denied", "{stolen}");
        let rows = audit(&ada, "access.denied");
        let told = rows.iter().any(|row| {
            row["actor_uid"] == uid && row["detail"].as_str().is_some_and(|d| d.contains("another user's"))
        });
        assert!(told, "{uid}: {rows:?}");
        assert!(!format!("{rows:?}").contains(&token(&world, &own)), "no token in the log");
    }
    // It ends with its session.
    assert_eq!(mel.post(&format!("/sessions/{own}/end"), json!({})).unwrap().status, 200);
    mel.until_status(&own, "ended");
    until("the token is no good any more", || agent.get("/whoami").unwrap().status == 403);
    assert!(!world.log().contains(&token(&world, &own)), "no token in the daemon's log");
}

#[test]
fn unmapped_users_are_not_even_answered_where_the_config_refuses_them() {
    if !can_be_others("unmapped_users_are_not_even_answered_where_the_config_refuses_them") {
        return;
    }
    let rest = REST.replace("access: {", "access: { unmapped: refuse,");
    let mut world = World::system(&format!("{PEOPLE}{rest}{SERVICE}"));
    world.spawn();
    until("it answers", || world.user(ADA).get("/whoami").is_ok());
    assert_eq!(world.user(MEL).get("/whoami").unwrap().body["role"], "member");
    for uid in [STRANGER, 0] {
        let mut stream = world.user(uid).connect().unwrap();
        let _may_be_closed = stream.write_all(world.me().request("GET", "/whoami", None).as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert_eq!(bytes, b"", "{uid}");
    }
}
