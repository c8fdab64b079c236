//! Notices for people without Prometheus: to a webhook, or to a command such as one that sends mail.
//!
//! One task looks at the metrics now and then, and decides with [`conditions`]. Each target has a task and a
//! short queue of its own ([`deliver`]). Ingest waits for none of them, and none holds anything that ingest
//! needs: errors of requests are counted by the read side of the store.
//!
//! Each notice is also in the daemon's log. What could not be delivered is said there.

mod conditions;
mod deliver;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::config::Watch;
use crate::metrics::Metrics;
use crate::model::{Micros, now};
use crate::store::{Reader, Store, chain};

use conditions::{Bounds, Change, Conditions, Observed, State};
use deliver::{Notice, Targets};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// The minutes whose requests are counted.
const MINUTES: i64 = 5;

/// Time between two counts of requests: they are by minute.
const COUNTED_EVERY: Duration = Duration::from_secs(10);

const MINUTE: Micros = 60_000_000;

/// Which notices were sent. It outlives a reload, so that none is sent twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent(Arc<Mutex<Conditions>>);

/// Starts to look, until the set is dropped. Without a target nothing is started. The tasks of the targets end
/// when they have delivered what waits for them, so that a reload loses no notice.
pub(crate) fn start(
    watch: &Watch,
    store: &Store,
    metrics: &Arc<Metrics>,
    sent: &Sent,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Some(config) = watch.notify.clone() else { return tasks };
    let targets = Targets::start(&config);
    let observer = Observer {
        host: watch.config.host.clone(),
        bounds: Bounds { lag: config.lag, server_errors: config.server_errors },
        reader: store.probe(),
        metrics: Arc::clone(metrics),
        sent: sent.clone(),
        answered: None,
        counted_at: None,
    };
    tasks.spawn(observer.run(targets));
    tasks
}

/// Looks at the daemon.
struct Observer {
    host: String,
    bounds: Bounds,
    reader: Reader,
    metrics: Arc<Metrics>,
    sent: Sent,
    /// Requests of the last minutes and those answered with 5xx, as they were counted last.
    answered: Option<(u64, u64)>,
    counted_at: Option<Instant>,
}

impl Observer {
    async fn run(mut self, targets: Targets) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let seen = self.observe().await;
            let changes = {
                // A panic cannot leave it half changed in a way that matters, so a poisoned lock is usable.
                let mut sent = self.sent.0.lock().unwrap_or_else(PoisonError::into_inner);
                sent.look(&seen, &self.bounds, Instant::now())
            };
            for change in changes {
                log(&change);
                targets.send(&Notice::new(change, &self.host, now()));
            }
        }
    }

    async fn observe(&mut self) -> Observed {
        let is_due = self.counted_at.is_none_or(|at| at.elapsed() >= COUNTED_EVERY);
        if self.bounds.server_errors.is_some() && is_due {
            self.counted_at = Some(Instant::now());
            self.answered = self.count().await;
        }
        self.reader.close_idle();
        let Metrics { health, lag, ingest, .. } = &*self.metrics;
        Observed {
            store: health.store_problem(),
            lag: lag.longest(),
            rejects: ingest.unexpected_rejects(),
            lost: ingest.lost_bytes(),
            answered: self.answered,
        }
    }

    /// Counts the requests of this host's last minutes: those of other daemons have notices of their own. Old
    /// lines that are read now are not among them.
    async fn count(&self) -> Option<(u64, u64)> {
        // The minute that is not over yet is the last one.
        let now = now();
        let to = now - now.rem_euclid(MINUTE) + MINUTE;
        match self.reader.overview(to - MINUTES * MINUTE, to, Some(&self.host)).await {
            Ok(counts) => {
                let number = |rows: i64| u64::try_from(rows).unwrap_or(0);
                let rows = counts.total.rows;
                Some((number(rows.iter().sum()), number(rows[4])))
            }
            Err(error) => {
                debug!(error = chain(&error), "cannot count the requests for notices");
                None
            }
        }
    }
}

fn log(change: &Change) {
    let (kind, text) = (change.kind.name(), &change.text);
    match change.state {
        State::Raised => warn!(kind, "notice: {text}"),
        State::Recovered => info!(kind, "notice: {text}"),
    }
}
