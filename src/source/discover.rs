//! Finds the files that the user asked to watch.
//!
//! Every look resolves the paths again, so that a link on the way, such as the `current` of a
//! deployment, may lead to another directory than before. Files are known by the resolved path of
//! their directory.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::devices::{self, Unreachable, is_directory, is_link, look_at_mounts};
use super::open::{Links, Refused, Wanted, open, resolve};
use super::pattern::{NamePatterns, PathPattern, Progress, is_pattern};

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

/// A place that is watched. Its path is absolute, and links in it are not resolved.
#[derive(Clone, Debug)]
enum Place {
    /// The files directly in a directory.
    Directory(PathBuf),
    /// One file, which may not exist yet.
    File(PathBuf),
    /// All files below a directory that match.
    Pattern(PathPattern),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::File(path) => path,
            Self::Pattern(pattern) => &pattern.root,
        }
    }
}

/// What a look found, and where something can be found later.
#[derive(Debug, Default)]
pub struct WatchedPaths {
    /// Regular files and links, and files of any kind that the user named; each once and in order.
    pub files: Vec<PathBuf>,
    /// FIFOs that the user named, or that match a pattern.
    pub fifos: Vec<PathBuf>,
    /// FIFOs in a watched directory. Another program may be their reader.
    pub unrequested_fifos: Vec<PathBuf>,
    /// Sockets and devices.
    pub not_regular: Vec<PathBuf>,
    /// Linked directories below a pattern that are not followed, because another user made the link. Of
    /// linked files that is found out when they are opened.
    pub foreign_links: Vec<PathBuf>,
    /// Directories below a pattern that cannot be read, and those of which the file system does not answer.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// What may appear in each directory, by its resolved path.
    expected: HashMap<PathBuf, Vec<Expected>>,
    /// The links that lead to a file, by its resolved path.
    links: HashMap<PathBuf, Vec<PathBuf>>,
}

/// What may appear in a directory.
#[derive(Debug)]
enum Expected {
    /// Any file.
    Files,
    /// The file of this name.
    File(OsString),
    /// Files that match the pattern of this place, and directories in which they may be.
    Matching { place: usize, progress: Progress },
    /// Another file or directory of this name, to which a watched path leads then.
    Turn(OsString),
}

impl WatchedPaths {
    /// Returns the directories whose events matter.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.expected.keys().map(PathBuf::as_path)
    }

    /// Returns the links that lead to the file of this resolved path.
    pub fn links_to(&self, path: &Path) -> &[PathBuf] {
        self.links.get(path).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a found file is a link.
    pub fn is_link(&self, path: &Path) -> bool {
        self.links.values().flatten().any(|link| link == path)
    }

    /// Takes note of a directory that cannot be searched because its file system does not answer.
    fn unanswered(&mut self, directory: &Path, error: io::Error) {
        if Unreachable::is(&error) {
            self.unreadable.push((directory.to_path_buf(), error));
        }
    }

    fn expect(&mut self, directory: PathBuf, expected: Expected) {
        self.expected.entry(directory).or_default().push(expected);
    }

    /// Expects that links on the way to a path are turned, and that what is missing there is made.
    fn expect_turns(&mut self, path: &Path) {
        for part in path.ancestors() {
            let (Some(parent), Some(name)) = (part.parent(), part.file_name()) else { continue };
            let is_link = match devices::symlink_metadata(part) {
                Ok(metadata) => metadata.is_symlink(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(_) => continue,
            };
            // What does not answer may be there.
            let exists = || match devices::metadata(part) {
                Ok(_) => true,
                Err(error) => Unreachable::is(&error),
            };
            if !is_link && exists() {
                continue;
            }
            if let Ok(parent) = devices::canonicalize(parent) {
                self.expect(parent, Expected::Turn(name.to_owned()));
            }
            if is_link {
                self.expect_turns_of(part);
            }
        }
    }

    /// Expects that what a link leads to is replaced, or made if it is missing; the same for links to
    /// which it leads. Returns the resolved path to which all of them lead.
    fn expect_turns_of(&mut self, link: &Path) -> PathBuf {
        let mut path = link.to_path_buf();
        for _ in 0..MAX_LINKS {
            let Ok(next) = devices::read_link(&path) else { break };
            path = with_resolved_directory(&parent(&path).join(next));
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                self.expect(parent.to_path_buf(), Expected::Turn(name.to_owned()));
            }
        }
        path
    }

    /// Adds an entry of a directory; `fifos` is where a FIFO goes.
    fn add(&mut self, path: PathBuf, kind: Kind, fifos: fn(&mut Self) -> &mut Vec<PathBuf>) {
        match kind {
            Kind::Directory | Kind::LinkedDirectory => {}
            Kind::Fifo => fifos(self).push(path),
            Kind::Other => self.not_regular.push(path),
            Kind::File => self.files.push(path),
            Kind::Link => {
                // What is written comes by the events of the file's directory.
                let target = self.expect_turns_of(&path);
                self.links.entry(target).or_default().push(path.clone());
                self.files.push(path);
            }
        }
    }
}

/// The most links that are followed one after another, as in the kernel.
const MAX_LINKS: usize = 40;

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    /// A link to a file, or to nothing.
    Link,
    Fifo,
    Directory,
    LinkedDirectory,
    /// A device or a socket.
    Other,
}

impl Kind {
    /// Returns the kind of the entry at `path`.
    fn of(path: &Path, kind: FileType) -> Self {
        if kind.is_symlink() {
            let target = devices::metadata(path).map(|target| target.file_type());
            return match target {
                Ok(target) if target.is_dir() => Self::LinkedDirectory,
                Ok(target) if target.is_fifo() => Self::Fifo,
                _ => Self::Link,
            };
        }
        match kind {
            kind if kind.is_dir() => Self::Directory,
            kind if kind.is_file() => Self::File,
            kind if kind.is_fifo() => Self::Fifo,
            _ => Self::Other,
        }
    }
}

/// What the user asked to watch.
#[derive(Clone, Debug)]
pub struct Watchlist {
    places: Vec<Place>,
    include: NamePatterns,
    exclude: NamePatterns,
    symlinks: Symlinks,
}

/// Which links in a watched directory, or below a pattern, are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// Those of root, of the daemon's user and of the owner of what they lead to, and those that lead
    /// to what is watched.
    #[default]
    Trusted,
    /// All.
    All,
}

impl Watchlist {
    /// Reads `paths`, which are directories, files or patterns. `include` and `exclude` are
    /// patterns on file names, or with a slash on paths. Names that begin with a dot are left out
    /// unless a pattern includes them.
    ///
    /// # Errors
    /// A path in no existing directory, a directory that cannot be read, or a malformed pattern.
    pub fn new(
        paths: &[PathBuf],
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, WatchError> {
        let (include, exclude) = (NamePatterns::read(include)?, NamePatterns::read(exclude)?);
        let places = paths.iter().map(|path| places(path)).collect::<Result<Vec<_>, _>>()?;
        let symlinks = Symlinks::default();
        Ok(Self { places: places.concat(), include, exclude, symlinks })
    }

    /// Sets which links are followed.
    #[must_use]
    pub fn following(self, symlinks: Symlinks) -> Self {
        Self { symlinks, ..self }
    }

    /// Calls `open` with the links that are followed on the way to `path`, which a look has found. A
    /// path that the user named is followed wherever it leads.
    pub(crate) fn with_links<T>(&self, path: &Path, open: impl FnOnce(Links<'_>) -> T) -> T {
        match self.symlinks {
            Symlinks::All => open(Links::All),
            Symlinks::Trusted => {
                open(Links::Trusted(&|target| self.names(path) || self.holds(target)))
            }
        }
    }

    /// Opens a regular file that a look has found.
    ///
    /// # Errors
    /// Errors of the system, and [`Refused`](super::open::Refused).
    pub(crate) fn open(&self, path: &Path) -> io::Result<(File, Metadata)> {
        self.with_links(path, |links| open(path, Wanted::RegularFile, links))
    }

    /// Returns the files and directories of this list that do not exist or cannot be read.
    pub fn missing(&self) -> Vec<PathBuf> {
        let paths = self.places.iter().map(Place::path);
        let is_missing =
            |path: &&Path| devices::metadata(path).is_err_and(|error| !Unreachable::is(&error));
        let mut missing: Vec<_> = paths.filter(is_missing).map(Path::to_path_buf).collect();
        missing.dedup(); // one that may be a file or a directory is two places
        missing
    }

    /// Lists everything that exists now. A directory that does not exist has no files. Errors of
    /// single entries appear when the caller opens them.
    pub fn scan(&self) -> WatchedPaths {
        look_at_mounts();
        let mut found = WatchedPaths::default();
        for (place, path) in self.places.iter().map(Place::path).enumerate() {
            found.expect_turns(path);
            match &self.places[place] {
                Place::File(path) => self.find_file(path, &mut found),
                Place::Directory(path) => self.find_in_directory(path, &mut found),
                Place::Pattern(pattern) => self.find_matching(place, pattern, &mut found),
            }
        }
        found.unrequested_fifos.retain(|path| !found.fifos.contains(path));
        for paths in [
            &mut found.files,
            &mut found.fifos,
            &mut found.unrequested_fifos,
            &mut found.foreign_links,
            &mut found.not_regular,
        ] {
            paths.sort_unstable();
            paths.dedup();
        }
        found
    }

    fn find_file(&self, path: &Path, found: &mut WatchedPaths) {
        let may_be_directory = |place: &Place| matches!(place, Place::Directory(it) if it == path);
        if self.places.iter().any(may_be_directory) && is_directory(path) {
            return;
        }
        let path = with_resolved_directory(path);
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            found.expect(parent.to_path_buf(), Expected::File(name.to_owned()));
        }
        let is_link = is_link(&path);
        let is_fifo = devices::metadata(&path).is_ok_and(|metadata| metadata.file_type().is_fifo());
        let kind = match (is_fifo, is_link) {
            (true, _) => Kind::Fifo,
            (false, true) => Kind::Link,
            (false, false) => Kind::File,
        };
        found.add(path, kind, |found| &mut found.fifos);
    }

    fn find_in_directory(&self, path: &Path, found: &mut WatchedPaths) {
        let directory = match devices::canonicalize(path) {
            Ok(directory) => directory,
            Err(error) => return found.unanswered(path, error),
        };
        let entries = devices::list(&directory);
        for (name, kind) in entries.as_deref().unwrap_or_default() {
            let path = directory.join(name);
            if self.wants(&path)
                && let Some(kind) = *kind
            {
                let kind = Kind::of(&path, kind);
                found.add(path, kind, |found| &mut found.unrequested_fifos);
            }
        }
        if let Err(error) = entries {
            found.unanswered(&directory, error);
        }
        found.expect(directory, Expected::Files);
    }

    /// Searches the directories in which files may match a pattern: first those that are no links, then
    /// those to which links lead, each once for each way in which it matches. So links that lead in a
    /// circle end.
    fn find_matching(&self, place: usize, pattern: &PathPattern, found: &mut WatchedPaths) {
        let root = match devices::canonicalize(&pattern.root) {
            Ok(root) => root,
            Err(error) => return found.unanswered(&pattern.root, error),
        };
        let mut searched = HashSet::new();
        let (mut directories, mut links) = (vec![(root, pattern.begin())], Vec::new());
        loop {
            while let Some((directory, progress)) = directories.pop() {
                let metadata = match devices::metadata(&directory) {
                    Ok(metadata) => metadata,
                    Err(error) => {
                        found.unanswered(&directory, error);
                        continue;
                    }
                };
                if !searched.insert((metadata.dev(), metadata.ino(), progress.clone())) {
                    continue;
                }
                let entries = match devices::list(&directory) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        found.unreadable.push((directory, error));
                        continue;
                    }
                };
                for (name, kind) in entries {
                    let path = directory.join(&name);
                    let below = pattern.enter(&progress, &name);
                    let matches = pattern.accepts(&progress, &name) && self.wants(&path);
                    if below.is_empty() && !matches {
                        continue;
                    }
                    match kind.map(|kind| Kind::of(&path, kind)) {
                        Some(kind @ (Kind::Directory | Kind::LinkedDirectory)) => {
                            let is_link = kind == Kind::LinkedDirectory;
                            let next = if is_link { &mut links } else { &mut directories };
                            next.extend((!below.is_empty()).then_some((path, below)));
                        }
                        Some(kind) if matches => found.add(path, kind, |found| &mut found.fifos),
                        _ => {}
                    }
                }
                found.expect(directory, Expected::Matching { place, progress });
            }
            if links.is_empty() {
                return;
            }
            for (link, progress) in links.drain(..) {
                match self.target_of(&link) {
                    Ok(Some(target)) => {
                        found.expect_turns_of(&link);
                        directories.push((target, progress));
                    }
                    Ok(None) => found.foreign_links.push(link),
                    Err(_) => {} // removed or turned in this very moment
                }
            }
        }
    }

    /// Returns the directory to which a link leads, or `None` if the link is not to be followed: a user
    /// who may write in a watched place, and is none of those whom the daemon trusts, must not be able
    /// to have it read what is elsewhere. What is in the directory is opened by its resolved path, so that
    /// a link that is exchanged later leads nowhere.
    fn target_of(&self, link: &Path) -> io::Result<Option<PathBuf>> {
        // The links that lead here were followed already.
        let here = devices::canonicalize(link.parent().unwrap_or(Path::new("/")))?;
        let link = link.file_name().map_or(here.clone(), |name| here.join(name));
        let is_searched = |target: &Path| self.searches(target);
        let links = match self.symlinks {
            Symlinks::All => Links::All,
            _ => Links::Trusted(&is_searched),
        };
        match resolve(&link, links) {
            Err(error) if Refused::of(&error) == Some(Refused::ForeignLink) => Ok(None),
            target => target.map(Some),
        }
    }

    /// Returns whether a directory is searched without any link to it. Where all directories are, that
    /// says nothing.
    fn searches(&self, directory: &Path) -> bool {
        self.places.iter().any(|place| match place {
            Place::File(_) => false,
            Place::Directory(path) => {
                devices::canonicalize(path).is_ok_and(|path| directory == path)
            }
            Place::Pattern(pattern) => devices::canonicalize(&pattern.root).is_ok_and(|root| {
                let is_entered = || {
                    let found = pattern.progress_of(&root, directory);
                    found.is_some_and(|(at, name)| !pattern.enter(&at, name).is_empty())
                };
                root.parent().is_some() && (root == directory || is_entered())
            }),
        })
    }

    /// Returns whether a file is found without any link to it.
    fn holds(&self, file: &Path) -> bool {
        self.names(file)
            || self.wants(file)
                && self.places.iter().any(|place| match place {
                    Place::File(_) => false,
                    Place::Directory(path) => {
                        devices::canonicalize(path).is_ok_and(|path| file.parent() == Some(&path))
                    }
                    Place::Pattern(pattern) => devices::canonicalize(&pattern.root)
                        .is_ok_and(|root| root.parent().is_some() && pattern.matches(&root, file)),
                })
    }

    /// Returns whether the user named this very file.
    pub fn names(&self, path: &Path) -> bool {
        self.places.iter().any(
            |place| matches!(place, Place::File(file) if with_resolved_directory(file) == path),
        )
    }

    /// Returns whether the user asked for this very name, by path or by `include`.
    pub fn is_requested(&self, path: &Path) -> bool {
        self.names(path) || (!self.include.is_empty() && self.wants(path))
    }

    /// Returns whether the path lies where these places are, whatever `include` and `exclude` say of
    /// its name. `found` is what the last look found.
    pub fn lies_within(&self, found: &WatchedPaths, path: &Path) -> bool {
        let is_below = |pattern: &PathPattern, root: &Path| {
            pattern.progress_of(root, path).is_some_and(|(progress, name)| {
                pattern.accepts(&progress, name) || !pattern.enter(&progress, name).is_empty()
            })
        };
        self.any_expected(found, path, |expected, name| match expected {
            Expected::Files => true,
            Expected::File(file) => file == name,
            Expected::Matching { place, progress } => self.accepts(*place, progress, name),
            Expected::Turn(_) => false,
        }) || self.places.iter().any(|place| match place {
            Place::File(file) => file == path || with_resolved_directory(file) == path,
            Place::Directory(directory) => path.parent() == Some(directory),
            Place::Pattern(pattern) => {
                is_below(pattern, &pattern.root)
                    || devices::canonicalize(&pattern.root)
                        .is_ok_and(|root| is_below(pattern, &root))
            }
        })
    }

    /// Returns whether a file of this path would be found, if it existed. `found` is what the last look
    /// found.
    pub fn covers(&self, found: &WatchedPaths, path: &Path) -> bool {
        self.any_expected(found, path, |expected, name| match expected {
            Expected::Files => self.wants(path),
            Expected::File(file) => file == name,
            Expected::Matching { place, progress } => {
                self.accepts(*place, progress, name) && self.wants(path)
            }
            Expected::Turn(_) => false,
        })
    }

    /// Returns whether another look may find something new, after what has this path was made, renamed
    /// or removed. `found` is what the last look found.
    pub fn may_find_new(&self, found: &WatchedPaths, path: &Path) -> bool {
        found.expected.contains_key(path)
            || self.covers(found, path)
            || self.any_expected(found, path, |expected, name| match expected {
                Expected::Turn(turned) => turned == name,
                Expected::Matching { place, progress } => {
                    let enter = |pattern: &PathPattern| !pattern.enter(progress, name).is_empty();
                    self.pattern(*place).is_some_and(enter) && is_directory(path)
                }
                Expected::Files | Expected::File(_) => false,
            })
    }

    fn any_expected(
        &self,
        found: &WatchedPaths,
        path: &Path,
        holds: impl Fn(&Expected, &OsStr) -> bool,
    ) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        found.expected.get(parent).is_some_and(|all| all.iter().any(|one| holds(one, name)))
    }

    fn accepts(&self, place: usize, progress: &Progress, name: &OsStr) -> bool {
        self.pattern(place).is_some_and(|pattern| pattern.accepts(progress, name))
    }

    fn pattern(&self, place: usize) -> Option<&PathPattern> {
        match self.places.get(place)? {
            Place::Pattern(pattern) => Some(pattern),
            Place::Directory(_) | Place::File(_) => None,
        }
    }

    /// Returns whether `include` and `exclude` admit a file.
    fn wants(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        if self.exclude.match_file(path) {
            return false;
        }
        if self.include.is_empty() {
            return !name.as_encoded_bytes().starts_with(b".");
        }
        self.include.match_file(path)
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns the places that a path of the user names.
fn places(path: &Path) -> Result<Vec<Place>, WatchError> {
    let unreadable = |source| WatchError::Unreadable { path: path.to_path_buf(), source };
    let absolute = |path: &Path| std::path::absolute(path).map_err(unreadable);
    match devices::metadata(path).map(|metadata: Metadata| metadata.is_dir()) {
        Ok(true) => match devices::list(path) {
            Err(error) if !Unreachable::is(&error) => Err(unreadable(error)),
            _ => Ok(vec![Place::Directory(absolute(path)?)]),
        },
        Ok(false) => Ok(vec![Place::File(absolute(path)?)]),
        Err(_) if is_pattern(path) => {
            let mut patterns = PathPattern::read(path)?;
            for pattern in &mut patterns {
                if pattern.root.as_os_str().is_empty() {
                    pattern.root.push(".");
                }
                let is_missing = match devices::metadata(&pattern.root) {
                    Ok(metadata) => !metadata.is_dir(),
                    Err(error) => !Unreachable::is(&error),
                };
                if is_missing {
                    return Err(WatchError::Missing(pattern.root.clone()));
                }
                pattern.root = absolute(&pattern.root)?;
            }
            Ok(patterns.into_iter().map(Place::Pattern).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The log may be written later, but its directory must exist.
            if path.extension().is_some() && is_directory(parent(path)) {
                Ok(vec![Place::File(absolute(path)?)])
            } else {
                Err(WatchError::Missing(path.to_path_buf()))
            }
        }
        // Which of both it is, shows when it answers.
        Err(error) if Unreachable::is(&error) => {
            let path = absolute(path)?;
            Ok(vec![Place::File(path.clone()), Place::Directory(path)])
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Returns a path with its directory resolved and its last part as it is. So a symbolic link that is
/// watched is followed when it points to another file.
pub(super) fn with_resolved_directory(path: &Path) -> PathBuf {
    match (devices::canonicalize(parent(path)), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path.to_path_buf(),
    }
}
