//! What the store holds, read at one moment: its logical files, with their rows and rejects.

use std::collections::BTreeMap;
use std::path::Path;

use crate::place::Place;

/// What a line has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A row, by its url.
    Row(String),
    /// A reject, by its bytes.
    Reject(Vec<u8>),
}

impl Entry {
    /// Whether it is a row of a line in which no url was found.
    pub(super) fn has_no_url(&self) -> bool {
        matches!(self, Entry::Row(url) if url.is_empty())
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entry::Row(url) => write!(f, "row {url}"),
            Entry::Reject(raw) => write!(f, "reject {}", super::judge::shown(raw)),
        }
    }
}

/// A logical file of the store.
#[derive(Clone, Debug)]
pub(super) struct StoredFile {
    pub(super) id: i64,
    pub(super) path: String,
    pub(super) inode: u64,
    /// Where it begins in its physical file.
    pub(super) first_offset: u64,
    pub(super) committed: u64,
    /// By offset.
    pub(super) entries: BTreeMap<u64, Entry>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) files: BTreeMap<i64, StoredFile>,
    /// Entries with the same file and offset.
    pub(super) twice: Vec<(i64, u64, Entry)>,
}

impl Stored {
    /// Reads it. Entries come first and files last, so that no entry is without a file, and none
    /// stands after the committed offset.
    pub(super) async fn read(place: &Place) -> Stored {
        // Stores of releases before power cuts were told apart have no such column: each file begins at 0.
        let first = place.has_column("log_file", "first_offset").await;
        let first = if first { "first_offset" } else { "0" };
        let rows =
            "SELECT log_file || ' ' || log_offset || ' ' || coalesce(url, '') FROM gunicorn_log";
        let rows = place.texts(rows).await;
        let rejects = place.rejected().await;
        let files = format!(
            "SELECT id || ' ' || coalesce(inode, 0) || ' ' || {first} || ' ' || committed || ' ' || path
               FROM log_file"
        );
        let mut stored = Stored::default();
        for text in place.texts(&files).await {
            let file = StoredFile::parse(&text).unwrap_or_else(|| panic!("file '{text}'"));
            stored.files.insert(file.id, file);
        }
        for text in rows {
            let (file, offset, url) = parts(&text).unwrap_or_else(|| panic!("row '{text}'"));
            stored.add(file, offset, Entry::Row(url.to_owned()));
        }
        for line in rejects {
            stored.add(line.file, line.offset, Entry::Reject(line.bytes()));
        }
        stored
    }

    /// All entries with their files.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&StoredFile, u64, &Entry)> {
        self.files
            .values()
            .flat_map(|file| file.entries.iter().map(move |(offset, entry)| (file, *offset, entry)))
    }

    /// Takes out the files whose paths are in this directory.
    pub(super) fn take_those_in(&mut self, directory: &Path) -> Stored {
        let is_there = |file: &StoredFile| Path::new(&file.path).parent() == Some(directory);
        let files = std::mem::take(&mut self.files);
        let (taken, left) = files.into_iter().partition(|(_, file)| is_there(file));
        self.files = left;
        Stored { files: taken, twice: Vec::new() }
    }

    fn add(&mut self, file: i64, offset: u64, entry: Entry) {
        let of_file = self.files.get_mut(&file).unwrap_or_else(|| panic!("no file {file}"));
        if let Some(other) = of_file.entries.insert(offset, entry) {
            self.twice.push((file, offset, other));
        }
    }
}

impl StoredFile {
    /// What it covers, for a message.
    pub(super) fn range(&self) -> String {
        format!(" [file {} from {} to {}]", self.id, self.first_offset, self.committed)
    }

    fn parse(text: &str) -> Option<StoredFile> {
        let mut words = text.splitn(5, ' ');
        Some(StoredFile {
            id: words.next()?.parse().ok()?,
            inode: words.next()?.parse::<i64>().ok()?.cast_unsigned(),
            first_offset: words.next()?.parse().ok()?,
            committed: words.next()?.parse().ok()?,
            path: words.next()?.to_owned(),
            entries: BTreeMap::new(),
        })
    }
}

fn parts(text: &str) -> Option<(i64, u64, &str)> {
    let (file, rest) = text.split_once(' ')?;
    let (offset, rest) = rest.split_once(' ')?;
    Some((file.parse().ok()?, offset.parse().ok()?, rest))
}
