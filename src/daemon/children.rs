//! Looks after those who are told when sessions that they started stop: at every change that is told of, and now and
//! then at all of them, since a change may have come while no daemon was there. What is told is `usecase::children`.

use crate::daemon::app::App;
use crate::daemon::backend::{Backend as _, Event, SessionChange, SessionEvent};
use crate::daemon::effects::write;
use crate::domain::session::{Session, SessionId};
use crate::store::error::StoreError;
use crate::store::subscription;
use crate::usecase::children::{news, tell};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two looks at all of them.
const EVERY: Duration = Duration::from_secs(10);
/// Of them that are looked for at a time.
const PAGE: u64 = 500;

/// Runs until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut events = app.watch();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => look_at_all(&app).await,
            event = events.recv() => match event {
                Ok(Event::Session(event)) if event.parent.is_some() => look(&app, event.session_id).await,
                Ok(_) => Ok(()),
                Err(RecvError::Lagged(_)) => look_at_all(&app).await,
                Err(RecvError::Closed) => return,
            },
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "what is told of children waits for the database");
        }
    }
}

/// Somebody wants to know from now on: perhaps there is something to tell already.
pub fn subscribed(app: &App, child: &Session) {
    app.tell(Event::Session(SessionEvent {
        session_id: child.id,
        owner: child.owner,
        owner_uid: child.owner_uid,
        parent: child.parent,
        kind: SessionChange::Row,
    }));
}

async fn look_at_all(app: &App) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = subscription::open_on(app.store().reader(), app.store().computer(), after, PAGE).await?;
        after = page.last().copied();
        for id in &page {
            look(app, *id).await?;
        }
        if (page.len() as u64) < PAGE {
            return Ok(());
        }
    }
}

async fn look(app: &App, child: SessionId) -> Result<(), StoreError> {
    let now = app.now();
    if news(app.store().reader(), child, now).await?.is_none() {
        return Ok(());
    }
    let id = Uuid::now_v7();
    write(app, move |tx| {
        Box::pin(async move {
            // Once more, where nothing comes in between.
            match news(tx.conn(), child, now).await? {
                Some(news) => tell(tx.conn(), &news, id, now).await,
                None => Ok(()),
            }
        })
    })
    .await?;
    app.work().notify_one();
    Ok(())
}
