//! A file system that may not answer, and the thread that makes all calls on it.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use thiserror::Error;

/// How long a caller waits for a device that may not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a call returns that got no answer. Nothing is known of the file.
#[derive(Clone, Debug, Error)]
#[error("the file system at '{}' does not answer", .0.display())]
pub(crate) struct Unreachable(PathBuf);

impl Unreachable {
    /// The error of a call on the file system at this place.
    pub(super) fn at(place: PathBuf) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, Self(place))
    }

    /// Returns whether this is the error of a call that got no answer.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

/// A file system that may not answer.
#[derive(Debug)]
pub(super) struct Device {
    /// The first place where it is mounted.
    pub(super) place: PathBuf,
    pub(super) is_fuse: bool,
    state: Mutex<State>,
}

/// Returns what the answer to a call says of the device; `None` if nothing.
pub(super) type Job = Box<dyn FnOnce() -> Option<Answer> + Send>;

#[derive(Debug, Default)]
pub(super) struct State {
    /// To the thread of the device.
    queue: Option<Sender<Job>>,
    asked: u64,
    answered: u64,
    /// The number of the last call of which the caller does not wait any more.
    given_up: u64,
    pub(super) unreachable: bool,
    /// When it was unreachable last.
    pub(super) failed_at: Option<Instant>,
    /// Whether what was opened before cannot be read again.
    pub(super) ended: bool,
}

/// What an answer says of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Its,
    /// It is not connected to what should answer.
    Unconnected,
}

impl Answer {
    pub(super) fn of<T>(result: &io::Result<T>) -> Self {
        let error = result.as_ref().err().and_then(Errno::from_io_error);
        match error {
            Some(
                Errno::NOTCONN
                | Errno::CONNABORTED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ) => Self::Unconnected,
            _ => Self::Its,
        }
    }
}

impl Device {
    pub(super) fn new(place: PathBuf, is_fuse: bool) -> Device {
        Device { place, is_fuse, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread of the device make a call.
    pub(super) fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = sync_channel(1);
        let job = move || {
            let result = call();
            let answer = Answer::of(&result);
            // An answer for which no caller waits any more is dropped here: to close a file may hang, too.
            drop(sender.send(result));
            Some(answer)
        };
        let number = self.ask(Box::new(job), Asked::ForAnswer)?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(result) if Answer::of(&result) == Answer::Its => result,
            Ok(_) => Err(self.unreachable()),
            Err(_) => {
                self.state().given_up = number;
                Err(self.fail(&mut self.state()))
            }
        }
    }

    /// Gives the thread of the device something to do. Returns the number of the call.
    pub(super) fn ask(self: &Arc<Self>, job: Job, asked: Asked) -> io::Result<u64> {
        let mut state = self.state();
        if asked == Asked::ForAnswer && state.given_up > state.answered {
            return Err(self.fail(&mut state));
        }
        if state.queue.is_none() {
            let (queue, jobs) = channel::<Job>();
            let device = Arc::downgrade(self);
            std::thread::Builder::new().name("file system".to_owned()).spawn(move || {
                for job in jobs {
                    let answer = job();
                    let Some(device) = device.upgrade() else { return };
                    device.answer(answer);
                }
            })?;
            state.queue = Some(queue);
        }
        // The thread ends with the device.
        let _ = state.queue.as_ref().map(|queue| queue.send(job));
        state.asked += 1;
        Ok(state.asked)
    }

    /// Takes note that a call has returned.
    fn answer(&self, answer: Option<Answer>) {
        let mut state = self.state();
        state.answered += 1;
        match answer {
            Some(Answer::Its) => (state.unreachable, state.ended) = (false, false),
            Some(Answer::Unconnected) => {
                drop(self.fail(&mut state));
                // Of FUSE nothing comes after this; others may connect again.
                state.ended = self.is_fuse;
            }
            None => {}
        }
    }

    fn fail(&self, state: &mut State) -> io::Error {
        (state.unreachable, state.failed_at) = (true, Some(Instant::now()));
        self.unreachable()
    }

    fn unreachable(&self) -> io::Error {
        Unreachable::at(self.place.clone())
    }
}

/// Whether the caller waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    ForAnswer,
    ForNone,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device::new(PathBuf::from("/far"), true)
    }

    #[test]
    fn a_call_that_hangs_is_given_up_and_those_after_it_wait_for_nothing() {
        let device = Arc::new(device());
        assert_eq!(device.call(|| Ok(1)).unwrap(), 1);
        let (go, gone) = channel::<()>();
        let late = device.call(move || Ok(gone.recv().is_ok())).unwrap_err();
        assert!(Unreachable::is(&late));
        let began = Instant::now();
        for _ in 0..100 {
            assert!(Unreachable::is(&device.call(|| Ok(2)).unwrap_err()));
        }
        assert!(began.elapsed() < PATIENCE);
        assert!(device.state().unreachable);
        go.send(()).unwrap();
        while device.state().unreachable {
            std::thread::yield_now();
        }
        assert_eq!(device.call(|| Ok(3)).unwrap(), 3);
    }

    #[test]
    fn a_device_that_is_not_connected_is_asked_each_time() {
        let device = Arc::new(device());
        let unconnected = || Err::<u8, _>(Errno::NOTCONN.into());
        assert!(Unreachable::is(&device.call(unconnected).unwrap_err()));
        let missing = device.call(|| Err::<u8, _>(Errno::NOENT.into())).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
