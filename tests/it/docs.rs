//! Shared documents: what is found, who may read what, how changes are told; and each role's prompt over MCP.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, ERAS, EVE, Era, Mcp, STRANGER, World};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn documents(world: &World) {
    world.doc("open.md", "id: open\nrole: public\nrequires: [rules, gone]", "# Open");
    world.doc("team/rules.md", "id: rules\ntype: policy\nrequires: [deep/er]", "# Rules");
    world.doc("team/deep.md", "id: deep/er", "# Deeper");
    world.doc("secret.md", "id: secret\nrole: admin\nrequires: [open]", "# Secret");
    world.doc("member.md", "id: member\nrole: member\nrequires: [secret, rules]", "# Member");
}

/// Asks for the index until it is so.
async fn until(world: &World, uid: u32, so: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let index = world.rest(uid, "GET", "/docs", None).await;
        if index.status == 200 && so(&index.body) {
            return index.body;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came to be so: {index:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

fn index_is(ids_wanted: &'static [&str]) -> impl Fn(&Value) -> bool {
    move |body| ids(&body["index"]) == ids_wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_has_its_documents_and_the_others_do_not_exist() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        documents(&world);
        until(&world, ANN, index_is(&["deep/er", "member", "open", "rules", "secret"])).await;
        for (uid, theirs) in [
            (BOB, &["deep/er", "member", "open", "rules"][..]),
            (EVE, &["deep/er", "open", "rules"]),
            (STRANGER, &["open"]),
        ] {
            let index = world.tool(uid, "get_context", json!({})).await;
            assert_eq!(ids(&index["index"]), theirs);
            assert_eq!((&index["documents"], &index["next_cursor"]), (&json!([]), &Value::Null));
        }
        let public = world.tool(STRANGER, "get_context", json!({})).await;
        assert_eq!(public["index"][0]["requires"], json!([]), "names of what is hidden are hidden");
        // What is required comes first; what is not there, or for others, is counted and not named.
        let texts = world.tool(BOB, "get_context", json!({ "ids": ["member", "open"] })).await;
        assert_eq!(ids(&texts["documents"]), ["deep/er", "rules", "member", "open"]);
        assert_eq!(texts["requirements_left_out"], 2);
        assert_eq!(texts["documents"][2]["content"], "# Member\n");
        assert!(!texts.to_string().contains("secret") && !texts.to_string().contains("gone"), "{texts}");
        let only = json!({ "ids": ["member"], "include_requirements": false });
        assert_eq!(ids(&world.tool(BOB, "get_context", only).await["documents"]), ["member"]);
        let types = world.tool(BOB, "get_context", json!({ "types": ["policy"] })).await;
        assert_eq!(ids(&types["index"]), ["rules"]);
        // Above one's role and not there at all: word for word the same, but for the name.
        for (uid, hidden) in [(BOB, "secret"), (EVE, "member"), (STRANGER, "rules")] {
            for path in [format!("/docs/{hidden}"), format!("/docs?ids={hidden}")] {
                let one = world.rest(uid, "GET", &path, None).await;
                let none = world.rest(uid, "GET", &path.replace(hidden, "none"), None).await;
                assert_eq!((one.status, none.status), (404, 404));
                let said = one.body.to_string().replace(hidden, "none");
                assert!(said.contains("no document `none`"), "{said}");
                assert_eq!(without_instance(&one.body, hidden), without_instance(&none.body, "none"));
            }
        }
        let whole = world.rest(EVE, "GET", "/docs/deep%2Fer", None).await;
        assert_eq!((whole.status, &whole.body["content"]), (200, &json!("# Deeper\n")));
        world.end().await;
    })
    .await;
}

/// An answer without what differs between any two.
fn without_instance(body: &Value, name: &str) -> String {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("instance");
    }
    body.to_string().replace(name, "NAME")
}

/// The token that this session's shell was given.
async fn token(world: &World, id: &str) -> String {
    let told = json!({ "message": "echo $TELECLAUDE_TOKEN > new && mv new token" });
    assert_eq!(world.rest(ANN, "POST", &format!("/sessions/{id}/messages"), Some(told)).await.status, 200);
    let path = world.path("project/token");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(tokio::time::Instant::now() < deadline, "the shell never wrote its token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_s_agent_reads_what_its_owner_may_and_not_what_is_wrong() {
    let world = World::everybody(Db::sqlite()).config(crate::world::SHELL).start().await;
    documents(&world);
    until(&world, ANN, index_is(&["deep/er", "member", "open", "rules", "secret"])).await;
    let id = world.shell(ANN).await;
    let token = token(&world, &id).await;
    let index = world.rest_with(ANN, "GET", "/docs", None, Some(&token)).await;
    assert_eq!(ids(&index.body["index"]), ["deep/er", "member", "open", "rules", "secret"]);
    assert_eq!(world.rest_with(ANN, "GET", "/health/docs", None, Some(&token)).await.status, 404);
    let mut mcp = world.mcp_with(ANN, Era::Stateless, Some(&token)).await;
    let listed = mcp.ask("prompts/list", json!({})).await;
    assert_eq!(listed["result"]["prompts"][0]["name"], "agent", "{listed}");
    let got = mcp.ask("prompts/get", json!({ "name": "agent" })).await;
    let text = got["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains(&id) && text.contains("`get_context`"), "{text}");
    assert!(!text.contains("`audit_query`"), "an agent of an admin's is no admin: {text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_to_admins_and_the_rest_stays() {
    let world = World::everybody(Db::sqlite()).start().await;
    world.doc("good.md", "id: good", "# Good");
    world.doc("a/twice.md", "id: twice", "# First");
    world.doc("b/twice.md", "id: twice", "# Second");
    world.doc("circle.md", "id: circle\nrequires: [round]", "#");
    world.doc("round.md", "id: round\nrequires: [circle]", "#");
    world.doc("boss.md", "id: boss\nrole: boss", "#");
    world.doc("odd.md", "id: odd\ncolour: red", "#");
    symlink("/etc/passwd", world.docs().join("passwd.md")).unwrap();
    until(&world, ANN, index_is(&["circle", "good", "round", "twice"])).await;
    let answer = world.rest(ANN, "GET", "/health/docs", None).await;
    assert_eq!(answer.body["documents"], 4);
    let said: Vec<String> = answer.body["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| format!("{}:{} {}", p["path"].as_str().unwrap(), p["line"], p["message"].as_str().unwrap()))
        .collect();
    for part in [
        "b/twice.md:4 `twice` is already the id of a/twice.md; left out",
        "boss.md:5 must be one of public, newcomer, contributor, member, admin",
        "odd.md:5 unknown key",
        "passwd.md:null is a symbolic link",
        "documents require each other in a circle: circle -> round -> circle",
    ] {
        assert!(said.iter().any(|line| line.contains(part)), "{part}: {said:#?}");
    }
    assert_eq!(said.len(), 5, "{said:#?}");
    // In a circle each comes once.
    let texts = world.tool(EVE, "get_context", json!({ "ids": ["circle"] })).await;
    assert_eq!(ids(&texts["documents"]), ["round", "circle"]);
    assert_eq!(
        world.tool(EVE, "get_context", json!({ "ids": ["twice"] })).await["documents"][0]["content"],
        "# First\n"
    );
    let health = world.rest(ANN, "GET", "/health", None).await.body;
    assert_eq!(health["status"], "ok", "a wrong document is no illness");
    assert!(health["detail"]["problems"].to_string().contains("docs: "), "{health}");
    for uid in [BOB, EVE, STRANGER] {
        assert_eq!(world.rest(uid, "GET", "/health/docs", None).await.status, 404);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_reading_comes_page_by_page() {
    let world = World::everybody(Db::sqlite()).start().await;
    let long = |word: &str| format!("{word} and on\n").repeat(8_000);
    world.doc("one.md", "id: one\nrequires: [two]", &long("first"));
    world.doc("two.md", "id: two", &long("zweites, größer"));
    until(&world, EVE, index_is(&["one", "two"])).await;
    let (mut pages, mut text, mut cursor) = (0, String::new(), Value::Null);
    loop {
        let mut asked = json!({ "ids": ["one"] });
        if cursor.is_string() {
            asked["cursor"] = cursor;
        }
        let page = world.tool(EVE, "get_context", asked).await;
        let parts = page["documents"].as_array().unwrap();
        let part: String = parts.iter().map(|part| part["content"].as_str().unwrap()).collect();
        assert!(part.chars().count() <= 48_000);
        text += &part;
        pages += 1;
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(text, format!("{}\n{}\n", long("zweites, größer"), long("first")));
    assert!(pages >= 5, "{pages}");
    let whole = world.rest(EVE, "GET", "/docs/two", None).await;
    assert_eq!(whole.body["content"].as_str().unwrap(), format!("{}\n", long("zweites, größer")));
    for (cursor, field) in [("x", "cursor"), ("t0-one", "documents"), ("t1-none", "cursor")] {
        let answer = world.rest(EVE, "GET", &format!("/docs?ids=one&cursor={cursor}"), None).await;
        match field {
            "documents" => assert_eq!(ids(&answer.body["documents"]), ["one"]),
            field => assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{answer:?}"),
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_the_truth_also_between_two_looks() {
    let world = World::everybody(Db::sqlite()).start().await;
    let path = world.doc("a.md", "id: a", "# Before");
    until(&world, EVE, index_is(&["a"])).await;
    // Whatever the index still says: what the file says now decides.
    world.doc("a.md", "id: a\nrole: admin", "# For admins now");
    assert_eq!(world.rest(EVE, "GET", "/docs/a", None).await.status, 404);
    assert_eq!(world.rest(EVE, "GET", "/docs?ids=a", None).await.status, 404);
    assert_eq!(world.rest(ANN, "GET", "/docs/a", None).await.body["content"], "# For admins now\n");
    fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert_ne!(world.rest(ANN, "GET", "/docs/a", None).await.status, 200);
    fs::remove_file(&path).unwrap();
    assert_eq!(world.rest(ANN, "GET", "/docs/a", None).await.status, 404);
    until(&world, ANN, index_is(&[])).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_may_come_late_move_and_break() {
    let world = World::everybody(Db::sqlite()).start().await;
    assert_eq!(ids(&world.rest(ANN, "GET", "/docs", None).await.body["index"]), Vec::<&str>::new());
    world.doc("a.md", "id: a", "#");
    until(&world, ANN, index_is(&["a"])).await;
    let other = world.path("elsewhere");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b.md"), "---\nid: b\ndescription: b\ntype: b\n---\n").unwrap();
    world.rewrite_config(|text| format!("{text}docs: {{ path: {} }}\n", other.display()));
    assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
    until(&world, ANN, index_is(&["b"])).await;
    fs::remove_dir_all(&other).unwrap();
    fs::write(&other, "no folder").unwrap();
    until(&world, ANN, index_is(&[])).await;
    let wrong = world.rest(ANN, "GET", "/health/docs", None).await.body;
    assert!(wrong["problems"][0]["message"].as_str().unwrap().contains("cannot be read"), "{wrong}");
    world.end().await;
}

async fn hear(mcp: &mut Mcp, method: &str) -> Value {
    tokio::time::timeout(PATIENCE, async {
        loop {
            let message = mcp.hear().await;
            if message["method"] == method {
                return message;
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{method} never came"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_resources_and_changes_are_told() {
    let world = World::everybody(Db::sqlite()).start().await;
    documents(&world);
    until(&world, ANN, index_is(&["deep/er", "member", "open", "rules", "secret"])).await;
    for era in ERAS {
        let mut mcp = world.mcp(EVE, era).await;
        let listed = mcp.ask("resources/list", json!({})).await;
        let all = listed["result"]["resources"].as_array().unwrap();
        let uris: Vec<&str> = all.iter().map(|one| one["uri"].as_str().unwrap()).collect();
        let theirs = ["deep/er", "open", "rules"].map(|id| format!("teleclaude://docs/{id}"));
        assert_eq!(uris[0], "teleclaude://inbox");
        assert_eq!(uris[1..], theirs);
        assert_eq!(all[1]["mimeType"], "text/markdown");
        let templates = mcp.ask("resources/templates/list", json!({})).await.to_string();
        assert!(templates.contains("teleclaude://docs/{+id}"), "{templates}");
        for uri in ["teleclaude://docs/deep/er", "teleclaude://docs/deep%2Fer"] {
            let read = mcp.ask("resources/read", json!({ "uri": uri })).await;
            assert_eq!(read["result"]["contents"][0]["text"], "# Deeper\n", "{read}");
        }
        let hidden = mcp.ask("resources/read", json!({ "uri": "teleclaude://docs/secret" })).await;
        let none = mcp.ask("resources/read", json!({ "uri": "teleclaude://docs/none" })).await;
        assert_eq!(hidden["error"]["code"], none["error"]["code"], "{hidden}");
        assert!(hidden["error"]["code"].is_i64());
    }
    let public = world.mcp(STRANGER, Era::Initialize).await.ask("resources/list", json!({})).await;
    assert_eq!(public["result"]["resources"].as_array().unwrap().len(), 1, "{public}");
    // The older era subscribes; the newer one listens. A newcomer hears nothing of what is for admins.
    let mut old = world.mcp(EVE, Era::Initialize).await;
    for (id, code) in [("rules", Value::Null), ("secret", json!(-32002))] {
        let uri = format!("teleclaude://docs/{id}");
        let answer = old.ask("resources/subscribe", json!({ "uri": uri })).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let mut new = world.mcp(EVE, Era::Stateless).await;
    let wanted = json!({ "notifications": {
        "resourcesListChanged": true,
        "resourceSubscriptions": ["teleclaude://docs/rules", "teleclaude://docs/secret"],
    } });
    new.begin("subscriptions/listen", wanted).await;
    hear(&mut new, "notifications/subscriptions/acknowledged").await;
    let mut admin = world.mcp(ANN, Era::Initialize).await;
    let answer = admin.ask("resources/subscribe", json!({ "uri": "teleclaude://docs/secret" })).await;
    assert!(answer["error"].is_null(), "{answer}");
    world.doc("secret.md", "id: secret\nrole: admin", "# Another secret");
    let told = hear(&mut admin, "notifications/resources/updated").await;
    assert_eq!(told["params"]["uri"], "teleclaude://docs/secret");
    world.doc("team/rules.md", "id: rules\ntype: policy\nrequires: [deep/er]", "# Other rules");
    for mcp in [&mut old, &mut new] {
        // The first they hear is of this one, and not of the secret's change before.
        let told = mcp.hear().await;
        assert_eq!(told["method"], "notifications/resources/updated", "{told}");
        assert_eq!(told["params"]["uri"], "teleclaude://docs/rules", "{told}");
    }
    let next = world.docs().join(".next");
    fs::write(&next, "---\nid: rules\ndescription: newer\ntype: policy\n---\n").unwrap();
    fs::rename(&next, world.docs().join("team/rules.md")).unwrap();
    for mcp in [&mut old, &mut new] {
        hear(mcp, "notifications/resources/list_changed").await;
        assert_eq!(
            hear(mcp, "notifications/resources/updated").await["params"]["uri"],
            "teleclaude://docs/rules"
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_is_offered_its_own_prompt_and_no_other() {
    let world = World::everybody(Db::sqlite())
        .config("prompts:\n  newcomer: |\n    Welcome.\n    {tools}\n")
        .start()
        .await;
    for era in ERAS {
        for (uid, name) in
            [(ANN, Some("admin")), (CID, Some("member")), (EVE, Some("newcomer")), (STRANGER, None)]
        {
            let mut mcp = world.mcp(uid, era).await;
            let listed = mcp.ask("prompts/list", json!({})).await;
            let prompts = listed["result"]["prompts"].as_array().unwrap();
            let names: Vec<&str> = prompts.iter().map(|prompt| prompt["name"].as_str().unwrap()).collect();
            assert_eq!(names, name.into_iter().collect::<Vec<_>>(), "{listed}");
            let scope = if era == Era::Stateless { json!("private") } else { Value::Null };
            assert_eq!(listed["result"]["cacheScope"], scope);
            for other in ["admin", "member", "newcomer", "agent", "nobody"] {
                let got = mcp.ask("prompts/get", json!({ "name": other })).await;
                if Some(other) == name {
                    let text = got["result"]["messages"][0]["content"]["text"].as_str().unwrap();
                    assert!(text.contains("- `get_context`"), "{text}");
                    assert_eq!(text.contains("Welcome."), other == "newcomer", "{text}");
                    assert_eq!(text.contains("- `audit_query`"), other == "admin", "{text}");
                } else {
                    assert_eq!(got["error"]["code"], -32602, "{got}");
                }
            }
            if let Some(name) = name {
                let task = json!({ "name": name, "arguments": { "task": "mend the roof" } });
                let got = mcp.ask("prompts/get", task).await.to_string();
                assert!(got.contains("mend the roof"), "{got}");
                let wrong = json!({ "name": name, "arguments": { "mood": "good" } });
                assert_eq!(mcp.ask("prompts/get", wrong).await["error"]["code"], -32602);
            }
        }
    }
    // Another role is another prompt, and that is told.
    let mut old = world.mcp(CID, Era::Initialize).await;
    let mut new = world.mcp(CID, Era::Stateless).await;
    new.begin("subscriptions/listen", json!({ "notifications": { "promptsListChanged": true } })).await;
    hear(&mut new, "notifications/subscriptions/acknowledged").await;
    old.ask("prompts/list", json!({})).await;
    world.rewrite_config(|text| {
        text.replace("name: cid, os_uid: 3000003, role: member", "name: cid, os_uid: 3000003, role: admin")
    });
    assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
    for mcp in [&mut old, &mut new] {
        hear(mcp, "notifications/prompts/list_changed").await;
        let listed = mcp.ask("prompts/list", json!({})).await;
        assert_eq!(listed["result"]["prompts"][0]["name"], "admin", "{listed}");
    }
    world.end().await;
}
