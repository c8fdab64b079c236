//! Shows the progress of imports, on a terminal only.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::commands::import::Progress;

/// What the bar shows. Sizes and rates count bytes on disk.
const TEMPLATE: &str = "{prefix:.bold} {wide_bar} {bytes}/{total_bytes} {msg} {eta} left";

/// An indicatif bar, which may be hidden.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
    /// Bytes of the files that are read.
    done: AtomicU64,
    /// Bytes of the file that is being read.
    current: AtomicU64,
}

impl Bar {
    /// Shows a bar if standard error is a terminal, unless the answer is for a program.
    pub(super) fn new(json: bool) -> Self {
        let bar = match json || !std::io::stderr().is_terminal() {
            true => ProgressBar::hidden(),
            false => ProgressBar::no_length(),
        };
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), done: AtomicU64::new(0), current: AtomicU64::new(0) }
    }

    /// Removes the bar from the screen.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn plan(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn begin(&self, name: &str, bytes: u64) {
        let name = name.rsplit('/').next().unwrap_or(name);
        self.bar.set_prefix(name.to_owned());
        self.current.store(bytes, Ordering::Relaxed);
        // The size of standard input is not known before it is read.
        let known = self.done.load(Ordering::Relaxed) + bytes;
        self.bar.set_length(self.bar.length().unwrap_or(0).max(known));
    }

    fn at(&self, bytes: u64, lines: u64) {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = lines as f64 / seconds;
        self.bar.set_message(format!("{} lines/s", HumanCount(rate as u64)));
        self.bar.set_position(self.done.load(Ordering::Relaxed) + bytes);
    }

    fn end(&self) {
        let bytes = self.current.swap(0, Ordering::Relaxed);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.set_position(done);
    }
}
