//! Finds the files that the user asked to watch.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use globset::{Glob, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// Why a path cannot be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    /// Neither the path nor its directory exists.
    #[error("cannot watch '{}': there is no such directory; create it, or correct the path", .0.display())]
    Missing(PathBuf),
    /// The path cannot be read.
    #[error("cannot watch '{}'; log-ingestd needs read permission on it", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The pattern is malformed.
    #[error(
        "invalid pattern '{pattern}': {reason}; use for example '*.log' or '/var/log/*/access.log*'"
    )]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The cause.
        reason: String,
    },
}

#[derive(Clone, Debug)]
enum Place {
    /// The files directly in a directory.
    Directory(PathBuf),
    /// One file, which may not exist yet.
    File(PathBuf),
    /// All files below `root` that match.
    Pattern { root: PathBuf, matcher: GlobSet, depth: Depth },
}

/// Which directories below a root are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    RootOnly,
    All,
}

/// The paths that exist now, each once and in order.
#[derive(Clone, Debug, Default)]
pub struct WatchedPaths {
    /// Regular files and links, and files of any kind that the user named.
    pub files: Vec<PathBuf>,
    /// FIFOs that the user named, or that match a pattern.
    pub fifos: Vec<PathBuf>,
    /// FIFOs in a watched directory. Another program may be their reader.
    pub unrequested_fifos: Vec<PathBuf>,
    /// Sockets and devices.
    pub not_regular: Vec<PathBuf>,
}

/// What the user asked to watch.
#[derive(Clone, Debug)]
pub struct Watchlist {
    places: Vec<Place>,
    include: GlobSet,
    exclude: GlobSet,
}

impl Watchlist {
    /// Reads `paths`, which are directories, files or patterns. `include` and `exclude` are
    /// patterns on file names. Names that begin with a dot are left out unless a pattern includes
    /// them.
    ///
    /// # Errors
    /// A path in no existing directory, a directory that cannot be read, or a malformed pattern.
    pub fn new(
        paths: &[PathBuf],
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, WatchError> {
        let places = paths.iter().map(|path| place(path)).collect::<Result<_, _>>()?;
        Ok(Self { places, include: globs(include)?, exclude: globs(exclude)? })
    }

    /// Returns the directories whose events matter.
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

    /// Returns the files and directories of this list that do not exist or cannot be read.
    pub fn missing(&self) -> Vec<PathBuf> {
        let places = self.places.iter().map(|place| match place {
            Place::Directory(path) | Place::Pattern { root: path, .. } | Place::File(path) => path,
        });
        places.filter(|path| fs::metadata(path).is_err()).cloned().collect()
    }

    /// Lists everything that exists now. A directory that does not exist has no files. Errors of
    /// single entries appear when the caller opens them.
    pub fn scan(&self) -> WatchedPaths {
        let mut found = WatchedPaths::default();
        for place in &self.places {
            match place {
                Place::File(path) if is_fifo(path) => found.fifos.push(path.clone()),
                Place::File(path) => found.files.push(path.clone()),
                Place::Directory(path) => {
                    let WatchedPaths { files, unrequested_fifos, not_regular, .. } = &mut found;
                    let into = (files, unrequested_fifos, not_regular);
                    self.list(path, Depth::RootOnly, &|_| true, into);
                }
                Place::Pattern { root, matcher, depth } => {
                    let WatchedPaths { files, fifos, not_regular, .. } = &mut found;
                    let into = (files, fifos, not_regular);
                    self.list(root, *depth, &|path| matcher.is_match(path), into);
                }
            }
        }
        found.unrequested_fifos.retain(|path| !found.fifos.contains(path));
        let WatchedPaths { files, fifos, unrequested_fifos, not_regular } = &mut found;
        for paths in [files, fifos, unrequested_fifos, not_regular] {
            paths.sort_unstable();
            paths.dedup();
        }
        found
    }

    /// Returns whether the user asked for this very name, by path or by `include`.
    pub fn is_requested(&self, path: &Path) -> bool {
        let named = |place: &Place| matches!(place, Place::File(file) if file == path);
        self.places.iter().any(named) || (!self.include.is_empty() && self.name_wanted(path))
    }

    /// Returns whether the path lies where these places are, whatever `include` and `exclude` say of
    /// its name.
    pub fn lies_within(&self, path: &Path) -> bool {
        self.places.iter().any(|place| match place {
            Place::File(file) => file == path,
            Place::Directory(directory) => path.parent() == Some(directory),
            Place::Pattern { matcher, .. } => matcher.is_match(path),
        })
    }

    /// Returns whether a file of this path would be found if it existed.
    pub fn covers(&self, path: &Path) -> bool {
        self.places.iter().any(|place| match place {
            Place::File(file) => file == path,
            Place::Directory(directory) => {
                path.parent() == Some(directory) && self.name_wanted(path)
            }
            Place::Pattern { matcher, .. } => matcher.is_match(path) && self.name_wanted(path),
        })
    }

    /// Adds the entries of a directory whose path is `wanted` to the files, the FIFOs or the others.
    fn list(
        &self,
        directory: &Path,
        depth: Depth,
        wanted: &dyn Fn(&Path) -> bool,
        (files, fifos, others): (&mut Vec<PathBuf>, &mut Vec<PathBuf>, &mut Vec<PathBuf>),
    ) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth == Depth::All {
                    self.list(&path, depth, wanted, (&mut *files, &mut *fifos, &mut *others));
                }
            } else if self.name_wanted(&path) && wanted(&path) {
                let fifo = kind.is_fifo() || (kind.is_symlink() && is_fifo(&path));
                match fifo {
                    true => fifos.push(path),
                    false if kind.is_file() || kind.is_symlink() => files.push(path),
                    false => others.push(path),
                }
            }
        }
    }

    /// Returns whether `include` and `exclude` admit this name.
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
            // The log may be written later, but its directory must exist.
            if path.extension().is_some() && parent(path).is_dir() {
                Ok(Place::File(absolute(path)))
            } else {
                Err(WatchError::Missing(path.to_path_buf()))
            }
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Returns the absolute path, with its directory resolved and its last part as it is. So a
/// symbolic link that is watched is followed when it points to another file.
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
    let depth = if rest.components().count() > 1 { Depth::All } else { Depth::RootOnly };
    Ok(Place::Pattern { depth, matcher: globs(&[whole])?, root })
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
