//! The policy as a picture: every action, for every role, as human and as agent. A change of rights is a
//! change of this table.

use super::{Denied, Rules, judge};
use crate::domain::action::{
    Action, NewAnswer, NewMessage, NewSession, Resumption, SearchQuery, SessionQuery, Window,
};
use crate::domain::activity::ActivityQuery;
use crate::domain::audit_format::AuditFormat;
use crate::domain::caller::{Caller, PersonRef, Role, Rule, Via};
use crate::domain::credential::{CredentialChange, CredentialName, CredentialValue, Holder, Secret};
use crate::domain::document::DocsQuery;
use crate::domain::export::ExportFormat;
use crate::domain::hold::HoldScope;
use crate::domain::job::Job;
use crate::domain::label::Labels;
use crate::domain::letter::{Addressee, Into, Letter, LetterText};
use crate::domain::notice::{InboxQuery, Mark, NoticeKind};
use crate::domain::people_change::{
    Account, BanQuery, Banned, Bulk, Details, NewPerson, PeopleChange, PersonChange, PersonName,
};
use crate::domain::people_query::PeopleQuery;
use crate::domain::person::{Person, PersonId, PersonStatus, Standing};
use crate::domain::question::Answer;
use crate::domain::session::{Profile, Session, SessionId, SessionStatus, SessionTitle, ThinkingMode};
use crate::domain::task::{Task, TaskChange, TaskId, TaskStatus, TaskText};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{Day, UsageQuery};
use std::fmt::Write as _;
use uuid::Uuid;

const ANN: PersonId = PersonId(Uuid::from_u128(1));
const BOB: PersonId = PersonId(Uuid::from_u128(2));
const AGENT: SessionId = SessionId(Uuid::from_u128(10));

fn rules() -> Rules {
    Rules {
        max_sessions: 8,
        profile: Profile::Full,
        steer_others: false,
        require_reason: true,
        agents_may_start: true,
    }
}

fn ann(role: Role) -> Caller {
    Caller {
        uid: 1000,
        gid: 1000,
        groups: vec![],
        os_username: Some("ann".to_owned()),
        person: (role > Role::Public).then(|| PersonRef { id: ANN, name: "ann".to_owned() }),
        role,
        standing: Standing::Active,
        rule: Rule { text: "test".to_owned(), origin: None },
        via: Via::Mcp,
        agent_of: None,
    }
}

fn session(id: u128, owner: PersonId, owner_uid: u32, parent: Option<SessionId>) -> Box<Session> {
    Box::new(Session {
        id: SessionId(Uuid::from_u128(id)),
        title: None,
        owner,
        owner_name: "somebody".to_owned(),
        owner_uid,
        actor_name: "somebody".to_owned(),
        computer: "c".to_owned(),
        project: None,
        project_path: "/srv/p".to_owned(),
        subdir: None,
        worktree: None,
        agent: "claude".to_owned(),
        thinking_mode: ThinkingMode::Slow,
        profile: Profile::Full,
        status: SessionStatus::Running,
        activity: None,
        exit: None,
        parent,
        native_id: None,
        client_id: None,
        created: Timestamp::from_micros(0),
        last_activity: Timestamp::from_micros(0),
        ended: None,
    })
}

fn new_session() -> NewSession {
    NewSession {
        id: AGENT,
        title: None,
        project: None,
        project_name: "p".to_owned(),
        project_path: "/srv/p".to_owned(),
        subdir: None,
        worktree: false,
        open: true,
        agent: "claude".to_owned(),
        can_be_restricted: true,
        thinking_mode: ThinkingMode::Slow,
        labels: Labels::new(),
        message: None,
        client_id: None,
        existing: None,
        open_sessions: 0,
    }
}

fn message() -> Box<NewMessage> {
    Box::new(NewMessage { id: Uuid::nil(), text: "hi".to_owned(), slash: false, client_id: None })
}

fn why() -> Option<String> {
    Some("an incident".to_owned())
}

fn sessions_of(owner: Option<&str>) -> Action {
    Action::ListSessions(Box::new(SessionQuery {
        owner: owner.map(str::to_owned),
        ..SessionQuery::default()
    }))
}

fn usage(person: Option<&str>) -> Box<UsageQuery> {
    Box::new(UsageQuery {
        by: vec![],
        person: person.map(str::to_owned),
        project: None,
        agent: None,
        model: None,
        since: Day::from_number(0),
        until: Day::from_number(1),
        after: None,
        limit: 1,
    })
}

fn activity(session: Option<Box<Session>>, person: Option<&str>) -> Action {
    let person = person.map(str::to_owned);
    Action::ListActivity(Box::new(ActivityQuery { session, person, ..ActivityQuery::default() }))
}

fn labelling(session: Box<Session>, reason: Option<String>) -> Action {
    Action::LabelSession { session, set: Labels::new(), remove: vec![], seen: None, reason }
}

fn search(reason: Option<String>) -> Action {
    Action::SearchSessions(Box::new(SearchQuery { reason, ..SearchQuery::default() }))
}

fn title() -> SessionTitle {
    SessionTitle::parse("another one").unwrap()
}

fn person(id: PersonId) -> Box<Person> {
    let at = Timestamp::from_micros(0);
    Box::new(Person {
        id,
        name: "somebody".to_owned(),
        visitor: false,
        os_username: None,
        uid: None,
        role: None,
        group_role: None,
        status: PersonStatus::Active,
        first_seen: at,
        last_seen: at,
        full_name: None,
        email: None,
        phone: None,
        notes: String::new(),
        warnings: 0,
        created: at,
        updated: at,
    })
}

fn changing(change: PeopleChange) -> Action {
    Action::ChangePeople(Box::new(change))
}

fn changing_bob(change: PersonChange) -> Action {
    changing(PeopleChange::One { person: person(BOB), change })
}

fn new_person() -> Box<NewPerson> {
    Box::new(NewPerson {
        name: PersonName::parse("eve").unwrap(),
        role: Role::Member,
        details: Details::default(),
        account: Account { uid: None, mapped: None },
    })
}

fn update() -> PersonChange {
    PersonChange::Update { details: Details::default(), version: None, account: None }
}

fn bulk(dry_run: bool) -> PeopleChange {
    let to = PersonStatus::Inactive;
    PeopleChange::Bulk(Bulk { role: Some(Role::Member), status: None, last_seen_before: None, to, dry_run })
}

fn held(person: PersonId, uid: u32) -> Holder {
    Holder::Person { person, uid }
}

fn somebody() -> Person {
    let at = Timestamp::from_micros(0);
    Person {
        id: ANN,
        name: "ann".to_owned(),
        visitor: false,
        os_username: None,
        uid: None,
        role: None,
        group_role: None,
        status: PersonStatus::Active,
        first_seen: at,
        last_seen: at,
        full_name: None,
        email: None,
        phone: None,
        notes: String::new(),
        warnings: 0,
        created: at,
        updated: at,
    }
}

fn put(holder: Holder) -> Action {
    let name = CredentialName::parse("A_KEY").unwrap();
    let value = CredentialValue::parse(Secret::from("invented".to_owned())).unwrap();
    Action::ChangeCredentials { holder, change: Box::new(CredentialChange::Put { name, value, seen: None }) }
}

/// That of an ended session whose owner is a member today, with one thing otherwise.
fn resumption(mut session: Box<Session>, reason: Option<String>, otherwise: fn(&mut Resumption)) -> Action {
    session.status = SessionStatus::Ended;
    let mut owner = Caller { uid: session.owner_uid, ..ann(Role::Member) };
    owner.person = Some(PersonRef { id: session.owner, name: session.owner_name.clone() });
    let mut resumption = Resumption {
        session,
        reason,
        owner,
        profile: Profile::Full,
        max_sessions: 8,
        open_sessions: 7,
        open: true,
        can_be_restricted: true,
        obstacle: None,
    };
    otherwise(&mut resumption);
    Action::ResumeSession(Box::new(resumption))
}

#[test]
fn a_session_is_resumed_with_what_its_owner_may_today() {
    let judged = |otherwise: fn(&mut Resumption)| {
        let action = resumption(session(13, BOB, 1001, None), why(), otherwise);
        let rules = Rules { steer_others: true, profile: Profile::Restricted, max_sessions: 0, ..rules() };
        judge(&ann(Role::Admin), action, &rules).map(|permit| permit.profile())
    };
    assert_eq!(judged(|_| {}), Ok(Profile::Full), "what the admin's own role may does not count");
    assert_eq!(judged(|r| r.profile = Profile::Restricted), Ok(Profile::Restricted));
    assert_eq!(judged(|r| r.owner.role = Role::Contributor), Ok(Profile::Restricted));
    let too_wide = judged(|r| (r.owner.role, r.can_be_restricted) = (Role::Contributor, false));
    assert_eq!(too_wide, Err(Denied::ProfileTooWide("claude".to_owned())));
    assert_eq!(judged(|r| r.open_sessions = 8), Err(Denied::TooManySessions(8)));
    assert_eq!(judged(|r| r.open = false), Err(Denied::ProjectHidden("/srv/p".to_owned())));
    for otherwise in [
        (|r| r.owner.role = Role::Newcomer) as fn(&mut Resumption),
        |r| r.owner.standing = Standing::Off("suspended"),
        |r| r.owner.person = None,
        |r| r.owner.uid += 1,
    ] {
        assert!(matches!(judged(otherwise), Err(Denied::Owner(_))));
    }
    let runs = judged(|r| (r.session.status, r.open, r.open_sessions) = (SessionStatus::Running, false, 8));
    assert_eq!(runs, Ok(Profile::Full), "that it runs is said, not that there are too many");
}

fn letter(admin: bool, into: Into, reason: Option<String>) -> Action {
    let person = PersonRef { id: BOB, name: "bob".to_owned() };
    Action::SendToPerson(Box::new(Letter {
        kind: NoticeKind::Message,
        asked: "bob".to_owned(),
        to: vec![Addressee { person, admin, notice: Uuid::nil() }],
        text: LetterText::parse("hello").unwrap(),
        into,
        reason,
    }))
}

fn into(id: u128, owner: PersonId, owner_uid: u32) -> Into {
    Into::Session(session(id, owner, owner_uid, None), Uuid::nil())
}

fn export(session: Box<Session>, reason: Option<String>) -> Action {
    Action::ExportSession { session, format: ExportFormat::Html, reason }
}

fn answer(session: Box<Session>, reason: Option<String>) -> Action {
    let (answer, text) = (Answer::Yes, "yes".to_owned());
    Action::AnswerSession(Box::new(NewAnswer { session, question: None, answer, text, reason }))
}

type Make = fn(&dyn Fn() -> Box<Session>) -> Action;

/// Actions on a session, made for whichever session the column wants.
const ON_SESSION: &[(&str, Make)] = &[
    ("show", |s| Action::ShowSession(s())),
    ("read", |s| Action::ReadSession { session: s(), window: Window::default(), reason: None }),
    ("read, with reason", |s| Action::ReadSession { session: s(), window: Window::default(), reason: why() }),
    ("export", |s| export(s(), None)),
    ("export, with reason", |s| export(s(), why())),
    ("send", |s| Action::SendMessage { session: s(), message: message(), reason: None }),
    ("send, with reason", |s| Action::SendMessage { session: s(), message: message(), reason: why() }),
    ("end", |s| Action::EndSession { session: s(), remove_worktree: false, reason: None }),
    ("purge", |s| Action::PurgeSession { session: s(), reason: None }),
    ("purge, with reason", |s| Action::PurgeSession { session: s(), reason: why() }),
    ("resume", |s| resumption(s(), None, |_| {})),
    ("resume, with reason", |s| resumption(s(), why(), |_| {})),
    ("interrupt", |s| Action::InterruptSession { session: s(), reason: None }),
    ("interrupt, reason", |s| Action::InterruptSession { session: s(), reason: why() }),
    ("label", |s| labelling(s(), None)),
    ("label, with reason", |s| labelling(s(), why())),
    ("rename", |s| Action::RenameSession { session: s(), title: title(), seen: None, reason: None }),
    ("rename, with reason", |s| Action::RenameSession {
        session: s(),
        title: title(),
        seen: None,
        reason: why(),
    }),
    ("answer", |s| answer(s(), None)),
    ("answer, with reason", |s| answer(s(), why())),
    ("watch", |s| Action::Attach { session: s(), input: false, reason: None }),
    ("watch, with reason", |s| Action::Attach { session: s(), input: false, reason: why() }),
    ("attach", |s| Action::Attach { session: s(), input: true, reason: None }),
    ("attach, with reason", |s| Action::Attach { session: s(), input: true, reason: why() }),
    ("report hook", |s| Action::ReportHook { session: s(), event: Box::default() }),
    ("subscribe", |s| Action::Watch { session: s(), on: true }),
    ("stop_notifications", |s| Action::Watch { session: s(), on: false }),
];

fn task(assignee: PersonId, creator: PersonId) -> Task {
    let person = |id| PersonRef { id, name: "somebody".to_owned() };
    let at = Timestamp::from_micros(0);
    Task {
        id: TaskId(Uuid::nil()),
        assignee: person(assignee),
        creator: person(creator),
        description: TaskText::parse("mow the lawn").unwrap(),
        deadline: None,
        status: TaskStatus::Accepted,
        created: at,
        updated: at,
        completed: None,
        version: 1,
    }
}

fn moved(task: Task, status: Option<TaskStatus>, deadline: Option<Option<Timestamp>>) -> Action {
    Action::UpdateTask(Box::new(TaskChange { task, seen: None, status, description: None, deadline }))
}

type Changing = fn(Task) -> Action;

/// Changes of a task that is accepted.
const TASK_CHANGES: [(&str, Changing); 5] = [
    ("complete", |task| moved(task, Some(TaskStatus::Completed), None)),
    ("accept again", |task| moved(task, Some(TaskStatus::Accepted), None)),
    ("back to pending", |task| moved(task, Some(TaskStatus::Pending), None)),
    ("edit", |task| moved(task, None, Some(None))),
    ("complete and edit", |task| moved(task, Some(TaskStatus::Completed), Some(None))),
];

fn word(caller: &Caller, action: Action, rules: &Rules) -> &'static str {
    match judge(caller, action, rules) {
        Ok(permit) if permit.record().is_some() => "written",
        Ok(_) => "yes",
        Err(Denied::Hidden | Denied::ProjectHidden(_)) => "unseen",
        Err(Denied::Reason(_)) => "reason?",
        Err(_) => "-",
    }
}

fn table(rules: &Rules) -> String {
    let agent = |role| Caller { agent_of: Some(AGENT), ..ann(role) };
    let columns: Vec<(String, Caller)> = Role::ALL
        .into_iter()
        .rev()
        .map(|role| (role.to_string(), ann(role)))
        .chain([
            ("admin's agent".to_owned(), agent(Role::Admin)),
            ("member's agent".to_owned(), agent(Role::Member)),
        ])
        .collect();
    let mut rows: Vec<(String, Box<dyn Fn() -> Action>)> = vec![
        ("whoami".to_owned(), Box::new(|| Action::Whoami)),
        ("health".to_owned(), Box::new(|| Action::Health)),
        ("api".to_owned(), Box::new(|| Action::ShowApi)),
        ("projects".to_owned(), Box::new(|| Action::ListProjects)),
        ("agents".to_owned(), Box::new(|| Action::ListAgents)),
        ("computers".to_owned(), Box::new(|| Action::ListComputers)),
        (
            "docs".to_owned(),
            Box::new(|| {
                Action::ReadDocs(Box::new(DocsQuery::Index { types: vec![], after: None, limit: 50 }))
            }),
        ),
        ("docs: what is wrong".to_owned(), Box::new(|| Action::DocProblems)),
        ("sessions".to_owned(), Box::new(|| sessions_of(None))),
        ("sessions of another".to_owned(), Box::new(|| sessions_of(Some("bob")))),
        ("start".to_owned(), Box::new(|| Action::StartSession(Box::new(new_session())))),
        (
            "start, project closed".to_owned(),
            Box::new(|| Action::StartSession(Box::new(NewSession { open: false, ..new_session() }))),
        ),
        (
            "start, full profile only".to_owned(),
            Box::new(|| {
                Action::StartSession(Box::new(NewSession { can_be_restricted: false, ..new_session() }))
            }),
        ),
        (
            "start, 8 open".to_owned(),
            Box::new(|| Action::StartSession(Box::new(NewSession { open_sessions: 8, ..new_session() }))),
        ),
    ];
    type Which = fn() -> Box<Session>;
    let whose: [(&str, Which); 5] = [
        ("own", || session(11, ANN, 1000, None)),
        ("own child of the agent", || session(12, ANN, 1000, Some(AGENT))),
        ("the agent itself", || session(10, ANN, 1000, None)),
        ("another's", || session(13, BOB, 1001, None)),
        ("same person, other uid", || session(14, ANN, 1002, None)),
    ];
    for (name, make) in ON_SESSION {
        for (whose, which) in whose {
            rows.push((format!("{name}: {whose}"), Box::new(move || make(&which))));
        }
    }
    rows.extend::<Vec<(String, Box<dyn Fn() -> Action>)>>(vec![
        ("search".to_owned(), Box::new(|| search(None))),
        ("search, with reason".to_owned(), Box::new(|| search(why()))),
        ("inbox".to_owned(), Box::new(|| Action::Inbox(Box::default()))),
        (
            "inbox, marking".to_owned(),
            Box::new(|| {
                Action::Inbox(Box::new(InboxQuery { mark: Some(Mark::All), ..InboxQuery::default() }))
            }),
        ),
        ("write to an admin".to_owned(), Box::new(|| letter(true, Into::Inbox, None))),
        ("write to another".to_owned(), Box::new(|| letter(false, Into::Inbox, None))),
        ("write to an admin, into unseen".to_owned(), Box::new(|| letter(true, Into::Unseen, None))),
        ("write into: own".to_owned(), Box::new(|| letter(true, into(11, ANN, 1000), None))),
        ("write into: another's".to_owned(), Box::new(|| letter(true, into(13, BOB, 1001), None))),
        ("write into, reason: another's".to_owned(), Box::new(|| letter(true, into(13, BOB, 1001), why()))),
        ("write into, reason: same person".to_owned(), Box::new(|| letter(true, into(14, ANN, 1002), why()))),
        (
            "summary".to_owned(),
            Box::new(|| match letter(true, Into::Inbox, None) {
                Action::SendToPerson(letter) => Action::SendSummary(letter),
                other => other,
            }),
        ),
        ("who read mine".to_owned(), Box::new(|| Action::WhoReadMine(Box::default()))),
        ("task create".to_owned(), Box::new(|| Action::CreateTask(Box::new(task(ANN, BOB))))),
        ("tasks".to_owned(), Box::new(|| Action::ListTasks(Box::default()))),
        ("tasks, own".to_owned(), Box::new(|| Action::ListMyTasks(Box::default()))),
        ("task delete".to_owned(), Box::new(|| Action::DeleteTask(Box::new(task(ANN, ANN))))),
        ("audit list".to_owned(), Box::new(|| Action::ListAudit(Box::default()))),
        ("audit verify".to_owned(), Box::new(|| Action::VerifyAudit(Box::default()))),
        (
            "audit export".to_owned(),
            Box::new(|| Action::ExportAudit { format: AuditFormat::Bundle, query: Box::default() }),
        ),
        ("audit tail".to_owned(), Box::new(|| Action::FollowAudit { query: Box::default(), after: None })),
        ("audit key".to_owned(), Box::new(|| Action::ShowAuditKeys)),
        ("audit key rotate".to_owned(), Box::new(|| Action::RotateAuditKey)),
        (
            "audit prune".to_owned(),
            Box::new(|| Action::PruneAudit {
                before: Timestamp::from_micros(0),
                dry_run: false,
                by_owner: false,
            }),
        ),
        (
            "audit hold add".to_owned(),
            Box::new(|| Action::PlaceHold {
                id: Uuid::nil(),
                scope: HoldScope::Everything,
                reason: "an incident".to_owned(),
            }),
        ),
        (
            "audit hold release".to_owned(),
            Box::new(|| Action::ReleaseHold { id: Uuid::nil(), reason: "it is over".to_owned() }),
        ),
        ("audit hold list".to_owned(), Box::new(|| Action::ListHolds { all: false })),
        ("usage".to_owned(), Box::new(|| Action::ShowUsage(usage(None)))),
        ("usage of own name".to_owned(), Box::new(|| Action::ShowUsage(usage(Some("ann"))))),
        ("usage of another".to_owned(), Box::new(|| Action::ShowUsage(usage(Some("bob"))))),
        ("activity".to_owned(), Box::new(|| activity(None, None))),
        ("activity of another".to_owned(), Box::new(|| activity(None, Some("bob")))),
        ("metrics".to_owned(), Box::new(|| Action::ReadMetrics)),
        ("config show".to_owned(), Box::new(|| Action::ShowConfig)),
        (
            "config put mine".to_owned(),
            Box::new(|| Action::PutMyConfig { yaml: String::new(), keys: vec![], seen: None }),
        ),
        ("people list".to_owned(), Box::new(|| Action::ListPeople(Box::default()))),
        (
            "people export".to_owned(),
            Box::new(|| Action::ListPeople(Box::new(PeopleQuery { export: true, ..PeopleQuery::default() }))),
        ),
        (
            "people find".to_owned(),
            Box::new(|| Action::FindPerson { query: "bob".to_owned(), deleted: false }),
        ),
        (
            "person show: oneself".to_owned(),
            Box::new(|| Action::ShowPerson { person: Box::new(somebody()), own: true }),
        ),
        (
            "person show: another".to_owned(),
            Box::new(|| Action::ShowPerson { person: Box::new(somebody()), own: false }),
        ),
        ("people stats".to_owned(), Box::new(|| Action::PeopleStats)),
        (
            "explain oneself".to_owned(),
            Box::new(|| Action::ExplainPerson { who: Box::new(ann(Role::Member)), own: true }),
        ),
        (
            "explain another".to_owned(),
            Box::new(|| Action::ExplainPerson { who: Box::new(ann(Role::Member)), own: false }),
        ),
        ("person add".to_owned(), Box::new(|| changing(PeopleChange::Add(new_person())))),
        ("person update".to_owned(), Box::new(|| changing_bob(update()))),
        ("person role".to_owned(), Box::new(|| changing_bob(PersonChange::Role(Role::Admin)))),
        ("person status".to_owned(), Box::new(|| changing_bob(PersonChange::Status(PersonStatus::Active)))),
        ("person delete".to_owned(), Box::new(|| changing_bob(PersonChange::Delete))),
        ("person purge".to_owned(), Box::new(|| changing_bob(PersonChange::Purge))),
        (
            "person merge".to_owned(),
            Box::new(|| changing(PeopleChange::Merge { source: person(BOB), target: person(ANN) })),
        ),
        ("people bulk".to_owned(), Box::new(|| changing(bulk(false)))),
        ("people bulk, dry run".to_owned(), Box::new(|| changing(bulk(true)))),
        ("person warn".to_owned(), Box::new(|| changing_bob(PersonChange::Warn("a reason".to_owned())))),
        (
            "ban".to_owned(),
            Box::new(|| {
                let reason = "a reason".to_owned();
                changing(PeopleChange::Ban { who: Banned::Person(person(BOB)), until: None, reason })
            }),
        ),
        ("ban lift".to_owned(), Box::new(|| changing(PeopleChange::Lift(Banned::Uid(1001))))),
        ("bans".to_owned(), Box::new(|| Action::ListBans(BanQuery::default()))),
        ("reload".to_owned(), Box::new(|| Action::Reload)),
        ("jobs list".to_owned(), Box::new(|| Action::ListJobs)),
        ("jobs run".to_owned(), Box::new(|| Action::RunJob(Job::Retention))),
        ("credentials: own".to_owned(), Box::new(|| Action::ListCredentials(held(ANN, 1000)))),
        ("credentials: another's".to_owned(), Box::new(|| Action::ListCredentials(held(BOB, 1001)))),
        (
            "credentials: same person, other uid".to_owned(),
            Box::new(|| Action::ListCredentials(held(ANN, 1002))),
        ),
        ("credentials: the system's".to_owned(), Box::new(|| Action::ListCredentials(Holder::System))),
        ("credential put: own".to_owned(), Box::new(|| put(held(ANN, 1000)))),
        ("credential put: another's".to_owned(), Box::new(|| put(held(BOB, 1001)))),
        ("credential put: same person, other uid".to_owned(), Box::new(|| put(held(ANN, 1002)))),
        ("credential put: the system's".to_owned(), Box::new(|| put(Holder::System))),
        ("keys show".to_owned(), Box::new(|| Action::ShowKeys)),
        ("key generate".to_owned(), Box::new(|| Action::GenerateKey)),
        ("key rotate".to_owned(), Box::new(|| Action::RotateKey)),
    ]);
    type Given = fn() -> Task;
    let tasks: [(&str, Given); 4] = [
        ("own", || task(ANN, BOB)),
        ("that one gave", || task(BOB, ANN)),
        ("own, from oneself", || task(ANN, ANN)),
        ("another's", || task(BOB, BOB)),
    ];
    for (whose, task) in tasks {
        rows.push((format!("task show: {whose}"), Box::new(move || Action::ShowTask(Box::new(task())))));
        for (name, change) in TASK_CHANGES {
            rows.push((format!("task {name}: {whose}"), Box::new(move || change(task()))));
        }
    }
    let mut text = format!("{:44}", "");
    for (name, _) in &columns {
        let _ = write!(text, "{name:15}");
    }
    for (row, action) in rows {
        let _ = write!(text, "\n{row:44}");
        for (_, caller) in &columns {
            let _ = write!(text, "{:15}", word(caller, action(), rules));
        }
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn roles_by_actions() {
    insta::assert_snapshot!("roles_by_actions", table(&rules()));
}

#[test]
fn roles_by_actions_when_steering_is_on() {
    let open = table(&Rules { steer_others: true, require_reason: false, ..rules() });
    insta::assert_snapshot!("roles_by_actions_steering", open);
}

#[test]
fn nobody_off_duty_may_do_more_than_ask_who_they_are() {
    for standing in
        [Standing::Off("suspended"), Standing::Denied, Standing::Banned { until: None, reason: None }]
    {
        for role in Role::ALL {
            let caller = Caller { standing: standing.clone(), ..ann(role) };
            assert!(judge(&caller, Action::Whoami, &rules()).is_ok());
            for action in
                [Action::Health, Action::ListProjects, Action::Reload, Action::ListAudit(Box::default())]
            {
                assert!(matches!(judge(&caller, action, &rules()), Err(Denied::Standing(_))));
            }
            let own = Action::ReadSession {
                session: session(11, ANN, 1000, None),
                window: Window::default(),
                reason: None,
            };
            assert!(matches!(judge(&caller, own, &rules()), Err(Denied::Standing(_))));
        }
    }
}

#[test]
fn contributors_get_the_restricted_profile_whatever_the_config_says() {
    let profile = |role| {
        judge(&ann(role), Action::StartSession(Box::new(new_session())), &rules()).map(|p| p.profile())
    };
    assert_eq!(profile(Role::Contributor).ok(), Some(Profile::Restricted));
    assert_eq!(profile(Role::Member).ok(), Some(Profile::Full));
}
