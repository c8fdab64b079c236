//! The followed files, found by id and by first line: there may be 50,000, and each span of a batch and
//! each new file asks for one.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};

use crate::daemon::files::FollowedFile;
use crate::model::{FileId, Fingerprint};

/// The first bytes of a hash, and the file.
type Head = ([u8; 16], FileId);

/// Files in the order in which they get their turns. Each has a place of its own in memory, so that the
/// list is not copied whole when it grows.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "a list of 50,000 large values would be copied when it grows")]
pub(crate) struct FollowedList {
    files: Vec<Box<FollowedFile>>,
    places: HashMap<FileId, usize>,
    heads: BTreeSet<Head>,
}

impl FollowedList {
    /// Adds a file.
    pub(crate) fn push(&mut self, file: FollowedFile) {
        self.places.insert(file.file(), self.files.len());
        self.heads.extend(head(&file));
        self.files.push(Box::new(file));
    }

    /// Takes out the file at `at`; the last one gets its place.
    pub(crate) fn swap_remove(&mut self, at: usize) -> FollowedFile {
        let file = self.files.swap_remove(at);
        self.places.remove(&file.file());
        if let Some(head) = head(&file) {
            self.heads.remove(&head);
        }
        if let Some(moved) = self.files.get(at) {
            self.places.insert(moved.file(), at);
        }
        *file
    }

    /// Returns where a file stands.
    pub(crate) fn place(&self, file: FileId) -> Option<usize> {
        self.places.get(&file).copied()
    }

    /// Returns a file.
    pub(crate) fn of(&mut self, file: FileId) -> Option<&mut FollowedFile> {
        let at = self.place(file)?;
        self.files.get_mut(at).map(Box::as_mut)
    }

    /// Returns where the files stand that begin with this line.
    pub(crate) fn places_of_head(&self, wanted: Fingerprint) -> impl Iterator<Item = usize> {
        let bounds = (wanted.print.0, FileId(i32::MIN))..=(wanted.print.0, FileId(i32::MAX));
        let alike = self.heads.range(bounds).filter_map(|(_, file)| self.place(*file));
        alike.filter(move |&at| self.files[at].head == Some(wanted))
    }

    /// Sets the fingerprint of a file's first line.
    pub(crate) fn set_head(&mut self, file: FileId, new: Fingerprint) {
        let Some(file) = self.places.get(&file).and_then(|&at| self.files.get_mut(at)) else {
            return;
        };
        if let Some(old) = head(file) {
            self.heads.remove(&old);
        }
        file.head = Some(new);
        self.heads.extend(head(file));
    }

    /// Returns all files.
    pub(crate) fn into_files(self) -> impl Iterator<Item = FollowedFile> {
        self.files.into_iter().map(|file| *file)
    }
}

impl Deref for FollowedList {
    type Target = [Box<FollowedFile>];

    fn deref(&self) -> &Self::Target {
        &self.files
    }
}

impl DerefMut for FollowedList {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.files
    }
}

fn head(file: &FollowedFile) -> Option<Head> {
    file.head.map(|head| (head.print.0, file.file()))
}
