//! Whether the daemon is alive (`/healthz`), and whether it stores lines (`/readyz`).

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register;
use crate::model::path_text;

/// Reading that takes longer is stuck. Reading a batch takes less than a second, and so does a scan
/// of ten thousand files.
const STUCK: Duration = Duration::from_secs(120);

/// A call of the system on a file that takes longer is reported: other files wait for it.
pub const SLOW: Duration = Duration::from_secs(10);

/// Returns the path of the call on a file that has been under way for the longest time, and that time.
pub type LongestCall = fn() -> Option<(PathBuf, Duration)>;

/// Returns the current time in seconds since 1970.
pub(super) fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The state of the ingest loop and of the store, as ingest reports it.
#[derive(Debug)]
pub struct Health {
    /// Why the store is unavailable; `None` if it is available.
    store: Mutex<Option<String>>,
    /// Watched paths that do not exist.
    missing: Mutex<Vec<String>>,
    /// When the current reading of files began; `None` while the loop waits.
    reading: Mutex<Option<Instant>>,
    /// Says which call on a file is under way.
    longest_call: OnceLock<LongestCall>,
    store_up: Gauge,
    paths_missing: Gauge,
    file_systems_unreachable: Gauge,
}

fn set<T>(place: &Mutex<T>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn get<T: Clone>(place: &Mutex<T>) -> T {
    place.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Health {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let up =
            "1 if the store answered when it was asked last, by ingest or to keep the connection";
        let missing = "Watched files and directories that were not there at the last look";
        let unreachable =
            "File systems of watched files that do not answer; their files wait, others do not";
        let health = Self {
            store: Mutex::default(),
            missing: Mutex::default(),
            reading: Mutex::default(),
            longest_call: OnceLock::new(),
            store_up: register(registry, "store_up", up, Gauge::default()),
            paths_missing: register(registry, "missing_paths", missing, Gauge::default()),
            file_systems_unreachable: register(
                registry,
                "unreachable_file_systems",
                unreachable,
                Gauge::default(),
            ),
        };
        health.store_up.set(1); // the daemon connects to the store before it creates the metrics
        health
    }

    /// Records that the store does not answer or refuses, and why.
    pub fn store_failed(&self, why: String) {
        set(&self.store, Some(why));
        self.store_up.set(0);
    }

    /// Records that the store has answered.
    pub fn store_available(&self) {
        if self.store_up.get() == 0 {
            set(&self.store, None);
            self.store_up.set(1);
        }
    }

    /// Returns whether the store has answered when it was asked last.
    pub fn is_store_up(&self) -> bool {
        self.store_up.get() == 1
    }

    /// Returns why the store is unavailable; `None` if it is not.
    pub fn store_problem(&self) -> Option<String> {
        get(&self.store)
    }

    /// Sets the watched paths that did not exist at the last scan.
    pub fn paths_missing(&self, missing: Vec<String>) {
        self.paths_missing.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        set(&self.missing, missing);
    }

    /// Sets how many file systems do not answer.
    pub fn file_systems_unreachable(&self, count: usize) {
        self.file_systems_unreachable.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Records that reading of files begins. It never waits for the database, and lasts until
    /// [`Health::reading_ended`].
    pub fn reading_started(&self) {
        set(&self.reading, Some(Instant::now()));
    }

    /// Records that the loop waits.
    pub fn reading_ended(&self) {
        set(&self.reading, None);
    }

    /// Sets what says which call on a file is under way. Without it only the time of whole rounds is known.
    pub fn watch_calls(&self, longest: LongestCall) {
        let _ = self.longest_call.set(longest); // the first one stays
    }

    /// Returns the call on a file that has been under way for longer than `limit`, and for how long.
    pub fn slow_call(&self, limit: Duration) -> Option<(PathBuf, Duration)> {
        self.longest_call.get()?().filter(|(_, time)| *time > limit)
    }

    /// Checks that the ingest loop makes progress. It does not if a file system does not answer.
    /// `limit` is how long it may read; more than two minutes count as two minutes.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn is_alive(&self, limit: Option<Duration>) -> Result<(), String> {
        let limit = limit.map_or(STUCK, |limit| limit.min(STUCK));
        if let Some(call) = self.slow_call(limit) {
            return Err(sentence(&call));
        }
        match get(&self.reading).map(|since| since.elapsed()) {
            Some(time) if time > limit => {
                Err(format!("reading files has taken {} s and goes on", time.as_secs()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the known reasons why lines are not stored; empty if there is none.
    pub fn problems(&self) -> Vec<String> {
        let store = get(&self.store).map(|why| format!("the store is unavailable: {why}"));
        let missing = get(&self.missing).into_iter().map(|path| format!("{path} does not exist"));
        let slow =
            self.slow_call(SLOW).as_ref().map(sentence).or_else(|| self.is_alive(None).err());
        store.into_iter().chain(missing).chain(slow).collect()
    }
}

/// Returns a sentence about a call that takes long.
fn sentence((path, time): &(PathBuf, Duration)) -> String {
    format!("reading '{}' has taken {} s and goes on", path_text(path), time.as_secs())
}
