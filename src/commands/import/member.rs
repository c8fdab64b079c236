//! A file of a group, and how it ends.

use std::sync::Arc;

use crate::identity::formats::Format;
use crate::model::{Checkpoint, FileId};
use crate::pipeline::committer::Claims;
use crate::source::whole_file::Source;
use crate::store::StoreError;

use crate::commands::import::content::{End, given_up};
use crate::commands::import::group::Group;
use crate::commands::import::single::warn_of_rest;
use crate::commands::import::writer;

/// A claimed file.
pub(crate) struct Member {
    pub(crate) nth: usize,
    pub(crate) source: Source,
    /// Moves as its lines are stored.
    pub(crate) claimed: Checkpoint,
    pub(crate) format: Arc<Format>,
    /// Whether it was closed before, and how long it was known to be.
    closed: Option<u64>,
    /// Bytes of its content that were seen.
    pub(crate) seen: u64,
    /// How far it was read, and what ended it; `None` while it is being read.
    pub(crate) read: Option<(u64, anyhow::Result<End>)>,
}

impl Member {
    pub(crate) fn new(
        nth: usize,
        source: Source,
        claimed: Checkpoint,
        format: Arc<Format>,
        closed: bool,
    ) -> Self {
        let closed = closed.then_some(claimed.size);
        Self { nth, source, claimed, format, closed, seen: 0, read: None }
    }

    fn is_done(&self) -> bool {
        self.read.as_ref().is_some_and(|(to, _)| *to == self.claimed.committed)
    }
}

impl Group<'_> {
    /// Reads each file again by itself, from where it is stored.
    pub(crate) async fn one_by_one(&mut self) {
        self.batch.clear();
        for mut member in std::mem::take(&mut self.members) {
            if !member.is_done() {
                let before = self.import.summary.bytes;
                let from = member.claimed.clone();
                let at = from.committed;
                let end = self.import.behind(&member.source, from, &member.format, true, false);
                let end = end.await;
                member.seen = at + self.import.summary.bytes - before;
                member.read = Some((at, end));
            }
            self.done(member).await;
        }
    }

    /// The store is away for too long.
    pub(crate) fn give_up(&mut self, error: &StoreError) {
        self.batch.clear();
        for member in std::mem::take(&mut self.members) {
            self.claims.remove(&member.claimed.file);
            self.failures.push((member.nth, given_up(error)));
        }
    }

    /// Lets the files go that are stored to their end.
    pub(crate) async fn let_go(&mut self) {
        let mut done = Claims::new();
        while self.members.front().is_some_and(Member::is_done) {
            if let Some(member) = self.members.pop_front() {
                done.push((member.claimed.file, member.claimed.epoch));
                self.told(member).await;
            }
        }
        self.release(&done).await;
    }

    async fn done(&mut self, member: Member) {
        let claim = (member.claimed.file, member.claimed.epoch);
        self.told(member).await;
        self.release(&[claim]).await;
    }

    async fn release(&mut self, claims: &[(FileId, i64)]) {
        if !claims.is_empty() {
            self.import.committer.release(claims).await;
            self.claims.retain(|held| !claims.iter().any(|(file, _)| file == held));
        }
    }

    /// Tells how a file ended.
    async fn told(&mut self, member: Member) {
        let lost = member.closed.unwrap_or(0).saturating_sub(member.seen);
        if lost > 0 {
            let (file, epoch) = (member.claimed.file, member.claimed.epoch);
            if let Err(error) = self.lose(file, epoch, lost).await {
                self.fail(member.nth, error);
            }
        }
        match member.read {
            Some((_, Ok(End::Rest(bytes)))) => warn_of_rest(&member.source, bytes),
            Some((_, Err(error))) => self.fail(member.nth, error),
            _ => {}
        }
    }

    /// This copy does not have them either.
    async fn lose(&mut self, file: FileId, epoch: i64, bytes: u64) -> anyhow::Result<()> {
        Ok(writer(&mut self.import.committer).await?.lose(file, epoch, bytes).await?)
    }
}
