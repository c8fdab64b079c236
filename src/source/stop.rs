//! Lets long reads end when the process is to stop.
//!
//! A small archive may unpack to more than can be read in hours, in one line without an end. So each read of a
//! file, and each read of what is in it, asks first.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use thiserror::Error;

use super::nuls::ByteSource;

/// Says whether reading is to end. [`Default`] never does.
#[derive(Clone, Default)]
pub struct StopRequest(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

/// The error of a read that was not begun because the process is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not read: this process is to stop")]
pub struct Stopped;

impl StopRequest {
    /// Asks `is_requested` before each read.
    pub fn when(is_requested: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_requested)))
    }

    /// Checks that reading goes on.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(super) fn check(&self) -> io::Result<()> {
        match self.0.as_ref().is_some_and(|is_requested| is_requested()) {
            true => Err(io::Error::other(Stopped)),
            false => Ok(()),
        }
    }
}

impl Stopped {
    /// Returns whether a read was not begun for this reason.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Stopped>())
    }
}

impl fmt::Debug for StopRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopRequest").finish_non_exhaustive()
    }
}

/// A source that is read until that is requested.
pub(super) struct Stoppable<S> {
    pub(super) source: S,
    pub(super) stop: StopRequest,
}

impl<S: Read> Read for Stoppable<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.source.read(buffer)
    }
}

impl<S: ByteSource> ByteSource for Stoppable<S> {
    fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
        self.source.skip_hole(most)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn nothing_is_read_any_more_when_a_stop_is_requested() {
        let requested = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&requested);
        let stop = StopRequest::when(move || asked.load(Ordering::Relaxed));
        let mut reader = Stoppable { source: io::repeat(b'x'), stop };
        let mut buffer = [0; 4];
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
        requested.store(true, Ordering::Relaxed);
        assert!(Stopped::is(&reader.read(&mut buffer).unwrap_err()));
        assert!(!Stopped::is(&io::Error::other("broken")));
    }
}
