//! Tasks, as they are asked for and answered.

use crate::domain::task::{Task, TaskEvent, TaskEventKind, TaskFilter, TaskStatus};
use crate::domain::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Arguments of `create_user_task`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// Who is to do it: a name, or enough of one to tell who is meant.
    pub user: String,
    /// What is to be done, 1 to 4,000 characters.
    pub description: String,
    /// By when: a day (2026-12-01, its 23:59), a day and a time (2026-12-01 09:00), both with a time zone
    /// (2026-12-01 09:00 Europe/Berlin), or RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// The time zone of a deadline that says none, such as Europe/Berlin; that of the daemon if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// Which tasks an admin lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTasks {
    /// Only tasks of this person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only tasks that this person gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// Only tasks so far; open ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskFilter>,
    /// Only open tasks whose deadline is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<bool>,
    /// Only tasks with this in the description, at most 200 characters; upper and lower case are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// Arguments of `get_user_tasks`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserTasks {
    /// Whose: a name, or enough of one to tell who is meant.
    pub user: String,
    /// Only tasks so far; open ones if absent.
    #[serde(default)]
    pub status: Option<TaskFilter>,
    /// Where the previous page ended.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

impl From<UserTasks> for ListTasks {
    fn from(args: UserTasks) -> Self {
        let UserTasks { user, status, cursor, limit } = args;
        Self { user: Some(user), status, cursor, limit, ..Self::default() }
    }
}

/// Arguments of `get_overdue_tasks`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OverdueTasks {
    /// Where the previous page ended.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

impl From<OverdueTasks> for ListTasks {
    fn from(args: OverdueTasks) -> Self {
        let OverdueTasks { cursor, limit } = args;
        Self { overdue: Some(true), cursor, limit, ..Self::default() }
    }
}

/// Arguments of `get_my_tasks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMyTasks {
    /// Only tasks so far; open ones if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskFilter>,
    /// Only open tasks whose deadline is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<bool>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// One task, by its id or a unique prefix of at least 8 characters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// The task's id, or a unique prefix of at least 8 characters.
    pub task_id: String,
}

/// Arguments of `update_task_status`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTaskStatus {
    /// The task's id, or a unique prefix of at least 8 characters.
    pub task_id: String,
    /// Where it is moved: the assignee moves it on, only who gave it moves it back.
    pub status: TaskStatus,
}

impl From<UpdateTaskStatus> for UpdateTask {
    fn from(args: UpdateTaskStatus) -> Self {
        let UpdateTaskStatus { task_id, status } = args;
        Self { task_id, status: Some(status), ..Self::default() }
    }
}

/// A change of a task. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateTask {
    /// The task's id, or a unique prefix of at least 8 characters.
    pub task_id: String,
    /// Where it is moved: the assignee moves it on, only who gave it moves it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// What is to be done, 1 to 4,000 characters (who gave it, and admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// By when, as when it was given; null takes the deadline away (who gave it, and admins).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub deadline: Option<Option<String>>,
    /// The time zone of a deadline that says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The version that was seen: if the task has changed since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub version: Option<i64>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskReply {
    /// The key.
    pub task_id: String,
    /// Who is to do it.
    pub assignee: String,
    /// Who gave it.
    pub creator: String,
    /// What is to be done.
    pub description: String,
    /// By when; absent if it has no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// How far it is.
    pub status: TaskStatus,
    /// Whether its deadline is over and it is not completed.
    pub overdue: bool,
    /// When it was given.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// When it was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// Counts its changes.
    #[schemars(range(min = 1))]
    pub version: i64,
    /// What happened to it, the newest 50 first; only where one task was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<TaskEventRow>>,
}

impl TaskReply {
    /// The task as it is at `now`.
    pub fn of(task: &Task, now: Timestamp) -> Self {
        Self {
            task_id: task.id.to_string(),
            assignee: task.assignee.name.clone(),
            creator: task.creator.name.clone(),
            description: task.description.as_str().to_owned(),
            deadline: task.deadline.map(|at| at.to_string()),
            status: task.status,
            overdue: task.is_overdue(now),
            created_at: task.created.to_string(),
            updated_at: task.updated.to_string(),
            completed_at: task.completed.map(|at| at.to_string()),
            version: task.version,
            history: None,
        }
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEventRow {
    /// When.
    pub at: String,
    /// Who did it, by their name then.
    pub actor: String,
    /// What.
    pub kind: TaskEventKind,
    /// More, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<&TaskEvent> for TaskEventRow {
    fn from(event: &TaskEvent) -> Self {
        Self {
            at: event.at.to_string(),
            actor: event.actor_name.clone(),
            kind: event.kind,
            detail: event.detail.clone(),
        }
    }
}

/// A page of tasks: those due first stand first and undated ones last; with completed ones among them the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TasksReply {
    /// The tasks.
    pub tasks: Vec<TaskReply>,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// To a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDeletedReply {
    /// The task.
    pub task_id: String,
    /// Always true: one that is not there is not found.
    pub deleted: bool,
}
