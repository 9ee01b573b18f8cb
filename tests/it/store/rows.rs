//! What is kept of sessions, messages, people: each noun's life, and pages.

use crate::postgres::on_both;
use crate::store::{a_session, at, change, draft, keep, soon};
use futures_util::FutureExt;
use teleclaude::domain::caller::Role;
use teleclaude::domain::person::BanSource;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::session::Exit;
use teleclaude::domain::session::SessionActivity;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::session::SessionStatus;
use teleclaude::store::activity;
use teleclaude::store::audit;
use teleclaude::store::ban::{self, Ban, Whose};
use teleclaude::store::conn::Conn;
use teleclaude::store::error::StoreError;
use teleclaude::store::host;
use teleclaude::store::message;
use teleclaude::store::message::MessageState;
use teleclaude::store::outbox;
use teleclaude::store::person;
use teleclaude::store::person::Seen;
use teleclaude::store::session;
use teleclaude::store::setting;
use teleclaude::store::writer::Tx;
use teleclaude::store::writer::WriteError;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_complete_and_stable() {
    on_both(async |db| {
        let store = db.open().await;
        // Many sessions of the same moment, so that the id decides.
        for n in 0..30u128 {
            keep(&store, a_session(n, i64::try_from(n / 10).unwrap())).await;
            let mut row = draft("paged");
            row.at = at(i64::try_from(n / 10).unwrap());
            row.owner = Some("ann".to_owned());
            store.append(soon(), row).await.unwrap();
        }
        let filter = session::Filter {
            owner: Some((PersonId(Uuid::from_u128(1)), u32::MAX - 1)),
            ..Default::default()
        };
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = session::page(store.reader(), &filter, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.last_activity, last.id));
            seen.extend(page.iter().map(|s| (s.last_activity, s.id)));
            // A newer one in between moves nothing that is still to come.
            keep(&store, a_session(1_000 + seen.len() as u128, 50)).await;
        }
        assert_eq!(seen.len(), 30);
        assert!(seen.windows(2).all(|w| w[0] > w[1]));
        let other_uid =
            session::Filter { owner: Some((PersonId(Uuid::from_u128(1)), 5)), ..Default::default() };
        assert_eq!(session::page(store.reader(), &other_uid, None, 7).await.unwrap(), []);

        let filter =
            audit::Filter { owner: Some("ann".to_owned()), since: Some(at(1)), ..Default::default() };
        let mut seqs = Vec::new();
        let mut before = None;
        loop {
            let page = audit::page(store.reader(), &filter, before.as_ref(), 7).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(audit::Place::from(last));
            seqs.extend(page.iter().map(|r| r.seq));
        }
        assert_eq!(seqs, (11..=30).rev().collect::<Vec<i64>>());
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_from_birth_to_end() {
    on_both(async |db| {
        let store = db.open().await;
        let mut born = a_session(1, 10);
        born.client_id = Some("one".to_owned());
        born.subdir = Some("a\0b".to_owned());
        keep(&store, born.clone()).await;
        keep(&store, born.clone()).await;
        born.subdir = Some("a\u{fffd}b".to_owned());
        let id = born.id;
        assert_eq!(session::by_id(store.reader(), id).await.unwrap(), Some(born.clone()));
        assert_eq!(
            session::by_client_id(store.reader(), born.owner, "one").await.unwrap(),
            Some(born.clone())
        );
        let mut twin = a_session(2, 10);
        twin.client_id = Some("one".to_owned());
        let refused = change(&store, move |tx| {
            let twin = twin.clone();
            async move { session::insert(tx.conn(), &twin).await }.boxed()
        })
        .await;
        assert_eq!(refused, Err(WriteError::Refused(StoreError::Conflict)));

        let lived = change(&store, move |tx| {
            async move {
                let c = tx.conn();
                assert!(session::set_token_hash(c, id, Some([9; 32])).await?);
                assert!(session::started(c, id, 4321, at(11)).await?);
                assert!(session::activity(c, id, SessionActivity::Busy, at(20)).await?);
                assert!(session::activity(c, id, SessionActivity::Idle, at(15)).await?);
                assert!(session::native_id(c, id, "native").await?);
                session::by_id(c, id).await
            }
            .boxed()
        })
        .await
        .unwrap()
        .unwrap();
        assert_eq!((lived.status, lived.activity), (SessionStatus::Running, Some(SessionActivity::Idle)));
        assert_eq!(lived.last_activity, at(20), "it never goes back");
        assert_eq!(session::pid(store.reader(), id).await.unwrap(), Some(4321));
        assert_eq!(session::by_token_hash(store.reader(), &[9; 32]).await.unwrap(), Some(lived));
        assert_eq!(session::open_count(store.reader(), born.owner).await.unwrap(), 1);
        assert_eq!(session::open_on(store.reader(), "here").await.unwrap().len(), 1);
        assert_eq!(session::open_on(store.reader(), "there").await.unwrap(), []);

        let first = change(&store, move |tx| async move { ends_of(tx, id).await }.boxed()).await.unwrap();
        let second = change(&store, move |tx| async move { ends_of(tx, id).await }.boxed()).await.unwrap();
        assert_eq!((first, second), (true, false));
        let over = session::by_id(store.reader(), id).await.unwrap().unwrap();
        assert_eq!((over.exit, over.ended, over.last_activity), (Some(Exit::Code(3)), Some(at(12)), at(20)));
        assert_eq!(
            session::by_token_hash(store.reader(), &[9; 32]).await.unwrap(),
            None,
            "the token is revoked"
        );
        assert_eq!(session::open_count(store.reader(), born.owner).await.unwrap(), 0);

        keep(&store, a_session(3, 10)).await;
        let found = async |name: &str| {
            session::find(store.reader(), name, Some((born.owner, born.owner_uid)), None).await.unwrap()
        };
        assert!(matches!(found(&id.to_string()).await, session::Found::One(s) if s.id == id));
        assert!(matches!(found("01990000").await, session::Found::Ambiguous(ids) if ids.len() == 2));
        assert_eq!(found("0199000000007000800000000000000").await, found("01990000").await);
        assert_eq!(found("ffffffff").await, session::Found::None);
        assert_eq!(
            session::find(store.reader(), "01990000", Some((born.owner, 4_242)), None).await.unwrap(),
            session::Found::None
        );
        store.close().await;
    })
    .await;
}

async fn ends_of(tx: &mut Tx, id: SessionId) -> Result<bool, StoreError> {
    session::ended(tx.conn(), id, &Exit::Code(3), at(12)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_leases_people_and_settings() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        let s = a_session(1, 0).id;
        let uuid = |n: u128| Uuid::from_u128(n);
        change(&store, move |tx| {
            async move {
                let c = tx.conn();
                let first = message::enqueue(c, s, uuid(11), "one", Some("x"), false, at(1)).await?;
                let again = message::enqueue(c, s, uuid(12), "two", Some("x"), false, at(2)).await?;
                assert_eq!(first, again);
                message::enqueue(c, s, uuid(13), "/three", None, true, at(3)).await?;
                assert_eq!(message::next_pending(c, s).await?.unwrap().text, "one");
                assert!(message::settle(c, uuid(11), MessageState::Delivered, None, at(4)).await?);
                assert!(!message::settle(c, uuid(11), MessageState::Failed, None, at(5)).await?);
                assert_eq!(message::waiting_sessions(c, "here").await?, [s]);
                assert_eq!(message::next_pending(c, s).await?.unwrap().id, uuid(13));
                assert_eq!(message::settle_all(c, s, MessageState::Unknown, Some("lost"), at(6)).await?, 1);
                assert_eq!(message::by_id(c, uuid(13)).await?.unwrap().problem.as_deref(), Some("lost"));
                assert_eq!(message::pending(c, s, 10).await?, []);

                let effect = outbox::Effect {
                    id: uuid(21),
                    computer: "here".to_owned(),
                    kind: "start".to_owned(),
                    session: s,
                    payload: "{}".to_owned(),
                    created: at(1),
                };
                outbox::insert(c, &effect).await?;
                outbox::insert(c, &effect).await?;
                assert_eq!(outbox::pending(c, "here", 10).await?, [effect]);
                assert_eq!(outbox::pending(c, "there", 10).await?, []);
                assert!(outbox::mark_done(c, uuid(21), at(2)).await?);
                assert!(!outbox::mark_done(c, uuid(21), at(2)).await?);
                assert_eq!(outbox::pending(c, "here", 10).await?, []);

                let lease = |n: u128| host::Lease {
                    session: s,
                    computer: "here".to_owned(),
                    lease: uuid(n),
                    pid: 77,
                    pid_started: 123,
                    claimed: at(1),
                };
                assert_eq!(host::claim(c, &lease(31)).await?, lease(31));
                assert_eq!(host::claim(c, &lease(31)).await?, lease(31));
                assert_eq!(host::claim(c, &lease(32)).await?, lease(31), "one live host a session");
                assert!(!host::release(c, s, uuid(32)).await?);
                assert_eq!(host::all_on(c, "here").await?.len(), 1);
                assert!(host::release(c, s, uuid(31)).await?);

                for n in 0..3u128 {
                    let event = activity::Event {
                        id: uuid(40 + n),
                        session: s,
                        at: at(1),
                        kind: "busy".to_owned(),
                        detail: None,
                        actor: Some("ann".to_owned()),
                    };
                    activity::insert(c, &event).await?;
                }
                let of = activity::Filter { session: Some(s), ..Default::default() };
                let events = activity::page(c, &of, None, 2).await?;
                assert_eq!(events.iter().map(|(e, _)| e.id).collect::<Vec<_>>(), [uuid(42), uuid(41)]);
                let last = activity::Before::Row(events[1].0.at, events[1].0.id);
                let rest = activity::page(c, &of, Some(last), 2).await?;
                assert_eq!(rest.iter().map(|(e, _)| e.id).collect::<Vec<_>>(), [uuid(40)]);

                setting::put(c, 5, setting::CONFIG, "a: 1", at(1)).await?;
                setting::put(c, 5, setting::CONFIG, "a: 2", at(2)).await?;
                assert_eq!(setting::get(c, 5, setting::CONFIG).await?, Some(("a: 2".to_owned(), at(2))));
                assert_eq!(setting::get(c, 6, setting::CONFIG).await?, None);
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
        store.close().await;
    })
    .await;
}

async fn seen(
    c: &Conn,
    fresh: PersonId,
    uid: u32,
    os_username: Option<&str>,
    name: Option<&str>,
    when: i64,
) -> Result<PersonId, StoreError> {
    person::upsert_seen(c, fresh, &Seen { uid, os_username, name, group_role: None, at: at(when) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_keep_their_key_and_what_is_known() {
    on_both(async |db| {
        let store = db.open().await;
        let key = |n: u128| PersonId(Uuid::from_u128(n));
        change(&store, move |tx| {
            async move {
                let c = tx.conn();
                assert_eq!(person::bind(c, "ann", key(1), at(1)).await?, key(1));
                assert_eq!(person::bind(c, "ann", key(2), at(2)).await?, key(1));
                assert_eq!(seen(c, key(3), 1000, Some("ann_os"), Some("ann"), 5).await?, key(1));
                assert_eq!(seen(c, key(3), 1000, None, None, 4).await?, key(1));
                let ann = person::by_uid(c, 1000).await?.unwrap();
                assert_eq!((ann.os_username.as_deref(), ann.name.as_str()), (Some("ann_os"), "ann"));
                assert_eq!((ann.first_seen, ann.last_seen), (at(1), at(5)));

                // Somebody unmapped, who is mapped later: the same key.
                assert_eq!(seen(c, key(4), 1001, Some("bob"), None, 5).await?, key(4));
                assert_eq!(person::directory(c).await?.len(), 1);
                assert_eq!(seen(c, key(5), 1001, None, Some("bob"), 6).await?, key(4));
                assert_eq!(person::directory(c).await?.len(), 2);

                // A uid that moves to somebody else leaves the person it was.
                assert_eq!(seen(c, key(6), 1001, Some("cy"), Some("ann"), 7).await?, key(1));
                assert_eq!(person::by_uid(c, 1001).await?.unwrap().name, "ann");
                assert_eq!(person::by_name(c, "bob").await?.unwrap().uid, None);
                assert_eq!(seen(c, key(7), 1001, None, Some("dee"), 8).await?, key(7));
                assert_eq!(person::by_name(c, "ann").await?.unwrap().uid, None);

                let ban = |n: u128, whose, until| Ban {
                    id: Uuid::from_u128(n),
                    whose,
                    until,
                    reason: None,
                    by: "ann".to_owned(),
                    by_person: Some(key(1)),
                    source: BanSource::Admin,
                    count: 1,
                    created: at(i64::try_from(n).unwrap()),
                    updated: at(i64::try_from(n).unwrap()),
                    lifted: None,
                };
                let (one, two) = (ban(1, Whose::Person(key(1)), Some(at(10))), ban(2, Whose::Uid(7), None));
                ban::put(c, &one).await?;
                ban::put(c, &two).await?;
                assert_eq!(ban::active(c, at(9)).await?, [one.clone(), two.clone()]);
                assert_eq!(ban::active(c, at(10)).await?, std::slice::from_ref(&two));
                assert_eq!(ban::active_of(c, &[key(1)], &[8], at(9)).await?, std::slice::from_ref(&one));
                assert_eq!(ban::active_of(c, &[key(2)], &[7], at(9)).await?, std::slice::from_ref(&two));
                assert_eq!(ban::active_of(c, &[], &[], at(9)).await?, []);
                assert_eq!(ban::over(c, at(10), 5).await?, std::slice::from_ref(&one));
                let lifted = Ban { lifted: Some((at(11), "bob".to_owned())), count: 2, ..two.clone() };
                ban::put(c, &lifted).await?;
                assert_eq!(ban::active(c, at(10)).await?, []);
                assert_eq!(ban::page(c, None, None, 1).await?, std::slice::from_ref(&lifted));
                assert_eq!(
                    ban::page(c, None, Some((at(2), lifted.id)), 5).await?,
                    std::slice::from_ref(&one)
                );
                assert_eq!(ban::page(c, Some(at(9)), None, 5).await?, [one]);
                ban::purge(c, key(1)).await?;
                assert_eq!(ban::page(c, None, None, 5).await?, [lifted]);
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
        store.close().await;
    })
    .await;
}

#[test]
fn roles_in_the_schema_are_those_of_the_domain() {
    let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
    assert_eq!(names, ["public", "newcomer", "contributor", "member", "admin"]);
}
