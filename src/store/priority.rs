//! The priority of threads: lines are stored first.

use rustix::process::setpriority_process;
use tracing::debug;

/// The nice value of what may wait: a third of the time that others get, who have 0. With 10 a search takes more than
/// its 2 s where other programs leave little.
const NICENESS: i32 = 5;

/// Lowers the priority of this thread for good, and of those that it starts. For work that takes a processor for
/// long and of which clients ask for any amount: searches, and the page.
pub fn lower_priority() {
    // On Linux a nice value is that of a thread. Some sandboxes refuse to set it; then all threads are equal.
    if let Err(error) = setpriority_process(None, NICENESS) {
        debug!(%error, "cannot lower the priority of a thread");
    }
}
