//! Who may do what with a task: whose it is and who gave it decide, beside the role.

use crate::domain::caller::{Caller, Role};
use crate::domain::policy::Denied;
use crate::domain::task::{Step, Task, TaskChange};

/// Whether the caller may know of this task: it is theirs, they gave it, or they are an admin. An agent knows of what
/// its owner is to do.
pub(super) fn know(caller: &Caller, task: &Task) -> Result<(), Denied> {
    let (mine, gave) = of(caller, task);
    let known = if caller.agent_of.is_some() { mine } else { mine || gave || caller.role == Role::Admin };
    if known { Ok(()) } else { Err(Denied::Hidden) }
}

/// Whether the caller may change it so. On: whose it is, and admins. Back: who gave it. What it says: who gave it, and
/// admins; never an agent.
pub(super) fn change(caller: &Caller, change: &TaskChange) -> Result<(), Denied> {
    know(caller, &change.task)?;
    let (mine, gave) = of(caller, &change.task);
    let admin = caller.role == Role::Admin && caller.agent_of.is_none();
    if change.edits() && (caller.agent_of.is_some() || !(gave || admin)) {
        return Err(Denied::TaskText);
    }
    match change.step() {
        Step::Forward if !(mine || admin) => Err(Denied::TaskStep(Step::Forward)),
        Step::Back if !gave => Err(Denied::TaskStep(Step::Back)),
        _ => Ok(()),
    }
}

/// Whether it is the caller's, and whether they gave it.
fn of(caller: &Caller, task: &Task) -> (bool, bool) {
    let person = caller.person.as_ref().map(|person| person.id);
    (person == Some(task.assignee.id), person == Some(task.creator.id))
}
