//! Shows the progress of imports and copies, on a terminal only.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::import::Progress;
use crate::commands::{CopyProgress, CopyStep};
use crate::model::{grouped, printable};
use crate::store::CopyPart;

/// What the bar shows. Sizes and rates count bytes on disk.
const TEMPLATE: &str = "{prefix:.bold} {wide_bar} {bytes}/{total_bytes} {msg} {eta} left";

/// What the bar of a copy shows. It counts parts: days of tables.
const TEMPLATE_OF_COPY: &str = "{prefix:.bold} {wide_bar} {pos}/{len} {msg}";

/// Returns a bar that is seen if standard error is a terminal, unless the answer is for a program.
fn bar(json: bool, template: &str) -> ProgressBar {
    let bar = match json || !std::io::stderr().is_terminal() {
        true => ProgressBar::hidden(),
        false => ProgressBar::no_length(),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

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
        let bar = bar(json, TEMPLATE);
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
        self.bar.set_prefix(printable(name).into_owned());
        self.current.store(bytes, Ordering::Relaxed);
        // The size of standard input is not known before it is read.
        let known = self.done.load(Ordering::Relaxed) + bytes;
        self.bar.set_length(self.bar.length().unwrap_or(0).max(known));
    }

    fn at(&self, bytes: u64, lines: u64) {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = lines as f64 / seconds;
        self.bar.set_message(format!("{} lines/s", grouped(rate as u64)));
        self.bar.set_position(self.done.load(Ordering::Relaxed) + bytes);
    }

    fn end(&self) {
        let bytes = self.current.swap(0, Ordering::Relaxed);
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.set_position(done);
    }
}

/// The bar of a copy.
pub(super) struct CopyBar {
    bar: ProgressBar,
    started: Mutex<Instant>,
    /// Rows of this step.
    rows: AtomicU64,
}

impl CopyBar {
    /// Shows a bar as [`Bar::new`] does.
    pub(super) fn new(json: bool) -> Self {
        let bar = bar(json, TEMPLATE_OF_COPY);
        Self { bar, started: Mutex::new(Instant::now()), rows: AtomicU64::new(0) }
    }

    /// Removes the bar from the screen.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

impl CopyProgress for CopyBar {
    fn plan(&self, step: CopyStep, parts: u64) {
        self.bar.set_length(parts);
        self.bar.set_position(0);
        self.rows.store(0, Ordering::Relaxed);
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.bar.set_prefix(match step {
            CopyStep::Copying => "copying",
            CopyStep::Comparing => "comparing",
        });
    }

    fn begin(&self, part: &CopyPart) {
        self.bar.set_message(part.to_string());
    }

    fn rows(&self, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let started = *self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rows as f64 / started.elapsed().as_secs_f64().max(0.001);
        let part = self.bar.message();
        let part = part.split(':').next().unwrap_or_default();
        let (rows, rate) = (grouped(rows), grouped(rate as u64));
        self.bar.set_message(format!("{part}: {rows} rows, {rate} rows/s"));
    }

    fn end(&self) {
        self.bar.inc(1);
    }
}
