//! Numbers for a monitoring system: what requests came to, counted without a lock as they end, and how the daemon is at
//! the moment of asking. Every label is one of a known few words: no person, no session, no project is one.

use crate::daemon::app::App;
use crate::domain::job::Job;
use crate::domain::meter::{Counter, Histogram, Measured};
use crate::domain::session::SessionStatus;
use crate::domain::timestamp::Timestamp;
use crate::domain::verb::Verb;
use crate::platform::process;
use crate::store::session;
use crate::store::writer::QUEUE;
use crate::wire::fault::{Fault, FaultCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The media type of what [`read`] gives.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;
/// How long the database may take to count sessions.
const LOOK: Duration = Duration::from_secs(2);
/// What an agent is called that the config does not know any more.
const OTHER: &str = "other";

/// What is counted by action.
#[derive(Debug)]
struct OfVerb {
    /// Done.
    ok: Counter,
    /// By [`FaultCode`].
    faults: [Counter; FaultCode::ALL.len()],
    took: Histogram,
    denied: Counter,
}

/// What is counted while the daemon runs.
#[derive(Debug)]
pub struct Counts {
    verbs: Vec<OfVerb>,
    /// Session hosts that were found alive by a daemon that began, and sessions whose host was gone.
    pub adopted: Counter,
    /// Sessions whose host vanished.
    pub lost: Counter,
}

impl Default for Counts {
    fn default() -> Self {
        let one = |_: &Verb| OfVerb {
            ok: Counter::default(),
            faults: std::array::from_fn(|_| Counter::default()),
            took: Histogram::default(),
            denied: Counter::default(),
        };
        Self {
            verbs: Verb::ALL.iter().map(one).collect(),
            adopted: Counter::default(),
            lost: Counter::default(),
        }
    }
}

impl Counts {
    /// A request has been answered, or its beginning has, where the answer lives on.
    pub fn answered(&self, verb: Verb, fault: Option<FaultCode>, took: Duration) {
        let Some(of_verb) = self.of(verb) else { return };
        match fault.and_then(|fault| FaultCode::ALL.iter().position(|code| *code == fault)) {
            None => of_verb.ok.one(),
            Some(place) => of_verb.faults[place].one(),
        }
        of_verb.took.record(took);
    }

    /// Somebody was refused.
    pub fn denied(&self, verb: Verb) {
        if let Some(of_verb) = self.of(verb) {
            of_verb.denied.one();
        }
    }

    fn of(&self, verb: Verb) -> Option<&OfVerb> {
        self.verbs.get(Verb::ALL.iter().position(|known| *known == verb)?)
    }
}

/// A number, or several.
#[derive(Debug)]
enum Value {
    Count(u64),
    Seconds(f64),
    Now(f64),
    Took(Measured),
}

type Labels = Vec<(&'static str, String)>;

/// Numbers of one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    values: Vec<(Labels, Value)>,
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in &self.0 {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.values {
                if labels.is_empty() {
                    value.encode(&mut metric)?;
                } else {
                    value.encode(&mut metric.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, to: &mut MetricEncoder) -> fmt::Result {
        match self {
            Self::Count(n) => to.encode_counter::<NoLabelSet, _, u64>(n, None),
            Self::Seconds(n) => to.encode_counter::<NoLabelSet, _, u64>(n, None),
            Self::Now(n) => to.encode_gauge(n),
            Self::Took(took) => {
                to.encode_histogram::<NoLabelSet>(took.sum, took.count(), &took.buckets, None)
            }
        }
    }
}

fn family(name: &'static str, help: &'static str, kind: MetricType, values: Vec<(Labels, Value)>) -> Family {
    Family { name, help, kind, values }
}

fn counter(name: &'static str, help: &'static str, n: u64) -> Family {
    family(name, help, MetricType::Counter, vec![(Labels::new(), Value::Count(n))])
}

fn gauge(name: &'static str, help: &'static str, n: f64) -> Family {
    family(name, help, MetricType::Gauge, vec![(Labels::new(), Value::Now(n))])
}

/// Counts up to 2^53 are exact; past that nobody minds.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
const fn float(n: u64) -> f64 {
    n as f64
}

/// A moment, in seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0)).as_secs_f64()
}

/// How everything is now, as text that Prometheus reads.
///
/// # Errors
/// It cannot be put into words, which is a defect. That the database is down is one of the numbers.
pub async fn read(app: &App) -> Result<String, Fault> {
    let mut all = requests(app.counts());
    all.extend(state(app));
    all.extend(jobs(app));
    all.extend(database(app).await);
    all.extend(own_process(app));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(all)));
    let mut text = String::new();
    let defect = |_| Fault::new(FaultCode::Internal, "the numbers could not be put into words");
    prometheus_text::encode(&mut text, &registry).map_err(defect)?;
    Ok(text)
}

/// What requests came to. What never was asked is not there.
fn requests(counts: &Counts) -> Vec<Family> {
    let (mut outcomes, mut durations, mut denials) = (Vec::new(), Vec::new(), Vec::new());
    for (verb, of_verb) in Verb::ALL.iter().zip(&counts.verbs) {
        let action = ("action", verb.name().to_owned());
        let words = std::iter::once("ok").chain(FaultCode::ALL.iter().map(|code| code.name()));
        let numbers = std::iter::once(&of_verb.ok).chain(&of_verb.faults);
        for (word, n) in words.zip(numbers).filter(|(_, n)| n.read() > 0) {
            let labels = vec![action.clone(), ("outcome", word.to_owned())];
            outcomes.push((labels, Value::Count(n.read())));
        }
        let took = of_verb.took.read();
        if took.count() > 0 {
            durations.push((vec![action.clone()], Value::Took(took)));
        }
        if of_verb.denied.read() > 0 {
            denials.push((vec![action], Value::Count(of_verb.denied.read())));
        }
    }
    vec![
        family(
            "teleclaude_requests",
            "Requests that were answered, by action and outcome (ok, or the code of the fault)",
            MetricType::Counter,
            outcomes,
        ),
        family(
            "teleclaude_request_duration_seconds",
            "How long requests took until they were answered; of an answer that lives on, until it began",
            MetricType::Histogram,
            durations,
        ),
        family(
            "teleclaude_denials",
            "Refusals by the policy, by action; the audit log has the first of each minute as a row",
            MetricType::Counter,
            denials,
        ),
    ]
}

/// How the daemon is.
fn state(app: &App) -> Vec<Family> {
    let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let up = app.now().since(app.started()).as_secs_f64();
    vec![
        family(
            "teleclaude_build_info",
            "Always 1; the label says which version runs",
            MetricType::Gauge,
            vec![(build, Value::Now(1.0))],
        ),
        gauge("teleclaude_uptime_seconds", "How long the daemon has run", up),
        gauge(
            "teleclaude_connections",
            "Connections that are open on the socket",
            float(app.connections().load(Ordering::Relaxed) as u64),
        ),
        counter(
            "teleclaude_hosts_adopted",
            "Session hosts that this daemon found running when it began",
            app.counts().adopted.read(),
        ),
        counter("teleclaude_sessions_lost", "Sessions whose host vanished", app.counts().lost.read()),
    ]
}

/// The daemon's jobs. One that never ended well has no moment at which it did.
fn jobs(app: &App) -> Vec<Family> {
    let (mut well, mut failing) = (Vec::new(), Vec::new());
    for (job, state) in Job::ALL.into_iter().filter_map(|job| Some((job, app.jobs().state(job)?))) {
        let labels = vec![("job", job.name().to_owned())];
        if let Some(at) = state.last_ok {
            well.push((labels.clone(), Value::Now(seconds(at))));
        }
        failing.push((labels, Value::Now(float(state.failures))));
    }
    vec![
        family(
            "teleclaude_job_last_success_seconds",
            "When a job last ended well, in seconds since 1970",
            MetricType::Gauge,
            well,
        ),
        family(
            "teleclaude_job_failures",
            "How many of a job's last runs failed, in a row",
            MetricType::Gauge,
            failing,
        ),
    ]
}

/// The database, its writer, and what only it knows.
async fn database(app: &App) -> Vec<Family> {
    let store = app.store();
    let meter = store.meter();
    let engine = vec![("engine", store.engine().to_owned())];
    let well = if store.problem().is_none() { 1.0 } else { 0.0 };
    let mut all = vec![
        family(
            "teleclaude_database_up",
            "1 while the database can be written, else 0",
            MetricType::Gauge,
            vec![(engine, Value::Now(well))],
        ),
        gauge(
            "teleclaude_writer_queue",
            "Writes that wait for the one writer",
            float(store.waiting() as u64),
        ),
        gauge("teleclaude_writer_queue_max", "Writes that may wait", float(QUEUE as u64)),
        counter("teleclaude_writer_writes", "Writes that were committed", meter.writes.read()),
        family(
            "teleclaude_writer_commit_seconds",
            "How long a transaction of the writer took, from its beginning to its commit",
            MetricType::Histogram,
            vec![(Labels::new(), Value::Took(meter.commits.read()))],
        ),
        counter(
            "teleclaude_writer_failures",
            "Transactions of the writer that failed and were tried again or given up",
            meter.failures.read(),
        ),
        counter(
            "teleclaude_audit_rows",
            "Rows that this daemon added to the audit log",
            meter.audit_rows.read(),
        ),
    ];
    // A database that is down costs these numbers only.
    let open = tokio::time::timeout(LOOK, session::open_by(store.reader(), store.computer())).await;
    if let Ok(Ok(open)) = open {
        let known = &app.settings().loaded.config.agents.by_name;
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for status in [SessionStatus::Starting, SessionStatus::Running, SessionStatus::Ending] {
            for agent in known.keys() {
                counts.insert((status.name(), agent), 0);
            }
        }
        for (status, agent, n) in &open {
            let agent = known.get_key_value(agent).map_or(OTHER, |(name, _)| name.as_str());
            *counts.entry((status.name(), agent)).or_default() += n;
        }
        let values = counts.into_iter().map(|((status, agent), n)| {
            let labels = vec![("status", status.to_owned()), ("agent", agent.to_owned())];
            (labels, Value::Now(float(n)))
        });
        all.push(family(
            "teleclaude_sessions",
            "Sessions of this machine that are not over, by status and agent",
            MetricType::Gauge,
            values.collect(),
        ));
    }
    all
}

/// The daemon as a process.
fn own_process(app: &App) -> Vec<Family> {
    let own = process::own();
    let mut all = vec![
        gauge(
            "process_start_time_seconds",
            "When the daemon began, in seconds since 1970",
            seconds(app.started()),
        ),
        family(
            "process_cpu_seconds",
            "Processor time that the daemon used",
            MetricType::Counter,
            vec![(Labels::new(), Value::Seconds(own.cpu.as_secs_f64()))],
        ),
        gauge("process_max_fds", "Files that the daemon may have open", float(process::open_files_limit())),
    ];
    if let Some(bytes) = own.resident {
        all.push(gauge("process_resident_memory_bytes", "Memory that the daemon has", float(bytes)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::Counts;
    use crate::domain::verb::Verb;
    use crate::wire::fault::FaultCode;
    use std::time::Duration;

    #[test]
    fn everything_that_can_be_asked_has_its_place() {
        let counts = Counts::default();
        for verb in Verb::ALL {
            counts.answered(*verb, None, Duration::ZERO);
            FaultCode::ALL.iter().for_each(|code| counts.answered(*verb, Some(*code), Duration::ZERO));
            counts.denied(*verb);
        }
        assert!(counts.verbs.iter().all(|of_verb| of_verb.ok.read() == 1 && of_verb.denied.read() == 1));
        assert!(counts.verbs.iter().all(|of_verb| of_verb.faults.iter().all(|n| n.read() == 1)));
    }
}
