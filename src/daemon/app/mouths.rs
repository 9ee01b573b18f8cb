//! What the mouths ask of the daemon's state: the real one of the two backends.

use crate::daemon::app::App;
use crate::daemon::app::identity::caller;
use crate::daemon::backend::{Backend, Call, Event, Live};
use crate::daemon::handle::{handle, live};
use crate::daemon::limits::Limits;
use crate::daemon::peer;
use crate::domain::action::Action;
use crate::domain::caller::{Caller, Peer, Role, Via};
use crate::domain::policy;
use crate::domain::verb::Verb;
use crate::usecase::{refusal, run};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;

impl Backend for App {
    fn handle<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(handle(self, peer, call))
    }

    fn live<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Live, Fault>> {
        Box::pin(live(self, peer, call))
    }

    fn may_still(&self, peer: &Peer, token: Option<&SecretString>, action: &Action) -> Result<(), Fault> {
        let caller = self.caller(peer, Via::Http, token);
        if self.turns_away(peer) {
            return Err(Fault::new(FaultCode::Denied, "this daemon does not serve this user"));
        }
        let settings = self.settings();
        let facts = self.facts(&settings, &caller, Arc::from([]));
        match policy::judge(&caller, action.clone(), &run::rules(&facts, &caller)) {
            Ok(_) => Ok(()),
            Err(denied) => Err(refusal::fault(denied, action, &caller)),
        }
    }

    fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller {
        let (user, resolved) = self.resolve_now(&self.settings.load(), peer, self.names.known_user(peer.uid));
        let mut caller = caller(peer, via, user, resolved);
        if let Some(token) = token {
            match self.tokens.find(token, peer.uid) {
                Ok(session) => caller.agent_of = Some(session),
                Err(_) => {
                    caller.role = Role::Public;
                    caller.person = None;
                }
            }
        } else {
            caller.agent_of = self.agent_by_place(peer);
        }
        caller
    }

    fn may(&self, caller: &Caller, verb: Verb) -> bool {
        policy::may(caller, verb)
    }

    fn look_at(&self, peer: &mut Peer, socket: BorrowedFd<'_>) {
        if self.settings.load().runner().is_some() && !self.tokens.is_empty() {
            peer.runner = peer::runner_at(socket, peer.pid);
        }
    }

    fn turns_away(&self, peer: &Peer) -> bool {
        self.resolve_now(&self.settings(), peer, self.names.known_user(peer.uid)).1.refuse
    }

    fn refused<'a>(
        &'a self,
        peer: &'a Peer,
        via: Via,
        token: Option<&'a SecretString>,
        verb: Verb,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let settings = self.settings();
            let Ok((caller, projects)) = self.identify(peer, via, token).await else { return };
            if self.spend(&settings, &caller).is_err() {
                return;
            }
            let facts = self.facts(&settings, &caller, projects);
            let deadline = Instant::now() + Duration::from_secs(5);
            if let Err(fault) =
                self.note_denial(refusal::of_verb(&facts, &caller, verb), verb, deadline).await
            {
                tracing::warn!(%fault, uid = peer.uid, "a refusal could not be written down");
            }
        })
    }

    fn prompt(&self, caller: &Caller) -> Option<String> {
        // An agent's is ours alone: it says what narrows it.
        let settings = self.settings();
        settings
            .loaded
            .config
            .prompts
            .of(caller.role)
            .filter(|_| caller.agent_of.is_none())
            .map(str::to_owned)
    }

    fn answered(&self, verb: Verb, fault: Option<FaultCode>, took: Duration) {
        self.counts.answered(verb, fault, took);
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.settings.load().limits)
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
