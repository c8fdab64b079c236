//! Which of the files at hand are held open: all of them, or those that would be missed most.

use std::cmp::Reverse;

use tracing::debug;

use crate::source::Tail;

use crate::daemon::files::{FollowedFiles, IgnoredFile, Why};

impl FollowedFiles {
    /// A file that was just opened stays open if there is a descriptor for it.
    pub(crate) fn add_opened(&mut self, mut tail: Tail) {
        if self.held_open < self.descriptors {
            self.held_open += 1;
        } else {
            tail.close();
        }
        self.ignored.push(IgnoredFile::waiting(tail));
    }

    /// Gives the descriptors to the files that would be missed most.
    pub(crate) fn share_descriptors(&mut self) {
        let followed = self.followed.iter_mut().map(|file| &mut file.tail);
        let waiting = self.ignored.iter_mut().filter_map(|file| match &mut file.why {
            Why::New(tail) | Why::Held { tail, .. } => Some(tail),
            Why::NotOurs { .. } | Why::CopyOf { .. } => None,
        });
        let mut tails: Vec<&mut Tail> = followed.chain(waiting).collect();
        self.held_open = tails.len().min(self.descriptors);
        if tails.len() > self.descriptors {
            tails.sort_by_cached_key(|tail| Reverse(tail.priority()));
        }
        let (hold, let_go) = tails.split_at_mut(self.held_open);
        for tail in let_go {
            tail.close();
        }
        for tail in hold {
            if let Err(error) = tail.keep_open() {
                debug!(path = %tail.path().display(), %error, "cannot hold this file open");
            }
        }
    }
}
