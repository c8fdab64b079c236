//! What the daemon counts, for Prometheus, and what it knows of its own health.
//!
//! Everything is counted where it is stored or said anyway, once for each batch: a line costs
//! nothing. Counters begin at 0 with the process; what is stored for good is counted in the
//! store's `log_file`.

mod health;
mod ingest;
mod lag;
mod process;
mod sweeps;
mod text;

use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use health::Health;
pub use ingest::Ingest;
pub use lag::{FileLag, Lag, MOST_FILES};
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
    /// Lines on their way.
    pub ingest: Ingest,
    /// How far the store is behind the files.
    pub lag: Lag,
    /// Rows that leave.
    pub sweeps: Sweeps,
    /// Whether the daemon lives and can work.
    pub health: Health,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let build = Family::default();
        registry.register(
            "log_ingestd_build_info",
            "Always 1; the version of the program and the kind of its database",
            build.clone(),
        );
        let ingest = Ingest::new(&mut registry);
        let lag = Lag::new(&mut registry);
        let sweeps = Sweeps::new(&mut registry);
        let health = Health::new(&mut registry);
        process::register(&mut registry);
        Self { registry, build, ingest, lag, sweeps, health }
    }
}

impl Metrics {
    /// The kind of database from now on: `postgres` or `sqlite`.
    pub fn set_store_kind(&self, store: &'static str) {
        self.build.clear();
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("store", store)];
        self.build.get_or_create(&labels).set(1);
    }

    /// All values now, as [`OPEN_METRICS`].
    ///
    /// # Errors
    /// None that a text could give.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 << 10);
        encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// The same as [`PROMETHEUS`], the older format that every program reads.
    ///
    /// # Errors
    /// None that a text could give.
    pub fn prometheus(&self) -> Result<String, fmt::Error> {
        Ok(text::to_prometheus(&self.open_metrics()?))
    }
}
