//! The daemon's metrics for Prometheus, and the state of its health.
//!
//! Counters change once for each batch, not for each line, so a line costs nothing. They begin at 0
//! with the process. The totals that outlive a process are in the store's table `log_file`.
//!
//! Nothing here sends or logs: `web` answers `/metrics`, `daemon` informs the supervisor. Names,
//! labels and help texts are contracts with dashboards and alerts.
//!
//! Files, in reading order: this one (the registry and both text formats), `ingest` (lines and
//! commits), `lag` (bytes not stored yet), `ignored` (files that are not followed), `sweeps` (removed
//! rows), `health` (liveness and readiness), `process` (CPU, memory and descriptors).

mod health;
mod ignored;
mod ingest;
mod lag;
mod process;
mod sweeps;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use health::{Health, LongestCall, SLOW};
pub use ignored::Ignored;
pub use ingest::Ingest;
pub use lag::{FileLag, Lag, MAX_FILES};
pub use sweeps::Sweeps;

/// The content type of [`Metrics::open_metrics`].
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of [`Metrics::prometheus`].
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

type Label = (&'static str, &'static str);

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    build: Family<[Label; 2], Gauge>,
    /// Lines and commits.
    pub ingest: Ingest,
    /// Bytes that are not stored yet.
    pub lag: Lag,
    /// Files that are not followed.
    pub ignored: Ignored,
    /// Removed rows.
    pub sweeps: Sweeps,
    /// Whether the daemon is alive and stores lines.
    pub health: Health,
}

/// Registers a metric under `log_ingestd_` and its name. Returns it: clones share their value.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(format!("log_ingestd_{name}"), help, metric.clone());
    metric
}

/// Registers a metric that counts seconds, like [`register`].
fn register_seconds<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    let name = format!("log_ingestd_{name}");
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let help = "Always 1; the version of the program and the kind of its database";
        let build = register(&mut registry, "build_info", help, Family::default());
        let ingest = Ingest::new(&mut registry);
        let lag = Lag::new(&mut registry);
        let ignored = Ignored::new(&mut registry);
        let sweeps = Sweeps::new(&mut registry);
        let health = Health::new(&mut registry);
        process::register(&mut registry);
        Self { registry, build, ingest, lag, ignored, sweeps, health }
    }
}

impl Metrics {
    /// Sets the kind of the database: `postgres` or `sqlite`.
    pub fn set_store_kind(&self, store: &'static str) {
        self.build.clear();
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("store", store)];
        self.build.get_or_create(&labels).set(1);
    }

    /// Returns all current values as [`OPEN_METRICS`].
    ///
    /// # Errors
    /// [`fmt::Error`], which writing to a `String` never returns.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 << 10);
        encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// Returns all current values as [`PROMETHEUS`], the older format that every program reads.
    ///
    /// # Errors
    /// [`fmt::Error`], which writing to a `String` never returns.
    pub fn prometheus(&self) -> Result<String, fmt::Error> {
        Ok(to_prometheus(&self.open_metrics()?))
    }
}

/// Converts OpenMetrics to version 0.0.4 of Prometheus's text format.
///
/// The formats differ in three points. A counter `x` with samples `x_total` is named `x_total` in
/// its HELP and TYPE lines, too. There are no UNIT lines and no EOF mark.
fn to_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        // The TYPE line after a HELP line says whether the metric is a counter.
        let type_line = lines.peek().filter(|_| line.starts_with("# HELP "));
        let described = type_line.copied().unwrap_or(line);
        let counter = described.starts_with("# TYPE ") && described.ends_with(" counter");
        let mut words = line.splitn(4, ' ');
        match (counter, words.next(), words.next(), words.next(), words.next()) {
            (true, Some(hash), Some(keyword), Some(name), Some(value)) => {
                for part in [hash, " ", keyword, " ", name, "_total ", value] {
                    out.push_str(part);
                }
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_renamed_and_unit_and_eof_lines_are_removed() {
        let open = "# HELP a What a counter.\n# TYPE a counter\na_total 1\n# HELP b_seconds B.\n\
                    # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds{x=\"# EOF\"} 2\n# EOF\n";
        let older = "# HELP a_total What a counter.\n# TYPE a_total counter\na_total 1\n\
                     # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds{x=\"# EOF\"} 2\n";
        assert_eq!(to_prometheus(open), older);
    }
}
