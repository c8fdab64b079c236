//! Which files are held open: all of them, or those of which most would be lost if their name went
//! away.

use std::cmp::Reverse;

use tracing::debug;

use crate::source::Tail;

use crate::daemon::files::{FollowedFiles, IgnoredFile};

impl FollowedFiles {
    /// Adds a file that was just opened, to be decided about. It stays open if there is a descriptor
    /// for it.
    pub(crate) fn add_opened(&mut self, mut tail: Tail) {
        if self.held_open < self.descriptors {
            self.held_open += 1;
        } else {
            tail.close();
        }
        self.ignored.push(IgnoredFile::undecided(tail));
    }

    /// Gives the descriptors to the files of which most would be lost without.
    pub(crate) fn share_descriptors(&mut self) {
        let followed = self.followed.iter_mut().map(|file| &mut file.tail);
        let waiting = self.ignored.iter_mut().filter_map(|file| file.reason.tail_mut());
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
