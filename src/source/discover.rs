//! Which files are there.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use globset::{Glob, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// Something that cannot be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The path does not exist, nor the directory it would appear in.
    #[error("cannot watch '{}': there is no such directory; create it, or correct the path", .0.display())]
    Missing(PathBuf),
    /// The path cannot be read.
    #[error("cannot watch '{}'; log-ingestd needs read permission on it", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pattern is malformed.
    #[error(
        "'{pattern}' is no valid pattern: {reason}; use for example '*.log' or '/var/log/*/access.log*'"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Clone, Debug)]
enum Place {
    /// A directory's own files.
    Directory(PathBuf),
    /// One file, which may not exist yet.
    File(PathBuf),
    /// All files below `root` that match.
    Pattern { root: PathBuf, matcher: GlobSet, deep: bool },
}

/// What is there, each path once and in order.
#[derive(Clone, Debug, Default)]
pub struct WatchedPaths {
    /// Regular files and links, and files that were asked for by name, whatever they are.
    pub files: Vec<PathBuf>,
    /// FIFOs that were asked for, by name or by a pattern.
    pub fifos: Vec<PathBuf>,
    /// FIFOs that lie in a watched directory: whose they are nobody knows.
    pub unrequested_fifos: Vec<PathBuf>,
}

/// What the user asked to watch.
#[derive(Clone, Debug)]
pub struct Watchlist {
    places: Vec<Place>,
    include: GlobSet,
    exclude: GlobSet,
}

impl Watchlist {
    /// Understands `paths` (directories, files or patterns); `include` and `exclude` are patterns
    /// on file names. Names that begin with a dot are left out unless a pattern includes them.
    ///
    /// # Errors
    /// A path in no existing directory, a directory that cannot be read, a malformed pattern.
    pub fn new(
        paths: &[PathBuf],
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, WatchError> {
        let places = paths.iter().map(|path| place(path)).collect::<Result<_, _>>()?;
        Ok(Self { places, include: globs(include)?, exclude: globs(exclude)? })
    }

    /// The directories whose events matter.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = self
            .places
            .iter()
            .map(|place| match place {
                Place::Directory(path) | Place::Pattern { root: path, .. } => path.clone(),
                Place::File(path) => parent(path).to_path_buf(),
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The files and directories of this list that are not there, or cannot be looked at.
    pub fn missing(&self) -> Vec<PathBuf> {
        let places = self.places.iter().map(|place| match place {
            Place::Directory(path) | Place::Pattern { root: path, .. } | Place::File(path) => path,
        });
        places.filter(|path| fs::metadata(path).is_err()).cloned().collect()
    }

    /// Everything that is there now. A directory that vanished has no files, and comes back with
    /// them. Errors of single entries are left to the one who opens them.
    pub fn scan(&self) -> WatchedPaths {
        let mut found = WatchedPaths::default();
        for place in &self.places {
            match place {
                Place::File(path) if is_fifo(path) => found.fifos.push(path.clone()),
                Place::File(path) => found.files.push(path.clone()),
                Place::Directory(path) => {
                    let WatchedPaths { files, unrequested_fifos, .. } = &mut found;
                    self.list(path, false, &|_| true, (files, unrequested_fifos));
                }
                Place::Pattern { root, matcher, deep } => {
                    let WatchedPaths { files, fifos, .. } = &mut found;
                    self.list(root, *deep, &|path| matcher.is_match(path), (files, fifos));
                }
            }
        }
        found.unrequested_fifos.retain(|path| !found.fifos.contains(path));
        for paths in [&mut found.files, &mut found.fifos, &mut found.unrequested_fifos] {
            paths.sort_unstable();
            paths.dedup();
        }
        found
    }

    /// Whether the user asked for this very name, by path or by `include`.
    pub fn is_requested(&self, path: &Path) -> bool {
        let named = |place: &Place| matches!(place, Place::File(file) if file == path);
        self.places.iter().any(named) || (!self.include.is_empty() && self.name_wanted(path))
    }

    /// Whether a file of this path would be found, if it was there.
    pub fn covers(&self, path: &Path) -> bool {
        self.places.iter().any(|place| match place {
            Place::File(file) => file == path,
            Place::Directory(directory) => {
                path.parent() == Some(directory) && self.name_wanted(path)
            }
            Place::Pattern { matcher, .. } => matcher.is_match(path) && self.name_wanted(path),
        })
    }

    fn list(
        &self,
        directory: &Path,
        deep: bool,
        wanted: &dyn Fn(&Path) -> bool,
        (files, fifos): (&mut Vec<PathBuf>, &mut Vec<PathBuf>),
    ) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if deep {
                    self.list(&path, deep, wanted, (&mut *files, &mut *fifos));
                }
            } else if (kind.is_file() || kind.is_symlink() || kind.is_fifo())
                && self.name_wanted(&path)
                && wanted(&path)
            {
                let fifo = kind.is_fifo() || (kind.is_symlink() && is_fifo(&path));
                if fifo { fifos.push(path) } else { files.push(path) }
            }
        }
    }

    fn name_wanted(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        if self.exclude.is_match(name) || self.exclude.is_match(path) {
            return false;
        }
        if self.include.is_empty() {
            return !name.as_encoded_bytes().starts_with(b".");
        }
        self.include.is_match(name) || self.include.is_match(path)
    }
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn place(path: &Path) -> Result<Place, WatchError> {
    let unreadable = |source| WatchError::Unreadable { path: path.to_path_buf(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            fs::read_dir(path).map_err(unreadable)?;
            let whole = fs::canonicalize(path).map_err(unreadable)?;
            Ok(Place::Directory(whole))
        }
        Ok(_) => Ok(Place::File(absolute(path))),
        Err(_) if has_pattern(path) => pattern(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A log that will be written soon: its directory must be there.
            if path.extension().is_some() && parent(path).is_dir() {
                Ok(Place::File(absolute(path)))
            } else {
                Err(WatchError::Missing(path.to_path_buf()))
            }
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// The absolute path with its directory resolved, its last part as it is: a symbolic link that is
/// watched is followed when it is turned to another file.
fn absolute(path: &Path) -> PathBuf {
    match (fs::canonicalize(parent(path)), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path.to_path_buf(),
    }
}

fn has_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

fn pattern(path: &Path) -> Result<Place, WatchError> {
    let mut root = PathBuf::new();
    let mut rest = PathBuf::new();
    for part in path.components() {
        let part = Path::new(part.as_os_str());
        if rest.as_os_str().is_empty() && !has_pattern(part) {
            root.push(part);
        } else {
            rest.push(part);
        }
    }
    if root.as_os_str().is_empty() {
        root.push(".");
    }
    if !root.is_dir() {
        return Err(WatchError::Missing(root));
    }
    let root = fs::canonicalize(&root)
        .map_err(|source| WatchError::Unreadable { path: root.clone(), source })?;
    let whole = root.join(&rest).to_string_lossy().into_owned();
    Ok(Place::Pattern { deep: rest.components().count() > 1, matcher: globs(&[whole])?, root })
}

fn globs(patterns: &[String]) -> Result<GlobSet, WatchError> {
    let mut set = GlobSetBuilder::new();
    let malformed = |pattern: &str, error: &globset::Error| WatchError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    };
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| malformed(pattern, &error))?);
    }
    set.build().map_err(|error| malformed(&patterns.join(" "), &error))
}
