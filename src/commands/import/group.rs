//! Small files whose lines travel in common batches, and how each of them ends.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::identity::claim::ClaimedFile;
use crate::identity::register::{Registration, UnknownFile};
use crate::model::{Batch, FileId, now};
use crate::pipeline::committer::{Claims, Outcome};
use crate::pipeline::file_format::Format;
use crate::pipeline::read_lines::{BatchTarget, Limits, fill_batch};
use crate::pipeline::store_file::{Content, End, end_of, given_up};
use crate::source::whole_file::Source;
use crate::store::{Committed, StoreError};

use crate::commands::import::Import;
use crate::commands::import::gather::Nth;
use crate::commands::import::single::warn_of_rest;

/// The most files in one batch.
const SPANS: usize = 64;

/// The most files that are open and claimed at once.
const MEMBERS: usize = 256;

/// A claimed file.
pub(crate) struct Member {
    pub(crate) nth: usize,
    source: Source,
    claim: ClaimedFile,
    format: Arc<Format>,
    /// How far it was read, and what ended it; `None` while it is being read.
    read: Option<(u64, anyhow::Result<End>)>,
}

impl Member {
    pub(crate) fn new(nth: usize, source: Source, registration: Registration) -> Self {
        let Registration { claim, format } = registration;
        Self { nth, source, claim, format, read: None }
    }

    fn is_done(&self) -> bool {
        self.read.as_ref().is_some_and(|(to, _)| *to == self.claim.committed().offset)
    }
}

/// Takes files as they come, and stores small ones together.
pub(crate) struct Gatherer<'a> {
    pub(crate) import: Import<'a>,
    pub(crate) failures: Vec<Nth<anyhow::Error>>,
    /// Files that this process holds.
    pub(crate) claims: HashSet<FileId>,
    /// The files' names, for failures.
    pub(crate) names: Vec<String>,
    /// Files that are not claimed yet.
    pub(crate) gathered: Vec<Nth<UnknownFile>>,
    /// Files that were begun and are not stored to their end.
    members: VecDeque<Member>,
    /// Lines that are read and not sent.
    batch: Batch,
    spare: Vec<Batch>,
}

impl<'a> Gatherer<'a> {
    pub(crate) fn new(import: Import<'a>) -> Self {
        let batch = Batch { cutoff: import.cutoff, ..Batch::default() };
        Self {
            import,
            failures: Vec::new(),
            claims: HashSet::new(),
            names: Vec::new(),
            gathered: Vec::new(),
            members: VecDeque::new(),
            batch,
            spare: Vec::new(),
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.import.shutdown.is_requested()
    }

    pub(crate) fn fail(&mut self, nth: usize, error: anyhow::Error) {
        self.forget_writer(&error);
        self.failures.push((nth, error));
    }

    /// Closes the connection after an error of the store: it may be of no use.
    pub(crate) fn forget_writer(&mut self, error: &anyhow::Error) {
        if error.is::<StoreError>() {
            self.import.committer.hang_up();
        }
    }

    /// Reads a file to its end, and sends each batch that it fills.
    pub(crate) async fn read(&mut self, member: Member) {
        if self.members.len() >= MEMBERS {
            self.flush().await;
        }
        let (nth, size) = (member.nth, member.source.size);
        self.import.progress.begin(&member.source.name, size);
        if let Some(read) = self.read_content(member).await
            && let Some(member) = self.members.back_mut().filter(|member| member.nth == nth)
        {
            let releases = matches!(read.1, Ok(End::Whole | End::Rest(_)));
            member.read = Some(read);
            let file = member.claim.file();
            let last = self.batch.spans.iter_mut().find(|span| span.file == file);
            if let Some(last) = last.filter(|_| releases && !member.claim.was_closed()) {
                last.releases = true;
            }
        } else {
            return self.import.progress.end(); // it has ended with a batch that failed
        }
        self.import.progress.at(size, self.import.summary.lines);
        self.import.progress.end();
        if self.batch.spans.len() >= SPANS || Limits::BATCH.reached(&self.batch) {
            self.launch().await;
        }
    }

    /// Puts the lines of a file into batches. Returns how far it was read, and what ended it; `None`
    /// if it is not a member any more.
    async fn read_content(&mut self, member: Member) -> Option<(u64, anyhow::Result<End>)> {
        let nth = member.nth;
        let counted = self.import.count_stored_before(&member.claim).await;
        self.members.push_back(member);
        let member = self.members.back()?;
        let content = Content::whole(&member.source, &member.format);
        let at = member.claim.committed();
        let opened = counted.and_then(|()| Ok(content.open_at(&at, &Arc::default())?));
        let (mut lines, mut reader) = match opened {
            Ok(opened) => opened,
            Err(error) => return Some((at.offset, Err(error))),
        };
        loop {
            if self.is_interrupted() {
                return Some((lines.offset(), Ok(End::Interrupted)));
            }
            let member = self.members.back().filter(|member| member.nth == nth)?;
            let Committed { file, epoch, .. } = member.claim.held();
            let limits = Limits::BATCH;
            let target = BatchTarget { file, epoch, size: 0, now: now(), limits };
            let content = Content::whole(&member.source, &member.format);
            let (batch, context) = (&mut self.batch, content.context());
            let stop = tokio::task::block_in_place(|| {
                fill_batch(&mut lines, &mut reader, &context, batch, &target)
            });
            if let Some(end) = end_of(stop, &lines) {
                return Some((lines.offset(), end));
            }
            self.launch().await;
        }
    }

    /// Sends the batch when there is a connection for it.
    async fn launch(&mut self) {
        while !self.import.commits.has_room() {
            self.land().await;
        }
        if self.batch.is_empty() {
            return;
        }
        let mut next = self.spare.pop().unwrap_or_default();
        next.cutoff = self.import.cutoff;
        self.import.commits.launch(std::mem::replace(&mut self.batch, next));
    }

    /// Waits for the batch that was sent first; `false` if none is under way.
    async fn land(&mut self) -> bool {
        let members = &self.members;
        let held = || members.iter().filter(|it| !it.claim.is_released());
        let claims = || held().map(|it| it.claim.held()).collect();
        let Import { commits, committer, .. } = &mut self.import;
        let landed = commits.land(committer, claims).await;
        let was_under_way = landed.is_some();
        match landed {
            Some((batch, Outcome::Stored(_))) => self.account(batch),
            Some((_, Outcome::GaveUp(error) | Outcome::Restored(error))) => self.give_up(&error),
            Some((_, Outcome::BadRow(_) | Outcome::Conflict(_))) => self.one_by_one().await,
            None => {}
        }
        self.let_go().await;
        self.import.committer.keep_alive(|_| false).await;
        was_under_way
    }

    /// Sends everything that was read, and waits for it.
    pub(crate) async fn flush(&mut self) {
        self.launch().await;
        while self.land().await {}
        self.one_by_one().await; // none is left, unless the task of a batch ended early
    }

    /// Counts a batch that is stored.
    fn account(&mut self, mut batch: Batch) {
        for span in &batch.spans {
            if let Some(member) = self.members.iter_mut().find(|it| it.claim.file() == span.file) {
                member.claim.stored(span);
                self.import.summary.add(span);
            }
        }
        self.import.summary.expired += batch.expired;
        let members = &self.members;
        let name = |file| {
            let member = members.iter().find(|it| it.claim.file() == file);
            member.map(|it| it.source.name.clone()).unwrap_or_default()
        };
        self.import.notices.stored(&batch, name, Instant::now());
        self.import.far_notices.stored(&batch, name);
        batch.clear();
        self.spare.push(batch);
    }

    /// Reads each file again by itself, from its checkpoint on: one of a common batch was refused.
    async fn one_by_one(&mut self) {
        self.batch.clear();
        for mut member in std::mem::take(&mut self.members) {
            if !member.is_done() {
                let content = Content::whole(&member.source, &member.format);
                let end = self.import.store(content, &mut member.claim).await;
                member.read = Some((member.claim.committed().offset, end));
            }
            let claim = member.claim.held();
            self.end_member(member).await;
            self.release(&[claim]).await;
        }
    }

    /// Fails all files: the store is unavailable for too long, or was restored.
    fn give_up(&mut self, error: &StoreError) {
        self.batch.clear();
        for member in std::mem::take(&mut self.members) {
            self.claims.remove(&member.claim.file());
            self.failures.push((member.nth, given_up(error)));
        }
    }

    /// Releases the files that are stored to their end.
    async fn let_go(&mut self) {
        let mut done = Claims::new();
        while self.members.front().is_some_and(Member::is_done) {
            if let Some(member) = self.members.pop_front() {
                match member.claim.is_released() {
                    true => drop(self.claims.remove(&member.claim.file())),
                    false => done.push(member.claim.held()),
                }
                self.end_member(member).await;
            }
        }
        self.release(&done).await;
    }

    async fn release(&mut self, claims: &[Committed]) {
        if !claims.is_empty() {
            self.import.committer.release(claims).await;
            self.claims.retain(|held| !claims.iter().any(|claim| claim.file == *held));
        }
    }

    /// Reports how a file ended.
    async fn end_member(&mut self, mut member: Member) {
        if member.claim.was_closed()
            && let Err(error) = self.end_of_copy(&mut member).await
        {
            self.fail(member.nth, error);
        }
        match member.read {
            Some((_, Ok(End::Rest(bytes)))) => warn_of_rest(&member.source, bytes),
            Some((_, Err(error))) => self.fail(member.nth, error),
            _ => {}
        }
    }

    async fn end_of_copy(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let writer = self.import.committer.available_writer().await?;
        let path = member.source.path();
        Ok(member.claim.end_of_copy(writer, path).await?)
    }
}
