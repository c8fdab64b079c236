//! Patterns of watched paths, and of names.
//!
//! `*`, `?` and `[…]` match within one name, `**` any number of directories, `{a,b}` either of both.
//! The pattern of a path is matched name by name, so that only those directories are read in which
//! something can match.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use fast_glob::{glob_match, validate};

use super::discover::WatchError;

/// The most paths that braces with a slash in them may stand for.
const MOST_ALTERNATIVES: usize = 256;

/// Returns whether a path is a pattern.
pub(super) fn is_pattern(path: impl AsRef<OsStr>) -> bool {
    path.as_ref().as_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

/// A pattern of paths below a directory.
#[derive(Clone, Debug)]
pub(super) struct PathPattern {
    /// The directory, as the user wrote it.
    pub(super) root: PathBuf,
    parts: Vec<Part>,
}

/// What stands between two slashes of a pattern.
#[derive(Clone, Debug)]
enum Part {
    /// `**`: any number of directories; at the end of a pattern, all files below.
    Directories,
    /// One name.
    Name(Vec<u8>),
}

/// How far the path of a directory matches: which parts of the pattern may come next, in ascending
/// order.
pub(super) type Progress = Vec<usize>;

impl PathPattern {
    /// Reads a pattern. Braces with a slash in them stand for several.
    ///
    /// # Errors
    /// A malformed pattern.
    pub(super) fn read(path: &Path) -> Result<Vec<Self>, WatchError> {
        let pattern = path.as_os_str().as_bytes();
        valid(pattern, pattern)?;
        let mut alternatives = Vec::new();
        if !expand(pattern, &mut alternatives) {
            let reason = format!("its braces stand for more than {MOST_ALTERNATIVES} paths");
            return Err(invalid(pattern, reason));
        }
        alternatives.iter().map(|alternative| Self::of(pattern, alternative)).collect()
    }

    /// Reads one alternative of the pattern `whole`.
    fn of(whole: &[u8], alternative: &[u8]) -> Result<Self, WatchError> {
        let (mut root, mut parts) = (PathBuf::new(), Vec::new());
        let mut components = Path::new(OsStr::from_bytes(alternative)).components().peekable();
        while let Some(component) = components.next() {
            let part = component.as_os_str();
            // The last part is a name even without a pattern in it.
            if parts.is_empty() && !is_pattern(part) && components.peek().is_some() {
                root.push(part);
                continue;
            }
            parts.push(match component {
                Component::Normal(part) if part == "**" => Part::Directories,
                Component::Normal(part) => {
                    valid(whole, part.as_bytes())?;
                    Part::Name(literal_start(part.as_bytes()))
                }
                _ => return Err(invalid(whole, "'..' cannot follow a wildcard".to_owned())),
            });
        }
        Ok(Self { root, parts })
    }

    /// Returns the progress of the root.
    pub(super) fn begin(&self) -> Progress {
        self.with_skipped(vec![0])
    }

    /// Returns the progress of the directory `name` in a directory; it is empty if nothing below it can
    /// match.
    pub(super) fn enter(&self, progress: &Progress, name: &OsStr) -> Progress {
        let next = progress.iter().filter_map(|&part| match &self.parts[part] {
            Part::Directories => Some(part),
            Part::Name(pattern) => {
                let goes_on = part + 1 < self.parts.len();
                (goes_on && glob_match(pattern, name.as_bytes())).then_some(part + 1)
            }
        });
        self.with_skipped(next.collect())
    }

    /// Returns whether a file of this name in a directory matches.
    pub(super) fn accepts(&self, progress: &Progress, name: &OsStr) -> bool {
        progress.iter().filter(|&&part| part + 1 == self.parts.len()).any(|&part| {
            match &self.parts[part] {
                Part::Directories => true,
                Part::Name(pattern) => glob_match(pattern, name.as_bytes()),
            }
        })
    }

    /// Returns whether a file at `path` matches if the pattern's directory is `root`.
    pub(super) fn matches(&self, root: &Path, path: &Path) -> bool {
        self.progress_of(root, path).is_some_and(|(progress, name)| self.accepts(&progress, name))
    }

    /// Returns the progress of the directory of `path`, and the last name of `path`; `None` if it does not
    /// lie below `root`.
    pub(super) fn progress_of<'a>(
        &self,
        root: &Path,
        path: &'a Path,
    ) -> Option<(Progress, &'a OsStr)> {
        let (below, name) = (path.strip_prefix(root).ok()?, path.file_name()?);
        let directories = below.parent().into_iter().flatten();
        let enter = |progress: Progress, name| self.enter(&progress, name);
        Some((directories.fold(self.begin(), enter), name))
    }

    /// Adds the parts after each `**`, which may stand for no directory.
    fn with_skipped(&self, mut progress: Progress) -> Progress {
        let mut nth = 0;
        while let Some(&part) = progress.get(nth) {
            let may_be_skipped = matches!(self.parts[part], Part::Directories);
            if may_be_skipped && part + 1 < self.parts.len() {
                progress.push(part + 1);
            }
            nth += 1;
        }
        progress.sort_unstable();
        progress.dedup();
        progress
    }
}

/// Patterns of names. A pattern with a slash is one of paths; it matches at any depth unless it begins
/// with a slash.
#[derive(Clone, Debug, Default)]
pub(super) struct NamePatterns(Vec<NamePattern>);

#[derive(Clone, Debug)]
enum NamePattern {
    OfName(Vec<u8>),
    OfPath(Vec<u8>),
}

impl NamePatterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// A malformed pattern.
    pub(super) fn read(patterns: &[String]) -> Result<Self, WatchError> {
        let read = |pattern: &String| {
            valid(pattern.as_bytes(), pattern.as_bytes())?;
            Ok(if !pattern.contains('/') {
                NamePattern::OfName(literal_start(pattern.as_bytes()))
            } else if pattern.starts_with('/') || pattern.starts_with("**/") {
                NamePattern::OfPath(pattern.clone().into_bytes())
            } else {
                NamePattern::OfPath(format!("**/{pattern}").into_bytes())
            })
        };
        patterns.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of them matches a file.
    pub(super) fn match_file(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().as_bytes();
        self.0.iter().any(|pattern| match pattern {
            NamePattern::OfName(pattern) => glob_match(pattern, name),
            NamePattern::OfPath(pattern) => glob_match(pattern, path.as_os_str().as_bytes()),
        })
    }
}

/// Returns a pattern that may begin with `!`, which does not negate it.
fn literal_start(pattern: &[u8]) -> Vec<u8> {
    match pattern.first() {
        Some(b'!') => [b"\\", pattern].concat(),
        _ => pattern.to_vec(),
    }
}

/// Checks `part` of the pattern `whole`.
fn valid(whole: &[u8], part: &[u8]) -> Result<(), WatchError> {
    validate(literal_start(part)).map_err(|error| invalid(whole, error.to_string()))
}

fn invalid(pattern: &[u8], reason: String) -> WatchError {
    WatchError::Pattern { pattern: String::from_utf8_lossy(pattern).into_owned(), reason }
}

/// Adds the patterns that a valid pattern stands for to `found`: no braces of theirs hold a slash.
/// Returns `false` if there are too many.
fn expand(pattern: &[u8], found: &mut Vec<Vec<u8>>) -> bool {
    let Some((open, commas, close)) = braces_with_slash(pattern) else {
        found.push(pattern.to_vec());
        return found.len() <= MOST_ALTERNATIVES;
    };
    let starts = std::iter::once(open).chain(commas.iter().copied());
    let ends = commas.iter().copied().chain([close]);
    starts.zip(ends).all(|(start, end)| {
        let one = [&pattern[..open], &pattern[start + 1..end], &pattern[close + 1..]].concat();
        expand(&one, found)
    })
}

/// Returns where the first outer braces that hold a slash open, where their alternatives end, and where
/// they close.
fn braces_with_slash(pattern: &[u8]) -> Option<(usize, Vec<usize>, usize)> {
    let (mut depth, mut open, mut commas, mut slash) = (0, 0, Vec::new(), false);
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => at = end_of_class(pattern, at),
            b'{' => {
                depth += 1;
                if depth == 1 {
                    (open, slash) = (at, false);
                    commas.clear();
                }
            }
            b',' if depth == 1 => commas.push(at),
            b'/' => slash = true,
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 && slash {
                    return Some((open, commas, at));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns where the class that begins at `from` ends: a `]` that comes first is a member of it.
fn end_of_class(pattern: &[u8], from: usize) -> usize {
    let negated = matches!(pattern.get(from + 1), Some(b'!' | b'^'));
    let mut at = from + 1 + usize::from(negated);
    let first = at;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b']' if at > first => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a path below the root of a pattern matches it.
    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::read(Path::new(pattern)).unwrap().iter().any(|pattern| {
            let Ok(below) = Path::new(path).strip_prefix(&pattern.root) else { return false };
            let names: Vec<&OsStr> = below.iter().collect();
            let Some((name, directories)) = names.split_last() else { return false };
            let enter = |progress, name: &&OsStr| pattern.enter(&progress, name);
            let progress = directories.iter().fold(pattern.begin(), enter);
            pattern.accepts(&progress, name)
        })
    }

    #[test]
    fn a_star_matches_within_a_name_and_two_stars_any_directories() {
        for (pattern, path, right) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/x/a.log", false),
            ("/var/log/*", "/var/log/x/a.log", false),
            ("/var/log/*/access.log*", "/var/log/x/access.log.1", true),
            ("/var/log/*/access.log*", "/var/log/x/y/access.log", false),
            ("/var/log/**/access.log", "/var/log/access.log", true),
            ("/var/log/**/access.log", "/var/log/x/y/access.log", true),
            ("/var/log/**", "/var/log/x/y/access.log", true),
            ("/srv/**/log/**/*.log", "/srv/a/log/b/c/d.log", true),
            ("/srv/**/log/**/*.log", "/srv/a/b/c/d.log", false),
            ("/srv/**/a/*/b/*.log", "/srv/a/a/x/b/y.log", true),
            ("/var/log/access?.log", "/var/log/access1.log", true),
            ("/var/log/access?.log", "/var/log/access/.log", false),
            ("/var/log/[a-c]*.log", "/var/log/b1.log", true),
            ("/var/log/[!a-c]*.log", "/var/log/b1.log", false),
            ("/var/log/access{.log,.log.1}", "/var/log/access.log.1", true),
            ("/var/log/access.log{,.1}", "/var/log/access.log", true),
            ("/var/log/{a/x,b}/*.log", "/var/log/a/x/1.log", true),
            ("/var/log/{a/x,b}/*.log", "/var/log/b/1.log", true),
            ("/var/log/{a/x,b}/*.log", "/var/log/a/1.log", false),
            ("/var/{log/{a,b/c},x}/1.log", "/var/log/b/c/1.log", true),
            ("/var/{log/{a,b/c},x}/1.log", "/var/x/1.log", true),
            ("/var/{log/{a,b/c},x}/1.log", "/var/log/b/1.log", false),
            ("/var/log/\\*.log", "/var/log/*.log", true),
            ("/var/log/\\*.log", "/var/log/a.log", false),
            ("/var/log/!*.log", "/var/log/!a.log", true),
            ("/var/log/!*.log", "/var/log/a", false),
            ("/var/log/a**b.log", "/var/log/axxb.log", true),
        ] {
            assert_eq!(matches(pattern, path), right, "{pattern} and {path}");
        }
    }

    #[test]
    fn directories_in_which_nothing_can_match_are_not_entered() {
        let pattern = &PathPattern::read(Path::new("/srv/*/log/*.log")).unwrap()[0];
        assert_eq!(pattern.root, Path::new("/srv"));
        let site = pattern.enter(&pattern.begin(), OsStr::new("site"));
        assert!(pattern.enter(&site, OsStr::new("code")).is_empty());
        let log = pattern.enter(&site, OsStr::new("log"));
        assert!(pattern.accepts(&log, OsStr::new("a.log")));
        assert!(pattern.enter(&log, OsStr::new("a.log")).is_empty());
    }

    #[test]
    fn a_malformed_pattern_is_quoted_with_what_is_wrong() {
        let many = "{a/,b/}".repeat(9);
        for (pattern, reason) in [
            ("/var/log/a[b", "unclosed character class"),
            ("/var/log/{a,b", "unclosed brace"),
            ("/var/log/*\\", "trailing backslash"),
            ("/var/log/*/../x", "'..' cannot follow a wildcard"),
            ("/var/[a/b]/x.log", "unclosed character class"),
            (many.as_str(), "more than 256 paths"),
        ] {
            let error = PathPattern::read(Path::new(pattern)).unwrap_err().to_string();
            assert!(error.contains(pattern) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_pattern_of_names_with_a_slash_is_one_of_paths() {
        let path = Path::new("/var/log/debug/access.log");
        for (pattern, right) in [
            ("access*", true),
            ("debug*", false),
            ("*", true),
            ("!access*", false),
            ("debug/*", true),
            ("*/debug/*", true),
            ("log/*", false),
            ("**/debug/*", true),
            ("/var/log/*/access.log", true),
            ("/var/*", false),
            ("/var/**", true),
        ] {
            let patterns = NamePatterns::read(&[pattern.to_owned()]).unwrap();
            assert_eq!(patterns.match_file(path), right, "{pattern}");
        }
        assert!(NamePatterns::read(&["a[b".to_owned()]).is_err());
    }
}
