//! What MCP clients ask for, era by era: translated to a request, answered from its reply. Identity comes from the
//! message's connection, never from the service: over HTTP one service serves everybody.

use crate::daemon::backend::Event;
use crate::daemon::front::Front;
use crate::daemon::mcp::elicit;
use crate::daemon::mcp::pace::Pace;
use crate::daemon::mcp::prompts::{self, Kind};
use crate::daemon::mcp::resources::{INBOX, Resource, document_uri, session_uri, transcript_uri};
use crate::daemon::mcp::tools::{Entry, TOOLS, find};
use crate::daemon::mcp::transport::Asker;
use crate::daemon::mcp::watch::{self, Connection};
use crate::domain::caller::{Caller, Peer, Via};
use crate::domain::verb::Verb;
use crate::wire::docs::{DocRef, GetContext};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::inbox::Inbox;
use crate::wire::limits::{ANSWER_BYTES_MAX, CONTENT_CHARS_MAX, TOKEN_HEADER, TOKEN_META};
use crate::wire::reply::Reply;
use crate::wire::request::{ContentFormat, GetSessionData, ListSessions, Request, SessionRef};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod,
    CompleteRequestParams, CompleteResult, ContentBlock, CustomRequest, CustomResult, DiscoverResult,
    ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation,
    InitializeRequestParams, InitializeResult, JsonObject, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, PromptMessage, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ResourceContents, ResourceTemplate,
    ServerCapabilities, ServerConfig, SubscribeRequestMethod, SubscribeRequestParams, SubscriptionFilter,
    Tool, UnsubscribeRequestMethod, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use secrecy::SecretString;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

/// Method names of MCP: what reaches us under one of them as unknown had the wrong parameters.
const METHODS: [&str; 13] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
];

/// Those of them that 2026-07-28 took away.
const LEGACY_METHODS: [&str; 4] = ["initialize", "ping", "resources/subscribe", "resources/unsubscribe"];

/// The MCP server: one for each raw connection, one for all of HTTP.
#[derive(Clone)]
pub struct McpHandler {
    front: Arc<Front>,
    connection: Option<Arc<Connection>>,
}

impl McpHandler {
    /// The server of one raw connection.
    pub fn raw(front: Arc<Front>, connection: Arc<Connection>) -> Self {
        Self { front, connection: Some(connection) }
    }

    /// The server of all HTTP requests.
    pub fn http(front: Arc<Front>) -> Self {
        Self { front, connection: None }
    }

    fn token(&self, cx: &RequestContext<RoleServer>) -> Option<SecretString> {
        if let Some(token) = cx.meta.get(TOKEN_META).and_then(Value::as_str) {
            return Some(token.into());
        }
        if let Some(parts) = cx.extensions.get::<http::request::Parts>() {
            return parts.headers.get(TOKEN_HEADER).and_then(|v| v.to_str().ok()).map(Into::into);
        }
        self.connection.as_ref().and_then(|connection| connection.token.get().cloned())
    }

    async fn ask(
        &self,
        cx: &RequestContext<RoleServer>,
        peer: &Peer,
        caller: &Caller,
        request: Request,
    ) -> Result<Reply, Fault> {
        self.front.ask(peer, caller, self.token(cx), request, &cx.ct).await
    }

    /// Does what a tool stands for.
    async fn call(
        &self,
        cx: &RequestContext<RoleServer>,
        peer: &Peer,
        caller: &Caller,
        entry: &Entry,
        arguments: &JsonObject,
    ) -> Result<Reply, Fault> {
        self.ask(cx, peer, caller, (entry.request)(arguments.clone())?).await
    }

    /// Who is at the other end, and who that is now.
    fn who(&self, cx: &RequestContext<RoleServer>) -> Result<(Arc<Peer>, Caller), ErrorData> {
        let peer = asker(cx)?;
        let caller = self.front.caller(&peer, Via::Mcp, self.token(cx).as_ref());
        Ok((peer, caller))
    }

    /// Five lines: what this is, who the caller is, how to begin, what is written down, where errors tell more.
    fn instructions(&self, cx: &RequestContext<RoleServer>) -> Option<String> {
        let (_, caller) = self.who(cx).ok()?;
        let who = match (&caller.agent_of, caller.standing.refusal()) {
            (_, Some(refusal)) => format!("You are {}: {refusal}.", caller.name()),
            (Some(session), None) => {
                format!("You are the agent of session {session}, which belongs to {}.", caller.name())
            }
            (None, None) => format!("You are {} (role {}), as the kernel says.", caller.name(), caller.role),
        };
        Some(format!(
            "teleclaude runs coding-agent sessions for the people of this machine.\n{who}\n\
             Begin with whoami, list_projects and list_sessions; start_session starts an agent that runs on without \
             you.\nEvery change and every look at somebody else's session is written to an audit log that the owner \
             can see.\nA refused call is a result with isError: its code, message and hint say what to do next."
        ))
    }

    /// A result that a model should read instead of an error.
    fn refused(fault: &Fault) -> CallToolResult {
        let mut result =
            CallToolResult::error(vec![ContentBlock::text(format!("{}: {fault}", fault.code.name()))]);
        result.structured_content = serde_json::to_value(fault).ok();
        result
    }

    async fn watch_legacy(
        &self,
        cx: &RequestContext<RoleServer>,
        uri: &str,
        on: bool,
    ) -> Result<(), ErrorData> {
        let (peer, caller) = self.who(cx)?;
        let (Some(resource), Some(connection)) = (Resource::parse(uri), &self.connection) else {
            return Err(no_resource(uri));
        };
        if !on {
            // Whether it is still there, or may still be seen, makes no difference to who wants to hear no more of it.
            connection.unwatch(uri);
        }
        if let Resource::Document(id) = &resource {
            if !on {
                connection.unwatch(&document_uri(id.as_str()));
                return Ok(());
            }
            let request = Request::ReadDocument(DocRef { id: id.to_string() });
            self.ask(cx, &peer, &caller, request).await.map_err(|fault| as_error(&fault))?;
            self.keep_watch(connection, document_uri(id.as_str()), on).map_err(|fault| as_error(&fault))?;
            if on {
                watch::tell(Arc::clone(&self.front), Arc::clone(connection), peer, cx.peer.clone());
            }
            return Ok(());
        }
        let Some(id) = resource.id() else {
            if !self.front.backend.may(&caller, Verb::ReadInbox) {
                return Err(no_resource(uri));
            }
            self.keep_watch(connection, INBOX.to_owned(), on).map_err(|fault| as_error(&fault))?;
            if on {
                watch::tell(Arc::clone(&self.front), Arc::clone(connection), peer, cx.peer.clone());
            }
            return Ok(());
        };
        let session = SessionRef { session_id: id.to_owned() };
        let request = if on { Request::Subscribe(session) } else { Request::StopNotifications(session) };
        let reply = match self.ask(cx, &peer, &caller, request).await {
            Ok(Reply::Watching(reply)) => reply,
            Ok(_) => return Err(defect()),
            Err(fault) if !on && fault.code == FaultCode::NotFound => return Ok(()),
            Err(fault) => return Err(as_error(&fault)),
        };
        let uri = match resource {
            Resource::Session(_) | Resource::Document(_) | Resource::Inbox => session_uri(&reply.session_id),
            Resource::Transcript(_) => transcript_uri(&reply.session_id),
        };
        self.keep_watch(connection, uri, on).map_err(|fault| as_error(&fault))?;
        if on {
            watch::tell(Arc::clone(&self.front), Arc::clone(connection), peer, cx.peer.clone());
        }
        Ok(())
    }

    fn keep_watch(&self, connection: &Connection, uri: String, on: bool) -> Result<(), Fault> {
        let most = self.front.backend.limits().watched;
        if !on {
            connection.unwatch(&uri);
        } else if !connection.watch(uri, most) {
            return Err(Fault::new(FaultCode::LimitReached, format!("{most} sessions are watched already")));
        }
        Ok(())
    }
}

/// The peer at the other end of the connection a message came over.
fn asker(cx: &RequestContext<RoleServer>) -> Result<Arc<Peer>, ErrorData> {
    let own = cx.extensions.get::<Asker>();
    let asker = own.or_else(|| cx.extensions.get::<http::request::Parts>()?.extensions.get::<Asker>());
    asker.map(|asker| Arc::clone(&asker.0)).ok_or_else(defect)
}

fn defect() -> ErrorData {
    ErrorData::internal_error("the daemon failed while handling this request", None)
}

fn no_resource(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("no such resource", Some(serde_json::json!({ "uri": uri })))
}

/// A fault where MCP has no result to put it in.
fn as_error(fault: &Fault) -> ErrorData {
    let code = match fault.code {
        FaultCode::NotFound => ErrorCode::RESOURCE_NOT_FOUND,
        FaultCode::Invalid | FaultCode::Denied | FaultCode::Conflict => ErrorCode::INVALID_PARAMS,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, fault.to_string(), serde_json::to_value(fault).ok())
}

fn is_modern(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

fn private(cx: &RequestContext<RoleServer>) -> Option<CacheScope> {
    is_modern(cx).then_some(CacheScope::Private)
}

impl ServerHandler for McpHandler {
    fn get_info(&self) -> ServerConfig {
        info()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        if let (Some(connection), Some(token)) = (&self.connection, self.token(&cx)) {
            let _first_only = connection.token.set(token);
        }
        let mut info = self.negotiate_initialize(&request)?;
        cx.peer.set_peer_info(request);
        if self.connection.is_none() {
            // Over HTTP nothing can be told to a client of the older era between its requests.
            info.capabilities.resources = Some(Default::default());
            info.capabilities.prompts = Some(Default::default());
        }
        info.instructions = self.instructions(&cx);
        Ok(info)
    }

    async fn on_initialized(&self, cx: NotificationContext<RoleServer>) {
        let asker = cx.extensions.get::<Asker>().map(|asker| Arc::clone(&asker.0));
        if let (Some(connection), Some(peer)) = (&self.connection, asker) {
            watch::tell(Arc::clone(&self.front), Arc::clone(connection), peer, cx.peer);
        }
    }

    async fn discover(&self, cx: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut info = self.get_info();
        info.instructions = self.instructions(&cx);
        Ok(DiscoverResult::from_server_info(self.supported_protocol_versions().into_owned(), info))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (_, caller) = self.who(&cx)?;
        let may = |entry: &&Entry| self.front.backend.may(&caller, entry.verb);
        let tools: Vec<Tool> = TOOLS.iter().filter(may).map(|entry| entry.tool.clone()).collect();
        let mut result = ListToolsResult::with_all_items(tools);
        result.cache_scope = private(&cx);
        Ok(result)
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (peer, caller) = self.who(&cx)?;
        let unknown = || ErrorData::invalid_params("no such tool", None);
        let entry = find(&params.name).ok_or_else(unknown)?;
        if !self.front.backend.may(&caller, entry.verb) {
            return match self.front.refuse(&peer, &caller, self.token(&cx).as_ref(), entry.verb).await {
                Some(fault) => Ok(Self::refused(&fault).into()),
                None => Err(unknown()),
            };
        }
        let mut arguments = params.arguments.clone().unwrap_or_default();
        let call = elicit::Call::of(peer.uid, &params.name, &arguments);
        let told = call.told(&params);
        let may_ask = told.is_none() && caller.agent_of.is_none();
        if let Some(reason) = told.flatten() {
            elicit::give(&mut arguments, reason);
        }
        let mut answer = self.call(&cx, &peer, &caller, entry, &arguments).await;
        if let Err(fault) = &answer
            && may_ask
            && elicit::is_missing(fault, &arguments)
        {
            if is_modern(&cx) {
                let shows_forms = elicit::shows_forms(cx.meta.client_capabilities().as_ref());
                if let Some(asks) = call.asks(fault).filter(|_| shows_forms) {
                    return Ok(asks.into());
                }
            } else if self.connection.is_some()
                // Over HTTP nothing can be asked of a client of the older era.
                && elicit::shows_forms(cx.peer.peer_info().map(|info| info.capabilities.clone()).as_ref())
                && let Some(reason) = elicit::ask(&self.front, &cx, fault).await
            {
                elicit::give(&mut arguments, reason);
                answer = self.call(&cx, &peer, &caller, entry, &arguments).await;
            }
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(fault) => return Ok(Self::refused(&fault).into()),
        };
        if let (Reply::Watching(reply), Some(connection)) = (&reply, &self.connection) {
            let uri = watch::watched_uri(&reply.session_id);
            if let Err(fault) = self.keep_watch(connection, uri, reply.watching) {
                return Ok(Self::refused(&fault).into());
            }
        }
        let (Ok(value), Ok(text)) = (serde_json::to_value(&reply), serde_json::to_string(&reply)) else {
            return Err(defect());
        };
        if text.len() > ANSWER_BYTES_MAX {
            let fault =
                Fault::new(FaultCode::Internal, "the answer is too large").hint("ask for a smaller page");
            return Ok(Self::refused(&fault).into());
        }
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        result.structured_content = Some(value);
        Ok(result.into())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        find(name).map(|entry| entry.tool.clone())
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (peer, caller) = self.who(&cx)?;
        let mut result = ListResourcesResult::default();
        let cursor = page.and_then(|page| page.cursor);
        let first_page = cursor.is_none();
        let in_documents = cursor.as_deref().filter(|cursor| cursor.starts_with('d')).map(str::to_owned);
        if in_documents.is_none() && self.front.backend.may(&caller, Verb::ListSessions) {
            let request = Request::ListSessions(ListSessions { cursor, ..Default::default() });
            let Reply::Sessions(reply) =
                self.ask(&cx, &peer, &caller, request).await.map_err(|f| as_error(&f))?
            else {
                return Err(defect());
            };
            result.next_cursor = reply.next_cursor;
            result.resources = reply
                .sessions
                .iter()
                .map(|session| {
                    let name = session.title.clone().unwrap_or_else(|| session.session_id.clone());
                    rmcp::model::Resource::new(session_uri(&session.session_id), name)
                        .with_description(format!("{} session of {}", session.agent, session.owner_person))
                        .with_mime_type("application/json")
                })
                .collect();
        }
        if result.next_cursor.is_none() && self.front.backend.may(&caller, Verb::ReadDocs) {
            let request = Request::ReadDocs(GetContext { cursor: in_documents, ..GetContext::default() });
            let Reply::Context(reply) =
                self.ask(&cx, &peer, &caller, request).await.map_err(|f| as_error(&f))?
            else {
                return Err(defect());
            };
            result.next_cursor = reply.next_cursor;
            result.resources.extend(reply.index.into_iter().map(|row| {
                rmcp::model::Resource::new(document_uri(&row.id), row.id)
                    .with_description(row.description)
                    .with_mime_type("text/markdown")
            }));
        }
        if first_page && self.front.backend.may(&caller, Verb::ReadInbox) {
            let inbox = rmcp::model::Resource::new(INBOX, "inbox")
                .with_description("Your messages, and who read sessions of yours")
                .with_mime_type("application/json");
            result.resources.insert(0, inbox);
        }
        result.cache_scope = private(&cx);
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut result = ListResourceTemplatesResult::with_all_items(vec![
            ResourceTemplate::new(session_uri("{session_id}"), "session")
                .with_description("A session's metadata")
                .with_mime_type("application/json"),
            ResourceTemplate::new(transcript_uri("{session_id}"), "transcript")
                .with_description("The end of what a session showed")
                .with_mime_type("text/markdown"),
            ResourceTemplate::new(document_uri("{+id}"), "document")
                .with_description("A shared document")
                .with_mime_type("text/markdown"),
        ]);
        result.cache_scope = private(&cx);
        Ok(result)
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let (peer, caller) = self.who(&cx)?;
        let resource = Resource::parse(&params.uri).ok_or_else(|| no_resource(&params.uri))?;
        let (request, mime) = match resource {
            Resource::Inbox => {
                if !self.front.backend.may(&caller, Verb::ReadInbox) {
                    return Err(no_resource(&params.uri));
                }
                (Request::Inbox(Inbox::default()), "application/json")
            }
            Resource::Document(id) => (Request::ReadDocument(DocRef { id: id.to_string() }), "text/markdown"),
            Resource::Session(session_id) => {
                (Request::ShowSession(SessionRef { session_id }), "application/json")
            }
            Resource::Transcript(session_id) => (
                Request::ReadSession(GetSessionData {
                    session_id,
                    tail_chars: i64::try_from(CONTENT_CHARS_MAX).ok(),
                    format: Some(ContentFormat::Markdown),
                    ..Default::default()
                }),
                "text/markdown",
            ),
        };
        let text = match self.ask(&cx, &peer, &caller, request).await.map_err(|fault| as_error(&fault))? {
            Reply::Content(reply) => reply.content,
            Reply::Document(reply) => reply.content,
            reply => serde_json::to_string(&reply).map_err(|_| defect())?,
        };
        let contents = ResourceContents::text(text, params.uri).with_mime_type(mime);
        let mut result = ReadResourceResult::new(vec![contents]);
        result.cache_scope = private(&cx);
        Ok(result.into())
    }

    async fn subscribe(
        &self,
        params: SubscribeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.connection.is_none() {
            return Err(ErrorData::method_not_found::<SubscribeRequestMethod>());
        }
        self.watch_legacy(&cx, &params.uri, true).await
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if self.connection.is_none() {
            return Err(ErrorData::method_not_found::<UnsubscribeRequestMethod>());
        }
        self.watch_legacy(&cx, &params.uri, false).await
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed;
        accepted.prompts_list_changed = requested.prompts_list_changed;
        accepted.resources_list_changed = requested.resources_list_changed;
        accepted.resource_subscriptions = requested.resource_subscriptions.as_ref().map(|uris| {
            let most = self.front.backend.limits().watched;
            uris.iter().filter(|uri| Resource::parse(uri).is_some()).take(most).cloned().collect()
        });
        Some(accepted)
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let cx = subscription.request_context();
        let peer = asker(cx)?;
        let token = self.token(cx);
        let mut events = self.front.backend.watch();
        let uris = subscription.accepted().resource_subscriptions.clone().unwrap_or_default();
        let tools = subscription.accepted().tools_list_changed == Some(true);
        let prompts = subscription.accepted().prompts_list_changed == Some(true);
        let resources = subscription.accepted().resources_list_changed == Some(true);
        let mut listed = watch::listed(&self.front, &peer, token.as_ref());
        let mut pace = Pace::default();
        loop {
            let late = pace.due_at();
            let event = tokio::select! {
                biased;
                () = subscription.cancelled() => return Ok(()),
                () = self.front.drain.cancelled() => return Ok(()),
                event = events.recv() => Some(event),
                () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => None,
            };
            let Some(event) = event else {
                for (uri, of) in pace.due(Instant::now()) {
                    if watch::may_see(&self.front, &peer, token.as_ref(), &of)
                        && subscription.sink().notify_resource_updated(uri).await.is_err()
                    {
                        return Ok(());
                    }
                }
                continue;
            };
            let due: Vec<String> = match event {
                event @ (Ok(Event::Catalogue) | Err(RecvError::Lagged(_))) => {
                    let now = watch::listed(&self.front, &peer, token.as_ref());
                    let was = std::mem::replace(&mut listed, now);
                    let sink = subscription.sink();
                    if (tools && was.tools != now.tools && sink.notify_tool_list_changed().await.is_err())
                        || (prompts
                            && was.prompt != now.prompt
                            && sink.notify_prompt_list_changed().await.is_err())
                        || (resources
                            && was.documents != now.documents
                            && sink.notify_resource_list_changed().await.is_err())
                    {
                        return Ok(());
                    }
                    match event {
                        Ok(_) => continue,
                        Err(_) => watch::may_know(&self.front, &peer, token.as_ref(), uris.clone()),
                    }
                }
                Ok(Event::Documents(changes)) => {
                    let (list, due) =
                        watch::documents(&self.front, &peer, token.as_ref(), &changes, uris.iter());
                    if list && resources && subscription.sink().notify_resource_list_changed().await.is_err()
                    {
                        return Ok(());
                    }
                    due
                }
                Ok(event @ (Event::Session(_) | Event::Inbox { .. })) => {
                    let due: Vec<String> =
                        uris.iter().filter(|uri| watch::is_about(uri, &event)).cloned().collect();
                    if due.is_empty() || !watch::may_see(&self.front, &peer, token.as_ref(), &event) {
                        continue;
                    }
                    pace.now(due, &event, Instant::now())
                }
                Err(RecvError::Closed) => return Ok(()),
            };
            for uri in due {
                if subscription.sink().notify_resource_updated(uri).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (_, caller) = self.who(&cx)?;
        let prompts = Kind::of(&caller).map(Kind::listed).into_iter().collect();
        let mut result = ListPromptsResult::with_all_items(prompts);
        result.cache_scope = private(&cx);
        Ok(result)
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let (_, caller) = self.who(&cx)?;
        let kind = Kind::of(&caller)
            .filter(|kind| kind.name() == params.name)
            .ok_or_else(|| ErrorData::invalid_params("no such prompt", None))?;
        let may = |entry: &&Entry| self.front.backend.may(&caller, entry.verb);
        let tools: Vec<(&str, &str)> = TOOLS
            .iter()
            .filter(may)
            .map(|entry| (entry.tool.name.as_ref(), entry.tool.description.as_deref().unwrap_or_default()))
            .collect();
        let configured = self.front.backend.prompt(&caller);
        let text = prompts::text(kind, &caller, &tools, configured.as_deref(), params.arguments.as_ref())
            .map_err(|why| ErrorData::invalid_params(why, None))?;
        let message = PromptMessage::new_text(rmcp::model::Role::User, text);
        let mut result = GetPromptResult::new(vec![message]);
        result.description = kind.listed().description;
        Ok(result.into())
    }

    async fn complete(
        &self,
        _params: CompleteRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method: String = request.method.chars().take(64).collect();
        let removed = is_modern(&cx) && LEGACY_METHODS.contains(&method.as_str());
        Err(if METHODS.contains(&method.as_str()) && !removed {
            ErrorData::invalid_params(format!("{method}: the parameters are not those of MCP"), None)
        } else {
            ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None)
        })
    }
}

/// What this server says of itself.
pub fn info() -> ServerConfig {
    let capabilities = ServerCapabilities::builder()
        .enable_tools()
        .enable_tool_list_changed()
        .enable_resources()
        .enable_resources_subscribe()
        .enable_resources_list_changed()
        .enable_prompts()
        .enable_prompts_list_changed()
        .build();
    InitializeResult::new(capabilities).with_server_info(
        Implementation::new("teleclaude", env!("CARGO_PKG_VERSION")).with_title("teleclaude"),
    )
}
