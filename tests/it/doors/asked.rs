//! Where a tool is called without the reason that it takes, the person at the client is asked for one, in both eras, and
//! only there. What they do not say is not read.

use super::{SECRET, WHY, looks, session, world};
use crate::postgres::on_both;
use crate::world::{ANN, BOB, CID, ERAS, Era, Mcp, World};
use serde_json::{Value, json};

/// The ways in which a client says that it can ask.
fn can() -> [Value; 2] {
    [json!({ "elicitation": {} }), json!({ "elicitation": { "form": {}, "url": {} } })]
}

fn call(id: &str) -> Value {
    json!({ "name": "get_session_data", "arguments": { "session_id": id, "tail_chars": 48_000 } })
}

/// Calls, and waits until the person is asked; what they are asked, and the call's id or state.
async fn asked(mcp: &mut Mcp, era: Era, call: &Value) -> (Value, Value) {
    let id = mcp.begin("tools/call", call.clone()).await;
    let heard = mcp.hear().await;
    match era {
        Era::Initialize => {
            assert_eq!(heard["method"], "elicitation/create", "{heard}");
            (heard["params"].clone(), json!({ "call": id, "question": heard["id"] }))
        }
        Era::Stateless => {
            let result = &heard["result"];
            assert_eq!(result["resultType"], "input_required", "{heard}");
            assert_eq!(result["inputRequests"]["reason"]["method"], "elicitation/create", "{heard}");
            (result["inputRequests"]["reason"]["params"].clone(), result["requestState"].clone())
        }
    }
}

/// Gives the answer of the person, and waits for that of the call.
async fn answered(mcp: &mut Mcp, era: Era, call: &Value, handle: &Value, answer: Value) -> Value {
    match era {
        Era::Initialize => {
            mcp.say(&json!({ "jsonrpc": "2.0", "id": handle["question"], "result": answer })).await;
            loop {
                let heard = mcp.hear().await;
                if heard["id"] == handle["call"] && heard.get("method").is_none() {
                    return heard;
                }
            }
        }
        Era::Stateless => {
            let mut again = call.clone();
            again["inputResponses"] = json!({ "reason": answer });
            again["requestState"] = handle.clone();
            mcp.ask("tools/call", again).await
        }
    }
}

async fn refused(world: &World, answer: &Value, before: usize) {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["field"], "reason", "{answer}");
    assert!(!answer.to_string().contains(SECRET), "{answer}");
    assert_eq!(looks(world).await, before, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_reason_out_is_asked_for_it_where_the_client_can() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, token) = session(&world, BOB).await;
        let call = call(&id);
        let yes = |why: &str| json!({ "action": "accept", "content": { "reason": why } });
        for era in ERAS {
            for can in can() {
                let before = looks(&world).await;
                let mut mcp = world.mcp_that_can(ANN, era, None, can.clone()).await;
                let (question, handle) = asked(&mut mcp, era, &call).await;
                assert_eq!(question["mode"], "form", "{question}");
                let message = question["message"].as_str().unwrap();
                assert!(message.contains("needs a reason") && message.contains("audit log"), "{message}");
                let field = &question["requestedSchema"]["properties"]["reason"];
                assert_eq!(
                    (&field["type"], &field["minLength"], &field["maxLength"]),
                    (&json!("string"), &json!(10), &json!(1_000))
                );
                assert_eq!(question["requestedSchema"]["required"], json!(["reason"]));
                assert_eq!(looks(&world).await, before, "nothing was read yet");
                let answer = answered(&mut mcp, era, &call, &handle, yes(WHY)).await;
                assert!(answer.to_string().contains(SECRET), "{era:?}: {answer}");
                assert_eq!(looks(&world).await, before + 1);
            }
            let before = looks(&world).await;
            let [can, _] = can();
            // No is no, and what is too short, none, or something else is no reason.
            for no in [
                json!({ "action": "decline" }),
                json!({ "action": "cancel" }),
                json!({ "action": "accept" }),
                json!({ "action": "accept", "content": {} }),
                json!({ "action": "accept", "content": { "reason": 7 } }),
                yes("because"),
                yes(&"x".repeat(1_001)),
                yes("looking\u{7} into it"),
                json!({}),
                json!(7),
            ] {
                if era == Era::Initialize && no.get("action").is_none() {
                    continue;
                }
                let mut mcp = world.mcp_that_can(ANN, era, None, can.clone()).await;
                let (_, handle) = asked(&mut mcp, era, &call).await;
                let answer = answered(&mut mcp, era, &call, &handle, no).await;
                refused(&world, &answer, before).await;
            }
            // Who cannot be asked is told to give the argument; so is one who gave a bad one, or whose client only opens
            // pages, and an agent, behind which nobody sits.
            let nobody = [json!({}), json!({ "elicitation": { "url": {} } })];
            for (can, token, reason) in
                [(&nobody[0], None, None), (&nobody[1], None, None), (&can, None, Some("because"))]
            {
                let mut mcp = world.mcp_that_can(ANN, era, token, can.clone()).await;
                let mut call = call.clone();
                if let Some(reason) = reason {
                    call["arguments"]["reason"] = json!(reason);
                }
                refused(&world, &mcp.ask("tools/call", call).await, before).await;
            }
            // Nobody is asked about what they may not know of, and nobody about their own.
            for (uid, token) in [(CID, None), (ANN, Some(token.as_str()))] {
                let mut mcp = world.mcp_that_can(uid, era, token, can.clone()).await;
                let answer = mcp.ask("tools/call", call.clone()).await;
                assert!(!answer.to_string().contains("elicitation"), "{answer}");
                assert!(!answer.to_string().contains(SECRET), "{answer}");
            }
            let mut mcp = world.mcp_that_can(BOB, era, None, can.clone()).await;
            assert!(mcp.ask("tools/call", call.clone()).await.to_string().contains(SECRET));
            assert_eq!(looks(&world).await, before);
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_is_for_the_call_that_it_was_asked_for() {
    let world = world(crate::postgres::Db::sqlite()).await;
    let (id, _) = session(&world, BOB).await;
    let (other, _) = session(&world, BOB).await;
    let era = Era::Stateless;
    let [can, _] = can();
    let yes = json!({ "action": "accept", "content": { "reason": WHY } });
    let mut mcp = world.mcp_that_can(ANN, era, None, can).await;
    let (_, state) = asked(&mut mcp, era, &call(&id)).await;
    let before = looks(&world).await;
    for (call, state) in [
        (call(&other), state.clone()),
        (call(&id), json!("made up")),
        (call(&id), json!("")),
        (call(&id), Value::Null),
    ] {
        let answer = answered(&mut mcp, era, &call, &state, yes.clone()).await;
        refused(&world, &answer, before).await;
    }
    let answer = answered(&mut mcp, era, &call(&id), &state, yes).await;
    assert!(answer.to_string().contains(SECRET), "{answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_dropped_with_its_call_and_answers_to_none_are_nothing() {
    let world = world(crate::postgres::Db::sqlite()).await;
    let (id, _) = session(&world, BOB).await;
    let [can, _] = can();
    let yes = json!({ "action": "accept", "content": { "reason": WHY } });
    let mut mcp = world.mcp_that_can(ANN, Era::Initialize, None, can).await;
    let before = looks(&world).await;
    // What nobody asked.
    mcp.say(&json!({ "jsonrpc": "2.0", "id": 0, "result": yes })).await;
    mcp.say(&json!({ "jsonrpc": "2.0", "id": 77, "error": { "code": 1, "message": "x" } })).await;
    let (_, handle) = asked(&mut mcp, Era::Initialize, &call(&id)).await;
    let cancel = json!({ "requestId": handle["call"] });
    mcp.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel })).await;
    mcp.say(&json!({ "jsonrpc": "2.0", "id": handle["question"], "result": yes })).await;
    // The connection goes on, and another client's error is a no.
    let whoami = mcp.ask("tools/call", json!({ "name": "whoami", "arguments": {} })).await;
    assert!(whoami["result"]["structuredContent"].is_object(), "{whoami}");
    assert_eq!(looks(&world).await, before);
    let (_, handle) = asked(&mut mcp, Era::Initialize, &call(&id)).await;
    let error = json!({ "code": -32_601, "message": "no such method" });
    mcp.say(&json!({ "jsonrpc": "2.0", "id": handle["question"], "error": error })).await;
    loop {
        let heard = mcp.hear().await;
        if heard["id"] == handle["call"] && heard.get("method").is_none() {
            refused(&world, &heard, before).await;
            break;
        }
    }
    world.end().await;
}
