//! Finds out which logical file a complete file is, and claims it: for `import` and for archives in
//! watched directories.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Checkpoint, FileId, NewFile, Position, Sighting, text_path};
use crate::pipeline::committer::Committer;
use crate::pipeline::file_format::Format;
use crate::source::whole_file::Source;
use crate::store::{NewOrKnown, Writer};

use crate::identity::claim::{ClaimResult, ClaimedFile, Compared, LossCounter};
use crate::identity::contained::is_contained;
use crate::identity::content::WholeFile;
use crate::identity::detect::{Formats, Undetected, log_other_format};
use crate::identity::resolve::{Decision, FilesOfProcess, FollowedFile, Policy, in_place, resolve};

/// How long to wait for another writer to store enough of a file to compare with.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two tries meanwhile.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// A complete file before its logical file is known.
pub(crate) struct UnknownFile {
    pub(crate) source: Source,
    pub(crate) seen: Sighting,
    /// Its format, or why it has none.
    pub(crate) format: Result<Arc<Format>, Undetected>,
}

/// What became of an [`UnknownFile`].
pub(crate) enum Registered {
    /// It is this logical file, which is claimed.
    Claimed(Box<Registration>),
    /// All of it is stored already.
    Stored,
    /// Its content cannot prove that it is a stored file or another one, and the caller skips such files.
    Skipped,
    /// It is an archive from which this file was read, and does not hold that any more.
    Changed(FileId),
    /// It is none of these files, which begin like it, and was not registered.
    Unknown(Vec<FileId>),
    /// Another writer, or another task of this process, holds it.
    Held,
}

/// A claimed file, and how its lines are read from its committed position on.
pub(crate) struct Registration {
    pub(crate) claim: ClaimedFile,
    pub(crate) format: Arc<Format>,
}

impl Registration {
    fn of(claim: ClaimedFile, format: Arc<Format>) -> Registered {
        Registered::Claimed(Box::new(Self { claim, format }))
    }
}

/// What the caller wants of the registration.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) policy: Policy,
    /// Files that this process is storing already.
    pub(crate) held_here: &'a HashSet<FileId>,
    pub(crate) new_file: NewFileIs,
    pub(crate) other_writer: OtherWriter,
    pub(crate) unproven: Unproven,
    pub(crate) losses: LossCounter,
    /// Whether the process has found that the file has changed since it looked at it before.
    pub(crate) has_changed: bool,
}

/// What becomes of a file that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewFileIs {
    Registered,
    /// It is only reported.
    Reported,
}

/// What to do with a file that begins like a stored one and cannot prove that it is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unproven {
    /// Store nothing of it, and fail.
    #[default]
    Refuse,
    /// Store it as a log of its own.
    Again,
    /// Store nothing of it.
    Skip,
}

/// Why nothing of a file is stored that may be stored already.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "its lines cannot be told from those of {path} (log_file {file}), which are stored: lines \
         without a time, or one line only, do not prove that it is the same log; nothing of it is \
         stored; --again stores it as a log of its own, --skip leaves it out"
    )]
    Unproven { file: i32, path: String },
    #[error(
        "it is stored under the name of host '{from}'; nothing of it is stored for '{to}'; if the host \
         was renamed, `log-ingestd rename-host {from} {to}` moves its logs; --again stores it as a log \
         of its own, --skip leaves it out"
    )]
    OfOtherHost { from: String, to: String },
}

/// What to do while another writer holds a file of which only the first line can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherWriter {
    /// Wait until that writer has stored enough to compare with.
    WaitedFor,
    /// Do not wait: the process holds files for which that writer may be waiting.
    NotWaitedFor,
}

/// Finds out which logical file this is, and claims it. Other writers may do the same at the same
/// time, so that what was found out may be outdated when it is used: then it is found out again.
/// `known` are the candidates, if the store was asked for them a moment ago.
///
/// # Errors
/// A file that cannot be read or has no format, and the store's.
pub(crate) async fn register(
    committer: &mut Committer,
    formats: &mut Formats,
    file: &UnknownFile,
    mut known: Option<Vec<Checkpoint>>,
    terms: &Terms<'_>,
) -> anyhow::Result<Registered> {
    let UnknownFile { source, seen, format } = file;
    let give_up = Instant::now() + PATIENCE;
    loop {
        let known = match known.take() {
            Some(known) => known,
            None => {
                let writer = committer.available_writer().await?;
                match (format, terms.new_file) {
                    // Without candidates it is new, by any policy for complete files.
                    (Ok(format), NewFileIs::Registered) => {
                        let new = new_file(seen, format);
                        let losses = &terms.losses;
                        match ClaimedFile::register_unless_known(writer, &new, losses).await? {
                            NewOrKnown::New(claim) => {
                                return Ok(Registration::of(claim, Arc::clone(format)));
                            }
                            NewOrKnown::Known(known) => known,
                        }
                    }
                    _ => writer.candidates(seen).await?,
                }
            }
        };
        let compared: Vec<FileId> = known.iter().map(|known| known.file).collect();
        let format = match detected_or_stored(formats, format, seen, &known) {
            Ok(format) => format,
            Err(_) if terms.new_file == NewFileIs::Reported => {
                return Ok(Registered::Unknown(compared));
            }
            Err(why) => return Err(why.explained(&file.source)),
        };
        let writer = committer.available_writer().await?;
        let decision = tokio::task::block_in_place(|| {
            let held = terms.held_here.iter().filter(|file| compared.contains(file));
            let held = held.map(|&file| FollowedFile {
                file,
                content: None,
                position: 0,
                nameless: false,
            });
            let here = FilesOfProcess {
                followed: held.collect(),
                in_place: in_place(&known),
                has_changed: terms.has_changed,
                ..FilesOfProcess::default()
            };
            let content = WholeFile::new(source, seen.key, seen.head, format.has_time);
            resolve(&content, known.clone(), &seen.host, &here, terms.policy)
        });
        let file = match unless_contained(writer, source, &format, decision).await? {
            None | Some(Decision::AlreadyRead) => return Ok(Registered::Stored),
            Some(Decision::Unproven(_) | Decision::OfOtherHost(_))
                if terms.unproven == Unproven::Skip =>
            {
                return Ok(Registered::Skipped);
            }
            Some(Decision::Unproven(file)) if terms.unproven == Unproven::Refuse => {
                let known = known.iter().find(|known| known.file == file);
                let path = known.map_or_else(String::new, |known| known.path.clone());
                return Err(Refused::Unproven { file: file.0, path }.into());
            }
            Some(Decision::OfOtherHost(file)) if terms.unproven == Unproven::Refuse => {
                let known = known.iter().find(|known| known.file == file);
                let from = known.map_or_else(String::new, |known| known.host.clone());
                return Err(Refused::OfOtherHost { from, to: seen.host.clone() }.into());
            }
            Some(Decision::Unreadable(error)) => return Err(error.into()),
            Some(Decision::Changed(file)) => return Ok(Registered::Changed(file)),
            Some(Decision::Held | Decision::Wait) => return Ok(Registered::Held),
            Some(Decision::Resume(file) | Decision::Adopt(file)) => file,
            Some(_) if terms.new_file == NewFileIs::Reported => {
                return Ok(Registered::Unknown(compared));
            }
            Some(_) => {
                let new = new_file(seen, &format);
                let new = ClaimedFile::register(writer, &new, &compared, &terms.losses).await?;
                let Some(claim) = new else { continue };
                return Ok(Registration::of(claim, format));
            }
        };
        let Some(checkpoint) = known.into_iter().find(|known| known.file == file) else { continue };
        let place = text_path(&seen.path);
        let format = formats.of_known(&place, &checkpoint).unwrap_or(format);
        let mut seen = seen.clone();
        // An archive's path becomes the log's. What is imported is a copy of the log.
        if terms.policy != Policy::Archive {
            seen.path.clone_from(&checkpoint.path);
            seen.key = checkpoint.key;
        }
        let compared = Compared::from(&checkpoint);
        match ClaimedFile::claim_known(writer, compared, &seen, &format.format, &terms.losses)
            .await?
        {
            ClaimResult::Claimed(claim) => {
                log_other_format(&place, &checkpoint, &format);
                return Ok(Registration::of(*claim, format));
            }
            ClaimResult::Outdated => {}
            // Only the first line is known to be the same: the writer that has it stores more soon.
            ClaimResult::HeldByAnother
                if terms.other_writer == OtherWriter::WaitedFor
                    && checkpoint.committed == 0
                    && Instant::now() < give_up =>
            {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            ClaimResult::HeldByAnother => return Ok(Registered::Held),
        }
    }
}

/// Returns the row of a file that is registered.
pub(crate) fn new_file(seen: &Sighting, format: &Format) -> NewFile {
    NewFile {
        sighting: seen.clone(),
        format: format.format.clone(),
        time_estimated: !format.has_time,
        begins: Position::default(),
    }
}

/// Asks the store where the decision depends on it. Returns `None` if all of the file is stored.
async fn unless_contained(
    writer: &mut Writer,
    source: &Source,
    format: &Arc<Format>,
    decision: Decision,
) -> anyhow::Result<Option<Decision>> {
    let Decision::MayBeContained { files, otherwise } = decision else { return Ok(Some(decision)) };
    for file in files {
        if is_contained(writer, source, format, file).await? {
            return Ok(None);
        }
    }
    Ok(Some(*otherwise))
}

/// Returns the format that was given or detected; else the one by which the file was read before.
fn detected_or_stored(
    formats: &mut Formats,
    detected: &Result<Arc<Format>, Undetected>,
    seen: &Sighting,
    known: &[Checkpoint],
) -> Result<Arc<Format>, Undetected> {
    let why = match detected {
        Ok(format) => return Ok(Arc::clone(format)),
        Err(why) => *why,
    };
    let mut alike = known.iter().filter(|known| known.head == seen.head);
    alike.find_map(|known| formats.of_known(&text_path(&seen.path), known)).ok_or(why)
}
