//! `log-ingestd status`: what is stored of each file, and what is not yet.

use crate::model::text_path;
use crate::source::fingerprint::same_object;
use crate::source::{Lines, Tail};
use crate::store::{FileCounts, FileReport, IgnoredReport, Ledger, Shown, SweepReport};

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::detect::Formats;
use crate::pipeline::connect::Access;
use crate::pipeline::read_lines::{Completeness, ReadContext, read_lines};
use crate::pipeline::sink::Counter;

/// What `status` shows.
#[derive(Debug)]
pub struct Status {
    /// The database's name.
    pub store: String,
    /// The logical files that are shown.
    pub files: Vec<FileStatus>,
    /// How many there are.
    pub counts: FileCounts,
    /// Files that are not followed.
    pub ignored: Vec<IgnoredReport>,
    /// The last sweep.
    pub last_sweep: Option<SweepReport>,
}

impl Status {
    /// Returns the number of files that are not shown: closed, with all of their bytes.
    pub fn rest(&self) -> u64 {
        self.counts.all.saturating_sub(self.files.len() as u64)
    }
}

/// One logical file.
#[derive(Debug)]
pub struct FileStatus {
    /// The store's report of the file.
    pub stored: FileReport,
    /// Bytes and complete lines that are in the file and not stored. `None` if the file is closed, on
    /// another host, or no longer exists.
    pub lag: Option<(u64, u64)>,
    /// Whether it is this host's.
    pub is_here: bool,
}

/// Reads the reports in the store, and the sizes of the files of this host.
///
/// # Errors
/// The store cannot be used.
pub async fn status(config: &Config, shown: Shown) -> anyhow::Result<Status> {
    let (store, _shutdown) = open_store(config, Access::Read).await?;
    let Ledger { counts, files, ignored, last_sweep } = store.ledger(shown).await?;
    let mut formats = Formats::new(config.parsing.clone()).by_path(&config.formats_by_path);
    let files = files.into_iter().map(|stored| {
        let is_here = stored.checkpoint.host == config.host;
        let is_open = is_here && !stored.checkpoint.is_closed();
        let lag = if is_open { lag(&stored, &mut formats) } else { None };
        FileStatus { stored, lag, is_here }
    });
    let (store, files) = (config.location.to_string(), files.collect());
    Ok(Status { store, files, counts, ignored, last_sweep })
}

/// Returns the bytes and the lines that are not stored yet; `None` if the file is not there.
fn lag(stored: &FileReport, formats: &mut Formats) -> Option<(u64, u64)> {
    let known = &stored.checkpoint;
    let mut tail = Tail::open(&text_path(&known.path)).ok()??;
    if !same_object(known.key?, tail.key()) {
        return None;
    }
    tail.rewind(known.position());
    let mut lines = Lines::default();
    tail.start_reading(&mut lines).ok()?;
    let mut counter = Counter::default();
    if let Some(format) = formats.of_known(&text_path(&known.path), known) {
        let context = ReadContext {
            parser: &format.parser,
            envelope: format.envelope,
            estimated: 0,
            completeness: Completeness::Growing,
            refused: None,
            max_bytes: u64::MAX,
        };
        // A read that fails ends the count: the lines before it are there.
        let mut unread = tail.reader_at(known.committed).ok()?;
        let _ = read_lines(&mut lines, &mut unread, &context, &mut counter);
    }
    Some((tail.size().saturating_sub(known.committed), counter.lines()))
}
