//! Small files, many at a time.
//!
//! What a file costs beside its lines is transactions: one that registers it, one for its last
//! batch, one that lets it go. So small files are registered together, their lines travel in
//! common batches, and they are let go together. Each of them is still claimed before its first
//! line is sent, and its offset moves with its lines.
//!
//! Files that may have lines in common (the same one twice, or one that is the beginning of the
//! other) cannot be told apart before one of them is stored: the second one has to wait.

use std::path::Path;
use std::sync::Arc;

use crate::identity::claim::{ClaimedFile, LossCounter};
use crate::identity::register::{
    NewFileIs, OtherWriter, Registered, Registration, Terms, UnknownFile, new_file, register,
};
use crate::identity::resolve::Policy;
use crate::model::{Checkpoint, FileId, NewFile, Sighting, path_text};
use crate::source::Compression;
use crate::source::fingerprint::same_object;
use crate::source::whole_file::Source;
use crate::store::StoreError;

use crate::commands::import::group::{Gatherer, Member};
use crate::commands::import::{Import, Summary};

/// Bytes of a file that is read without a thread of its own (1 MiB).
const SMALL: u64 = 1 << 20;

/// An archive holds about ten times as much.
const SMALL_ARCHIVE: u64 = SMALL / 10;

/// Files that are registered at once, at most: each is open meanwhile.
const GATHERED: usize = 128;

/// A file with its place on the command line.
pub(crate) type Nth<T> = (usize, T);

impl Gatherer<'_> {
    /// The next file.
    pub(crate) async fn take(&mut self, path: &Path) {
        let nth = self.names.len();
        self.names.push(path_text(path).into_owned());
        match self.import.open(path) {
            Ok(None) => {}
            Ok(Some(opened)) if opened.format.is_ok() && is_small(&opened.source) => {
                self.gathered.push((nth, opened));
                if self.gathered.len() >= GATHERED {
                    self.store().await;
                }
            }
            Ok(Some(opened)) => {
                self.store().await;
                self.alone(nth, opened).await;
            }
            Err(error) => self.fail(nth, error),
        }
    }

    /// Stores what is gathered, and tells what was done; failures in the order of the files.
    pub(crate) async fn end(mut self) -> (Summary, Vec<anyhow::Error>) {
        self.store().await;
        self.flush().await;
        let mut failures = self.failures;
        failures.sort_by_key(|(nth, _)| *nth);
        let named = failures
            .into_iter()
            .map(|(nth, error)| error.context(format!("cannot import '{}'", self.names[nth])));
        let failures = named.collect();
        let Import { commits, committer, summary, .. } = self.import;
        commits.end().await;
        committer.end().await;
        (summary, failures)
    }

    /// One file while nothing else is under way.
    async fn alone(&mut self, nth: usize, opened: UnknownFile) {
        self.flush().await;
        if self.is_interrupted() {
            return;
        }
        let stored = self.import.file(opened).await;
        self.import.progress.end();
        if let Err(error) = stored {
            self.fail(nth, error);
        }
    }

    /// Stores the gathered files. Their last batches may still be under way then.
    async fn store(&mut self) {
        if self.is_interrupted() {
            self.gathered.clear();
        }
        if self.gathered.is_empty() {
            return;
        }
        if self.import.commits.is_alone() {
            self.flush().await; // whose writer would have to be waited for at each step
        }
        let (mut ready, mut new, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let gathered = std::mem::take(&mut self.gathered);
        let mut known = self.candidates(&gathered).await.into_iter();
        for (nth, opened) in gathered {
            match self.identify(&opened, known.next()).await {
                Ok(Registered::Claimed(registration)) => {
                    self.claims.insert(registration.claim.file());
                    ready.push(Member::new(nth, opened.source, *registration));
                }
                Ok(Registered::Stored) => {
                    self.import.progress.begin(&opened.source.name, opened.source.size);
                    if let Err(error) = self.import.count_stored(&opened.source, &opened.format) {
                        self.fail(nth, error);
                    }
                    self.import.progress.end();
                }
                Ok(Registered::Skipped) => self.import.skip(&opened.source),
                Ok(Registered::Unknown(known)) => new.push((nth, opened, known)),
                Ok(Registered::Held | Registered::Changed(_)) => later.push((nth, opened)),
                // The connection may have been lost for reasons of another file.
                Err(error) if error.is::<StoreError>() => {
                    self.forget_writer(&error);
                    later.push((nth, opened));
                }
                Err(error) => self.fail(nth, error),
            }
        }
        self.register(new, &mut ready, &mut later).await;
        ready.sort_by_key(|member| member.nth);
        for member in ready {
            self.read(member).await;
        }
        later.sort_by_key(|(nth, _)| *nth);
        for (nth, opened) in later {
            self.alone(nth, opened).await;
        }
    }

    /// Asks for the candidates of all files at once. Returns none after an error: then each file asks for its
    /// own, and says what is wrong.
    async fn candidates(&mut self, files: &[Nth<UnknownFile>]) -> Vec<Vec<Checkpoint>> {
        let seen: Vec<&Sighting> = files.iter().map(|(_, opened)| &opened.seen).collect();
        let asked = async {
            let writer = self.import.committer.available_writer().await?;
            anyhow::Ok(writer.candidates_of_all(&seen).await?)
        };
        match asked.await {
            Ok(known) => known,
            Err(error) => {
                self.forget_writer(&error);
                Vec::new()
            }
        }
    }

    /// Finds out which logical file it is, and claims it if it is known.
    async fn identify(
        &mut self,
        opened: &UnknownFile,
        known: Option<Vec<Checkpoint>>,
    ) -> anyhow::Result<Registered> {
        let terms = Terms {
            policy: Policy::Import,
            held_here: &self.claims,
            new_file: NewFileIs::Reported,
            other_writer: OtherWriter::NotWaitedFor,
            unproven: self.import.unproven,
            losses: LossCounter::StoreOnly,
            has_changed: false,
        };
        let Import { committer, formats, .. } = &mut self.import;
        register(committer, formats, opened, known, &terms).await
    }

    /// Registers files that are not known, but for those that are like one of them.
    async fn register(
        &mut self,
        unknown: Vec<(usize, UnknownFile, Vec<FileId>)>,
        ready: &mut Vec<Member>,
        later: &mut Vec<Nth<UnknownFile>>,
    ) {
        let mut new: Vec<(NewFile, Vec<FileId>)> = Vec::with_capacity(unknown.len());
        let mut opened_files = Vec::with_capacity(unknown.len());
        for (nth, opened, known) in unknown {
            match &opened.format {
                Ok(format) if !new.iter().any(|(it, _)| are_alike(&it.sighting, &opened.seen)) => {
                    let file = new_file(&opened.seen, format);
                    let format = Arc::clone(format);
                    new.push((file, known));
                    opened_files.push((nth, opened, format));
                }
                _ => later.push((nth, opened)),
            }
        }
        if new.is_empty() {
            return;
        }
        let registered = async {
            let writer = self.import.committer.available_writer().await?;
            let losses = LossCounter::StoreOnly;
            anyhow::Ok(ClaimedFile::register_all(writer, &new, &losses).await?)
        };
        match registered.await {
            Ok(registered) => {
                for ((nth, opened, format), claimed) in opened_files.into_iter().zip(registered) {
                    let Some(claim) = claimed else {
                        later.push((nth, opened)); // another writer has registered it just now
                        continue;
                    };
                    self.claims.insert(claim.file());
                    let registration = Registration { claim, format };
                    ready.push(Member::new(nth, opened.source, registration));
                }
            }
            // Each of them is tried by itself, and says what is wrong.
            Err(error) => {
                self.forget_writer(&error);
                later.extend(opened_files.into_iter().map(|(nth, opened, _)| (nth, opened)));
            }
        }
    }
}

fn is_small(source: &Source) -> bool {
    match source.compression {
        Compression::None => source.size <= SMALL,
        _ => source.size <= SMALL_ARCHIVE,
    }
}

/// Whether the store may take one for the other.
fn are_alike(one: &Sighting, other: &Sighting) -> bool {
    one.head == other.head
        || one.key.zip(other.key).is_some_and(|(one, other)| same_object(one, other))
}
