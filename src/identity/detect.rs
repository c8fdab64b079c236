//! What a new file is, by itself: an access log and its format, or nothing of ours.

use std::io;
use std::sync::Arc;

use tracing::{info, warn};

use crate::format::Preset;
use crate::model::{Checkpoint, Fingerprint, Sighting};
use crate::source::fingerprint::{ContentMatch, head_fingerprint};
use crate::source::{Compression, Tail};

use crate::daemon::files::Streamed;
use crate::identity::formats::{Choice, Format, Formats, SAMPLE, sample};

/// A format, and the preset if it was told from the lines.
pub(crate) type Chosen = (Arc<Format>, Option<&'static Preset>);

/// Why a log has no format.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unreadable {
    /// No known format reads its lines.
    Unknown,
    /// A container's log without access lines; whether that may change.
    Contained { open: bool },
}

/// What a file is, by itself.
pub(crate) enum Examined {
    /// A log, unless nobody can read it.
    Log { head: Fingerprint, choice: Result<Chosen, Unreadable>, seen: Sighting },
    NotOurs {
        /// Whether more content may change that.
        open: bool,
    },
    /// Compressed.
    Archive,
}

/// Looks into a file. What came from a stream is a log for certain: whatever no format reads of it is
/// to be rejected when there is enough to tell, and not to be left alone until the spool is full.
///
/// # Errors
/// A read that fails.
pub(crate) fn examine(
    formats: &mut Formats,
    host: &str,
    tail: &mut Tail,
    streamed: Option<&Streamed>,
) -> io::Result<Examined> {
    tail.refresh()?; // a copy that was still being made when it was found may be whole by now
    let path = tail.path().display();
    if streamed.is_none() && tail.compression()? != Compression::None {
        return Ok(Examined::Archive);
    }
    let sample = sample(|limit| tail.first_bytes(limit))?;
    let Some(head) = head_fingerprint(&sample) else {
        return Ok(Examined::NotOurs { open: true }); // no complete line yet
    };
    let behind_hole =
        if sample.first() == Some(&0) { tail.first_bytes_after_hole(SAMPLE)? } else { Vec::new() };
    let telling = if behind_hole.is_empty() { &sample } else { &behind_hole };
    let choice = match formats.choose(telling) {
        Choice::Access { format, told } => Ok((format, told)),
        Choice::Unknown => Err(Unreadable::Unknown),
        Choice::Contained { open } => Err(Unreadable::Contained { open }),
        Choice::ErrorLog | Choice::NotYet if streamed.is_some() => Err(Unreadable::Unknown),
        Choice::ErrorLog => {
            info!(%path, "Gunicorn's error log: left alone");
            return Ok(Examined::NotOurs { open: false });
        }
        Choice::NotYet => return Ok(Examined::NotOurs { open: true }),
    };
    let choice = match streamed.filter(|it| it.finished || Formats::have_enough(telling)) {
        Some(streamed) if choice.is_err() => {
            let format = streamed.format.clone().or_else(|| formats.plain());
            if let Some(format) = format.as_ref().filter(|_| streamed.format.is_none()) {
                warn!(%path, format = format.format, "no known format reads the first lines of this \
                    stream: read by this one, and what cannot be read is rejected; give --format");
            }
            format.map(|format| (format, None)).ok_or(Unreadable::Unknown)
        }
        _ => choice,
    };
    let seen = Sighting {
        host: host.to_owned(),
        path: tail.path().to_string_lossy().into_owned(),
        key: Some(tail.key()),
        head: Some(head),
    };
    Ok(Examined::Log { head, choice, seen })
}

/// The format of a file: the one by which it was read before, so that a restart reads on as it
/// began; else what its lines suggest.
pub(crate) fn settle_format(
    formats: &mut Formats,
    choice: Result<Chosen, Unreadable>,
    known: &[(Checkpoint, ContentMatch)],
) -> Result<Chosen, Unreadable> {
    let before = known.iter().find(|(_, content_match)| *content_match == ContentMatch::Same);
    let before = before.and_then(|(known, _)| formats.stored(&known.format));
    before.map_or(choice, |format| Ok((format, None)))
}
