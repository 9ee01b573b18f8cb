//! Paths about the config.

use crate::daemon::http::routes::row::{Route, Whence, get, put};
use crate::daemon::mcp::tools::arguments;
use crate::domain::verb::Verb;
use crate::wire::reply::{ConfigReply, MyConfigReply};
use crate::wire::request::{PutMyConfig, Request};

/// The rows.
pub fn rows() -> Vec<Route> {
    vec![
        get(
            "/config",
            "show_config",
            Verb::ShowConfig,
            "Shows the config in force for you, and where each value stands.",
        )
        .asks(Request::ShowConfig)
        .gives::<ConfigReply>(),
        put("/me/config", "put_my_config", Verb::PutMyConfig, "Hands over your personal config, as YAML.")
            .reads::<PutMyConfig>(Whence::Text("yaml", "application/yaml"), |fields| {
                arguments(fields).map(Request::PutMyConfig)
            })
            .guarded("if_version")
            .versioned("version")
            .gives::<MyConfigReply>(),
    ]
}
