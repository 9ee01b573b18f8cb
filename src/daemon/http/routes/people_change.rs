//! Paths that change people, and those about bans.

use crate::daemon::http::routes::row::{Route, delete, get, patch, post, put};
use crate::domain::verb::Verb;
use crate::wire::people_change::{
    BannedReply, BansReply, BulkReply, ChangePeople, LiftedReply, MergedReply, PersonChangedReply,
    PersonPurgedReply, WarnedReply,
};
use crate::wire::request::Request;

/// The rows.
pub fn rows() -> Vec<Route> {
    let mut rows = of_one();
    rows.extend([
        post(
            "/people/bulk",
            "bulk_people",
            Verb::BulkPeople,
            "Switches the people whom a filter leaves on or off, or deletes them: a hundred at a time.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Bulk(args)))
        .gives::<BulkReply>(),
        get("/bans", "list_bans", Verb::ListBans, "Lists bans, newest first.")
            .query(Request::ListBans)
            .gives::<BansReply>(),
        post(
            "/bans",
            "ban_person",
            Verb::BanPerson,
            "Bans a person or a uid, until a moment or for good; again, it replaces the ban that is in force.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Ban(args)))
        .gives::<BannedReply>(),
        post(
            "/bans/lift",
            "lift_ban",
            Verb::LiftBan,
            "Lifts the ban of a person or a uid, and forgets their warnings.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Lift(args)))
        .gives::<LiftedReply>(),
    ]);
    rows
}

fn of_one() -> Vec<Route> {
    vec![
        post("/people", "add_person", Verb::AddPerson, "Adds a person.")
            .body(|args| Request::ChangePeople(ChangePeople::Add(args)))
            .created::<PersonChangedReply>(),
        patch(
            "/people/{person}",
            "update_person",
            Verb::UpdatePerson,
            "Changes what is kept of a person; only what is given.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Update(args)))
        .guarded("if_updated_at")
        .versioned("updated_at")
        .gives::<PersonChangedReply>(),
        put("/people/{person}/role", "set_person_role", Verb::SetPersonRole, "Gives a person another role.")
            .body(|args| Request::ChangePeople(ChangePeople::Role(args)))
            .gives::<PersonChangedReply>(),
        put(
            "/people/{person}/status",
            "set_person_status",
            Verb::SetPersonStatus,
            "Switches a person on or off, or brings one back who was deleted.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Status(args)))
        .gives::<PersonChangedReply>(),
        delete(
            "/people/{person}",
            "delete_person",
            Verb::DeletePerson,
            "Deletes a person; sessions and the audit log keep the name.",
        )
        .path(|args| Request::ChangePeople(ChangePeople::Delete(args)))
        .gives::<PersonChangedReply>(),
        post(
            "/people/{person}/purge",
            "purge_person",
            Verb::PurgePerson,
            "Removes all that is kept of a person who owns no session.",
        )
        .path(|args| Request::ChangePeople(ChangePeople::Purge(args)))
        .gives::<PersonPurgedReply>(),
        post(
            "/people/{person}/merge",
            "merge_people",
            Verb::MergePeople,
            "Makes one person of two: tasks, messages and notes become the other's.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Merge(args)))
        .gives::<MergedReply>(),
        post(
            "/people/{person}/warnings",
            "warn_person",
            Verb::WarnPerson,
            "Warns a person; the second warning bans for a while.",
        )
        .body(|args| Request::ChangePeople(ChangePeople::Warn(args)))
        .gives::<WarnedReply>(),
    ]
}
