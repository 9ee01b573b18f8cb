//! What an agent's environment gets beside what is always in it: for the names that its config lists, its owner's
//! credentials; else the system's, where that may be; else, for one user's daemon, what is in its own environment.

use crate::daemon::app::App;
use crate::daemon::settings::Settings;
use crate::domain::credential::Holder;
use crate::domain::session::Session;
use crate::store::error::StoreError;
use crate::usecase::credential::{Missing, values};
use secrecy::ExposeSecret;

/// Bytes of all names and values of one agent, at most: they go to the runner in one message with everything else.
const BYTES_MAX: usize = 48 * 1024;

/// Names and values. The inner error is a sentence about why the session cannot be started.
///
/// # Errors
/// The database cannot be read.
pub async fn of_agent(
    app: &App,
    settings: &Settings,
    session: &Session,
) -> Result<Result<Vec<(String, String)>, String>, StoreError> {
    // That it is gone, or switched off, is said by who looks for more than this.
    let Some(agent) = settings.loaded.config.agents.by_name.get(&session.agent) else {
        return Ok(Ok(Vec::new()));
    };
    let single_user = settings.single_user();
    let shares = agent.share_system_keys || single_user;
    let keys = app.keys().load_full();
    let (reader, computer) = (app.store().reader(), app.store().computer());
    let owner = Holder::Person { person: session.owner, uid: session.owner_uid };
    let mut found = Vec::with_capacity(2);
    for holder in [Some(owner), shares.then_some(Holder::System)].into_iter().flatten() {
        match values(reader, &keys, computer, &holder, &agent.env).await {
            Ok(values) => found.push(values),
            Err(Missing::Store(error)) => return Err(error),
            Err(missing) => return Ok(Err(missing.to_string())),
        }
    }
    let of = |name: &String| {
        let kept = found.iter().find_map(|values| values.get(name)).map(|value| value.expose().to_owned());
        let secret = || {
            let value = settings.loaded.secrets.get(name).filter(|_| shares)?;
            Some(value.expose_secret().to_owned())
        };
        let own = || app.variable(name).filter(|_| single_user).map(str::to_owned);
        kept.or_else(secret).or_else(own)
    };
    let given: Vec<(String, String)> =
        agent.env.iter().filter_map(|name| of(name).map(|value| (name.clone(), value))).collect();
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > BYTES_MAX {
        let why = format!(
            "the credentials of `{}` have {bytes} bytes together; at most {BYTES_MAX} may be given",
            session.agent
        );
        return Ok(Err(why));
    }
    Ok(Ok(given))
}
