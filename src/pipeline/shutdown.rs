//! Signals: SIGTERM and SIGINT stop, SIGHUP reads the configuration again. A second SIGTERM or
//! SIGINT ends the process at once: its sender has waited long enough, and nothing is lost
//! by it, because an offset moves only with its lines.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;
use tracing::error;

use crate::source::StopRequest;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing yet.
    Run,
    /// Read the configuration again.
    Reload,
    /// Finish what is under way and exit.
    Stop,
}

/// Runs `work` in another thread than the first one, and waits for it. The system gives a signal to the first
/// thread of a process if that can take it, and no other one takes it over: the first thread must not wait for
/// a file system that does not answer.
///
/// # Errors
/// A thread that cannot be started.
pub fn apart_from_signals<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("main".to_owned()).stack_size(STACK);
        let working = thread.spawn_scoped(scope, work)?;
        working.join().map_err(|panic| std::panic::resume_unwind(panic))
    })
}

/// The stack of the thread that does the work, in bytes: as large as that of a first thread.
const STACK: usize = 8 << 20;

/// How long a stop may take. Supervisors kill after 10 s, or later.
pub const LONGEST_STOP: Duration = Duration::from_millis(9_500);

/// Ends the process when a stop takes longer than `limit`, whatever its other threads wait for: a read from
/// a file system that does not answer cannot be cut off. Nothing is lost by it, because an offset moves only
/// with its lines.
///
/// # Errors
/// What the system says.
pub fn limit_stop(limit: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    // Not a task: the threads of the runtime may be the ones that wait.
    let wait = move || {
        if signals.forever().next().is_some() {
            std::thread::sleep(limit);
            error!(
                seconds = limit.as_secs_f64(),
                "the stop takes too long, perhaps because a file system does not answer: ended without \
                 it; what is not stored is read at the next start"
            );
            std::process::exit(1);
        }
    };
    std::thread::Builder::new().name("stop".to_owned()).spawn(wait).map(drop)
}

/// Listens to the process's signals.
#[derive(Clone, Debug)]
pub struct Shutdown {
    request: watch::Receiver<Request>,
    // Keeps the receiver's other end; also lets a reload be marked as done.
    sender: Arc<watch::Sender<Request>>,
}

impl Shutdown {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says.
    pub fn on_signals() -> io::Result<Self> {
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, and sets it.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&again))?;
            signal_hook::flag::register(signal, Arc::clone(&again))?;
        }
        let mut signals = signal_hook_tokio::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (sender, request) = watch::channel(Request::Run);
        let sender = Arc::new(sender);
        let requests = Arc::clone(&sender);
        tokio::spawn(async move {
            while let Some(signal) = signals.next().await {
                let request = if signal == SIGHUP { Request::Reload } else { Request::Stop };
                requests.send_modify(|current| {
                    if *current != Request::Stop {
                        *current = request;
                    }
                });
            }
        });
        Ok(Self { request, sender })
    }

    /// Returns what is asked for now.
    pub fn request(&self) -> Request {
        *self.request.borrow()
    }

    /// Returns whether anything is asked for.
    pub fn is_requested(&self) -> bool {
        self.request() != Request::Run
    }

    /// Returns a request by which reads end as soon as anything is asked for.
    pub(crate) fn stop_request(&self) -> StopRequest {
        let request = self.request.clone();
        StopRequest::when(move || *request.borrow() != Request::Run)
    }

    /// Waits until something is asked for. Cancel-safe.
    pub async fn requested(&mut self) {
        // The sender lives as long as `self`, so there is no error to come.
        let _ = self.request.wait_for(|request| *request != Request::Run).await;
    }

    /// Waits for a stop, through reloads. Cancel-safe.
    pub async fn stopped(&mut self) {
        let _ = self.request.wait_for(|request| *request == Request::Stop).await;
    }

    /// Records that a reload is done; what came meanwhile still counts.
    pub fn reloaded(&self) {
        self.sender.send_modify(|current| {
            if *current == Request::Reload {
                *current = Request::Run;
            }
        });
    }
}
