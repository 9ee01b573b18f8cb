//! Paths about tasks.

use crate::daemon::http::routes::row::{Route, delete, get, patch, post};
use crate::domain::verb::Verb;
use crate::wire::request::Request;
use crate::wire::task::{TaskDeletedReply, TaskReply, TasksReply};

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/tasks",
            "list_tasks",
            Verb::ListTasks,
            "Lists everybody's tasks: open ones, unless you say otherwise, those due first at the top.",
        )
        .query(Request::ListTasks)
        .gives::<TasksReply>(),
        post("/tasks", "create_user_task", Verb::CreateTask, "Gives a person a task, and tells them.")
            .body(Request::CreateTask)
            .versioned("version")
            .created::<TaskReply>(),
        get("/tasks/mine", "get_my_tasks", Verb::ListMyTasks, "Lists the tasks you were given.")
            .query(Request::ListMyTasks)
            .gives::<TasksReply>(),
        get("/tasks/{task_id}", "get_task", Verb::ShowTask, "Shows a task, and what happened to it.")
            .path(Request::ShowTask)
            .versioned("version")
            .gives::<TaskReply>(),
        patch(
            "/tasks/{task_id}",
            "update_task",
            Verb::UpdateTask,
            "Moves a task, or changes what it says; only what is given is changed.",
        )
        .body(Request::UpdateTask)
        .guarded("version")
        .versioned("version")
        .gives::<TaskReply>(),
        delete(
            "/tasks/{task_id}",
            "delete_task",
            Verb::DeleteTask,
            "Deletes a task; what happened to it stays.",
        )
        .path(Request::DeleteTask)
        .gives::<TaskDeletedReply>(),
    ]
}
