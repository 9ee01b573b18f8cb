//! What holds for every path of REST: versions and their tags, and that nothing was forgotten anywhere.

use crate::postgres::{Db, on_both};
use crate::world::{ANN, Answer, BOB, SHELL, STRANGER, World};
use serde_json::{Value, json};

async fn patch(world: &World, path: &str, body: Value, tag: &str) -> Answer {
    world.rest_saying(ANN, "PATCH", path, Some(body), &[("If-Match", tag)]).await
}

async fn quicker(db: Db) {
    let world = World::everybody(db).config(SHELL).start().await;
    let path = format!("/sessions/{}", world.shell(ANN).await);
    let labels = format!("{path}/labels");
    let first = world.rest(ANN, "GET", &path, None).await;
    let tag = first.header("etag").expect("a session has a version").to_owned();
    assert!(tag[1..].starts_with(first.body["version"].as_str().unwrap()), "{tag}");

    // What is as it was is not sent again, and what is not is.
    let same = world.rest_saying(ANN, "GET", &path, None, &[("If-None-Match", &tag)]).await;
    assert!(same.status == 304 && same.body.is_null() || same.header("etag") != Some(&tag), "{same:?}");
    let other =
        world.rest_saying(ANN, "GET", &path, None, &[("If-None-Match", "\"x-0123456789abcdef\"")]).await;
    assert_eq!(other.status, 200);

    // Only reading takes it: nothing is done that was not to be done where something is.
    let only_new = world
        .rest_saying(ANN, "PATCH", &path, Some(json!({ "title": "x" })), &[("If-None-Match", "*")])
        .await;
    assert_eq!((only_new.status, &only_new.body["field"]), (422, &json!("If-None-Match")), "{only_new:?}");

    // Two read the same, and the second is told.
    let title = patch(&world, &path, json!({ "title": "one" }), &tag).await;
    assert_eq!((title.status, &title.body["title"]), (200, &json!("one")), "{title:?}");
    let late = patch(&world, &path, json!({ "title": "two" }), &tag).await;
    assert_eq!((late.status, &late.body["code"]), (412, &json!("conflict")), "{late:?}");
    assert!(late.body["hint"].is_string() && late.body["status"] == 412, "{late:?}");
    let late = patch(&world, &labels, json!({ "set": { "a": "b" } }), &tag).await;
    assert_eq!(late.status, 412, "{late:?}");
    assert_eq!(world.rest(ANN, "GET", &path, None).await.body["title"], "one");

    // What a change answers is where the next begins; `*` and nothing are any version; the argument says the same.
    let next = title.header("etag").unwrap();
    let labelled = patch(&world, &labels, json!({ "set": { "a": "b" } }), next).await;
    assert_eq!(labelled.status, 200, "{labelled:?}");
    assert_eq!(patch(&world, &path, json!({ "title": "three" }), "*").await.status, 200);
    assert_eq!(world.rest(ANN, "PATCH", &path, Some(json!({ "title": "four" }))).await.status, 200);
    let late = json!({ "title": "five", "if_version": labelled.body["version"] });
    let late = world.rest(ANN, "PATCH", &path, Some(late)).await;
    assert_eq!((late.status, &late.body["field"]), (409, &json!("if_version")), "{late:?}");

    // What is no tag of ours is of no version; where nothing has one it is not passed over.
    for tag in [
        "one",
        "\"\"",
        "\"one\"",
        "\"a-0123456789abcdef\", \"b-0123456789abcdef\"",
        "W/\"a-0123456789abcdef\"",
    ] {
        assert_eq!(patch(&world, &path, json!({ "title": "six" }), tag).await.status, 412, "{tag}");
    }
    let both = patch(&world, &path, json!({ "title": "six", "if_version": "x" }), next).await;
    assert_eq!((both.status, &both.body["field"]), (422, &json!("If-Match")), "{both:?}");
    let wrong = patch(&world, &path, json!({ "title": 1 }), "one").await;
    assert_eq!((wrong.status, &wrong.body["field"]), (422, &json!("title")), "{wrong:?}");
    let end = world.rest_saying(ANN, "POST", &format!("{path}/end"), None, &[("If-Match", next)]).await;
    assert_eq!((end.status, &end.body["field"]), (422, &json!("If-Match")), "{end:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_change_the_same_the_second_is_told() {
    on_both(quicker).await;
}

async fn settings(db: Db) {
    let world = World::everybody(db).start().await;
    let put = async |yaml: &str, tag: &str| {
        world.rest_saying(BOB, "PUT", "/me/config", Some(json!({ "yaml": yaml })), &[("If-Match", tag)]).await
    };
    let first = put("thinking_mode: fast\n", "*").await;
    assert_eq!(first.status, 200, "{first:?}");
    let tag = first.header("etag").unwrap();
    assert_eq!(put("thinking_mode: slow\n", tag).await.status, 200);
    assert_eq!(put("thinking_mode: med\n", tag).await.status, 412);

    assert_eq!(world.rest(ANN, "POST", "/keys", Some(json!({}))).await.status, 200);
    let path = "/credentials/A_KEY";
    let first = world.rest(BOB, "PUT", path, Some(json!({ "value": "invented" }))).await;
    let tag = first.header("etag").unwrap();
    let put = async |tag: &str| {
        world.rest_saying(BOB, "PUT", path, Some(json!({ "value": "another" })), &[("If-Match", tag)]).await
    };
    let second = put(tag).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_eq!(put(tag).await.status, 412);
    for (tag, status) in [(tag, 412), (second.header("etag").unwrap(), 200)] {
        let gone = world.rest_saying(BOB, "DELETE", path, None, &[("If-Match", tag)]).await;
        assert_eq!(gone.status, status, "{gone:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_keeps_for_oneself_has_versions_too() {
    on_both(settings).await;
}

async fn of_others(db: Db) {
    let world = World::everybody(db).start().await;
    let task = json!({ "user": "bob", "description": "look at it" });
    let task = world.rest(ANN, "POST", "/tasks", Some(task)).await;
    let path = format!("/tasks/{}", task.body["task_id"].as_str().unwrap());
    let bob = world.rest(ANN, "GET", "/people/bob", None).await;
    for (path, first, change) in [
        (path.as_str(), &task, json!({ "description": "look at it again" })),
        ("/people/bob", &bob, json!({ "full_name": "Bob Example" })),
    ] {
        let tag = first.header("etag").expect("it has a version");
        let done = patch(&world, path, change.clone(), tag).await;
        assert_eq!(done.status, 200, "{path}: {done:?}");
        assert_ne!(done.header("etag"), Some(tag));
        for tag in [tag, "\"of another kind\""] {
            let late = patch(&world, path, json!({}), tag).await;
            assert!(matches!(late.status, 412 | 422), "{path}, {tag}: {late:?}");
            let late = patch(&world, path, change.clone(), tag).await;
            assert_eq!(
                (late.status, &late.body["code"]),
                (412, &json!("conflict")),
                "{path}, {tag}: {late:?}"
            );
        }
        let now = world.rest(ANN, "GET", path, None).await;
        assert_eq!(patch(&world, path, change, now.header("etag").unwrap()).await.status, 200, "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_and_people_have_versions() {
    on_both(of_others).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_for_everybody_who_may_do_something() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let api = world.rest(BOB, "GET", "/openapi.json", None).await;
        assert_eq!((api.status, &api.body["openapi"]), (200, &json!("3.1.0")));
        assert_eq!(world.rest(STRANGER, "GET", "/openapi.json", None).await.status, 404);
        world.end().await;
    })
    .await;
}
