//! What is pure and done for each request, row or line: the policy, the people map, the audit hash, cursors, a line of
//! a recording.

use divan::{Bencher, black_box};
use std::time::Duration;
use teleclaude::domain::action::Action;
use teleclaude::domain::audit::{self, AuditDraft, AuditOutcome};
use teleclaude::domain::caller::{Caller, Peer, PersonRef, Role, Rule, Via};
use teleclaude::domain::people::{ConfigPerson, Known, OsUser, PeopleMap, Selector, Sources};
use teleclaude::domain::person::{PersonId, PersonStatus, Standing};
use teleclaude::domain::policy::{self, Rules};
use teleclaude::domain::session::{Profile, SessionId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::recording::{Header, Writer};
use teleclaude::host::spec::Size;
use teleclaude::usecase::cursor;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_micros(1_795_271_509_123_456);

fn main() {
    divan::main();
}

fn caller() -> Caller {
    let Peer { uid, gid, groups, .. } =
        Peer { uid: 1_000, gid: 1_000, groups: vec![4, 24, 27], pid: None, runner: None };
    Caller {
        uid,
        gid,
        groups,
        os_username: Some("ann".to_owned()),
        person: Some(PersonRef { id: PersonId(Uuid::from_u128(1)), name: "ann".to_owned() }),
        role: Role::Admin,
        standing: Standing::Active,
        rule: Rule { text: "person `ann` by os_username ann".to_owned(), origin: None },
        via: Via::Mcp,
        agent_of: None,
    }
}

#[divan::bench]
fn judge(bencher: Bencher) {
    let caller = caller();
    let rules = Rules {
        max_sessions: 8,
        profile: Profile::Full,
        steer_others: false,
        require_reason: true,
        agents_may_start: true,
    };
    bencher.bench(|| policy::judge(black_box(&caller), Action::Whoami, &rules).is_ok());
}

#[divan::bench]
fn audit_hash(bencher: Bencher) {
    let draft = AuditDraft::by(&caller(), "transcript.read", AuditOutcome::Success, NOW, "a request")
        .because(Some("the build has been red since noon"));
    bencher.bench(|| audit::hash("here", 7, black_box(&draft), &[7; 32]));
}

#[divan::bench(args = [10, 100, 1_000])]
fn people_map(bencher: Bencher, people: u32) {
    let person = |i: u32| Known {
        id: PersonId(Uuid::from_u128(u128::from(i))),
        name: format!("p{i}"),
        os_username: None,
        uid: None,
        role: None,
        status: PersonStatus::Active,
    };
    let entry = |i: u32| ConfigPerson {
        name: format!("p{i}"),
        who: vec![Selector::User(format!("u{i}"))],
        role: Role::Member,
        projects: Vec::new(),
        origin: None,
    };
    let map = PeopleMap::new(Sources {
        config: (0..people).map(entry).collect(),
        directory: (0..people).map(person).collect(),
        ..Sources::default()
    });
    let last = OsUser {
        uid: 1_000,
        username: Some(format!("u{}", people - 1)),
        gids: vec![4, 24, 27],
        foreign: false,
    };
    bencher.bench(|| map.resolve(black_box(&last), NOW));
}

#[divan::bench]
fn cursor_there_and_back() -> bool {
    let text = cursor::of_session(NOW, SessionId(Uuid::from_u128(7)));
    cursor::session(black_box(&text)).is_ok()
}

#[divan::bench]
fn recording_line(bencher: Bencher) {
    let folder = tempfile::tempdir().expect("a folder");
    let header = Header::new(Size { cols: 120, rows: 40 }, NOW, None);
    let mut writer =
        Writer::open(&folder.path().join("r.cast"), &header, NOW, u64::MAX).expect("a recording");
    let mut at = NOW;
    bencher.bench_local(|| {
        at = at.plus(Duration::from_millis(3));
        writer.output(
            black_box("\u{1b}[32mok\u{1b}[0m a line of eighty characters, as agents write them\r\n"),
            at,
        )
    });
}
