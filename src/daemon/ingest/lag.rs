//! What the pipeline tells of itself, for whoever asks at `/metrics` and `/readyz`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::daemon::supervisor::Supervisor;
use crate::metrics::{FileLag, MAX_FILES};

use crate::daemon::ingest::Pipeline;

/// Between two times that the lag of all files is told because something has changed: there may be
/// many files, and many changes.
const OFTEN_ENOUGH: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Says so if there is nothing to follow: the path may be wrong.
    pub(crate) fn tell_if_empty(&self, paths: &[PathBuf]) {
        let streams = self.input.is_read() || !self.files.fifos.is_empty();
        if !streams && self.files.followed.is_empty() && self.files.ignored.is_empty() {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            warn!(
                paths = paths.join(" "),
                "no file here yet; what appears will be followed (directories below are not \
                 searched: name them too, or use a pattern such as 'DIR/**/*.log')"
            );
        }
    }

    /// How many lines are read and not stored.
    pub(crate) fn tell_queue(&mut self) {
        if self.in_flight.is_none() {
            self.sent = 0;
        }
        self.metrics.ingest.set_queued_lines(self.building.lines() + self.sent);
    }

    /// That files are followed now, once.
    pub(crate) fn tell_ready(&mut self, supervisor: Option<&Supervisor>) {
        if let Some(supervisor) = supervisor {
            self.tell_lag();
            supervisor.ready(&self.metrics);
        }
    }

    /// Which watched places are not there.
    pub(crate) fn tell_missing(&self) {
        let missing = self.files.missing();
        let missing = missing.iter().map(|path| path.display().to_string()).collect();
        self.metrics.health.paths_missing(missing);
    }

    /// When the lag is to be told, if it has changed since it was told.
    pub(crate) fn tell_due(&self) -> Option<Instant> {
        self.unsaid.then(|| self.told.map_or_else(Instant::now, |told| told + OFTEN_ENOUGH))
    }

    /// How far the store is behind each file.
    pub(crate) fn tell_lag(&mut self) {
        let now = Instant::now();
        (self.told, self.unsaid) = (Some(now), false);
        let mut bytes = 0;
        let mut oldest: Option<Instant> = None;
        let mut behind = Vec::with_capacity(self.files.followed.len());
        for (at, file) in self.files.followed.iter_mut().enumerate() {
            let size = file.tail.size();
            let committed = file.committed();
            let lag = size.saturating_sub(committed);
            let since = file.waiting.see(size, committed, now);
            // The beginning of a line cannot be stored, however long it waits for its end.
            let since = since.filter(|_| file.stuck_at.is_none_or(|stuck| stuck < size));
            bytes += lag;
            oldest = [oldest, since].into_iter().flatten().min();
            behind.push((lag, since, at));
        }
        if behind.len() > MAX_FILES {
            behind.select_nth_unstable_by_key(MAX_FILES, |(lag, ..)| std::cmp::Reverse(*lag));
            behind.truncate(MAX_FILES);
        }
        let furthest = behind.into_iter().map(|(bytes, since, at)| {
            let path = self.files.followed[at].tail.path().display().to_string();
            FileLag { path, bytes, since }
        });
        let furthest = furthest.collect();
        self.metrics.lag.set(self.files.followed.len() as u64, bytes, oldest, furthest);
    }
}
