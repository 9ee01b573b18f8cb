//! Transcripts are kept once, in order, and go with their session.

use crate::postgres::on_both;
use crate::store::{a_session, at, change, keep};
use teleclaude::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use teleclaude::store::transcript::{self, File, Kept, Total};

fn entries(from: i64, count: i64) -> Vec<Entry> {
    (from..from + count)
        .map(|n| Entry {
            tool: (n % 3 == 0).then(|| "Bash".to_owned()),
            failed: n % 5 == 0,
            ..Entry::new(Some(at(n)), Speaker::Assistant, EntryKind::Text, format!("entry {n}"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_kept_once_and_in_order() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        let id = a_session(1, 0).id;
        assert_eq!(transcript::kept(store.reader(), id).await.unwrap(), Kept::default());
        for _ in 0..2 {
            change(&store, move |tx| {
                Box::pin(async move { transcript::append(tx.conn(), id, 1, &entries(1, 450)).await })
            })
            .await
            .unwrap();
        }
        change(&store, move |tx| {
            let mut last = entries(451, 1);
            last[0].text = "with a \0 in it".to_owned();
            Box::pin(async move { transcript::append(tx.conn(), id, 451, &last).await })
        })
        .await
        .unwrap();
        assert_eq!(transcript::kept(store.reader(), id).await.unwrap().entries, 451);
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let page = transcript::page(store.reader(), id, after, 100).await.unwrap();
            let Some((seq, _)) = page.last() else { break };
            after = *seq;
            seen.extend(page);
        }
        assert!(seen.iter().map(|(seq, _)| *seq).eq(1..=451));
        assert!(seen.iter().take(450).map(|(_, entry)| entry).eq(&entries(1, 450)));
        assert_eq!(seen[450].1.text, "with a \u{fffd} in it");
        let back = async |before, since: Option<i64>, until: Option<i64>| {
            let span = (since.map(at), until.map(at));
            let page = transcript::page_back(store.reader(), id, before, span, 3).await.unwrap();
            page.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        };
        assert_eq!(back(451, None, None).await, [450, 449, 448]);
        assert_eq!(back(451, None, Some(5)).await, [5, 4, 3]);
        assert_eq!(back(451, Some(449), None).await, [450, 449]);
        assert_eq!(back(5, Some(3), Some(3)).await, [3]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_goes_on_where_the_last_one_ended() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        let id = a_session(1, 0).id;
        let follow = async |path: &'static str, anew: bool| {
            change(&store, move |tx| {
                Box::pin(
                    async move { transcript::follow(tx.conn(), id, path, anew, at(1)).await.map(|_| ()) },
                )
            })
            .await
            .unwrap();
            transcript::file(store.reader(), id).await.unwrap().unwrap()
        };
        let first = File { place: 1, path: "a.jsonl".to_owned(), entries_before: 0, usage_before: 0 };
        assert_eq!(follow("a.jsonl", false).await, first);
        let cost = |model: Option<&str>, output| Usage {
            model: model.map(str::to_owned),
            input: 10,
            cached: 5,
            output,
            ..Usage::default()
        };
        let costs = vec![cost(Some("b"), 1), cost(None, 2), cost(Some("b"), 4)];
        change(&store, move |tx| {
            let costs = costs.clone();
            Box::pin(async move {
                transcript::append(tx.conn(), id, 1, &entries(1, 7)).await?;
                transcript::add_usage(tx.conn(), id, 1, &costs, at(9)).await?;
                transcript::add_usage(tx.conn(), id, 1, &costs, at(9)).await
            })
        })
        .await
        .unwrap();
        assert_eq!(follow("a.jsonl", false).await, first, "the same log is not begun again");
        let second = File { place: 2, path: "b.jsonl".to_owned(), entries_before: 7, usage_before: 3 };
        assert_eq!(follow("b.jsonl", false).await, second);
        let third = File { place: 3, ..second };
        assert_eq!(follow("b.jsonl", true).await, third, "one that begins anew is another");
        let total = |model: Option<&str>, times: i64, output| Total {
            model: model.map(str::to_owned),
            input: 10 * times,
            cached: 5 * times,
            cache_write: 0,
            output,
        };
        let totals = transcript::totals(store.reader(), id).await.unwrap();
        assert_eq!(totals, [total(None, 1, 2), total(Some("b"), 2, 5)]);
        store.close().await;
    })
    .await;
}
