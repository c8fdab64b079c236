//! Which logical file is it? Known by its first line, and by the bytes before the checkpoint; a
//! copy that ends before the checkpoint is known by its last line.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tracing::info;

use crate::format::Parsed;
use crate::model::{Checkpoint, FileId, GunicornLogModel, JsonRecord, NewFile, Sighting};
use crate::source::fingerprint::ContentMatch;
use crate::store::{StoredLine, StoredRow};

use crate::commands::import::{Import, writer};
use crate::identity::formats::{Choice, Format, SAMPLE};
use crate::pipeline::sink::LastLines;
use crate::pipeline::store_file::Content;
use crate::source::whole_file::Source;

/// Lines at the end of a shorter copy that are held against the store.
const COMPARED: usize = 64;

/// How long to wait for another writer to store enough of a file to compare with.
const UNDECIDED: Duration = Duration::from_secs(10);

/// Between two looks meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a file stands to what is stored.
enum Standing {
    /// It is, or becomes, this logical file.
    Known(Box<Checkpoint>),
    /// All of it is stored: it is the beginning of a file of which more is.
    Contained,
    /// Nobody has seen it.
    New,
}

/// What a file turned out to be.
pub(crate) enum Settled {
    /// This logical file, ours from its checkpoint on, and whether it was closed before.
    Claimed(Box<Checkpoint>, Arc<Format>, bool),
    /// All of it is stored already.
    Stored,
    /// It is none of these files, which begin like it, and it is not to be registered.
    Stranger(Vec<FileId>),
    /// Another writer has it.
    Held,
}

/// What is to become of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// Files that are followed by this very process: not to be asked for.
    pub(crate) followed: &'a HashSet<FileId>,
    /// Whether one that nobody has seen is registered.
    pub(crate) register: bool,
    /// Whether the row takes its name and inode. An import is of a copy: the row keeps those of the
    /// log itself.
    pub(crate) rename: bool,
    /// Whether to wait for another writer to store enough of a file to compare with. Who holds files
    /// does not: that writer may wait for one of them.
    pub(crate) waits: bool,
}

impl Import<'_> {
    /// Finds out which logical file this is, and claims it. Other writers may be at the same, so
    /// what was found out may be past when it is used.
    pub(crate) async fn settle(
        &mut self,
        source: &Source,
        seen: &Sighting,
        told: &anyhow::Result<Arc<Format>>,
        terms: Terms<'_>,
    ) -> anyhow::Result<Settled> {
        let give_up = Instant::now() + UNDECIDED;
        loop {
            let known = writer(&mut self.committer).await?.candidates(seen).await?;
            let compared: Vec<FileId> = known.iter().map(|known| known.file).collect();
            let format = match self.format_of(told, seen, &known) {
                Ok(format) => format,
                Err(_) if !terms.register => return Ok(Settled::Stranger(compared)),
                Err(error) => return Err(error),
            };
            let checkpoint = match self.standing(source, seen, &format, known).await? {
                Standing::Contained => return Ok(Settled::Stored),
                Standing::Known(known) => known,
                Standing::New if !terms.register => return Ok(Settled::Stranger(compared)),
                Standing::New => {
                    let new = NewFile {
                        sighting: seen.clone(),
                        format: format.format.clone(),
                        time_estimated: !format.has_time,
                    };
                    let writer = writer(&mut self.committer).await?;
                    match writer.register(&new, &compared).await? {
                        Some(registered) => {
                            return Ok(Settled::Claimed(Box::new(registered), format, false));
                        }
                        None => continue,
                    }
                }
            };
            if terms.followed.contains(&checkpoint.file) {
                return Ok(Settled::Held);
            }
            let format = self.formats.stored(&checkpoint.format).unwrap_or(format);
            let mut seen = seen.clone();
            if !terms.rename {
                seen.path.clone_from(&checkpoint.path);
                seen.key = checkpoint.key;
            }
            let writer = writer(&mut self.committer).await?;
            match writer.claim(checkpoint.file, &seen, &format.format).await? {
                Some(claimed) if claimed.committed == checkpoint.committed => {
                    return Ok(Settled::Claimed(Box::new(claimed), format, checkpoint.closed));
                }
                // More was stored meanwhile than what was compared.
                Some(claimed) => writer.release(claimed.file).await?,
                // Only the first line is known to be the same: whoever has it stores more soon.
                None if terms.waits && checkpoint.committed == 0 && Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                None => return Ok(Settled::Held),
            }
        }
    }

    /// The format that was given or told from the lines; else the one by which the file was read
    /// before.
    fn format_of(
        &mut self,
        told: &anyhow::Result<Arc<Format>>,
        seen: &Sighting,
        known: &[Checkpoint],
    ) -> anyhow::Result<Arc<Format>> {
        let error = match told {
            Ok(format) => return Ok(Arc::clone(format)),
            Err(error) => error,
        };
        let alike = known.iter().filter(|known| known.head == seen.head);
        let before = alike.filter_map(|known| self.formats.stored(&known.format)).next();
        before.with_context(|| error.to_string())
    }

    pub(crate) fn format(
        &mut self,
        source: &Source,
        mut sample: Vec<u8>,
    ) -> anyhow::Result<Arc<Format>> {
        if source.size < SAMPLE as u64 && !sample.ends_with(b"\n") {
            sample.push(b'\n'); // a whole file of one unfinished line is a line
        }
        match self.formats.choose(&sample) {
            Choice::Access { format, told } => {
                if let Some(preset) = told {
                    info!(path = source.name, format = preset.name, "told from its first lines");
                }
                Ok(format)
            }
            Choice::ErrorLog => {
                bail!("this is Gunicorn's error log; the access log is another file")
            }
            Choice::Contained { .. } => bail!(
                "no known format reads a line among the first of this container's log; give \
                 --format with what Gunicorn writes, without what the container's runtime puts \
                 before it"
            ),
            Choice::Unknown | Choice::NotYet => bail!(
                "no known format reads its first lines; give --format, and try it with \
                 `log-ingestd check FILE --format …`"
            ),
        }
    }

    /// Compares it with every file that begins alike, in one pass. Of several that it may be, it
    /// is the one of which most is stored: the others begin like it and say less.
    async fn standing(
        &mut self,
        source: &Source,
        seen: &Sighting,
        format: &Arc<Format>,
        known: Vec<Checkpoint>,
    ) -> anyhow::Result<Standing> {
        let (content_matches, broken) =
            tokio::task::block_in_place(|| source.liken_all(known, seen.head))?;
        for (known, content_match) in content_matches.into_iter().rev() {
            match content_match {
                ContentMatch::Same => return Ok(Standing::Known(Box::new(known))),
                ContentMatch::Shorter if self.contains(source, format, &known).await? => {
                    return Ok(Standing::Contained);
                }
                ContentMatch::Shorter | ContentMatch::Different => {}
            }
        }
        // Behind the broken place it may be a file that is known.
        broken.map_or(Ok(Standing::New), |error| Err(error.into()))
    }

    /// Whether the store holds the last line of `source` at the same offset of a longer file that
    /// begins alike: then it holds all of it.
    async fn contains(
        &mut self,
        source: &Source,
        format: &Arc<Format>,
        known: &Checkpoint,
    ) -> anyhow::Result<bool> {
        let mut last = LastLines::new(COMPARED);
        tokio::task::block_in_place(|| Content::growing(source, format).read(&mut last))?;
        for line in last.newest_first() {
            let stored =
                writer(&mut self.committer).await?.line_at(known.file, line.offset).await?;
            match (line.record(&format.parser), stored) {
                (Some(Parsed::Record(record)), Some(StoredLine::Row(row))) => {
                    return Ok(is_of(&row, &record));
                }
                (Some(Parsed::Json(record)), Some(stored)) if !is_reject(&stored) => {
                    return Ok(is_of_json(&stored, &record));
                }
                (_, Some(StoredLine::Reject { raw, .. })) => return Ok(raw == line.raw),
                (None, Some(_)) => {} // a row of a reparse by another format
                _ => return Ok(false),
            }
        }
        Ok(true) // nothing but excluded lines
    }
}

fn is_reject(line: &StoredLine) -> bool {
    matches!(line, StoredLine::Reject { .. })
}

/// Whether a stored row is the record of this line, by what tells requests apart.
fn is_of(row: &StoredRow, record: &GunicornLogModel<'_>) -> bool {
    record.timestamp.is_none_or(|timestamp| timestamp == row.timestamp)
        && record.url.as_deref() == row.url.as_deref()
        && record.agent.as_deref() == row.agent.as_deref()
        && record.user_id.as_deref() == row.user_id.as_deref()
        && (record.code, record.duration, record.user_ip) == (row.code, row.duration, row.user_ip)
}

/// The same of a JSON line.
fn is_of_json(stored: &StoredLine, record: &JsonRecord) -> bool {
    match (stored, record) {
        (StoredLine::Row(row), JsonRecord::Gunicorn(line)) => is_of(row, &line.record),
        (StoredLine::Request(row), JsonRecord::Request(line)) => {
            let row = &row.line;
            (row.timestamp, row.status_code, row.ip_address)
                == (line.timestamp, line.status_code, line.ip_address)
                && (&row.path, &row.query_params) == (&line.path, &line.query_params)
                && (&row.user_agent, &row.user_id) == (&line.user_agent, &line.user_id)
                && (&row.method, row.response_time_ms) == (&line.method, line.response_time_ms)
        }
        _ => false,
    }
}
