//! A JSON API with a router: tasks are listed, added, changed and deleted.
//!
//! The tasks live in the memory of the instance, as long as it lives. See the README for what that means.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use samovar_sdk::http::StatusCode;
use samovar_sdk::{Error, Json, Path, Query, Request, Response, Result, Router, handler};
use serde::{Deserialize, Serialize};

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    Router::new()
        .get("/todo", list)
        .post("/todo", add)
        .get("/todo/{id}", show)
        .put("/todo/{id}", change)
        .delete("/todo/{id}", remove)
});

static TASKS: Mutex<Tasks> = Mutex::new(Tasks { last_id: 0, by_id: BTreeMap::new() });

#[handler]
async fn todo(request: Request) -> Response {
    ROUTER.handle(request).await
}

struct Tasks {
    last_id: u32,
    by_id: BTreeMap<u32, Task>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    #[serde(default)]
    id: u32,
    title: String,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
struct Filter {
    done: Option<bool>,
}

async fn list(Query(filter): Query<Filter>) -> Json<Vec<Task>> {
    let wanted = |task: &&Task| filter.done.is_none_or(|done| task.done == done);
    Json(tasks(|tasks| tasks.by_id.values().filter(wanted).cloned().collect()))
}

async fn add(Json(task): Json<Task>) -> Result<(StatusCode, Json<Task>)> {
    if task.title.trim().is_empty() {
        return Err(Error::unprocessable("`title` is empty"));
    }
    let added = tasks(|tasks| {
        tasks.last_id += 1;
        let task = Task { id: tasks.last_id, ..task };
        tasks.by_id.insert(task.id, task.clone());
        task
    });
    Ok((StatusCode::CREATED, Json(added)))
}

async fn show(Path(id): Path<u32>) -> Result<Json<Task>> {
    tasks(|tasks| tasks.by_id.get(&id).cloned()).map(Json).ok_or_else(|| no_task(id))
}

async fn change(Path(id): Path<u32>, Json(task): Json<Task>) -> Result<Json<Task>> {
    let task = Task { id, ..task };
    tasks(|tasks| match tasks.by_id.get_mut(&id) {
        Some(old) => {
            old.clone_from(&task);
            Ok(Json(task))
        }
        None => Err(no_task(id)),
    })
}

async fn remove(Path(id): Path<u32>) -> Result<StatusCode> {
    match tasks(|tasks| tasks.by_id.remove(&id)) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(no_task(id)),
    }
}

fn no_task(id: u32) -> Error {
    Error::not_found(format!("no task {id}"))
}

fn tasks<T>(use_them: impl FnOnce(&mut Tasks) -> T) -> T {
    use_them(&mut TASKS.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{self, Answer};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn ask(method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        testing::call(todo(request.body(Body::from(body.to_owned())).unwrap()))
    }

    // One test, because the tests of a process share its static, as the requests of an instance do.
    #[test]
    fn a_task_lives_from_post_to_delete() {
        let added = ask("POST", "/todo", r#"{"title":"fill the samovar"}"#);
        assert_eq!(added.status, 201);
        assert_eq!(added.text(), r#"{"id":1,"title":"fill the samovar","done":false}"#);

        assert_eq!(ask("PUT", "/todo/1", r#"{"title":"light it","done":true}"#).status, 200);
        assert_eq!(ask("GET", "/todo/1", "").json::<Task>().title, "light it");
        assert_eq!(ask("GET", "/todo?done=false", "").text(), "[]");
        assert_eq!(ask("GET", "/todo?done=true", "").json::<Vec<Task>>().len(), 1);

        assert_eq!(ask("DELETE", "/todo/1", "").status, 204);
        assert_eq!(ask("GET", "/todo/1", "").status, 404);

        assert_eq!(ask("POST", "/todo", r#"{"title":" "}"#).status, 422);
        assert_eq!(ask("POST", "/todo", r#"{"done":true}"#).status, 422);
        assert_eq!(ask("PATCH", "/todo/1", "").headers["allow"], "DELETE, GET, HEAD, PUT");
    }
}
