//! Adding, changing, merging and removing people, warnings and bans, on both databases: what is done, what is refused and
//! why, that a refusal leaves all as it was, and that every change is a row of the audit log.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, Answer, BOB, CID, DOT, EVE, STRANGER, World};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::jobs::run_now;
use teleclaude::domain::job::Job;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::usecase::ban::end_over;
use tokio::time::Instant;

/// Members run a shell, and admins may act in what is not theirs.
const ROLES: &str = "agents: { shell: { enabled: true, command: /bin/sh } }\n\
    roles: { member: { profile: full }, admin: { steer_others: true } }";
const WHY: &str = "making noise all night";
const ZOE: u32 = 3_000_050;
const YAN: u32 = 3_000_051;

async fn ask(world: &World, method: &str, path: &str, body: Value) -> Answer {
    world.rest(ANN, method, path, (method != "GET").then_some(body)).await
}

async fn done(world: &World, method: &str, path: &str, body: Value) -> Value {
    let answer = ask(world, method, path, body).await;
    assert!(matches!(answer.status, 200 | 201), "{method} {path}: {answer:?}");
    answer.body
}

/// A refusal that names a field and says what is wrong, and what to do.
async fn refused(
    world: &World,
    (method, path): (&str, &str),
    body: Value,
    wanted: (u16, &str, &str),
) -> Value {
    let answer = ask(world, method, path, body.clone()).await;
    let (status, field, says) = wanted;
    let shown = body.to_string().chars().take(200).collect::<String>();
    assert_eq!(answer.status, status, "{method} {path} {shown}: {answer:?}");
    assert_eq!(answer.body["field"], field, "{method} {path} {shown}: {answer:?}");
    let text = format!("{} {}", answer.body["detail"], answer.body["hint"]);
    assert!(text.contains(says), "{method} {path} {shown}: no `{says}` in {answer:?}");
    answer.body
}

async fn add(world: &World, name: &str, uid: u32, role: &str) -> Value {
    done(world, "POST", "/people", json!({ "name": name, "uid": uid, "role": role })).await
}

async fn whoami(world: &World, uid: u32) -> Value {
    world.rest(uid, "GET", "/whoami", None).await.body
}

/// Rows of one action, newest first.
async fn rows(world: &World, action: &str) -> Vec<Value> {
    world.audit().await.into_iter().filter(|row| row["action"] == action).collect()
}

fn detail(row: &Value) -> Value {
    serde_json::from_str(row["detail"].as_str().unwrap_or_else(|| panic!("{row}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_added_is_somebody_at_once() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        assert_eq!(whoami(&world, ZOE).await["role"], "public");
        let added = done(
            &world,
            "POST",
            "/people",
            json!({
                "name": "zoe", "uid": ZOE, "role": "member", "full_name": "Zoë Öztürk", "email": "Zoe@Example.org",
                "phone": "+49 30 123", "notes": "new in the team\nsits in Berlin",
            }),
        )
        .await;
        assert_eq!((&added["changed"], &added["status"]), (&json!(true), &json!("active")), "{added}");
        assert_eq!((&added["email"], &added["role"]), (&json!("Zoe@Example.org"), &json!("member")));
        let who = whoami(&world, ZOE).await;
        assert_eq!((&who["person"], &who["role"]), (&json!("zoe"), &json!("member")), "{who}");
        let row = &rows(&world, "person.add").await[0];
        assert_eq!((&row["owner"], &row["actor"]), (&json!("zoe"), &json!("ann")), "{row}");
        assert_eq!(detail(row)["role"], "member");
        assert!(!row.to_string().contains("Example.org") && !row.to_string().contains("Berlin"), "{row}");

        // A visitor becomes that person, and keeps when they were first seen.
        assert_eq!(whoami(&world, STRANGER).await["role"], "public");
        let named = add(&world, "Sam", STRANGER, "newcomer").await;
        assert_eq!(whoami(&world, STRANGER).await["person"], "Sam", "{named}");
        // So does one who is given the uid of a visitor.
        assert_eq!(whoami(&world, YAN).await["role"], "public");
        world.until_seen(&[YAN]).await;
        let moved = done(&world, "PATCH", "/people/zoe", json!({ "uid": YAN })).await;
        assert_eq!(moved["uid"], YAN, "{moved}");
        assert_eq!((&whoami(&world, YAN).await["person"], &whoami(&world, ZOE).await["role"]), (&json!("zoe"), &json!("public")));
        // By the OS user's name alone, where the system has such a user.
        let root = done(&world, "POST", "/people", json!({ "name": "operator", "os_username": "root" })).await;
        assert_eq!((&root["role"], root.get("uid")), (&json!("newcomer"), None), "{root}");
        assert_eq!(whoami(&world, 0).await["person"], "operator");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_somebody_elses_is_refused_and_named() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        done(
            &world,
            "POST",
            "/people",
            json!({ "name": "Zoë", "os_username": "zoe", "uid": ZOE, "email": "zoe@example.org" }),
        )
        .await;
        let post = ("POST", "/people");
        for (body, wanted) in [
            (json!({ "name": "bob", "uid": YAN }), (409, "name", "`bob` of the config")),
            (json!({ "name": "BOB", "uid": YAN }), (409, "name", "config.yml:")),
            (json!({ "name": "yan", "uid": BOB }), (409, "uid", "`bob` of the config")),
            (json!({ "name": "ZOË", "uid": YAN }), (409, "name", "belongs to `Zoë` already")),
            (json!({ "name": "yan", "uid": ZOE }), (409, "uid", "belongs to `Zoë` already")),
            (json!({ "name": "yan", "os_username": "zoe" }), (409, "os_username", "the OS user `zoe`")),
            (
                json!({ "name": "yan", "uid": YAN, "email": "ZOE@example.org" }),
                (409, "email", "`Zoë` already"),
            ),
            // What cannot be anybody's.
            (json!({ "name": "yan" }), (422, "os_username", "or uid")),
            (json!({ "uid": YAN }), (422, "name", "must be given")),
            (json!({ "name": "@", "uid": YAN }), (422, "name", "@")),
            (json!({ "name": "@yan", "uid": YAN }), (422, "name", "@")),
            (json!({ "name": " ", "uid": YAN }), (422, "name", "blank")),
            (json!({ "name": " yan", "uid": YAN }), (422, "name", "blank")),
            (json!({ "name": "1234", "uid": YAN }), (422, "name", "number")),
            (json!({ "name": "y\u{1b}[31mn", "uid": YAN }), (422, "name", "one line")),
            (json!({ "name": "y\0n", "uid": YAN }), (422, "name", "one line")),
            (json!({ "name": "x".repeat(1_000_000), "uid": YAN }), (422, "name", "100 characters")),
            (json!({ "name": "yan", "uid": -1 }), (422, "uid", "4294967294")),
            (json!({ "name": "yan", "uid": 4_294_967_295_i64 }), (422, "uid", "4294967294")),
            (json!({ "name": "yan", "uid": "7" }), (422, "uid", "")),
            (json!({ "name": "yan", "os_username": "a b" }), (422, "os_username", "as the OS has it")),
            (json!({ "name": "yan", "os_username": "root", "uid": 5 }), (422, "uid", "has the uid 0")),
            (json!({ "name": "yan", "uid": YAN, "email": "nobody" }), (422, "email", "ann@example.org")),
            (json!({ "name": "yan", "uid": YAN, "phone": "call me" }), (422, "phone", "digits")),
            (json!({ "name": "yan", "uid": YAN, "notes": "\u{7}" }), (422, "notes", "control")),
            (json!({ "name": "yan", "uid": YAN, "role": "boss" }), (422, "role", "newcomer")),
            (json!({ "name": "yan", "uid": YAN, "rank": 1 }), (422, "rank", "")),
        ] {
            refused(&world, post, body, wanted).await;
        }
        assert_eq!(whoami(&world, YAN).await["role"], "public", "nothing half done");
        assert_eq!(rows(&world, "person.add").await.len(), 1);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_given_changes_and_two_admins_do_not_overwrite_each_other() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        add(&world, "zoe", ZOE, "member").await;
        add(&world, "yan", YAN, "member").await;
        let patch = ("PATCH", "/people/zoe");
        let one =
            done(&world, "PATCH", "/people/zoe", json!({ "email": "z@example.org", "notes": "tall" })).await;
        let two = done(&world, "PATCH", "/people/ZOE", json!({ "phone": "+1" })).await;
        assert_eq!((&two["email"], &two["notes"]), (&json!("z@example.org"), &json!("tall")), "{two}");
        assert!(two["updated_at"].as_str() > one["updated_at"].as_str());
        // The same again changes nothing, and is no row.
        let same = done(&world, "PATCH", "/people/zoe", json!({ "phone": "+1" })).await;
        assert_eq!((&same["changed"], &same["updated_at"]), (&json!(false), &two["updated_at"]), "{same}");
        assert_eq!(rows(&world, "person.update").await.len(), 2);
        // An empty text takes away.
        let three = done(&world, "PATCH", "/people/zoe", json!({ "phone": "" })).await;
        assert!(three.get("phone").is_none(), "{three}");
        // Who decided by what is no longer so is told.
        let stale = json!({ "notes": "short", "if_updated_at": one["updated_at"] });
        refused(&world, patch, stale, (409, "if_updated_at", "somebody else changed `zoe`")).await;
        let fresh = json!({ "notes": "short", "if_updated_at": three["updated_at"] });
        assert_eq!(done(&world, "PATCH", "/people/zoe", fresh).await["notes"], "short");
        // The same over HTTP's own words.
        let tag = |answer: &Answer| {
            let tags = answer.head.lines().filter_map(|line| line.split_once(": "));
            let tag = tags
                .filter(|(name, _)| name.eq_ignore_ascii_case("etag"))
                .map(|(_, tag)| tag.to_owned())
                .next();
            tag.unwrap_or_else(|| panic!("{}", answer.head))
        };
        let seen = tag(&world.rest(ANN, "GET", "/people/zoe", None).await);
        let with = [("If-Match", seen.as_str())];
        let body = || Some(json!({ "notes": "neither" }));
        let first = world.rest_saying(ANN, "PATCH", "/people/zoe", body(), &with).await;
        assert_eq!((first.status, &first.body["notes"]), (200, &json!("neither")), "{first:?}");
        assert_ne!(tag(&first), seen);
        let late = world.rest_saying(ANN, "PATCH", "/people/zoe", body(), &with).await;
        assert_eq!((late.status, &late.body["code"]), (412, &json!("conflict")), "{late:?}");
        for (body, wanted) in [
            (json!({}), (422, "full_name", "nothing is to be changed")),
            (json!({ "uid": YAN }), (409, "uid", "belongs to `yan` already")),
            (json!({ "uid": BOB }), (409, "uid", "`bob` of the config")),
            (json!({ "os_username": "", "uid": 5 }), (422, "uid", "taken away")),
            (json!({ "name": "zora" }), (422, "name", "")),
            (json!({ "notes": "x".repeat(4_001) }), (422, "notes", "4000")),
            (json!({ "if_updated_at": "yesterday", "notes": "x" }), (422, "if_updated_at", "RFC 3339")),
        ] {
            refused(&world, patch, body, wanted).await;
        }
        done(&world, "PATCH", "/people/yan", json!({ "email": "y@example.org" })).await;
        let theirs = json!({ "email": "Z@EXAMPLE.ORG" });
        refused(&world, ("PATCH", "/people/yan"), theirs, (409, "email", "belongs to `zoe` already")).await;
        // Who the config says comes as an OS user is the config's to say.
        let uid = json!({ "uid": 5 });
        refused(&world, ("PATCH", "/people/bob"), uid, (409, "uid", "config.yml:")).await;
        done(&world, "PATCH", "/people/bob", json!({ "full_name": "Robert" })).await;
        // Another OS user is another uid.
        let moved = done(&world, "PATCH", "/people/yan", json!({ "os_username": "root" })).await;
        assert_eq!((moved.get("uid"), &moved["os_username"]), (None, &json!("root")), "{moved}");
        assert_eq!(whoami(&world, 0).await["person"], "yan");
        assert_eq!(whoami(&world, YAN).await["role"], "public");
        refused(&world, ("PATCH", "/people/nobody"), json!({ "notes": "x" }), (404, "person", "nobody"))
            .await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_of_the_config_stay_and_there_is_always_an_admin() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let to = |role: &str| json!({ "role": role });
        let bob = ("PUT", "/people/bob/role");
        refused(&world, bob, to("admin"), (409, "role", "config.yml:")).await;
        refused(&world, bob, to("boss"), (422, "role", "contributor")).await;
        // Alone, ann can take nothing of it from herself …
        let himself = [
            ("PUT", "/people/ann/role", to("member"), "person"),
            ("PUT", "/people/ann/status", json!({ "status": "inactive" }), "person"),
            ("PUT", "/people/ann/status", json!({ "status": "suspended" }), "person"),
            ("DELETE", "/people/ann", Value::Null, "person"),
            ("POST", "/people/ann/purge", json!({}), "person"),
            ("POST", "/people/ann/merge", json!({ "into": "bob" }), "person"),
            ("POST", "/people/ann/warnings", json!({ "reason": WHY }), "person"),
            ("POST", "/bans", json!({ "person": "ann", "until": "1h", "reason": WHY }), "person"),
            ("POST", "/bans", json!({ "uid": ANN, "until": "1h", "reason": WHY }), "uid"),
        ];
        for (method, path, body, field) in &himself {
            let body = if body.is_null() { json!({}) } else { body.clone() };
            let wanted = (409, *field, "you are the last admin who can act");
            refused(&world, (method, path), body, wanted).await;
        }
        // … and beside another admin, of the directory, neither.
        add(&world, "zoe", ZOE, "admin").await;
        for (method, path, body, field) in &himself {
            let body = if body.is_null() { json!({}) } else { body.clone() };
            refused(&world, (method, path), body, (409, *field, "ask another admin")).await;
        }
        assert_eq!(whoami(&world, ANN).await["role"], "admin");
        assert!(whoami(&world, ANN).await.get("refused").is_none());
        // One who is banned cannot act, so does not count.
        done(&world, "POST", "/bans", json!({ "uid": ZOE, "until": "1h", "reason": WHY })).await;
        refused(&world, ("DELETE", "/people/ann"), json!({}), (409, "person", "the last admin")).await;
        done(&world, "POST", "/bans/lift", json!({ "uid": ZOE })).await;

        // Two admins at the same time at each other: one of them remains.
        add(&world, "yan", YAN, "admin").await;
        for round in 0..6 {
            let (zoe, yan) = tokio::join!(
                world.rest(ZOE, "PUT", "/people/yan/role", Some(to("member"))),
                world.rest(YAN, "PUT", "/people/zoe/role", Some(to("member"))),
            );
            let roles = [whoami(&world, ZOE).await, whoami(&world, YAN).await];
            let admins = roles.iter().filter(|who| who["role"] == "admin").count();
            assert_eq!(admins, 1, "{round}: {roles:?} {zoe:?} {yan:?}");
            done(&world, "PUT", "/people/zoe/role", to("admin")).await;
            done(&world, "PUT", "/people/yan/role", to("admin")).await;
        }
        let row = &rows(&world, "person.role").await[0];
        assert_eq!(detail(row), json!({ "from": "member", "to": "admin" }), "{row}");
        // A visitor has no role to be given.
        whoami(&world, STRANGER).await;
        let visitor = format!("/people/{STRANGER}/role");
        let seen = async || ask(&world, "PUT", &visitor, to("member")).await;
        let give_up = Instant::now() + Duration::from_secs(30);
        while seen().await.status == 404 && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        refused(&world, ("PUT", &visitor), to("member"), (409, "person", "people add NAME --uid")).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_deletion_and_purging() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        add(&world, "zoe", ZOE, "member").await;
        done(&world, "PATCH", "/people/zoe", json!({ "email": "z@example.org" })).await;
        let deleted = done(&world, "DELETE", "/people/zoe", json!({})).await;
        assert_eq!((&deleted["status"], &deleted["changed"]), (&json!("deleted"), &json!(true)));
        let again = done(&world, "DELETE", "/people/zoe", json!({})).await;
        assert_eq!(again["changed"], false, "{again}");
        assert_eq!(rows(&world, "person.delete").await.len(), 1);
        assert!(whoami(&world, ZOE).await["refused"].as_str().unwrap().contains("deleted"));
        // The name and the uid stay hers; the address is free, until she comes back.
        let post = ("POST", "/people");
        let zoe = json!({ "name": "zoe", "uid": YAN });
        refused(&world, post, zoe, (409, "name", "who was deleted")).await;
        let yan = json!({ "name": "yan", "uid": YAN, "role": "member", "email": "Z@example.org" });
        done(&world, "POST", "/people", yan).await;
        let status = ("PUT", "/people/zoe/status");
        refused(&world, status, json!({ "status": "active" }), (409, "person", "belongs to `yan`")).await;
        done(&world, "PATCH", "/people/yan", json!({ "email": "" })).await;
        done(&world, "PUT", "/people/zoe/status", json!({ "status": "active" })).await;
        assert!(whoami(&world, ZOE).await.get("refused").is_none());
        refused(&world, status, json!({ "status": "deleted" }), (422, "status", "suspended")).await;
        refused(&world, status, json!({ "status": "gone" }), (422, "status", "inactive")).await;

        // What one has done keeps the name, so whoever has sessions is not removed.
        let id = world.shell(ZOE).await;
        let purge = ("POST", "/people/zoe/purge");
        refused(&world, purge, json!({}), (409, "person", "owns 1 session")).await;
        let why = json!({ "reason": "the end of this test" });
        done(&world, "POST", &format!("/sessions/{id}/end"), why.clone()).await;
        world.until(ANN, &id, |row| row["status"] == "ended").await;
        refused(&world, purge, json!({}), (409, "person", "owns 1 session")).await;
        done(&world, "DELETE", "/people/zoe", json!({})).await;
        let row = world.rest(ANN, "GET", &format!("/sessions/{id}"), None).await;
        assert_eq!(row.body["owner_person"], "zoe");
        // With the sessions gone she can go, and her name is taken off what she used; the counts stay.
        let used = async || world.rest(ANN, "GET", "/usage?by=person", None).await.body["groups"].clone();
        let before = used().await;
        assert_eq!((&before[0]["person"], &before[0]["sessions"]), (&json!("zoe"), &json!(1)), "{before}");
        done(&world, "DELETE", &format!("/sessions/{id}"), why).await;
        // What was kept of it is deleted after the answer; until then it is still hers.
        let deadline = Instant::now() + Duration::from_secs(10);
        while ask(&world, "POST", "/people/zoe/purge", json!({})).await.status != 200 {
            assert!(Instant::now() < deadline, "the session does not go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let after = used().await;
        assert_eq!((&after[0]["person"], &after[0]["sessions"]), (&json!("(removed)"), &json!(1)), "{after}");
        // Who has none is; their inbox and credentials go along.
        done(&world, "POST", "/people/yan/warnings", json!({ "reason": WHY })).await;
        done(&world, "POST", "/keys", json!({})).await;
        let kept = world.rest(YAN, "PUT", "/credentials/A_KEY", Some(json!({ "value": "invented" }))).await;
        assert_eq!(kept.status, 200, "{kept:?}");
        let purged = done(&world, "POST", "/people/yan/purge", json!({})).await;
        assert_eq!((&purged["name"], &purged["purged"]), (&json!("yan"), &json!(true)));
        assert_eq!(whoami(&world, YAN).await["role"], "public");
        refused(&world, ("POST", "/people/yan/purge"), json!({}), (404, "person", "yan")).await;
        add(&world, "yan", YAN, "member").await;
        let inbox = world.rest(YAN, "GET", "/inbox", None).await;
        assert_eq!(inbox.body["messages"], json!([]), "{inbox:?}");
        let credentials = world.rest(YAN, "GET", "/credentials", None).await;
        assert_eq!(credentials.body["credentials"], json!([]), "{credentials:?}");
        // The config would make them again.
        refused(&world, ("POST", "/people/cid/purge"), json!({}), (409, "person", "config.yml:")).await;
        let deleted = done(&world, "DELETE", "/people/cid", json!({})).await;
        assert!(deleted["hints"][0].as_str().unwrap().contains("config.yml:"), "{deleted}");
        assert!(whoami(&world, CID).await["refused"].as_str().unwrap().contains("deleted"));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_become_one_but_for_what_is_a_uids_own() {
    on_both(async |db| {
        let world = World::everybody(db).config(ROLES).start().await;
        add(&world, "zoe", ZOE, "member").await;
        add(&world, "zora", YAN, "admin").await;
        done(&world, "PATCH", "/people/zoe", json!({ "notes": "tall" })).await;
        done(&world, "PATCH", "/people/zora", json!({ "notes": "kind" })).await;
        let id = world.shell(ZOE).await;
        // A message, and one about a session of hers.
        done(&world, "POST", "/people/zoe/warnings", json!({ "reason": WHY })).await;
        let read = format!("/sessions/{id}/transcript?reason=looking%20into%20an%20incident");
        assert_eq!(world.rest(ANN, "GET", &read, None).await.status, 200);
        done(&world, "POST", "/people/zora/warnings", json!({ "reason": "being too kind to all" })).await;

        let merge = ("POST", "/people/zoe/merge");
        refused(&world, merge, json!({ "into": "zoe" }), (422, "into", "the same person")).await;
        refused(&world, merge, json!({ "into": "nobody" }), (404, "into", "nobody")).await;
        refused(&world, merge, json!({}), (422, "into", "must be given")).await;
        refused(
            &world,
            ("POST", "/people/bob/merge"),
            json!({ "into": "zoe" }),
            (409, "person", "config.yml:"),
        )
        .await;
        let task = json!({ "user": "zoe", "description": "sweep the yard" });
        done(&world, "POST", "/tasks", task).await;
        let merged = done(&world, "POST", "/people/zoe/merge", json!({ "into": "zora" })).await;
        assert_eq!((&merged["tasks"], &merged["messages"]), (&json!(1), &json!(2)), "{merged}");
        assert_eq!(merged["purged"], false, "{merged}");
        let theirs = world.rest(YAN, "GET", "/tasks/mine", None).await;
        assert_eq!(theirs.body["tasks"][0]["description"], "sweep the yard", "{theirs:?}");
        refused(&world, ("POST", "/people/zora/purge"), json!({}), (409, "person", "tasks that `zora`"))
            .await;
        let row = &rows(&world, "person.merge").await[0];
        let said = detail(row);
        assert_eq!(
            (&said["merged"], &said["into"], &row["owner"]),
            (&json!("zoe"), &json!("zora"), &json!("zoe"))
        );
        let inbox = world.rest(YAN, "GET", "/inbox", None).await;
        let texts: Vec<&str> =
            inbox.body["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("yard") && texts[1].contains(WHY), "what moved comes last: {texts:?}");
        let zora = done(&world, "PATCH", "/people/zora", json!({ "phone": "+1" })).await;
        assert_eq!(zora["notes"], "kind\nzoe: tall");
        // The session is nobody else's by that, also not of one who may do more.
        let row = world.rest(YAN, "GET", &format!("/sessions/{id}"), None).await;
        assert_eq!(row.body["owner_person"], "zoe", "{row:?}");
        let unread = world.rest(YAN, "GET", &format!("/sessions/{id}/transcript"), None).await;
        assert_eq!((unread.status, &unread.body["field"]), (422, &json!("reason")), "{unread:?}");
        assert!(whoami(&world, ZOE).await["refused"].as_str().unwrap().contains("deleted"));

        // Their account can become that of the other, in the two steps that the answer named.
        let hints = merged["hints"].to_string();
        assert!(
            hints.contains("update 'zoe' --os-username ''") && hints.contains(&format!("--uid {ZOE}")),
            "{hints}"
        );
        let take = ("PATCH", "/people/zora");
        refused(&world, take, json!({ "uid": ZOE }), (409, "uid", "who was deleted")).await;
        done(&world, "PATCH", "/people/zoe", json!({ "os_username": "" })).await;
        done(&world, "PATCH", "/people/zora", json!({ "uid": ZOE })).await;
        assert_eq!(whoami(&world, ZOE).await["person"], "zora");

        // Without a session nothing of them is left.
        add(&world, "ida", 3_000_060, "newcomer").await;
        let merged = done(&world, "POST", "/people/ida/merge", json!({ "into": "bob" })).await;
        assert_eq!((&merged["purged"], &merged["into"]), (&json!(true), &json!("bob")), "{merged}");
        assert!(merged["hints"].to_string().contains("uid 3000060 is not bob by that"), "{merged}");
        refused(&world, ("DELETE", "/people/ida"), json!({}), (404, "person", "ida")).await;
        let gone = ("POST", "/people/zora/merge");
        refused(&world, gone, json!({ "into": "zoe" }), (409, "into", "was deleted")).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_changed_by_a_filter_a_hundred_at_a_time() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        for n in 0..103 {
            add(&world, &format!("temp{n:03}"), 3_001_000 + n, "newcomer").await;
        }
        let bulk = ("POST", "/people/bulk");
        refused(&world, bulk, json!({ "deed": "delete" }), (422, "role", "one filter at least")).await;
        refused(&world, bulk, json!({ "role": "newcomer" }), (422, "deed", "must be given")).await;
        refused(&world, bulk, json!({ "deed": "explode", "role": "newcomer" }), (422, "deed", "suspend"))
            .await;
        refused(&world, bulk, json!({ "deed": "delete", "status": "odd" }), (422, "status", "inactive"))
            .await;
        let when = json!({ "deed": "delete", "last_seen_before": "2026-02-30T00:00:00Z" });
        refused(&world, bulk, when, (422, "last_seen_before", "RFC 3339")).await;
        let asked = json!({ "deed": "suspend", "role": "newcomer", "dry_run": true });
        let would = done(&world, "POST", "/people/bulk", asked.clone()).await;
        // eve is a newcomer of the config.
        assert_eq!(would["people"][0], "eve", "{would}");
        assert_eq!(
            (would["people"].as_array().unwrap().len(), &would["remaining"]),
            (100, &json!(4)),
            "{would}"
        );
        assert!(rows(&world, "person.bulk").await.is_empty());
        assert!(whoami(&world, EVE).await.get("refused").is_none());

        let mut asked = json!({ "deed": "suspend", "role": "newcomer" });
        let first = done(&world, "POST", "/people/bulk", asked.clone()).await;
        assert_eq!((&first["people"], &first["remaining"]), (&would["people"], &json!(4)));
        let second = done(&world, "POST", "/people/bulk", asked.clone()).await;
        assert_eq!((second["people"].as_array().unwrap().len(), &second["remaining"]), (4, &json!(0)));
        let third = done(&world, "POST", "/people/bulk", asked.clone()).await;
        assert_eq!((&third["people"], &third["remaining"]), (&json!([]), &json!(0)), "nobody is left");
        let kept = rows(&world, "person.bulk").await;
        assert_eq!(kept.len(), 2, "what changes nothing is no row");
        assert_eq!(detail(&kept[0])["people"].as_array().unwrap().len(), 4);
        assert!(whoami(&world, EVE).await["refused"].as_str().unwrap().contains("suspended"));

        // The asker is never among them.
        asked = json!({ "deed": "delete", "role": "admin" });
        let admins = done(&world, "POST", "/people/bulk", asked).await;
        assert_eq!(admins["people"], json!([]), "{admins}");
        asked =
            json!({ "deed": "delete", "status": "suspended", "last_seen_before": "2020-01-01T00:00:00Z" });
        assert_eq!(done(&world, "POST", "/people/bulk", asked).await["people"], json!([]));
        asked = json!({ "deed": "activate", "status": "suspended", "role": "newcomer" });
        done(&world, "POST", "/people/bulk", asked).await;
        assert!(whoami(&world, EVE).await.get("refused").is_none());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_bans_and_how_they_end() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let warn = json!({ "reason": WHY });
        let one = done(&world, "POST", "/people/bob/warnings", warn.clone()).await;
        assert_eq!((&one["warnings"], one.get("ban")), (&json!(1), None), "{one}");
        let told = world.rest(BOB, "GET", "/inbox", None).await;
        assert!(told.body["messages"][0]["text"].as_str().unwrap().contains(WHY), "{told:?}");
        let two = done(&world, "POST", "/people/bob/warnings", warn.clone()).await;
        assert_eq!((&two["warnings"], &two["ban"]["source"]), (&json!(2), &json!("warnings")), "{two}");
        let until = Timestamp::parse(two["ban"]["until"].as_str().unwrap()).unwrap();
        let since = Timestamp::parse(two["ban"]["created_at"].as_str().unwrap()).unwrap();
        assert_eq!(until.since(since), Duration::from_secs(7 * 86_400), "bans.auto_days");
        assert!(whoami(&world, BOB).await["refused"].as_str().unwrap().contains(WHY));
        // Lifting forgets the warnings, once.
        let lifted = done(&world, "POST", "/bans/lift", json!({ "person": "bob" })).await;
        assert_eq!((&lifted["lifted"], &lifted["warnings"]), (&json!(1), &json!(2)), "{lifted}");
        let again = done(&world, "POST", "/bans/lift", json!({ "person": "bob" })).await;
        assert_eq!((&again["lifted"], &again["warnings"]), (&json!(0), &json!(0)), "{again}");
        assert_eq!(rows(&world, "ban.lift").await.len(), 1);
        let three = done(&world, "POST", "/people/bob/warnings", warn).await;
        assert_eq!(three["warnings"], 1, "they begin anew: {three}");

        // One in force is replaced and counted; one for good has no end, and gets none.
        let ban = |until: &str| json!({ "person": "cid", "until": until, "reason": WHY });
        let first = done(&world, "POST", "/bans", ban("1h")).await["ban"].clone();
        let second = done(&world, "POST", "/bans", ban("permanent")).await["ban"].clone();
        assert_eq!((&second["id"], &second["count"], second.get("until")), (&first["id"], &json!(2), None));
        let third = done(&world, "POST", "/bans", ban("2h")).await;
        assert_eq!((&third["ban"]["count"], third["ban"].get("until")), (&json!(3), None), "{third}");
        assert!(third["hints"][0].as_str().unwrap().contains("for good"), "{third}");
        let row = &rows(&world, "ban.add").await[0];
        assert_eq!((&row["reason"], &row["owner"]), (&json!(WHY), &json!("cid")), "{row}");
        // A warning makes it no shorter either.
        for _ in 0..2 {
            done(&world, "POST", "/people/cid/warnings", json!({ "reason": WHY })).await;
        }
        let bans = done(&world, "GET", "/bans", json!({})).await;
        assert_eq!(bans["bans"].as_array().unwrap().len(), 1, "{bans}");
        assert_eq!(
            (&bans["bans"][0]["person"], bans["bans"][0].get("until")),
            (&json!("cid"), None),
            "{bans}"
        );

        // A uid is banned whoever comes as it, also nobody.
        done(&world, "POST", "/bans", json!({ "uid": STRANGER, "until": "1h", "reason": WHY })).await;
        assert!(whoami(&world, STRANGER).await["refused"].as_str().unwrap().contains(WHY));
        let page = done(&world, "GET", "/bans?limit=1", json!({})).await;
        assert_eq!(page["bans"][0]["uid"], STRANGER, "newest first: {page}");
        let next = page["next_cursor"].as_str().unwrap();
        let rest = done(&world, "GET", &format!("/bans?limit=5&all=true&cursor={next}"), json!({})).await;
        assert_eq!(rest["bans"].as_array().unwrap().len(), 2, "{rest}");
        assert_eq!(rest["bans"][1]["lifted_by"], "ann", "{rest}");
        // The ban of a person's uid goes with theirs.
        done(&world, "POST", "/bans", json!({ "uid": DOT, "until": "1h", "reason": WHY })).await;
        done(&world, "POST", "/bans", json!({ "person": "dot", "until": "1h", "reason": WHY })).await;
        let half = done(&world, "POST", "/bans/lift", json!({ "uid": DOT })).await;
        assert!(half["hints"][0].as_str().unwrap().contains("`dot`"), "{half}");
        done(&world, "POST", "/bans/lift", json!({ "person": "dot" })).await;
        assert!(whoami(&world, DOT).await.get("refused").is_none());

        for (body, wanted) in [
            (json!({ "until": "1h", "reason": WHY }), (422, "person", "or uid")),
            (json!({ "person": "bob", "uid": BOB, "until": "1h", "reason": WHY }), (422, "uid", "together")),
            (json!({ "person": "bob", "reason": WHY }), (422, "until", "must be given")),
            (json!({ "person": "bob", "until": "soon", "reason": WHY }), (422, "until", "permanent")),
            (
                json!({ "person": "bob", "until": "2020-01-01T00:00:00Z", "reason": WHY }),
                (422, "until", "over"),
            ),
            (json!({ "person": "bob", "until": "1h", "reason": "no" }), (422, "reason", "10")),
            (
                json!({ "person": "bob", "until": "1h", "reason": "x".repeat(1_000_000) }),
                (422, "reason", "1000"),
            ),
            (json!({ "person": "@", "until": "1h", "reason": WHY }), (422, "person", "")),
            (json!({ "person": " ", "until": "1h", "reason": WHY }), (422, "person", "")),
            (json!({ "person": "nobody", "until": "1h", "reason": WHY }), (404, "person", "nobody")),
        ] {
            refused(&world, ("POST", "/bans"), body, wanted).await;
        }
        refused(&world, ("GET", "/bans?cursor=x"), json!({}), (422, "cursor", "next_cursor")).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_is_banned_by_their_uid_and_cannot_be_warned() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        assert_eq!(whoami(&world, YAN).await["role"], "public");
        world.until_seen(&[YAN]).await;
        let words = YAN.to_string();
        let ban = json!({ "person": words, "until": "1h", "reason": WHY });
        let banned = done(&world, "POST", "/bans", ban).await;
        assert_eq!((&banned["ban"]["uid"], banned["ban"].get("person")), (&json!(YAN), None), "{banned}");
        assert!(whoami(&world, YAN).await["refused"].as_str().unwrap().contains(WHY));
        let warnings = format!("/people/{YAN}/warnings");
        refused(&world, ("POST", &warnings), json!({ "reason": WHY }), (409, "person", "is a visitor")).await;
        let lifted = done(&world, "POST", "/bans/lift", json!({ "person": words })).await;
        assert_eq!(lifted["lifted"], 1, "{lifted}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_on_hold_is_not_removed() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        for (name, uid) in [("zoe", ZOE), ("yan", YAN)] {
            add(&world, name, uid, "member").await;
        }
        let hold = json!({ "person": "zoe", "reason": "a lawsuit that goes on" });
        let hold = done(&world, "POST", "/audit/holds", hold).await;
        refused(&world, ("POST", "/people/zoe/purge"), json!({}), (409, "person", "on hold")).await;
        refused(&world, ("POST", "/people/zoe/merge"), json!({ "into": "yan" }), (409, "person", "on hold"))
            .await;
        let release = format!("/audit/holds/{}/release", hold["id"].as_str().unwrap());
        done(&world, "POST", &release, json!({ "reason": "the lawsuit is over" })).await;
        done(&world, "POST", "/people/zoe/purge", json!({})).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_that_is_over_is_seen_to_and_what_led_to_it_forgotten() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        for _ in 0..2 {
            done(&world, "POST", "/people/bob/warnings", json!({ "reason": WHY })).await;
        }
        done(&world, "POST", "/bans", json!({ "uid": STRANGER, "until": "1h", "reason": WHY })).await;
        done(&world, "POST", "/bans", json!({ "person": "cid", "until": "permanent", "reason": WHY })).await;
        let (store, soon) = (world.app.store(), Instant::now() + Duration::from_secs(30));
        let now = world.app.now();
        assert_eq!(end_over(store, 7, now, soon).await.unwrap(), 0, "none is over");
        let later = now.plus(Duration::from_secs(8 * 86_400));
        run_now(&world.app, Job::Bans, later, soon).await.unwrap();
        assert_eq!(end_over(store, 7, later, soon).await.unwrap(), 0, "once");
        let bans = done(&world, "GET", "/bans?all=true", json!({})).await;
        let ended: Vec<&Value> =
            bans["bans"].as_array().unwrap().iter().filter(|ban| ban["lifted_by"] == "daemon").collect();
        assert_eq!(ended.len(), 2, "{bans}");
        let bob = done(&world, "PATCH", "/people/bob", json!({ "phone": "+1" })).await;
        assert_eq!(bob["warnings"], 0, "{bob}");
        let lifts = rows(&world, "ban.lift").await;
        assert_eq!((lifts.len(), &lifts[0]["actor"]), (2, &json!("daemon")), "{lifts:?}");
        assert!(whoami(&world, CID).await["refused"].as_str().unwrap().contains("for good"));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_an_admin_changes_people() {
    let world = World::everybody(Db::sqlite()).start().await;
    for uid in [BOB, DOT, EVE, STRANGER] {
        for (method, path, body) in [
            ("POST", "/people", json!({ "name": "x", "uid": 5 })),
            ("PATCH", "/people/ann", json!({ "notes": "x" })),
            ("PUT", "/people/bob/role", json!({ "role": "admin" })),
            ("PUT", "/people/ann/status", json!({ "status": "inactive" })),
            ("DELETE", "/people/ann", json!({})),
            ("POST", "/people/ann/purge", json!({})),
            ("POST", "/people/ann/merge", json!({ "into": "bob" })),
            ("POST", "/people/bulk", json!({ "deed": "delete", "role": "admin" })),
            ("POST", "/people/ann/warnings", json!({ "reason": WHY })),
            ("POST", "/bans", json!({ "person": "ann", "until": "1h", "reason": WHY })),
            ("POST", "/bans/lift", json!({ "person": "ann" })),
            ("GET", "/bans", json!({})),
        ] {
            let answer = world.rest(uid, method, path, Some(body)).await;
            assert_eq!(answer.status, 404, "{uid} {method} {path}: {answer:?}");
        }
    }
    assert_eq!(whoami(&world, ANN).await["role"], "admin");
    world.end().await;
}
