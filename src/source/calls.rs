//! Calls of the system on watched files that have not returned yet, of all threads of this process.
//!
//! A file system may not answer for as long as it likes, as NFS does when its server is gone, and such a call
//! cannot be cut off. So each call is noted before it is made, and other threads can say which one hangs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The calls under way: a few at most, since each is a thread's.
static CALLS: Mutex<Vec<Noted>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Noted {
    path: PathBuf,
    since: Instant,
    number: u64,
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Call(u64);

impl Call {
    /// Notes that a call on this path begins.
    pub(crate) fn on(path: &Path) -> Self {
        let mut calls = calls();
        let number = calls.last().map_or(0, |last| last.number + 1);
        calls.push(Noted { path: path.to_path_buf(), since: Instant::now(), number });
        Self(number)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        calls().retain(|noted| noted.number != self.0);
    }
}

fn calls() -> MutexGuard<'static, Vec<Noted>> {
    // A panic cannot leave the list half changed, so a poisoned lock is usable.
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the path of the call that has been under way for the longest time, and that time.
pub fn longest_call() -> Option<(PathBuf, Duration)> {
    calls().first().map(|noted| (noted.path.clone(), noted.since.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_noted_until_it_returns() {
        let own = |name: &str| calls().iter().any(|noted| noted.path == Path::new(name));
        let one = Call::on(Path::new("/calls/one"));
        let two = Call::on(Path::new("/calls/two"));
        assert!(own("/calls/one") && own("/calls/two"));
        drop(one);
        assert!(!own("/calls/one") && own("/calls/two"));
        let three = Call::on(Path::new("/calls/three"));
        drop(two);
        assert!(!own("/calls/two") && own("/calls/three"));
        drop(three);
        assert!(!own("/calls/three"));
    }
}
