//! Whether the daemon lives, and whether it can do its work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// ReadContext a batch takes less than a second, and a look at ten thousand files, too.
const STUCK: Duration = Duration::from_secs(120);

/// Now, in seconds since 1970.
pub(super) fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What the production line knows of itself.
#[derive(Debug)]
pub struct Health {
    /// Why the store is away.
    store: Mutex<Option<String>>,
    /// Watched places that are not there.
    missing: Mutex<Vec<String>>,
    /// Since when files are being read; `None` while something is waited for.
    reading: Mutex<Option<Instant>>,
    store_up: Gauge,
    paths_missing: Gauge,
}

fn set<T>(place: &Mutex<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn get<T: Clone>(place: &Mutex<T>) -> T {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Health {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (store_up, paths_missing) = (Gauge::default(), Gauge::default());
        store_up.set(1); // the daemon has begun by reaching it
        registry.register(
            "log_ingestd_store_up",
            "1 if the store answered when it was asked last, by ingest or to keep the connection",
            store_up.clone(),
        );
        registry.register(
            "log_ingestd_missing_paths",
            "Watched files and directories that were not there at the last look",
            paths_missing.clone(),
        );
        Self {
            store: Mutex::default(),
            missing: Mutex::default(),
            reading: Mutex::default(),
            store_up,
            paths_missing,
        }
    }

    /// The store does not answer, or refuses; why.
    pub fn store_failed(&self, why: String) {
        set(&self.store, Some(why));
        self.store_up.set(0);
    }

    /// The store works.
    pub fn store_available(&self) {
        if self.store_up.get() == 0 {
            set(&self.store, None);
            self.store_up.set(1);
        }
    }

    /// These watched places were not there at the last look.
    pub fn paths_missing(&self, missing: Vec<String>) {
        self.paths_missing.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        set(&self.missing, missing);
    }

    /// Files are being read, which never waits for a database: until [`Health::reading_ended`].
    pub fn reading_started(&self) {
        set(&self.reading, Some(Instant::now()));
    }

    /// ReadContext has ended for now.
    pub fn reading_ended(&self) {
        set(&self.reading, None);
    }

    /// Whether the daemon's loop goes round; else why not: a file system that does not answer.
    ///
    /// # Errors
    /// Why it does not go round.
    pub fn is_alive(&self) -> Result<(), String> {
        self.is_alive_within(None)
    }

    /// The same for somebody who may want to know it sooner than after two minutes.
    ///
    /// # Errors
    /// Why it does not go round.
    pub fn is_alive_within(&self, limit: Option<Duration>) -> Result<(), String> {
        let limit = limit.map_or(STUCK, |limit| limit.min(STUCK));
        match get(&self.reading).map(|since| since.elapsed()) {
            Some(time) if time > limit => {
                Err(format!("reading files has taken {} s and goes on", time.as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// What keeps it from storing lines, as far as is known; empty if nothing does.
    pub fn complaints(&self) -> Vec<String> {
        let away = get(&self.store).map(|why| format!("the store is away: {why}"));
        let missing = get(&self.missing).into_iter().map(|path| format!("{path} is not there"));
        away.into_iter().chain(missing).chain(self.is_alive().err()).collect()
    }
}
