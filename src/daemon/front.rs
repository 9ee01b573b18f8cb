//! What every connection shares, and the one way from a mouth to the daemon behind it: quota, deadline,
//! cancellation and panics are dealt with here, once for MCP and HTTP.

use crate::daemon::backend::{Backend, Call, Live};
use crate::daemon::limits::{Bucket, Entered, Gate};
use crate::daemon::peer::Names;
use crate::domain::caller::{Caller, Peer, Via};
use crate::domain::verb::Verb;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a handler that was told to stop may take to say how it ended.
const GRACE: Duration = Duration::from_millis(500);

/// Shared by all connections.
pub struct Front {
    /// The daemon behind.
    pub backend: Arc<dyn Backend>,
    /// Names of OS users.
    pub names: Arc<Names>,
    /// Fires when a stop is asked for: no new requests.
    pub drain: CancellationToken,
    /// Fires when the time of requests in flight is up.
    pub hard: CancellationToken,
    /// Connections that are open, for health.
    pub connections: Arc<AtomicUsize>,
    requests: Arc<Gate>,
}

impl Front {
    /// A front before `backend`.
    pub fn new(backend: Arc<dyn Backend>, names: Arc<Names>, connections: Arc<AtomicUsize>) -> Self {
        Self {
            backend,
            names,
            drain: CancellationToken::new(),
            hard: CancellationToken::new(),
            connections,
            requests: Arc::default(),
        }
    }

    /// Does `request` for `peer`, who is `caller` now, within the limits. `gone` fires when the asker cancels or
    /// leaves. The caller decides here only whose quota it is; the daemon behind resolves and judges for itself.
    ///
    /// # Errors
    /// The daemon's fault, or busy, timeout, outcome unknown, internal.
    pub async fn ask(
        &self,
        peer: &Peer,
        caller: &Caller,
        token: Option<SecretString>,
        request: Request,
        gone: &CancellationToken,
    ) -> Result<Reply, Fault> {
        let work = |call| self.backend.handle(peer, call);
        self.within_limits(peer, caller, token, request, gone, work).await
    }

    /// The same for what is answered in parts, while it is made.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn live(
        &self,
        peer: &Peer,
        caller: &Caller,
        token: Option<SecretString>,
        request: Request,
        gone: &CancellationToken,
    ) -> Result<Live, Fault> {
        let work = |call| self.backend.live(peer, call);
        self.within_limits(peer, caller, token, request, gone, work).await
    }

    async fn within_limits<'a, T>(
        &'a self,
        peer: &'a Peer,
        caller: &Caller,
        token: Option<SecretString>,
        request: Request,
        gone: &CancellationToken,
        work: impl FnOnce(Call) -> BoxFuture<'a, Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let (verb, began) = (request.verb(), Instant::now());
        let done = self.in_time(peer, caller, token, request, gone, work).await;
        self.backend.answered(verb, done.as_ref().err().map(|fault| fault.code), began.elapsed());
        done
    }

    async fn in_time<'a, T>(
        &'a self,
        peer: &'a Peer,
        caller: &Caller,
        token: Option<SecretString>,
        request: Request,
        gone: &CancellationToken,
        work: impl FnOnce(Call) -> BoxFuture<'a, Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limits = self.backend.limits();
        let _places = self.enter(peer, caller.person.is_some(), limits.in_flight_per_uid)?;
        let changes = changes(&request);
        let deadline = tokio::time::Instant::now() + limits.request;
        let cancel = gone.child_token();
        let call = Call { request, via: caller.via, token, deadline, cancel: cancel.clone() };
        let mut work = std::pin::pin!(AssertUnwindSafe(work(call)).catch_unwind());
        let (code, why) = tokio::select! {
            biased;
            done = &mut work => return done.unwrap_or_else(|_| Err(panicked())),
            () = cancel.cancelled() => (FaultCode::Timeout, "the request was cancelled"),
            () = self.hard.cancelled() => (FaultCode::Unavailable, "the daemon is stopping"),
            () = tokio::time::sleep_until(deadline) => (FaultCode::Timeout, "the request took too long"),
        };
        cancel.cancel();
        match tokio::time::timeout(GRACE, work).await {
            Ok(done) => done.unwrap_or_else(|_| Err(panicked())),
            Err(_) if changes => Err(Fault::new(FaultCode::OutcomeUnknown, why)
                .hint("it may or may not have been done: look before asking again")),
            Err(_) => Err(Fault::new(code, why).hint("nothing was changed: try again")),
        }
    }

    /// Writes down that `caller` asked for what they may not, and gives what to answer: somebody switched off or banned
    /// is told so; to everybody else (`None`) the thing does not exist.
    pub async fn refuse(
        &self,
        peer: &Peer,
        caller: &Caller,
        token: Option<&SecretString>,
        verb: Verb,
    ) -> Option<Fault> {
        self.backend.refused(peer, caller.via, token, verb).await;
        caller
            .standing
            .refusal()
            .map(|why| Fault::new(FaultCode::Denied, why).hint("ask an admin; whoami still answers"))
    }

    /// Who `peer` is now.
    pub fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller {
        self.backend.caller(peer, via, token)
    }

    fn enter(&self, peer: &Peer, mapped: bool, most: usize) -> Result<(Entered, Option<Entered>), Fault> {
        let busy = || {
            Fault::new(FaultCode::Busy, format!("{most} requests of yours are in flight already"))
                .hint("wait for some of them to be answered")
        };
        let own = self.requests.enter(Bucket::Uid(peer.uid), most).ok_or_else(busy)?;
        let shared =
            if mapped { None } else { Some(self.requests.enter(Bucket::Unmapped, most).ok_or_else(busy)?) };
        Ok((own, shared))
    }
}

/// The answer to a request whose handler panicked. The panic itself is in the log, by the panic hook.
fn panicked() -> Fault {
    Fault::new(FaultCode::Internal, "the daemon failed while handling this request; its log has more")
}

/// Whether a request changes something when it is done.
const fn changes(request: &Request) -> bool {
    match request {
        Request::StartSession(_)
        | Request::RunAgentCommand(_)
        | Request::SendMessage(_)
        | Request::EndSession(_)
        | Request::PurgeSession(_)
        | Request::ResumeSession(_)
        | Request::InterruptSession(_)
        | Request::LabelSession(_)
        | Request::RenameSession(_)
        | Request::AnswerSession(_)
        | Request::ReportHook(_)
        | Request::Subscribe(_)
        | Request::StopNotifications(_)
        | Request::CreateTask(_)
        | Request::UpdateTask(_)
        | Request::DeleteTask(_)
        | Request::SendToPerson(_)
        | Request::SendSummary(_)
        | Request::RotateAuditKey
        | Request::PruneAudit(_)
        | Request::PlaceHold(_)
        | Request::ReleaseHold(_)
        | Request::PutMyConfig(_)
        | Request::PutCredential(_)
        | Request::DeleteCredential(_)
        | Request::ImportCredentials(_)
        | Request::GenerateKey
        | Request::RotateKey
        | Request::Reload
        | Request::RunJob(_)
        | Request::ChangePeople(_) => true,
        Request::Inbox(args) => args.marks(),
        Request::Whoami
        | Request::Health
        | Request::ShowApi
        | Request::ListProjects
        | Request::ListAgents
        | Request::ListComputers
        | Request::ReadDocs(_)
        | Request::ReadDocument(_)
        | Request::DocProblems
        | Request::ListSessions(_)
        | Request::ShowSession(_)
        | Request::ExportSession(_)
        | Request::ReadSession(_)
        | Request::FollowSession(_)
        | Request::SearchSessions(_)
        | Request::Attach(_)
        | Request::WhoReadMine(_)
        | Request::ListTasks(_)
        | Request::ListMyTasks(_)
        | Request::ShowTask(_)
        | Request::ListAudit(_)
        | Request::VerifyAudit(_)
        | Request::ExportAudit(_)
        | Request::FollowAudit(_)
        | Request::ShowAuditKeys
        | Request::ListHolds(_)
        | Request::ShowUsage(_)
        | Request::ListActivity(_)
        | Request::ReadMetrics
        | Request::ShowConfig
        | Request::ListCredentials(_)
        | Request::ShowKeys
        | Request::ListPeople(_)
        | Request::FindPerson(_)
        | Request::ShowPerson(_)
        | Request::PeopleStats
        | Request::ExplainPerson(_)
        | Request::ListJobs
        | Request::ListBans(_) => false,
    }
}
