//! The daemon's jobs, by name. Doing them is `daemon::jobs`.

use crate::domain::action::Action;
use crate::domain::job::Job;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::job::RunJob;

/// Turns the arguments of running a job into an action.
///
/// # Errors
/// `not_found`, with the names of those there are.
pub(super) fn resolve(args: &RunJob) -> Result<Action, Fault> {
    let job = Job::parse(&args.name).ok_or_else(|| {
        let name: String = args.name.chars().take(64).collect();
        Fault::not_found("job", &name).hint(format!("there are {}", Job::ALL.map(Job::name).join(", ")))
    })?;
    Ok(Action::RunJob(job))
}

/// What somebody is told who wants a job done that is being done.
pub fn not_now(job: Job) -> Fault {
    Fault::new(FaultCode::Conflict, format!("the job {} is running already", job.name()))
        .hint("`teleclaude jobs list` shows since when")
}
