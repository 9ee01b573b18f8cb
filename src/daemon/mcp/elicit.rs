//! Asking the person at a client why they want what is somebody else's, where a tool's argument `reason` is missing: by
//! a request of ours in the older era, by a result that says what is to be added in the newer one. Only where the
//! client says that it can; everybody else is refused and told to give the argument.

use crate::daemon::front::Front;
use crate::wire::fault::Fault;
use crate::wire::limits::REASON_CHARS;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, InputRequest, InputRequiredResult, JsonObject,
    PrimitiveSchemaDefinition, RequestStateCodec, SealOptions, StringSchema,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;

/// The argument, and the key under which it is asked for.
const REASON: &str = "reason";
/// How long somebody has for an answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether nothing but a reason was missing.
pub fn is_missing(fault: &Fault, arguments: &JsonObject) -> bool {
    fault.field.as_deref() == Some(REASON) && !arguments.contains_key(REASON)
}

/// Puts the reason where it belongs.
pub fn give(arguments: &mut JsonObject, reason: String) {
    arguments.insert(REASON.to_owned(), Value::String(reason));
}

/// Whether a client with these capabilities shows forms. Saying nothing of forms and addresses means forms.
pub fn shows_forms(capabilities: Option<&ClientCapabilities>) -> bool {
    capabilities
        .and_then(|can| can.elicitation.as_ref())
        .is_some_and(|way| way.form.is_some() || way.url.is_none())
}

/// What seals that a question was asked, until the daemon ends. `None` without randomness: then nothing is asked.
static SEAL: LazyLock<Option<RequestStateCodec>> = LazyLock::new(|| {
    let mut key = [0; 32];
    getrandom::fill(&mut key).ok()?;
    RequestStateCodec::try_new(key).ok()
});

/// A call of the newer era, which has its question answered by calling once more with the same.
pub struct Call {
    context: Vec<u8>,
}

impl Call {
    /// `uid` calls `tool` with these arguments.
    pub fn of(uid: u32, tool: &str, arguments: &JsonObject) -> Self {
        Self { context: json!([uid, tool, arguments]).to_string().into_bytes() }
    }

    /// The result that has the client ask, and call again with what it was told.
    pub fn asks(&self, fault: &Fault) -> Option<InputRequiredResult> {
        let asked = InputRequest::Elicitation(ElicitRequest::new(question(fault)));
        let sealed = SealOptions::new().associated_data(&self.context).ttl(PATIENCE);
        let state = SEAL.as_ref()?.seal_with(&[], &sealed);
        Some(InputRequiredResult::new(Some([(REASON.to_owned(), asked)].into()), Some(state)))
    }

    /// What came of it: `None` where nothing was asked before, `Some(None)` where nobody wanted to say, or said it about
    /// another call.
    pub fn told(&self, params: &CallToolRequestParams) -> Option<Option<String>> {
        let answer = params.input_responses.as_ref()?.get(REASON)?;
        let state = params.request_state.as_deref().unwrap_or_default();
        let is_ours = SEAL.as_ref().is_some_and(|seal| seal.open_with(state, &self.context).is_ok());
        Some(serde_json::from_value(answer.clone()).ok().filter(|_| is_ours).and_then(reason))
    }
}

/// Asks over the connection the call came by, and waits.
pub async fn ask(front: &Front, cx: &RequestContext<RoleServer>, fault: &Fault) -> Option<String> {
    let asking = cx.peer.create_elicitation_with_timeout(question(fault), Some(PATIENCE));
    tokio::select! {
        // Whoever took the call back has taken it back, whatever else they say.
        biased;
        () = cx.ct.cancelled() => None,
        () = front.drain.cancelled() => None,
        answer = asking => reason(answer.ok()?),
    }
}

fn reason(answer: ElicitResult) -> Option<String> {
    match answer {
        ElicitResult { action: ElicitationAction::Accept, content: Some(content), .. } => {
            content.get(REASON)?.as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn question(fault: &Fault) -> ElicitRequestParams {
    let count = |n: &usize| u32::try_from(*n).unwrap_or(u32::MAX);
    let field = StringSchema::new()
        .title("Reason")
        .description("Why? One line, which the owner of the session reads")
        .min_length(count(REASON_CHARS.start()))
        .max_length(count(REASON_CHARS.end()));
    let form = ElicitationSchema::new([(REASON.to_owned(), PrimitiveSchemaDefinition::String(field))].into());
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: format!("{}. It is written to the audit log, and the owner is told.", fault.message),
        requested_schema: form.with_required(vec![REASON.to_owned()]),
    }
}
