//! Files whose lines travel in common batches.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use anyhow::Context;

use crate::model::now;
use crate::model::{Batch, FileId};
use crate::pipeline::committer::{Claims, Outcome};
use crate::pipeline::read_lines::{Limits, ReadContext, Stop, fill};
use crate::store::StoreError;

use crate::commands::import::Import;
use crate::commands::import::content::End;
use crate::commands::import::gather::Nth;
use crate::commands::import::member::Member;

/// Files in one batch, at most.
const SPANS: usize = 64;

/// Files that are open and claimed at once, at most.
const MEMBERS: usize = 256;

/// Files that were begun and are not stored to their end.
pub(crate) struct Group<'a> {
    pub(crate) import: Import<'a>,
    pub(crate) failures: Vec<Nth<anyhow::Error>>,
    /// What this process holds.
    pub(crate) claims: HashSet<FileId>,
    pub(crate) members: VecDeque<Member>,
    /// What is read and not sent.
    pub(crate) batch: Batch,
    spare: Vec<Batch>,
}

impl<'a> Group<'a> {
    pub(crate) fn new(import: Import<'a>) -> Self {
        let batch = Batch { cutoff: import.cutoff, ..Batch::default() };
        Self {
            import,
            failures: Vec::new(),
            claims: HashSet::new(),
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

    /// After an error of the store its connection may be of no use.
    pub(crate) fn forget_writer(&mut self, error: &anyhow::Error) {
        if error.is::<StoreError>() {
            self.import.committer.hang_up();
        }
    }

    /// Reads a file to its end, and sends what fills a batch.
    pub(crate) async fn read(&mut self, member: Member) {
        let nth = member.nth;
        if self.members.len() >= MEMBERS {
            self.flush().await;
        }
        let (name, size) = (member.source.name.clone(), member.source.size);
        self.import.progress.begin(&name, size);
        let (source, claimed, envelope) = (&member.source, &member.claimed, member.format.envelope);
        let sealed = source.is_compressed();
        let reached = self.import.reach(source, claimed, envelope, &Arc::default(), true);
        let (file, epoch) = (member.claimed.file, member.claimed.epoch);
        let (format, estimated) = (Arc::clone(&member.format), member.source.changed_us);
        let committed = member.claimed.committed;
        self.members.push_back(member);
        let (to, end) = match reached {
            Err(error) => (committed, Err(error)),
            Ok((mut lines, mut reader)) => loop {
                if self.is_interrupted() {
                    break (lines.offset(), Ok(End::Interrupted));
                }
                let reading = ReadContext {
                    file,
                    epoch,
                    parser: &format.parser,
                    envelope: format.envelope,
                    size: 0,
                    estimated,
                    now: now(),
                    whole: true,
                    sealed,
                    refused: None,
                };
                let (batch, limits) = (&mut self.batch, Limits::BATCH);
                let stop = tokio::task::block_in_place(|| {
                    fill(&mut lines, &mut reader, &reading, batch, limits, u64::MAX)
                });
                let (read_to, rest) = (lines.read_to(), lines.read_to() - lines.offset());
                let end = match stop {
                    Ok(Stop::Full) => {
                        self.launch().await;
                        if self.members.back().is_none_or(|member| member.nth != nth) {
                            return self.import.progress.end(); // it was dealt with
                        }
                        continue;
                    }
                    Ok(Stop::End) if rest == 0 => Ok(End::Whole),
                    Ok(Stop::End) => Ok(End::Rest(rest)),
                    Err(error) => Err(error).context(unreadable(read_to)),
                };
                break (lines.offset(), end);
            },
        };
        if let Some(member) = self.members.back_mut() {
            member.seen = to;
            member.read = Some((to, end));
        }
        self.import.progress.at(size, self.import.summary.lines);
        self.import.progress.end();
        if self.batch.spans.len() >= SPANS || Limits::BATCH.reached(&self.batch) {
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
        let landed = self.import.commits.land().await;
        let under_way = landed.is_some();
        match landed {
            Some((batch, true)) => self.account(batch),
            Some((batch, false)) => self.carefully(batch).await,
            None => {}
        }
        self.let_go().await;
        self.import.committer.keep_alive().await;
        under_way
    }

    /// Sends everything that was read, and waits for it.
    pub(crate) async fn flush(&mut self) {
        self.launch().await;
        while self.land().await {}
        self.one_by_one().await; // none is left, unless a batch came to grief on its way
    }

    /// A batch is stored.
    fn account(&mut self, mut batch: Batch) {
        for span in &batch.spans {
            if let Some(member) = self.members.iter_mut().find(|it| it.claimed.file == span.file) {
                self.import.advance(&mut member.claimed, span);
            }
        }
        self.import.summary.expired += batch.expired;
        batch.clear();
        self.spare.push(batch);
    }

    /// Stores a batch that may not be stored, and those behind it, one by one. If one cannot be,
    /// each file is read again by itself, from where it is stored.
    async fn carefully(&mut self, first: Batch) {
        let mut batches = vec![first];
        while let Some((batch, _)) = self.import.commits.land().await {
            batches.push(batch);
        }
        let claims = self.members.iter().map(|it| (it.claimed.file, it.claimed.epoch));
        let claims: Claims = claims.collect();
        for batch in batches {
            match self.import.committer.commit_again(&batch, &claims).await {
                Outcome::Stored(_) => self.account(batch),
                Outcome::GaveUp(error) => return self.give_up(&error),
                Outcome::BadRow(_) | Outcome::Conflict(_) => return self.one_by_one().await,
            }
        }
    }
}

/// What is said of content that breaks.
pub(crate) fn unreadable(read_to: u64) -> String {
    format!("unreadable behind byte {read_to} of its content; the lines before it are stored")
}
