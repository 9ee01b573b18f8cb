//! Where a session may run: from what somebody typed to a folder that lies where it must. Where the daemon runs agents
//! itself the folder must exist, and symbolic links are followed first, so that none leads out. Where the runner runs
//! them as their owners, only the text is looked at: the daemon may not be able to look into projects at all, and the
//! runner, as the owner, sees to it that nothing leads out. Never looks at the database.

use crate::domain::caller::Caller;
use crate::domain::project::Project;
use crate::usecase::Facts;
use crate::usecase::turns::LOOKING;
use crate::wire::fault::Fault;
use crate::wire::limits::PATH_BYTES_MAX;
use std::path::{Component, Path, PathBuf};

/// A folder for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The configured project, if it is in one.
    pub project: Option<Project>,
    /// Absolute path of the project, or of the bare folder.
    pub project_path: String,
    /// Folder inside it.
    pub subdir: Option<String>,
    /// Whether it is open to the caller.
    pub open: bool,
}

/// [`find`], off the async threads: a file system may hang.
///
/// # Errors
/// Those of [`find`].
pub async fn look(
    caller: &Caller,
    facts: &Facts,
    project: &str,
    subdir: Option<&str>,
) -> Result<Place, Fault> {
    let (whose, facts) = (caller.clone(), facts.clone());
    let (project, subdir) = (project.to_owned(), subdir.map(str::to_owned));
    if facts.runner.is_some() {
        return find(&whose, &facts, &project, subdir.as_deref());
    }
    LOOKING.run(caller.uid, move || find(&whose, &facts, &project, subdir.as_deref())).await?
}

/// Finds the place. `project` is a configured name or an absolute path. What is not open to the caller comes
/// back with `open: false` and without a look at the disk, so that nothing can be learnt from the answer.
pub fn find(caller: &Caller, facts: &Facts, project: &str, subdir: Option<&str>) -> Result<Place, Fault> {
    check_text("project", project)?;
    let projects = facts.config.projects();
    if let Some(found) = projects.iter().find(|p| p.name == project) {
        let open = found.open_to(caller, &facts.own_projects);
        return inside(facts, found.path.clone(), Some(found.clone()), open, subdir)
            .and_then(|place| not_of_another(caller, facts, &projects, place));
    }
    if !project.starts_with('/') {
        return Ok(closed(project));
    }
    // A bare path: inside a configured project it counts as that project; elsewhere only single-user mode
    // without projects has it, below any folder of the user's.
    let path =
        lexical(Path::new(project)).ok_or_else(|| Fault::invalid("project", "must not contain `..`"))?;
    if let Some(found) =
        projects.iter().filter(|p| path.starts_with(&p.path)).max_by_key(|p| p.path.as_os_str().len())
    {
        let open = found.open_to(caller, &facts.own_projects);
        let below = path.strip_prefix(&found.path).unwrap_or(Path::new(""));
        let joined = match subdir {
            Some(subdir) => below.join(subdir),
            None => below.to_owned(),
        };
        let joined = joined.to_string_lossy().into_owned();
        return inside(
            facts,
            found.path.clone(),
            Some(found.clone()),
            open,
            Some(joined.as_str()).filter(|s| !s.is_empty()),
        )
        .and_then(|place| not_of_another(caller, facts, &projects, place));
    }
    if facts.single_user && projects.is_empty() {
        let real = real_dir("project", &path)?;
        return inside(facts, real, None, true, subdir);
    }
    Ok(closed(project))
}

fn closed(project: &str) -> Place {
    Place { project: None, project_path: project.to_owned(), subdir: None, open: false }
}

fn inside(
    facts: &Facts,
    root: PathBuf,
    project: Option<Project>,
    open: bool,
    subdir: Option<&str>,
) -> Result<Place, Fault> {
    if !open {
        return Ok(Place { project, ..closed(&root.to_string_lossy()) });
    }
    let subdir = match subdir {
        None => None,
        Some(text) => {
            check_text("subdir", text)?;
            let below = lexical(Path::new(text)).filter(|below| !below.is_absolute());
            Some(below.ok_or_else(|| {
                Fault::invalid("subdir", "must be a folder inside the project, without `..`")
            })?)
        }
    };
    let (root, subdir) =
        if facts.runner.is_some() { (root, subdir) } else { on_disk(&root, subdir.as_deref())? };
    let subdir = subdir.map(|below| below.to_string_lossy().into_owned()).filter(|below| !below.is_empty());
    Ok(Place { project, project_path: root.to_string_lossy().into_owned(), subdir, open })
}

/// Where root and folder really are; they must exist, the one inside the other.
fn on_disk(root: &Path, subdir: Option<&Path>) -> Result<(PathBuf, Option<PathBuf>), Fault> {
    let root = real_dir("project", root)?;
    let Some(subdir) = subdir else { return Ok((root, None)) };
    let real = real_dir("subdir", &root.join(subdir))?;
    let below = real
        .strip_prefix(&root)
        .map_err(|_| Fault::invalid("subdir", "leads out of the project through a symbolic link"))?
        .to_owned();
    Ok((root, Some(below)))
}

/// A folder inside a project may itself be, or lie in, a project that is closed to the caller: then it is not there.
fn not_of_another(
    caller: &Caller,
    facts: &Facts,
    projects: &[Project],
    place: Place,
) -> Result<Place, Fault> {
    let Some(subdir) = place.subdir.as_deref().filter(|_| place.open) else { return Ok(place) };
    let root = Path::new(&place.project_path);
    let real = root.join(subdir);
    let closed = projects.iter().filter(|p| !p.open_to(caller, &facts.own_projects)).any(|p| {
        let path = match facts.runner {
            Some(_) => p.path.clone(),
            None => std::fs::canonicalize(&p.path).unwrap_or_else(|_| p.path.clone()),
        };
        path != root && path.starts_with(root) && real.starts_with(path)
    });
    if closed {
        return Err(Fault::invalid("subdir", format_args!("{}: no such folder", real.display())));
    }
    Ok(place)
}

fn check_text(field: &str, text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::invalid(field, "must not be empty"));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(Fault::invalid(field, format_args!("may have at most {PATH_BYTES_MAX} bytes")));
    }
    if text.contains('\0') {
        return Err(Fault::invalid(field, "must not contain NUL"));
    }
    Ok(())
}

/// The path without `.`; `None` if it has `..`.
fn lexical(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => return None,
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    Some(out)
}

fn real_dir(field: &str, path: &Path) -> Result<PathBuf, Fault> {
    let real = std::fs::canonicalize(path)
        .map_err(|e| Fault::invalid(field, format_args!("{}: {}", path.display(), plain(&e))))?;
    if !real.is_dir() {
        return Err(Fault::invalid(field, format_args!("{} is not a folder", path.display())));
    }
    Ok(real)
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "the daemon may not look there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::config::schema::Config;
    use crate::config::schema::access::ProjectEntry;
    use crate::domain::caller::{Caller, PersonRef, Role, Rule, Via};
    use crate::domain::deadline::Zone;
    use crate::domain::person::{PersonId, Standing};
    use crate::domain::timestamp::Timestamp;
    use crate::usecase::Facts;
    use std::path::Path;
    use std::sync::Arc;
    use uuid::Uuid;

    /// A project that is open to all, a folder of which is another one, open to ann; the daemon sees neither.
    fn facts() -> Facts {
        let mut config = Config::default();
        for (name, path, people) in [("shop", "/none/shop", &[][..]), ("vault", "/none/shop/vault", &["ann"])]
        {
            config.projects.push(ProjectEntry {
                name: name.to_owned(),
                path: path.into(),
                description: None,
                roles: Vec::new(),
                people: people.iter().map(|p| (*p).to_owned()).collect(),
                worktrees: false,
            });
        }
        let id = Uuid::nil();
        Facts {
            people: Arc::default(),
            keys: Arc::default(),
            config: Arc::new(config),
            single_user: false,
            runner: Some(Arc::from(Path::new("/none/runner.sock"))),
            computer: Arc::from("here"),
            actor: "ann".to_owned(),
            now: Timestamp::from_micros(0),
            zone: Zone::UTC,
            request_id: id,
            session_id: id,
            message_id: id,
            own_projects: Arc::from([]),
            personal: None,
            recordings: Arc::default(),
            roster: Arc::default(),
        }
    }

    fn caller(name: &str) -> Caller {
        Caller {
            uid: 1_000,
            gid: 1_000,
            groups: Vec::new(),
            os_username: None,
            person: Some(PersonRef { id: PersonId(Uuid::nil()), name: name.to_owned() }),
            role: Role::Member,
            standing: Standing::Active,
            rule: Rule { text: "a test".to_owned(), origin: None },
            via: Via::Http,
            agent_of: None,
        }
    }

    #[test]
    fn of_a_place_that_the_daemon_cannot_see_the_text_decides() {
        const CLOSED: Result<Option<&str>, &str> = Ok(None);
        let table = [
            ("shop", None, Ok(Some(""))),
            ("shop", Some("api/v1"), Ok(Some("api/v1"))),
            ("shop", Some(".//api/./v1/"), Ok(Some("api/v1"))),
            ("shop", Some("."), Ok(Some(""))),
            ("shop", Some("vaulted"), Ok(Some("vaulted"))),
            ("shop", Some("vault"), Err("subdir")),
            ("shop", Some("./vault//x"), Err("subdir")),
            ("shop", Some("a/../b"), Err("subdir")),
            ("shop", Some("/none/shop/api"), Err("subdir")),
            ("shop", Some(""), Err("subdir")),
            ("/none/shop", Some("api"), Ok(Some("api"))),
            ("/none/shop/./api//", Some("v1"), Ok(Some("api/v1"))),
            ("/none/shop", Some("vault"), Err("subdir")),
            ("/none/shop/api", Some("/etc"), Err("subdir")),
            ("/none/shop/api", Some("../.."), Err("subdir")),
            ("/none/shop/../etc", None, Err("project")),
            ("/none/shop/vault", None, CLOSED),
            ("/none/shop/./vault/x", None, CLOSED),
            ("vault", None, CLOSED),
            ("/etc", None, CLOSED),
            ("shopping", None, CLOSED),
        ];
        for (project, subdir, expected) in table {
            let found = find(&caller("bob"), &facts(), project, subdir);
            let found = match &found {
                Ok(place) if place.open => Ok(Some(place.subdir.as_deref().unwrap_or_default())),
                Ok(_) => Ok(None),
                Err(fault) => Err(fault.field.as_deref().unwrap_or_default()),
            };
            assert_eq!(found, expected, "{project} {subdir:?}");
        }
        let found = find(&caller("ann"), &facts(), "shop", Some("vault/x")).unwrap();
        assert_eq!((found.open, found.subdir.as_deref()), (true, Some("vault/x")));
        let found = find(&caller("ann"), &facts(), "/none/shop/vault/x", None).unwrap();
        assert_eq!((found.project_path.as_str(), found.subdir.as_deref()), ("/none/shop/vault", Some("x")));
    }
}
