//! Sessions as people read them: the list, one of them, and what was done.

use crate::cli::answer;
use crate::cli::label;
use crate::cli::render::{
    Cell, DIM, GREEN, Look, YELLOW, ago, cell, moment, more, pairs, short, short_length, table, visible,
};
use crate::wire::session::{SentReply, SessionReply, SessionsReply, StartedReply};

/// The list.
pub fn page(reply: &SessionsReply, look: &Look) -> String {
    if reply.sessions.is_empty() {
        return format!("No sessions.\n{}", more(reply.next_cursor.as_deref(), look));
    }
    let length = short_length(reply.sessions.iter().map(|s| s.session_id.as_str()));
    let mut rows: Vec<Vec<Cell>> = reply
        .sessions
        .iter()
        .map(|s| {
            vec![
                cell(short(&s.session_id, length)),
                status_cell(s),
                cell(&s.agent),
                cell(project_name(s)),
                cell(&s.owner_person),
                cell(ago(&s.last_activity, look)),
                cell(s.title.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    let mut head = vec!["ID", "STATUS", "AGENT", "PROJECT", "OWNER", "ACTIVE", "TITLE"];
    if reply.sessions.iter().any(|s| !s.labels.is_empty()) {
        head.push("LABELS");
        for (row, session) in rows.iter_mut().zip(&reply.sessions) {
            row.push(cell(label::shown(&session.labels)));
        }
    }
    format!("{}{}", table(&head, &rows, look), more(reply.next_cursor.as_deref(), look))
}

fn status_cell(s: &SessionReply) -> Cell {
    let sgr = match s.status.as_str() {
        "running" => GREEN,
        "ended" => DIM,
        _ => YELLOW,
    };
    cell(status_text(s)).sgr(sgr)
}

fn status_text(s: &SessionReply) -> String {
    match s.activity.as_deref().or(s.exit.as_deref()) {
        Some(more) => format!("{} ({more})", s.status),
        None => s.status.clone(),
    }
}

/// The configured name, else the folder's own.
fn project_name(s: &SessionReply) -> &str {
    let folder = || s.project_path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&s.project_path);
    s.project.as_deref().unwrap_or_else(folder)
}

/// One session.
pub fn one(s: &SessionReply, look: &Look) -> String {
    let attached = s.attached.iter().map(|a| {
        let how = if a.input { "typing" } else { "watching" };
        format!("{} ({how}, since {})", a.person, moment(&a.since, look))
    });
    let attached: Vec<String> = attached.collect();
    let actor = (s.actor_person != s.owner_person).then(|| s.actor_person.clone());
    let rows = [
        ("Session", Some(s.session_id.clone())),
        ("Title", s.title.clone()),
        ("Status", Some(status_text(s))),
        ("Owner", Some(format!("{} (uid {})", s.owner_person, s.owner_uid))),
        ("Started by", actor),
        ("Agent", Some(format!("{}, {}, {}", s.agent, s.thinking_mode, s.profile))),
        ("Project", s.project.clone()),
        ("Folder", Some(s.project_path.clone())),
        ("Subdir", s.subdir.clone()),
        ("Worktree", s.worktree_path.clone()),
        ("Branch", s.worktree_branch.clone()),
        ("Computer", Some(s.computer.clone())),
        ("Child of", s.parent_session_id.clone()),
        ("Agent's id", s.native_session_id.clone()),
        ("Labels", (!s.labels.is_empty()).then(|| label::shown(&s.labels))),
        ("Attached", (!attached.is_empty()).then(|| attached.join(", "))),
        ("Created", Some(moment(&s.created_at, look))),
        ("Active", Some(moment(&s.last_activity, look))),
        ("Ended", s.ended_at.as_deref().map(|at| moment(at, look))),
    ];
    let mut text = pairs(&rows, look);
    for row in &s.needs_input {
        let since = moment(&row.since, look);
        let asked = answer::asked(row);
        text.push_str(&format!("\nAsks since {since} ({}):\n{asked}\n", visible(&row.request_id)));
    }
    text
}

/// A session that was started, and what people are told about recording.
pub fn started(reply: &StartedReply, look: &Look) -> String {
    let notice = reply.notice.as_deref().map(visible).map(|n| format!("\n{n}\n"));
    format!("{}{}", one(&reply.session, look), notice.unwrap_or_default())
}

/// A message that was taken.
pub fn sent(reply: &SentReply) -> String {
    format!("{}\n", visible(&format!("{} {}", reply.message_id, reply.state)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::domain::label::Labels;

    fn session(id: &str) -> SessionReply {
        SessionReply {
            session_id: id.to_owned(),
            title: Some("Fix the login page".to_owned()),
            owner_person: "ann".to_owned(),
            owner_uid: 1000,
            actor_person: "ann".to_owned(),
            computer: "build-1".to_owned(),
            project: Some("web".to_owned()),
            project_path: "/srv/web".to_owned(),
            subdir: None,
            worktree_path: None,
            worktree_branch: None,
            agent: "claude".to_owned(),
            thinking_mode: "slow".to_owned(),
            profile: "full".to_owned(),
            status: "running".to_owned(),
            activity: Some("idle".to_owned()),
            exit: None,
            parent_session_id: None,
            native_session_id: None,
            created_at: "2026-11-21T10:00:00Z".to_owned(),
            last_activity: "2026-11-21T11:57:00Z".to_owned(),
            ended_at: None,
            open_requests: 0,
            needs_input: Vec::new(),
            labels: Labels::new(),
            version: None,
            attached: Vec::new(),
        }
    }

    fn ended_one(id: &str) -> SessionReply {
        SessionReply {
            title: None,
            owner_person: "bob".to_owned(),
            owner_uid: 1001,
            project: None,
            project_path: "/home/bob/things/".to_owned(),
            status: "ended".to_owned(),
            activity: None,
            exit: Some("signal 15".to_owned()),
            ended_at: Some("2026-11-20T11:00:00Z".to_owned()),
            last_activity: "2026-11-20T11:00:00Z".to_owned(),
            ..session(id)
        }
    }

    #[test]
    fn the_list() {
        let reply = SessionsReply {
            sessions: vec![
                session("019a5d2e-1111-7000-8000-000000000001"),
                ended_one("019a5d2e-2222-7000-8000-000000000002"),
            ],
            next_cursor: Some("abc".to_owned()),
        };
        insta::assert_snapshot!(page(&reply, &plain()), @r"
        ID          STATUS             AGENT   PROJECT  OWNER  ACTIVE  TITLE
        019a5d2e-1  running (idle)     claude  web      ann    3m ago  Fix the login page
        019a5d2e-2  ended (signal 15)  claude  things   bob    1d ago
        more: --cursor abc
        ");
        assert_eq!(page(&SessionsReply { sessions: vec![], next_cursor: None }, &plain()), "No sessions.\n");
    }

    #[test]
    fn colours_only_when_asked() {
        let reply = SessionsReply {
            sessions: vec![session("019a5d2e-1111-7000-8000-000000000001")],
            next_cursor: None,
        };
        assert!(!page(&reply, &plain()).contains('\x1b'));
        let coloured = page(&reply, &Look { colour: true, ..plain() });
        assert!(coloured.contains("\x1b[32mrunning (idle)\x1b[0m"), "{coloured:?}");
    }

    #[test]
    fn a_title_cannot_command_the_terminal() {
        let bomb = "\x1b]52;c;cm0=\x07\x1b[2J\u{9b}5n\r\u{202e}txt";
        let mut s = session("019a5d2e-1111-7000-8000-000000000001");
        s.title = Some(bomb.to_owned());
        s.project = Some(bomb.to_owned());
        s.exit = Some(bomb.to_owned());
        let reply = SessionsReply { sessions: vec![s.clone()], next_cursor: Some(bomb.to_owned()) };
        for text in [page(&reply, &plain()), one(&s, &plain())] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert!(text.contains("\\x1b"), "{text:?}");
        }
    }

    #[test]
    fn one_session() {
        insta::assert_snapshot!(one(&session("019a5d2e-1111-7000-8000-000000000001"), &plain()), @r"
        Session     019a5d2e-1111-7000-8000-000000000001
        Title       Fix the login page
        Status      running (idle)
        Owner       ann (uid 1000)
        Agent       claude, slow, full
        Project     web
        Folder      /srv/web
        Computer    build-1
        Created     2026-11-21T10:00:00Z (2h ago)
        Active      2026-11-21T11:57:00Z (3m ago)
        ");
        let child = SessionReply {
            actor_person: "ann".to_owned(),
            parent_session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            ..ended_one("019a5d2e-2222-7000-8000-000000000002")
        };
        insta::assert_snapshot!(one(&child, &plain()), @r"
        Session     019a5d2e-2222-7000-8000-000000000002
        Status      ended (signal 15)
        Owner       bob (uid 1001)
        Started by  ann
        Agent       claude, slow, full
        Folder      /home/bob/things/
        Computer    build-1
        Child of    019a5d2e-1111-7000-8000-000000000001
        Created     2026-11-21T10:00:00Z (2h ago)
        Active      2026-11-20T11:00:00Z (1d ago)
        Ended       2026-11-20T11:00:00Z (1d ago)
        ");
    }

    #[test]
    fn what_was_done() {
        let reply = StartedReply {
            session: session("019a5d2e-1111-7000-8000-000000000001"),
            notice: Some("Sessions on this system are subject to admin audit.".to_owned()),
        };
        assert!(
            started(&reply, &plain()).ends_with("\n\nSessions on this system are subject to admin audit.\n")
        );
        let id = || "019a5d2e".to_owned();
        let reply = SentReply { session_id: id(), message_id: "m1".to_owned(), state: "pending".to_owned() };
        assert_eq!(sent(&reply), "m1 pending\n");
    }
}
