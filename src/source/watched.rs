//! What the user says of single watched paths, and which of them a file belongs to.

use std::path::{Path, PathBuf};

use super::devices;
use super::discover::{WatchError, with_resolved_directory};
use super::names::is_derived_name;
use super::pattern::{PathPattern, is_pattern};
use crate::model::path_text;

/// Values of the user, each for one watched path: a file, a directory, a pattern, or `-`.
#[derive(Clone, Debug)]
pub struct ByWatchedPath<T>(Vec<(WatchedPath, T)>);

/// A watched path, as far as it says which files it names.
#[derive(Clone, Debug)]
enum WatchedPath {
    /// A file or a directory. It may not exist yet.
    Path(PathBuf),
    Patterns(Vec<PathPattern>),
}

/// How a watched path names a file, the most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    /// By its own path.
    File,
    /// By a pattern.
    Pattern,
    /// By the path of the file that it was before it was rotated.
    RotatedFile,
    /// By its directory.
    Directory,
}

impl<T> Default for ByWatchedPath<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> ByWatchedPath<T> {
    /// Adds the value for a path.
    ///
    /// # Errors
    /// A malformed pattern.
    pub fn add(&mut self, path: &Path, value: T) -> Result<(), WatchError> {
        // A file may have a name that looks like a pattern.
        let is_pattern = is_pattern(path) && devices::symlink_metadata(path).is_err();
        let path = match is_pattern {
            true => WatchedPath::Patterns(PathPattern::read(path)?),
            false => WatchedPath::Path(path.to_path_buf()),
        };
        self.0.push((path, value));
        Ok(())
    }

    /// Returns the value for a file: that of the path which names it most specifically, and the first of
    /// several. The path of a file is more specific than a pattern, a pattern than the path of the file
    /// that was rotated to this name, and the directory of the file comes last.
    pub fn of(&self, file: &Path) -> Option<&T> {
        if self.0.is_empty() {
            return None;
        }
        let file = FileNames::of(file);
        let named = self.0.iter().filter_map(|(path, value)| Some((path.names(&file)?, value)));
        // Of equal ones this is the first.
        named.min_by_key(|(named, _)| *named).map(|(_, value)| value)
    }
}

/// The path of a file, as it was given and with its directory resolved.
struct FileNames {
    absolute: PathBuf,
    resolved: PathBuf,
}

impl FileNames {
    fn of(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        Self { resolved: with_resolved_directory(&absolute), absolute }
    }
}

impl WatchedPath {
    fn names(&self, file: &FileNames) -> Option<Named> {
        let path = match self {
            Self::Path(path) => FileNames::of(path),
            Self::Patterns(patterns) => {
                return patterns
                    .iter()
                    .any(|pattern| matches(pattern, file))
                    .then_some(Named::Pattern);
            }
        };
        if path.absolute == file.absolute || path.resolved == file.resolved {
            return Some(Named::File);
        }
        if devices::is_directory(&path.absolute) {
            let is_here = match devices::canonicalize(&path.absolute) {
                Ok(directory) => file.resolved.parent() == Some(&directory),
                Err(_) => false,
            };
            return is_here.then_some(Named::Directory);
        }
        let (one, other) = (path_text(&file.resolved), path_text(&path.resolved));
        let was_rotated =
            file.resolved.parent() == path.resolved.parent() && is_derived_name(&one, &other);
        was_rotated.then_some(Named::RotatedFile)
    }
}

fn matches(pattern: &PathPattern, file: &FileNames) -> bool {
    let root = match pattern.root.as_os_str().is_empty() {
        true => Path::new("."),
        false => pattern.root.as_path(),
    };
    let Ok(root) = std::path::absolute(root) else { return false };
    let resolved = devices::canonicalize(&root);
    let roots = std::iter::once(&root).chain(resolved.as_ref().ok());
    let mut pairs = roots.flat_map(|root| [(root, &file.absolute), (root, &file.resolved)]);
    pairs.any(|(root, file)| pattern.matches(root, file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(paths: &[&Path], file: &Path) -> Option<usize> {
        let mut all = ByWatchedPath::default();
        for (nth, path) in paths.iter().enumerate() {
            all.add(path, nth).unwrap();
        }
        all.of(file).copied()
    }

    #[test]
    fn the_most_specific_path_decides_and_of_equal_ones_the_first() {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("logs");
        fs::create_dir_all(logs.join("deep")).unwrap();
        std::os::unix::fs::symlink(&logs, root.path().join("current")).unwrap();
        let at = |name: &str| root.path().join(name);
        let (file, star) = (at("logs/access.log"), at("logs/acc*.log"));
        for (paths, name, right) in [
            (vec![logs.clone()], "logs/access.log", Some(0)),
            (vec![logs.clone()], "current/access.log", Some(0)),
            (vec![at("current")], "logs/access.log", Some(0)),
            (vec![logs.clone()], "logs/deep/access.log", None),
            (vec![logs.clone()], "access.log", None),
            (vec![logs.clone(), star.clone(), file.clone()], "logs/access.log", Some(2)),
            (vec![file.clone(), star.clone(), logs.clone()], "logs/access.log", Some(0)),
            (vec![logs.clone(), star.clone()], "logs/access.log", Some(1)),
            (vec![logs.clone(), star.clone()], "logs/other.log", Some(0)),
            (vec![star.clone(), at("logs/*.log")], "logs/access.log", Some(0)),
            (vec![at("logs/*.log"), star.clone()], "logs/access.log", Some(0)),
            (vec![at("**/access.log")], "logs/deep/access.log", Some(0)),
            (vec![at("current/*.log")], "logs/access.log", Some(0)),
            (vec![at("logs/*.log")], "current/access.log", Some(0)),
            // A rotated file has the format of the file that it was, unless something else names it.
            (vec![logs.clone(), file.clone()], "logs/access.log.1", Some(1)),
            (vec![logs.clone(), file.clone()], "logs/access.log-20261123.gz", Some(1)),
            (vec![file.clone(), at("logs/*.1")], "logs/access.log.1", Some(1)),
            (vec![logs.clone(), file.clone()], "logs/other.log.1", Some(0)),
            (vec![file.clone()], "logs/deep/access.log.1", None),
            (vec![logs.clone()], "logs-2", None),
        ] {
            let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
            assert_eq!(of(&paths, &at(name)), right, "{paths:?} {name}");
        }
        assert_eq!(of(&[Path::new("-")], Path::new("-")), Some(0));
        assert_eq!(of(&[], &file), None);
    }
}
