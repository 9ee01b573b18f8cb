//! Where the daemon's log goes: journald with fields, or standard error. Set up once, at the start.

use crate::config::schema::{Log, LogTarget};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets the log up. `filter` is `TELECLAUDE_LOG`, for those who look for something. Libraries say errors only: the
/// MCP one would write whole requests into the log.
///
/// # Errors
/// A filter that cannot be read, or a log that was set up before.
pub fn init(log: &Log, filter: Option<&str>) -> anyhow::Result<()> {
    let usual = format!("error,teleclaude={}", log.level.name());
    let filter = EnvFilter::try_new(filter.unwrap_or(&usual))?.add_directive("rmcp=off".parse()?);
    let registry = tracing_subscriber::registry().with(filter);
    if log.target == LogTarget::Journald {
        match tracing_journald::layer() {
            Ok(journald) => return Ok(registry.with(plain(journald)).try_init()?),
            Err(error) => {
                registry.with(stderr()).try_init()?;
                tracing::warn!(%error, "no journald: the log goes to standard error");
                return Ok(());
            }
        }
    }
    Ok(registry.with(stderr()).try_init()?)
}

/// Fields of events and of the spans around them by their own names, in capitals (`PERSON`, `UID`, `SESSION`,
/// `REQUEST_ID`), so that `journalctl -u teleclaude PERSON=ann` finds them; and the priorities that people expect. Who
/// writes is journald's word (`_UID`), never a field's.
fn plain(journald: tracing_journald::Layer) -> tracing_journald::Layer {
    journald.with_field_prefix(None).with_syslog_identifier("teleclaude".to_owned()).with_priority_mappings(
        PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        },
    )
}

fn stderr<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    use std::io::IsTerminal as _;
    tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal())
}
