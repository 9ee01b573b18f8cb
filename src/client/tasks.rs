//! Asking about tasks.

use super::{Answer, Client, ClientError, body, encoded, query};
use crate::wire::task::{
    CreateTask, ListMyTasks, ListTasks, TaskDeletedReply, TaskReply, TasksReply, UpdateTask,
};
use http::Method;

impl Client {
    /// Everybody's tasks.
    pub async fn tasks(&self, asked: &ListTasks) -> Result<Answer<TasksReply>, ClientError> {
        self.get(&format!("/tasks{}", query(asked, &[])?)).await
    }

    /// One's own tasks.
    pub async fn my_tasks(&self, asked: &ListMyTasks) -> Result<Answer<TasksReply>, ClientError> {
        self.get(&format!("/tasks/mine{}", query(asked, &[])?)).await
    }

    /// One task, with what happened to it.
    pub async fn task(&self, id: &str) -> Result<Answer<TaskReply>, ClientError> {
        self.get(&format!("/tasks/{}", encoded(id))).await
    }

    /// Gives somebody a task.
    pub async fn create_task(&self, asked: &CreateTask) -> Result<Answer<TaskReply>, ClientError> {
        self.post("/tasks", &body(asked)?).await
    }

    /// Moves a task, or changes what it says.
    pub async fn update_task(&self, asked: &UpdateTask) -> Result<Answer<TaskReply>, ClientError> {
        let mut fields = body(asked)?;
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("task_id");
        }
        self.ask(Method::PATCH, &format!("/tasks/{}", encoded(&asked.task_id)), Some(&fields)).await
    }

    /// Deletes a task.
    pub async fn delete_task(&self, id: &str) -> Result<Answer<TaskDeletedReply>, ClientError> {
        self.ask(Method::DELETE, &format!("/tasks/{}", encoded(id)), None).await
    }
}
