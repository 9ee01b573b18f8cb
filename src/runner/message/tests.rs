//! Messages of every kind there and back, and those that are none.

use super::{
    Exited, FRAME_BYTES_MAX, MessageError, Native, Open, Order, Place, Reply, Request, Run, VALUES_MAX,
    Which, frame_length,
};
use crate::domain::session::{Profile, SessionId, ThinkingMode};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use uuid::Uuid;

fn run() -> Run {
    Run {
        place: Place { uid: 1000, session: SessionId(Uuid::from_u128(7)), project: "shop".to_owned() },
        subdir: Some("api/v1".to_owned()),
        worktree: false,
        agent: "claude".to_owned(),
        profile: Profile::Restricted,
        thinking: ThinkingMode::Slow,
        native: Native::Resume("abc-1".to_owned()),
        token: "not-a-real-token".to_owned(),
        values: vec![("API_KEY".to_owned(), "invented value".to_owned())],
    }
}

fn requests() -> Vec<Request> {
    let place = run().place;
    let open = |which| Request::Open(Open { uid: 1000, agent: "claude".to_owned(), which });
    vec![
        Request::Run(run()),
        Request::Run(Run { subdir: None, native: Native::New(Uuid::from_u128(9)), values: vec![], ..run() }),
        Request::AddWorktree(place.clone()),
        Request::RemoveWorktree(place),
        open(Which::Path("a/b.jsonl".to_owned())),
        open(Which::NameContains("0d9a-7".to_owned())),
    ]
}

fn replies() -> Vec<Reply> {
    vec![
        Reply::Started { pid: 42 },
        Reply::Exited(Exited::Code(3)),
        Reply::Exited(Exited::Signal(9)),
        Reply::Gone,
        Reply::Refused("uid 0".to_owned()),
        Reply::Failed("no such folder".to_owned()),
        Reply::Worktree { path: "/home/ann/x".to_owned(), branch: "b".to_owned() },
        Reply::Removed,
        Reply::Opened { path: "a.jsonl".to_owned(), size: 1 << 40 },
    ]
}

#[test]
fn what_is_written_is_read_back_and_no_beginning_of_it_is() {
    for request in requests() {
        let frame = request.encode().unwrap();
        assert_eq!(frame_length(&frame), Ok(Some(frame.len() - 4)));
        assert_eq!(Request::decode(&frame[4..]), Ok(request.clone()));
        for end in 5..frame.len() {
            assert!(Request::decode(&frame[4..end]).is_err(), "{request:?} cut at {end}");
        }
        let mut longer = frame[4..].to_vec();
        longer.push(0);
        assert_eq!(Request::decode(&longer), Err(MessageError::Trailing));
    }
    for reply in replies() {
        assert_eq!(Reply::decode(&reply.encode()[4..]), Ok(reply));
    }
    for order in [Order::Signal { signal: 2, group: 0 }, Order::End { grace_ms: 5_000 }] {
        assert_eq!(Order::decode(&order.encode()[4..]), Ok(order));
    }
}

#[test]
fn paths_that_lead_out_are_no_messages() {
    let long = "x".repeat(4_097);
    for path in ["", "/etc/shadow", "..", "a/../b", "a//b", "./a", "a/", "a\0b", &long] {
        let with_subdir = Request::Run(Run { subdir: Some(path.to_owned()), ..run() });
        assert!(with_subdir.encode().is_err(), "{path:?}");
        let open = Open { uid: 1, agent: "a".to_owned(), which: Which::Path(path.to_owned()) };
        assert!(Request::Open(open).encode().is_err(), "{path:?}");
    }
}

#[test]
fn texts_that_could_mean_more_are_no_messages() {
    let bad = [
        Run { native: Native::Resume("--help".to_owned()), ..run() },
        Run { native: Native::Resume("a b".to_owned()), ..run() },
        Run { agent: "../claude".to_owned(), ..run() },
        Run { agent: String::new(), ..run() },
        Run { token: "a\nb".to_owned(), ..run() },
        Run { values: vec![("A=B".to_owned(), String::new())], ..run() },
        Run { values: vec![("A".to_owned(), "a\0b".to_owned())], ..run() },
        Run { values: vec![("A".to_owned(), String::new()); VALUES_MAX + 1], ..run() },
        Run {
            values: vec![("A".to_owned(), "x".repeat(60_000)), ("B".to_owned(), "x".repeat(60_000))],
            ..run()
        },
    ];
    for run in bad {
        assert!(Request::Run(run.clone()).encode().is_err(), "{run:?}");
    }
}

#[test]
fn lengths_and_orders_have_bounds() {
    assert_eq!(frame_length(&[0, 0, 0]), Ok(None));
    assert_eq!(frame_length(&[0, 0, 0, 0]), Err(MessageError::Length(0)));
    assert!(frame_length(&[0xff; 4]).is_err());
    assert!(Request::decode(&vec![1; FRAME_BYTES_MAX + 1]).is_err());
    for (signal, group) in [(0, 0), (65, 0), (-1, 0), (9, -1)] {
        assert!(Order::decode(&Order::Signal { signal, group }.encode()[4..]).is_err());
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", run());
    assert!(!shown.contains("not-a-real-token") && !shown.contains("invented value"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = (Request::decode(&bytes), Reply::decode(&bytes), Order::decode(&bytes), frame_length(&bytes));
    }

    #[test]
    fn what_is_read_is_written_the_same(at in 0_usize..200, byte in any::<u8>(), which in 0_usize..6) {
        let mut frame = requests().swap_remove(which).encode().unwrap();
        let at = 4 + at % (frame.len() - 4);
        frame[at] = byte;
        if let Ok(request) = Request::decode(&frame[4..]) {
            let again = request.encode();
            prop_assert!(again.is_ok());
            prop_assert_eq!(again.unwrap(), frame);
        }
    }
}
