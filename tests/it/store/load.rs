//! One chain a computer under many callers: 64 of them, on each engine, with connections that are cut and a server that
//! restarts meanwhile; and two daemons on one server. `TELECLAUDE_TEST_ROWS` says how many rows each caller writes;
//! what was done is printed, so that a long run can be shown.

use crate::postgres::{Db, Stop, on_both};
use crate::store::{draft, raw, soon};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use teleclaude::store::audit;
use teleclaude::store::connect::Store;
use teleclaude::store::verify::{ChainReport, verify};
use tokio::sync::watch;
use tokio::time::Instant;

const CALLERS: u64 = 64;

/// Rows each caller writes.
fn each(least: u64) -> u64 {
    std::env::var("TELECLAUDE_TEST_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(least)
}

fn say(what: &str) {
    let _ = writeln!(std::io::stdout(), "{what}");
}

/// All callers at once, each until it has so many acknowledged rows; the seqs that were acknowledged.
async fn load(store: &Store, rows: u64, done: &Arc<AtomicU64>) -> BTreeSet<i64> {
    load_of(watch::channel(store.clone()).1, rows, done).await
}

/// The same with a store that another follows now and then.
async fn load_of(store: watch::Receiver<Store>, rows: u64, done: &Arc<AtomicU64>) -> BTreeSet<i64> {
    let callers = (0..CALLERS).map(|_| {
        let (stores, done) = (store.clone(), Arc::clone(done));
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            let give_up = Instant::now() + Duration::from_secs(1_800);
            while (seqs.len() as u64) < rows {
                let store = stores.borrow().clone();
                // What failed was not acknowledged, and is simply asked for again.
                match store.append(soon(), draft("load")).await {
                    Ok(seq) => {
                        seqs.push(seq);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
                assert!(Instant::now() < give_up, "{} of {rows}: {:?}", seqs.len(), store.problem());
            }
            seqs
        })
    });
    let mut all = BTreeSet::new();
    for seqs in join_all(callers).await {
        for seq in seqs.unwrap() {
            assert!(all.insert(seq), "seq {seq} was given twice");
        }
    }
    all
}

async fn chains(store: &Store) -> Vec<ChainReport> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match verify(store.reader(), None, |_| {}).await {
            Ok(reports) => return reports,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every acknowledged row is there, and the chain is one.
fn assert_whole(chain: &ChainReport, acknowledged: &BTreeSet<i64>) {
    assert_eq!(chain.first_bad, None, "{}", chain.computer);
    let last = acknowledged.last().copied().unwrap_or(0).unsigned_abs();
    assert!(chain.rows >= last, "{} rows, {last} acknowledged", chain.rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chain_under_64_callers() {
    on_both(async |db| {
        let (store, rows, began) = (db.open().await, each(500), Instant::now());
        let acknowledged = load(&store, rows, &Arc::default()).await;
        let took = began.elapsed();
        let reports = chains(&store).await;
        assert_eq!(reports.len(), 1);
        assert_whole(&reports[0], &acknowledged);
        assert_eq!(reports[0].rows, CALLERS * rows);
        say(&format!(
            "{}: {CALLERS} callers x {rows} rows in {:.1} s ({:.0} rows/s): 0 forks, verify ok",
            store.engine(),
            took.as_secs_f64(),
            (CALLERS * rows) as f64 / took.as_secs_f64()
        ));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chain_through_daemons_that_follow_each_other() {
    on_both(async |db| {
        let (rows, done) = (each(500), Arc::new(AtomicU64::new(0)));
        let (next, stores) = watch::channel(db.open().await);
        let loading = {
            let (stores, done) = (stores.clone(), Arc::clone(&done));
            tokio::spawn(async move { load_of(stores, rows, &done).await })
        };
        let all = CALLERS * rows;
        for part in 1..8 {
            while done.load(Ordering::Relaxed) < all * part / 8 && !loading.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // As at a clean stop: what waits is written, what comes is refused, and then another daemon is there.
            let before = next.borrow().clone();
            before.close().await;
            next.send_replace(db.open().await);
        }
        let acknowledged = loading.await.unwrap();
        let store = stores.borrow().clone();
        let reports = chains(&store).await;
        assert_eq!(reports.len(), 1);
        assert_whole(&reports[0], &acknowledged);
        assert_eq!(reports[0].rows, all, "what was refused was not written");
        say(&format!(
            "{}: {CALLERS} callers x {rows} rows through 7 restarts of the daemon: 0 forks, 0 acknowledged rows lost, \
             verify ok",
            store.engine()
        ));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chain_through_cut_connections_and_restarts() {
    let mut db = Db::postgres();
    let (store, rows, done) = (db.open().await, each(500), Arc::new(AtomicU64::new(0)));
    let loading = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move { load(&store, rows, &done).await })
    };
    let raw_db = raw(&db).await;
    let all = CALLERS * rows;
    let at_least = async |part: u64| {
        while done.load(Ordering::Relaxed) < part && !loading.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut cuts = 0;
    for n in 1..8 {
        at_least(all * n / 16).await;
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'teleclaude'";
        raw_db.execute_unprepared(end).await.unwrap();
        cuts += 1;
    }
    raw_db.close().await.unwrap();
    for (n, how) in [(8, Stop::Fast), (12, Stop::Immediate)] {
        at_least(all * n / 16).await;
        let cluster = db.cluster.as_mut().unwrap();
        cluster.down(how);
        cluster.up();
    }
    let acknowledged = loading.await.unwrap();
    let reports = chains(&store).await;
    assert_eq!(reports.len(), 1);
    assert_whole(&reports[0], &acknowledged);
    let extra = reports[0].rows - all;
    say(&format!(
        "postgresql: {CALLERS} callers x {rows} rows through {cuts} cuts and 2 restarts: 0 forks, 0 acknowledged rows \
         lost, {extra} written without an acknowledgement, verify ok"
    ));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_computers_on_one_server_are_two_chains_and_one_listing() {
    let db = Db::postgres();
    let rows = each(250);
    let (one, two) = (db.open_as("one").await.unwrap(), db.open_as("two").await.unwrap());
    let none = Arc::default();
    let (of_one, of_two) = tokio::join!(load(&one, rows, &none), load(&two, rows, &none));
    let reports = chains(&one).await;
    let computers: Vec<&str> = reports.iter().map(|chain| chain.computer.as_str()).collect();
    assert_eq!(computers, ["one", "two"]);
    for (chain, acknowledged) in reports.iter().zip([&of_one, &of_two]) {
        assert_whole(chain, acknowledged);
        assert_eq!(chain.rows, CALLERS * rows);
    }
    assert_eq!(chains(&two).await, reports, "either sees both");
    // One listing over both: page by page every row once, until as many were seen as there are for a moment's pages.
    let (mut before, mut seen) = (None, BTreeSet::new());
    for _ in 0..40 {
        let page = audit::page(two.reader(), &audit::Filter::default(), before.as_ref(), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.into());
        for row in page {
            assert!(seen.insert((row.computer.clone(), row.seq)), "{} {} twice", row.computer, row.seq);
        }
    }
    assert_eq!(seen.len() as u64, (2 * CALLERS * rows).min(20_000));
    say(&format!(
        "postgresql: 2 computers x {CALLERS} callers x {rows} rows: two chains, both verify, one listing"
    ));
    one.close().await;
    two.close().await;
}
