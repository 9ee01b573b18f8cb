//! Which socket a command talks to, and where the person's own files are. The rules are `config::paths`; here they
//! meet the command line.

use crate::cli::console::Console;
use crate::client::Endpoint;
use crate::config::paths::{Mode, Paths, client_socket};
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// The daemon to talk to: `--socket`, else what the environment and the mode say.
pub fn endpoint(console: &Console<'_>, given: Option<&Path>) -> Endpoint {
    let environment = console.environment();
    let system = Mode::detect(&environment) == Mode::System;
    let path = given.map_or_else(|| client_socket(&environment), |path| console.cwd.join(path));
    let mut endpoint = Endpoint::new(path, system);
    endpoint.token = console.var("TELECLAUDE_TOKEN").map(SecretString::from);
    endpoint
}

/// The person's personal config layer.
pub fn personal_layer(console: &Console<'_>) -> PathBuf {
    let environment = console.environment();
    Paths::of(&environment, Mode::detect(&environment)).personal
}

/// Where the person's programs remember things: their own folder in every mode.
pub fn state_dir(console: &Console<'_>) -> PathBuf {
    Paths::of(&console.environment(), Mode::SingleUser).state_dir
}
