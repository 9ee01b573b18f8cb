//! Every action, for every role, by MCP in both eras and by REST: the same outcome by whichever mouth, on both
//! databases. The table of outcomes is a snapshot: a change of rights anywhere is a change of it.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, DOT, ERAS, EVE, SHELL, STRANGER, World};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use teleclaude::daemon::http::routes;
use teleclaude::daemon::mcp::tools::TOOLS;
use teleclaude::domain::verb::Verb;

/// One action, as each mouth spells it.
struct Spelling {
    name: &'static str,
    tool: Option<&'static str>,
    arguments: Value,
    method: &'static str,
    path: String,
    body: Option<Value>,
}

/// Every action there is. `own` and `bobs` are sessions of the asker's and of bob's.
fn actions(own: Option<&str>, bobs: &str) -> Vec<Spelling> {
    let spelling = |name, tool, arguments: Value, method, path: &str, body| Spelling {
        name,
        tool,
        arguments,
        method,
        path: path.to_owned(),
        body,
    };
    let missing = "0193b2a0-0000-7000-8000-00000000dead";
    let own = own.unwrap_or(missing);
    let why = "looking into an incident";
    let on = |id: &str| json!({ "session_id": id });
    let mut all = vec![
        spelling("whoami", Some("whoami"), json!({}), "GET", "/whoami", None),
        spelling("health", None, json!({}), "GET", "/health", None),
        spelling("api", None, json!({}), "GET", "/openapi.json", None),
        spelling("projects", Some("list_projects"), json!({}), "GET", "/projects", None),
        spelling("agents", Some("list_agents"), json!({}), "GET", "/agents", None),
        spelling("computers", Some("list_computers"), json!({}), "GET", "/computers", None),
        spelling("docs", Some("get_context"), json!({}), "GET", "/docs", None),
        spelling(
            "docs, types",
            Some("get_context"),
            json!({ "types": ["policy", "A"] }),
            "GET",
            "/docs?types=policy&types=A",
            None,
        ),
        spelling(
            "docs, for all",
            Some("get_context"),
            json!({ "ids": ["open"] }),
            "GET",
            "/docs?ids=open",
            None,
        ),
        spelling(
            "docs, for newcomers",
            Some("get_context"),
            json!({ "ids": ["team/rules"] }),
            "GET",
            "/docs?ids=team%2Frules",
            None,
        ),
        spelling(
            "docs, for admins",
            Some("get_context"),
            json!({ "ids": ["secret"] }),
            "GET",
            "/docs?ids=secret",
            None,
        ),
        spelling(
            "docs, none such",
            Some("get_context"),
            json!({ "ids": ["none"] }),
            "GET",
            "/docs?ids=none",
            None,
        ),
        spelling("one doc, for admins", None, json!({}), "GET", "/docs/secret", None),
        spelling("one doc, for newcomers", None, json!({}), "GET", "/docs/team%2Frules", None),
        spelling("docs, what is wrong", None, json!({}), "GET", "/health/docs", None),
        spelling("sessions", Some("list_sessions"), json!({}), "GET", "/sessions", None),
        spelling(
            "sessions of bob",
            Some("list_sessions"),
            json!({ "owner": "bob" }),
            "GET",
            "/sessions?owner=bob",
            None,
        ),
        spelling(
            "start, no such project",
            Some("start_session"),
            json!({ "project": "nowhere" }),
            "POST",
            "/sessions",
            Some(json!({ "project": "nowhere" })),
        ),
        spelling(
            "start, no such agent",
            Some("start_session"),
            json!({ "project": "work", "agent": "nobody" }),
            "POST",
            "/sessions",
            Some(json!({ "project": "work", "agent": "nobody" })),
        ),
        spelling(
            "command without a slash",
            Some("run_agent_command"),
            json!({ "project": "work", "command": "review" }),
            "POST",
            "/sessions/command",
            Some(json!({ "project": "work", "command": "review" })),
        ),
        spelling(
            "start, worktree in none",
            Some("start_session"),
            json!({ "project": "nowhere", "worktree": true }),
            "POST",
            "/sessions",
            Some(json!({ "project": "nowhere", "worktree": true })),
        ),
        spelling(
            "rename bob's",
            None,
            json!({}),
            "PATCH",
            &format!("/sessions/{bobs}"),
            Some(json!({ "title": "mine now", "reason": why })),
        ),
        spelling(
            "rename own",
            None,
            json!({}),
            "PATCH",
            &format!("/sessions/{own}"),
            Some(json!({ "title": "mine now" })),
        ),
        spelling(
            "search",
            Some("search_sessions"),
            json!({ "query": "needle" }),
            "GET",
            "/search?query=needle",
            None,
        ),
        spelling(
            "search with reason",
            Some("search_sessions"),
            json!({ "query": "needle", "reason": why }),
            "GET",
            "/search?query=needle&reason=looking%20into%20an%20incident",
            None,
        ),
        spelling(
            "search for nothing",
            Some("search_sessions"),
            json!({ "query": "-" }),
            "GET",
            "/search?query=-",
            None,
        ),
        spelling(
            "label bob's",
            None,
            json!({}),
            "PATCH",
            &format!("/sessions/{bobs}/labels"),
            Some(json!({ "set": { "a": "b" }, "reason": why })),
        ),
        spelling(
            "label own",
            None,
            json!({}),
            "PATCH",
            &format!("/sessions/{own}/labels"),
            Some(json!({ "set": { "a": "b" } })),
        ),
        spelling("purge bob's", None, json!({}), "DELETE", &format!("/sessions/{bobs}"), None),
        spelling(
            "purge bob's, why",
            None,
            json!({}),
            "DELETE",
            &format!("/sessions/{bobs}"),
            Some(json!({ "reason": why })),
        ),
        spelling("purge own, running", None, json!({}), "DELETE", &format!("/sessions/{own}"), None),
        spelling("hook", None, json!({}), "POST", "/hook", Some(json!({ "event": "Stop" }))),
        spelling(
            "export bob's",
            None,
            json!({}),
            "GET",
            &format!("/sessions/{bobs}/export?format=txt"),
            None,
        ),
        spelling(
            "export bob's, why",
            None,
            json!({}),
            "GET",
            &format!("/sessions/{bobs}/export?format=txt&reason=looking%20into%20an%20incident"),
            None,
        ),
        spelling("export own", None, json!({}), "GET", &format!("/sessions/{own}/export?format=txt"), None),
        spelling("inbox", Some("inbox"), json!({}), "GET", "/inbox", None),
        spelling(
            "inbox, mark",
            Some("inbox"),
            json!({ "mark_all": true }),
            "POST",
            "/inbox/read",
            Some(json!({ "mark_all": true })),
        ),
        spelling(
            "inbox, mark what",
            Some("inbox"),
            json!({ "mark_read": ["one"] }),
            "POST",
            "/inbox/read",
            Some(json!({ "mark_read": ["one"] })),
        ),
        spelling(
            "write to ann",
            Some("send_to_user"),
            json!({ "user": "ann", "message": "hello" }),
            "POST",
            "/people/ann/messages",
            Some(json!({ "message": "hello" })),
        ),
        spelling(
            "write to bob",
            Some("send_to_user"),
            json!({ "user": "bob", "message": "hello" }),
            "POST",
            "/people/bob/messages",
            Some(json!({ "message": "hello" })),
        ),
        spelling(
            "write to nobody",
            Some("send_to_user"),
            json!({ "user": "zoe", "message": "hello" }),
            "POST",
            "/people/zoe/messages",
            Some(json!({ "message": "hello" })),
        ),
        spelling(
            "write nothing",
            Some("send_to_user"),
            json!({ "user": "admins", "message": " " }),
            "POST",
            "/people/admins/messages",
            Some(json!({ "message": " " })),
        ),
        spelling(
            "write into ann's",
            Some("send_to_user"),
            json!({ "user": "ann", "message": "hello", "into_session": "newest", "reason": why }),
            "POST",
            "/people/ann/messages",
            Some(json!({ "message": "hello", "into_session": "newest", "reason": why })),
        ),
        spelling(
            "summary",
            Some("send_summary_to_owner"),
            json!({ "summary": "all done" }),
            "POST",
            "/inbox/summaries",
            Some(json!({ "summary": "all done" })),
        ),
        spelling(
            "summary, no such task",
            Some("send_summary_to_owner"),
            json!({ "summary": "all done", "task_id": missing }),
            "POST",
            "/inbox/summaries",
            Some(json!({ "summary": "all done", "task_id": missing })),
        ),
        spelling("jobs", None, json!({}), "GET", "/jobs", None),
        spelling("jobs, run", None, json!({}), "POST", "/jobs/retention/run", None),
        spelling("jobs, run none", None, json!({}), "POST", "/jobs/nothing/run", None),
        spelling("who read mine", Some("who_read_my_sessions"), json!({}), "GET", "/audit/mine", None),
        spelling("audit", Some("audit_query"), json!({}), "GET", "/audit", None),
        spelling("audit verify", None, json!({}), "POST", "/audit/verify", None),
        spelling("audit key", None, json!({}), "GET", "/audit/keys", None),
        spelling("audit key rotate", None, json!({}), "POST", "/audit/keys/rotate", None),
        spelling(
            "audit prune",
            None,
            json!({}),
            "POST",
            "/audit/prune",
            Some(json!({ "before": "2001-01-01T00:00:00Z" })),
        ),
        spelling("audit holds", None, json!({}), "GET", "/audit/holds", None),
        spelling(
            "audit hold without a reason",
            None,
            json!({}),
            "POST",
            "/audit/holds",
            Some(json!({ "person": "bob", "reason": "why" })),
        ),
        spelling(
            "audit hold, no such",
            None,
            json!({}),
            "POST",
            "/audit/holds/0193b2a0-0000-7000-8000-00000000dead/release",
            Some(json!({ "reason": "the case is closed" })),
        ),
        spelling("audit export", None, json!({}), "GET", "/audit/export?since=2100-01-01T00:00:00Z", None),
        spelling("usage", None, json!({}), "GET", "/usage?by=person,day", None),
        spelling("usage of bob", None, json!({}), "GET", "/usage?person=bob", None),
        spelling("usage by nothing known", None, json!({}), "GET", "/usage?by=people", None),
        spelling("activity", None, json!({}), "GET", "/activity", None),
        spelling("activity of bob", None, json!({}), "GET", "/activity?person=bob", None),
        spelling("activity in own", None, json!({}), "GET", &format!("/activity?session_id={own}"), None),
        spelling("activity in bob's", None, json!({}), "GET", &format!("/activity?session_id={bobs}"), None),
        spelling("metrics", None, json!({}), "GET", "/metrics", None),
        spelling("config", None, json!({}), "GET", "/config", None),
        spelling(
            "put my config",
            None,
            json!({}),
            "PUT",
            "/me/config",
            Some(json!({ "yaml": "thinking_mode: fast\n" })),
        ),
        spelling("people", Some("list_users"), json!({}), "GET", "/people", None),
        spelling(
            "people with a text",
            Some("list_users"),
            json!({ "query": "%", "status": "active", "role": "member", "sessions": true }),
            "GET",
            "/people?query=%25&status=active&role=member&sessions=true",
            None,
        ),
        spelling(
            "people, blank",
            Some("list_users"),
            json!({ "query": " @" }),
            "GET",
            "/people?query=%20@",
            None,
        ),
        spelling(
            "find bob",
            Some("resolve_user"),
            json!({ "query": "bob" }),
            "GET",
            "/people/find?query=bob",
            None,
        ),
        spelling(
            "find nothing",
            Some("resolve_user"),
            json!({ "query": "@" }),
            "GET",
            "/people/find?query=@",
            None,
        ),
        spelling("show oneself", Some("user_info"), json!({}), "GET", "/people/me", None),
        spelling("show bob", Some("user_info"), json!({ "person": "bob" }), "GET", "/people/bob", None),
        spelling("show nobody", Some("user_info"), json!({ "person": "qqq" }), "GET", "/people/qqq", None),
        spelling("people counted", None, json!({}), "GET", "/people/stats", None),
        spelling("explain bob", None, json!({}), "GET", &format!("/people/{BOB}/explain"), None),
        spelling("add person", None, json!({}), "POST", "/people", Some(json!({ "name": "bob", "uid": 7 }))),
        spelling("update person", None, json!({}), "PATCH", "/people/bob", Some(json!({ "uid": 7 }))),
        spelling("role of bob", None, json!({}), "PUT", "/people/bob/role", Some(json!({ "role": "admin" }))),
        spelling(
            "status of bob",
            None,
            json!({}),
            "PUT",
            "/people/bob/status",
            Some(json!({ "status": "active" })),
        ),
        spelling("delete nobody", None, json!({}), "DELETE", "/people/nobody%20at%20all", None),
        spelling("purge bob", None, json!({}), "POST", "/people/bob/purge", None),
        spelling("merge bob", None, json!({}), "POST", "/people/bob/merge", Some(json!({ "into": "bob" }))),
        spelling(
            "bulk of nobody",
            None,
            json!({}),
            "POST",
            "/people/bulk",
            Some(json!({ "deed": "delete", "last_seen_before": "2001-01-01T00:00:00Z" })),
        ),
        spelling(
            "bulk, no filter",
            None,
            json!({}),
            "POST",
            "/people/bulk",
            Some(json!({ "deed": "delete" })),
        ),
        spelling(
            "warn, no reason",
            None,
            json!({}),
            "POST",
            "/people/bob/warnings",
            Some(json!({ "reason": "x" })),
        ),
        spelling(
            "ban",
            None,
            json!({}),
            "POST",
            "/bans",
            Some(json!({ "uid": 7, "until": "1h", "reason": why })),
        ),
        spelling("lift ban", None, json!({}), "POST", "/bans/lift", Some(json!({ "uid": 7 }))),
        spelling("bans", None, json!({}), "GET", "/bans", None),
        spelling("reload", None, json!({}), "POST", "/reload", None),
        spelling("generate key", None, json!({}), "POST", "/keys", Some(json!({}))),
        spelling("keys", None, json!({}), "GET", "/keys", None),
        spelling("rotate key", None, json!({}), "POST", "/keys/rotate", Some(json!({}))),
        spelling(
            "put credential",
            None,
            json!({}),
            "PUT",
            "/credentials/A_KEY",
            Some(json!({ "value": "invented" })),
        ),
        spelling(
            "put the system's",
            None,
            json!({}),
            "PUT",
            "/credentials/A_KEY",
            Some(json!({ "value": "invented", "system": true })),
        ),
        spelling(
            "put PATH",
            None,
            json!({}),
            "PUT",
            "/credentials/PATH",
            Some(json!({ "value": "invented" })),
        ),
        spelling(
            "import credentials",
            None,
            json!({}),
            "POST",
            "/credentials/import",
            Some(json!({ "credentials": [{ "name": "B_KEY", "value": "invented" }] })),
        ),
        spelling("credentials", None, json!({}), "GET", "/credentials", None),
        spelling("the system's", None, json!({}), "GET", "/credentials?system=true", None),
        spelling("delete credential", None, json!({}), "DELETE", "/credentials/A_KEY", None),
        spelling("delete the system's", None, json!({}), "DELETE", "/credentials/A_KEY?system=true", None),
    ];
    for (whose, id) in [("own", own), ("bob's", bobs), ("none", missing)] {
        let mut add = |verb: &str, tool, extra: Value, method, suffix: &str, body: Option<Value>| {
            let mut arguments = on(id);
            arguments.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            all.push(Spelling {
                name: Box::leak(format!("{verb}: {whose}").into_boxed_str()),
                tool: Some(tool),
                arguments,
                method,
                path: format!("/sessions/{id}{suffix}"),
                body,
            });
        };
        add("show", "get_session", json!({}), "GET", "", None);
        add("read", "get_session_data", json!({}), "GET", "/transcript", None);
        let reason = "/transcript?reason=looking%20into%20an%20incident";
        add("read with reason", "get_session_data", json!({ "reason": why }), "GET", reason, None);
        let hi = json!({ "message": "true" });
        add("send", "send_message", hi.clone(), "POST", "/messages", Some(hi));
        let hi = json!({ "message": "true", "reason": why });
        add("send with reason", "send_message", hi.clone(), "POST", "/messages", Some(hi));
        add("resume", "resume_session", json!({}), "POST", "/resume", Some(json!({})));
        let because = json!({ "reason": why });
        add("resume, why", "resume_session", because.clone(), "POST", "/resume", Some(because.clone()));
        add("interrupt", "interrupt_session", json!({}), "POST", "/interrupt", Some(json!({})));
        add("interrupt, why", "interrupt_session", because.clone(), "POST", "/interrupt", Some(because));
        let yes = json!({ "request_id": missing, "answer": "yes" });
        add("answer", "answer_session", yes.clone(), "POST", "/answer", Some(yes));
        let yes = json!({ "request_id": missing, "answer": "yes", "reason": why });
        add("answer, why", "answer_session", yes.clone(), "POST", "/answer", Some(yes));
        add("subscribe", "subscribe", json!({}), "PUT", "/watch", None);
        add("stop", "stop_notifications", json!({}), "DELETE", "/watch", None);
    }
    // Last: what is ended cannot be asked anything else.
    for (name, id) in [("end: own", own), ("end: none", missing)] {
        all.push(spelling(name, Some("end_session"), on(id), "POST", &format!("/sessions/{id}/end"), None));
    }
    all
}

/// Every action on tasks. `own` is a task of the asker's, `bobs` one of bob's; ann gave both.
fn on_tasks(own: &str, bobs: &str) -> Vec<Spelling> {
    let missing = "0193b2a0-0000-7000-8000-00000000dead";
    let mut all = Vec::new();
    let mut add = |name: &str, tool, arguments: Value, method, path: &str, body| {
        let name = Box::leak(name.to_owned().into_boxed_str());
        all.push(Spelling { name, tool, arguments, method, path: path.to_owned(), body });
    };
    for (name, asked) in [
        ("give task", json!({ "user": "bob", "description": "x", "deadline": "2090-12-01" })),
        ("give task, to nobody", json!({ "user": "nobody", "description": "x" })),
        ("give task, empty", json!({ "user": "bob", "description": " " })),
        ("give task, past", json!({ "user": "bob", "description": "x", "deadline": "2001-01-01" })),
        ("give task, 02-30", json!({ "user": "bob", "description": "x", "deadline": "2090-02-30" })),
    ] {
        add(name, Some("create_user_task"), asked.clone(), "POST", "/tasks", Some(asked));
    }
    let mut get = |name, tool, arguments, path: &str| add(name, Some(tool), arguments, "GET", path, None);
    get("tasks of bob", "get_user_tasks", json!({ "user": "bob" }), "/tasks?user=bob");
    get("tasks of nobody", "get_user_tasks", json!({ "user": "nobody" }), "/tasks?user=nobody");
    get("overdue", "get_overdue_tasks", json!({}), "/tasks?overdue=true");
    get("my tasks", "get_my_tasks", json!({}), "/tasks/mine");
    get("my tasks, late", "get_my_tasks", json!({ "status": "late" }), "/tasks/mine?status=late");
    for (whose, id) in [("own", own), ("bob's", bobs), ("none", missing), ("no id", "x")] {
        let path = format!("/tasks/{id}");
        for status in ["accepted", "completed", "pending"] {
            let mut arguments = json!({ "status": status });
            let body = Some(arguments.clone());
            arguments["task_id"] = json!(id);
            add(&format!("{status}: {whose}"), Some("update_task_status"), arguments, "PATCH", &path, body);
        }
        add(&format!("task: {whose}"), None, json!({}), "GET", &path, None);
        let body = Some(json!({ "description": "y" }));
        add(&format!("edit task: {whose}"), None, json!({}), "PATCH", &path, body);
    }
    add("delete task: none", None, json!({}), "DELETE", &format!("/tasks/{missing}"), None);
    all
}

/// A REST answer as one word. What is not there for this caller is `unknown`, like a tool that is not.
fn word_of_rest(status: u16, body: &Value) -> String {
    match (status, body["code"].as_str()) {
        (200 | 201, _) => "ok".to_owned(),
        (404, _) if body["detail"] == "there is nothing at this path" => "unknown".to_owned(),
        (_, Some(code)) => match body["field"].as_str() {
            Some(field) => format!("{code} {field}"),
            None => code.to_owned(),
        },
        (status, None) => format!("http {status}"),
    }
}

/// An MCP answer as one word.
fn word_of_mcp(answer: &Value) -> String {
    if answer["error"]["code"] == json!(-32602) {
        return "unknown".to_owned();
    }
    let result = &answer["result"];
    if result["isError"] != json!(true) {
        assert!(result["structuredContent"].is_object(), "{answer}");
        return "ok".to_owned();
    }
    let fault = &result["structuredContent"];
    let code = fault["code"].as_str().unwrap();
    match fault["field"].as_str() {
        Some(field) => format!("{code} {field}"),
        None => code.to_owned(),
    }
}

async fn table(db: Db) -> String {
    let world = World::everybody(db)
        .config(
            "roles:\n  admin: &often { requests_per_minute: 100000, burst: 10000 }\n  \
             member: { requests_per_minute: 100000, burst: 10000, profile: full }\n  contributor: *often\n  \
             newcomer: *often\n  public: *often",
        )
        .config(SHELL)
        .doc("open.md", "id: open\nrole: public", "# For all")
        .doc("rules.md", "id: team/rules", "# For the team")
        .doc("secret.md", "id: secret\nrole: admin", "# For admins")
        .start()
        .await;
    let bobs = world.shell(BOB).await;
    let anns = world.shell(ANN).await;
    let cids = world.shell(CID).await;
    let askers = [
        ("admin", ANN, Some(anns.as_str())),
        ("member", CID, Some(cids.as_str())),
        ("contributor", DOT, None),
        ("newcomer", EVE, None),
        ("public", STRANGER, None),
    ];
    let mut rows: Vec<String> = Vec::new();
    for (asker, (_, uid, own)) in askers.iter().enumerate() {
        let mut tasks = Vec::new();
        for user in [if *uid == STRANGER { "cid" } else { ["ann", "cid", "dot", "eve"][asker] }, "bob"] {
            let given = json!({ "user": user, "description": "x" });
            let given = world.rest(ANN, "POST", "/tasks", Some(given)).await;
            tasks.push(given.body["task_id"].as_str().unwrap().to_owned());
        }
        let actions = actions(*own, &bobs).into_iter().chain(on_tasks(&tasks[0], &tasks[1]));
        for (row, action) in actions.enumerate() {
            let rest = world.rest(*uid, action.method, &action.path, action.body.clone()).await;
            let word = word_of_rest(rest.status, &rest.body);
            if let Some(tool) = action.tool {
                for era in ERAS {
                    let answer = world.call(*uid, era, tool, action.arguments.clone()).await;
                    assert_eq!(
                        word_of_mcp(&answer),
                        word,
                        "{} as {asker}, {era:?}: {answer} / {rest:?}",
                        action.name
                    );
                }
            }
            if asker == 0 {
                rows.push(format!("{:26}", action.name));
            }
            let _ = write!(rows[row], "{word:17} ");
        }
    }
    let mut text = format!("{:26}", "");
    for (name, _, _) in askers {
        let _ = write!(text, "{name:18}");
    }
    rows.insert(0, text);
    world.end().await;
    rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n")
}

/// What is not in the table above, and where it is tried instead.
const ELSEWHERE: [(Verb, &str); 3] = [
    (Verb::AttachReadOnly, "a connection of another protocol: attach.rs, doors.rs"),
    (Verb::Attach, "a connection of another protocol: attach.rs, doors.rs"),
    (Verb::FollowAudit, "an answer without an end: audit.rs"),
];

#[test]
fn nothing_that_can_be_asked_is_left_out() {
    let id = "0193b2a0-0000-7000-8000-00000000beef";
    let asked: HashSet<Verb> = actions(None, id)
        .iter()
        .chain(&on_tasks(id, id))
        .map(|action| {
            let path = format!("/api/v1{}", action.path.split('?').next().unwrap());
            let rows = routes::at(&routes::segments(&path).unwrap());
            let row = rows.into_iter().find(|row| row.method == action.method);
            row.unwrap_or_else(|| panic!("{}: there is no {} {path}", action.name, action.method)).verb
        })
        .collect();
    let elsewhere: HashSet<Verb> = ELSEWHERE.into_iter().map(|(verb, _)| verb).collect();
    let mouths = routes::TABLE.iter().map(|row| row.verb).chain(TOOLS.iter().map(|tool| tool.verb));
    let left_out: Vec<&str> =
        mouths.filter(|verb| !asked.contains(verb) && !elsewhere.contains(verb)).map(Verb::name).collect();
    assert!(left_out.is_empty(), "say in `actions` how these are asked: {left_out:?}");
    assert!(
        elsewhere.is_disjoint(&asked),
        "what is asked is not left out: {:?}",
        elsewhere.intersection(&asked)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_action_as_every_role_by_every_mouth() {
    on_both(async |db| insta::assert_snapshot!("outcomes", table(db).await)).await;
}
