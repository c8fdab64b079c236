//! Content whose identity is to be decided: a followed file as it grows, and a file that is complete.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{FileKey, Fingerprint, Micros, path_text};
use crate::source::whole_file::{Source, Walk};
use crate::source::{ByteSource, Tail};

/// A copy whose size has not changed for this long is not being made any more.
pub(crate) const AT_REST: Duration = Duration::from_secs(2);

/// A file that still grows after this long is no copy, but a log that begins like another one.
pub(crate) const LONGEST_COPY: Duration = Duration::from_secs(60);

/// Bytes of which the logical file is to be decided.
pub(crate) trait Content {
    /// Returns the path where it lies.
    fn path(&self) -> Cow<'_, str>;

    /// Returns the object of the file system; `None` of a stream.
    fn key(&self) -> Option<FileKey>;

    /// Returns the fingerprint of its first line.
    fn head(&self) -> Option<Fingerprint>;

    /// Returns the fingerprint that older versions gave the first line, if the content begins with NULs.
    fn older_head(&self) -> Option<Fingerprint> {
        None
    }

    /// Returns the number of bytes at the last look; `None` if only reading all of it would tell.
    fn size(&self) -> Option<u64>;

    /// Returns the fingerprint of at most 4 KiB before `offset`; `None` if the content ends before
    /// `offset`. Callers ask in order of offsets: some content can be read from its beginning only.
    ///
    /// # Errors
    /// A read that fails.
    fn fingerprint_before(&self, offset: u64) -> io::Result<Option<Fingerprint>>;

    /// Returns whether its first line and the bytes before the read position are still what they
    /// were. Otherwise it was truncated or replaced meanwhile.
    fn is_intact(&self) -> bool;

    /// Returns whether it is larger than at the last look.
    fn has_grown(&self) -> bool;

    /// Returns whether it may be the beginning of a copy that is still being made.
    fn may_be_half_a_copy(&self) -> bool;

    /// Returns whether its lines carry times.
    fn has_time(&self) -> bool;

    /// Returns whether it was appended to after it had been at rest: a copy is not.
    fn grows(&self) -> bool;

    /// Returns whether its object has no name any more, so that it is not at the path where it was found.
    fn is_unlinked(&self) -> bool;

    /// Returns when it was written to last, if it is complete.
    fn changed_at(&self) -> Option<Micros>;
}

/// A file that may grow, and was just opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailedFile<'a> {
    pub(crate) tail: &'a Tail,
    /// The first line's fingerprint when the file was looked at.
    pub(crate) head: Fingerprint,
    /// Whether its lines carry times.
    pub(crate) has_time: bool,
    /// Whether it was appended to after it had been at rest.
    pub(crate) grows: bool,
}

impl Content for TailedFile<'_> {
    fn path(&self) -> Cow<'_, str> {
        path_text(self.tail.path())
    }

    fn key(&self) -> Option<FileKey> {
        Some(self.tail.key())
    }

    fn head(&self) -> Option<Fingerprint> {
        Some(self.head)
    }

    fn older_head(&self) -> Option<Fingerprint> {
        self.tail.older_head_fingerprint().ok().flatten()
    }

    fn size(&self) -> Option<u64> {
        Some(self.tail.size())
    }

    fn fingerprint_before(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        fingerprint_before(self.tail, offset)
    }

    fn is_intact(&self) -> bool {
        self.tail.head_fingerprint().ok().flatten() == Some(self.head)
    }

    fn has_grown(&self) -> bool {
        self.tail.has_grown()
    }

    fn may_be_half_a_copy(&self) -> bool {
        !self.grows && self.tail.known_for() < LONGEST_COPY && self.tail.unchanged_for() < AT_REST
    }

    fn has_time(&self) -> bool {
        self.has_time
    }

    fn grows(&self) -> bool {
        self.grows
    }

    fn is_unlinked(&self) -> bool {
        self.tail.is_unlinked()
    }

    fn changed_at(&self) -> Option<Micros> {
        None // it may grow
    }
}

/// Returns the fingerprint before `offset` of a file that may grow; `None` if it was shorter at the
/// last look.
///
/// # Errors
/// A read that fails.
pub(crate) fn fingerprint_before(tail: &Tail, offset: u64) -> io::Result<Option<Fingerprint>> {
    if tail.size() < offset {
        return Ok(None);
    }
    tail.tail_fingerprint_at(offset)
}

/// A file that is complete: plain, compressed, or all of standard input.
pub(crate) struct WholeFile<'a> {
    source: &'a Source,
    key: Option<FileKey>,
    head: Option<Fingerprint>,
    /// Whether its lines carry times.
    has_time: bool,
    /// One pass from the beginning on; `None` before the first read.
    walk: RefCell<Option<Walk<Box<dyn ByteSource + Send>>>>,
}

impl<'a> WholeFile<'a> {
    /// `key` is the object that the content is known by: an archive's is not that of the log in it.
    pub(crate) fn new(
        source: &'a Source,
        key: Option<FileKey>,
        head: Option<Fingerprint>,
        has_time: bool,
    ) -> Self {
        Self { source, key, head, has_time, walk: RefCell::default() }
    }
}

impl Content for WholeFile<'_> {
    fn path(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.source.name)
    }

    fn key(&self) -> Option<FileKey> {
        self.key
    }

    fn head(&self) -> Option<Fingerprint> {
        self.head
    }

    fn older_head(&self) -> Option<Fingerprint> {
        self.source.older_head_fingerprint().ok().flatten()
    }

    fn size(&self) -> Option<u64> {
        (!self.source.is_compressed()).then_some(self.source.size)
    }

    fn fingerprint_before(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        let mut walk = self.walk.borrow_mut();
        let walk = match &mut *walk {
            Some(walk) if walk.bytes <= offset => walk,
            walk => walk.insert(Walk::new(self.source.reader(&Arc::default())?)),
        };
        Ok(if walk.to(offset)? { walk.tail_fingerprint() } else { None })
    }

    fn is_intact(&self) -> bool {
        true
    }

    fn has_grown(&self) -> bool {
        false
    }

    fn may_be_half_a_copy(&self) -> bool {
        false
    }

    fn has_time(&self) -> bool {
        self.has_time
    }

    fn grows(&self) -> bool {
        false
    }

    fn is_unlinked(&self) -> bool {
        false // of one that was opened by its name it does not matter
    }

    fn changed_at(&self) -> Option<Micros> {
        Some(self.source.changed_us)
    }
}
