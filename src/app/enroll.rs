//! New files meet what the store remembers.
//!
//! In two rounds. First, files that are the same object with the same content go on where they
//! stood. Then the others: a copy of a followed file is left alone, the copy of a file that is no
//! longer itself (truncated after it was copied, moved across file systems, restored) takes over
//! its identity and its offset, and everything else is new and read from its beginning. What was
//! cut off and is found nowhere is counted as lost, in the store.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::follow::identity::Likeness;
use crate::follow::{Compression, Tail};
use crate::model::{Checkpoint, FileId, HeadPrint, NewFile, Sighting};
use crate::parse::Preset;
use crate::store::{StoreError, Writer};

use super::formats::{Choice, Format, Formats, SAMPLE};
use super::judge::{Applicant, Verdict, is_object, judge, liken};
use super::roster::{Bystander, Followed, Roster, Why};

/// Time until the first try to claim again a file that another writer holds: the server may just
/// not have noticed yet that a killed daemon is gone.
const HELD_FIRST: Duration = Duration::from_millis(250);

/// The longest time between two tries; each is twice the one before.
const HELD_LONGEST: Duration = Duration::from_secs(5);

/// A format, and the preset if it was told from the lines.
type Chosen = (Arc<Format>, Option<&'static Preset>);

/// Brings every new file to a verdict. A store that fails leaves the rest for the next time.
///
/// # Errors
/// What the store says.
pub(super) async fn enroll(
    roster: &mut Roster,
    formats: &mut Formats,
    host: &str,
    writer: &mut Writer,
) -> Result<(), StoreError> {
    let mut applicants = Vec::new();
    let mut disowned = Vec::new();
    for (mut tail, named) in take_new(roster) {
        let bystander = |tail: &Tail, why| Bystander {
            path: tail.path().to_path_buf(),
            key: tail.key(),
            named,
            why,
        };
        match examine(formats, host, &mut tail, named) {
            Ok(Examined::Log { head, choice, seen }) => {
                let known = match writer.candidates(&seen).await {
                    Ok(known) => known,
                    Err(error) => {
                        give_back(roster, applicants, Some((tail, named)));
                        return Err(error);
                    }
                };
                let known: Vec<_> =
                    known.into_iter().filter_map(|c| liken(&tail, c, head)).collect();
                let Some((format, told)) = settle_format(formats, &tail, choice, &known) else {
                    let size = tail.size();
                    roster.bystanders.push(bystander(&tail, Why::NotOurs { size, open: true }));
                    continue;
                };
                applicants.push(Applicant { tail, named, head, format, told, seen, known });
            }
            Ok(Examined::NotOurs { open }) => {
                let size = tail.size();
                roster.bystanders.push(bystander(&tail, Why::NotOurs { size, open }));
            }
            Err(error) => {
                warn!(path = %tail.path().display(), %error, "cannot read this file");
                let size = tail.size();
                roster.bystanders.push(bystander(&tail, Why::NotOurs { size, open: true }));
            }
        }
    }
    // Round one: the same object goes first, so that a copy cannot take its place.
    let (same, others): (Vec<_>, Vec<_>) = applicants.into_iter().partition(|applicant| {
        applicant.known.iter().any(|(known, likeness)| {
            *likeness == Likeness::Same && is_object(known, &applicant.tail)
        })
    });
    for applicant in &others {
        for (known, _) in &applicant.known {
            if is_object(known, &applicant.tail) && !known.closed {
                disowned.push(known.clone());
            }
        }
    }
    let mut queue = same.into_iter().chain(others);
    while let Some(applicant) = queue.next() {
        let verdict = judge(roster, &applicant);
        if let Err(failed) = settle(roster, writer, applicant, verdict).await {
            let (error, tail, named) = *failed;
            give_back(roster, queue.collect(), Some((tail, named)));
            return Err(error);
        }
    }
    for known in disowned {
        let taken = roster.followed.iter().any(|file| file.file == known.file)
            || roster.orphans.iter().any(|file| file.file == known.file);
        if !taken {
            close_disowned(writer, host, &known).await?;
        }
    }
    Ok(())
}

/// Every file that awaits a verdict, out of the roster.
fn take_new(roster: &mut Roster) -> Vec<(Tail, bool)> {
    let now = Instant::now();
    let mut taken = Vec::new();
    let mut kept = Vec::new();
    for bystander in roster.bystanders.drain(..) {
        match bystander.why {
            Why::New(tail) => taken.push((tail, bystander.named)),
            Why::Held { tail, until } if until <= now => taken.push((tail, bystander.named)),
            _ => kept.push(bystander),
        }
    }
    roster.bystanders = kept;
    taken
}

fn give_back(roster: &mut Roster, rest: Vec<Applicant>, first: Option<(Tail, bool)>) {
    let rest = rest.into_iter().map(|applicant| (applicant.tail, applicant.named));
    for (tail, named) in first.into_iter().chain(rest) {
        let (path, key) = (tail.path().to_path_buf(), tail.key());
        roster.bystanders.push(Bystander { path, key, named, why: Why::New(tail) });
    }
}

enum Examined {
    /// A log, unless nobody can read it.
    Log { head: HeadPrint, choice: Option<Chosen>, seen: Sighting },
    NotOurs {
        /// Whether more content may change that.
        open: bool,
    },
}

fn examine(
    formats: &mut Formats,
    host: &str,
    tail: &mut Tail,
    named: bool,
) -> io::Result<Examined> {
    tail.look()?; // a copy that was still being made when it was found may be whole by now
    let path = tail.path().display();
    if tail.compression()? != Compression::None {
        info!(%path, "an archive: not followed; `log-ingestd import` reads it");
        return Ok(Examined::NotOurs { open: false });
    }
    let sample = tail.first_bytes(SAMPLE)?;
    let Some(head) = crate::follow::identity::head_print(&sample) else {
        return Ok(Examined::NotOurs { open: true }); // no complete line yet
    };
    let choice = match formats.choose(&sample, named) {
        Choice::Access { format, told } => Some((format, told)),
        Choice::Unknown => None,
        Choice::ErrorLog => {
            info!(%path, "Gunicorn's error log: left alone");
            return Ok(Examined::NotOurs { open: false });
        }
        Choice::NotYet => return Ok(Examined::NotOurs { open: true }),
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
fn settle_format(
    formats: &mut Formats,
    tail: &Tail,
    choice: Option<Chosen>,
    known: &[(Checkpoint, Likeness)],
) -> Option<Chosen> {
    let before = known.iter().find(|(_, likeness)| *likeness == Likeness::Same);
    let before = before.and_then(|(known, _)| formats.stored(&known.format));
    if let Some(format) = before {
        return Some((format, None));
    }
    if choice.is_none() {
        warn!(
            path = %tail.path().display(),
            "no known format reads the first lines of this file: left alone; give --format, \
             or leave it out with --exclude"
        );
    }
    choice
}

type Failed = Box<(StoreError, Tail, bool)>;

async fn settle(
    roster: &mut Roster,
    writer: &mut Writer,
    applicant: Applicant,
    verdict: Verdict,
) -> Result<(), Failed> {
    let Applicant { tail, named, head, format, told, seen, known: compared } = applicant;
    let path = tail.path().to_path_buf();
    let bystander = |why, key| Bystander { path: path.clone(), key, named, why };
    let key = tail.key();
    let (file, new) = match verdict {
        Verdict::CopyOf(file) => {
            let size = tail.size();
            roster.bystanders.push(bystander(Why::CopyOf { file, size }, key));
            return Ok(());
        }
        Verdict::Wait => {
            roster.bystanders.push(bystander(Why::New(tail), key));
            return Ok(());
        }
        Verdict::Resume(file) | Verdict::Adopt(file) => (file, false),
        Verdict::New => {
            let new = NewFile {
                sighting: seen.clone(),
                format: format.format.clone(),
                time_estimated: !format.has_time,
            };
            let known: Vec<FileId> = compared.iter().map(|(known, _)| known.file).collect();
            match writer.register(&new, &known).await {
                Ok(Some(new)) => (new.file, true),
                Ok(None) => {
                    roster.bystanders.push(bystander(Why::New(tail), key));
                    return Ok(());
                }
                Err(error) => return Err(Box::new((error, tail, named))),
            }
        }
    };
    let compared_at = compared.iter().find(|(known, _)| known.file == file);
    let compared_at = compared_at.map_or(0, |(known, _)| known.committed);
    match writer.claim(file, &seen, &format.format).await {
        // Somebody else has stored more since the content was compared: compare that too.
        Ok(Some(claimed)) if claimed.committed != compared_at => {
            if let Err(error) = writer.release(claimed.file).await {
                return Err(Box::new((error, tail, named)));
            }
            roster.bystanders.push(bystander(Why::New(tail), key));
            Ok(())
        }
        Ok(Some(claimed)) => {
            roster.held.remove(&claimed.file);
            roster.orphans.retain(|orphan| orphan.file != claimed.file);
            if new {
                let (format, about) = told.map_or((format.format.as_str(), "as given"), |preset| {
                    (preset.name, preset.about)
                });
                info!(file = claimed.file.0, path = %path.display(), format, about,
                    "following a new file");
            } else {
                info!(file = claimed.file.0, path = %path.display(), offset = claimed.committed,
                    "following on");
            }
            roster.followed.push(followed(tail, &claimed, head, format));
            Ok(())
        }
        Ok(None) => {
            let wait = match roster.held.get(&file) {
                Some(last) => (*last * 2).min(HELD_LONGEST),
                None => {
                    warn!(path = %path.display(),
                        "another log-ingestd writes this file: waiting for it");
                    HELD_FIRST
                }
            };
            roster.held.insert(file, wait);
            let until = Instant::now() + wait;
            roster.bystanders.push(bystander(Why::Held { tail, until }, key));
            Ok(())
        }
        Err(error) => Err(Box::new((error, tail, named))),
    }
}

fn followed(
    mut tail: Tail,
    claimed: &Checkpoint,
    head: HeadPrint,
    format: Arc<Format>,
) -> Followed {
    tail.advance(claimed.committed, claimed.guard);
    tail.content_is_known(); // by its first line, and by the guard if there is one
    Followed {
        tail,
        file: claimed.file,
        epoch: claimed.epoch,
        format,
        head: Some(head),
        committed: (claimed.committed, claimed.guard),
        ready: true,
        stuck_at: None,
        nameless: None,
        renamed: false,
        refused: None,
    }
}

/// A file was truncated or replaced while nobody looked, and its bytes were found nowhere.
async fn close_disowned(
    writer: &mut Writer,
    host: &str,
    known: &Checkpoint,
) -> Result<(), StoreError> {
    let seen = Sighting {
        host: host.to_owned(),
        path: known.path.clone(),
        key: known.key,
        head: known.head,
    };
    let Some(known) = writer.claim(known.file, &seen, &known.format).await? else {
        return Ok(()); // whoever follows it will see the same, and knows more
    };
    let lost = known.size.saturating_sub(known.committed);
    if lost > 0 {
        warn!(
            file = known.file.0,
            path = known.path,
            bytes = lost,
            "truncated before all of it was read: these bytes are lost"
        );
    }
    writer.close(known.file, known.epoch, lost, "truncated or replaced").await?;
    writer.release(known.file).await
}
