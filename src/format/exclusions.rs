//! Which requests are not stored.
//!
//! A client chooses the path, and a request that is not stored leaves no trace. So a rule must not cover a path that
//! the server takes for another one: `GET /health/../x` begins with `/health/`, and many a server answers `/x`. Which
//! one does, a log does not say. A rule covers a request only if it covers the path as it was sent, and as it is
//! without dot segments, in the strictest and in the most liberal reading of a path. What is not certain is stored.
//! The Django package has the same rule in Python; the cases in `fixtures/masking` hold the two together.

/// Which requests are not stored, by the path of their URL. The path has no query, and no scheme and
/// host of a proxy request.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    prefixes: Vec<Prefix>,
    /// Extensions, each with its dot.
    extensions: Vec<String>,
    server_log: ServerLog,
}

/// How a path begins that is excluded.
#[derive(Clone, Debug)]
struct Prefix {
    written: String,
    /// Without dot segments, in each of [`READINGS`].
    read: [Vec<u8>; 2],
}

/// Whether lines of the server itself are excluded too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ServerLog {
    #[default]
    Rejected,
    Excluded,
}

/// How a server may read a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As RFC 3986, 5.2.4 says, with dots that may be percent-encoded.
    Strict,
    /// Slashes may be encoded, be backslashes, and follow each other as one; `;` begins parameters of a segment; what
    /// is an encoded NUL, `?` or `#` ends the path.
    Liberal,
}

const READINGS: [Reading; 2] = [Reading::Strict, Reading::Liberal];

impl Exclusions {
    /// Excludes paths that begin with one of `prefixes`, as written, or end with one of `extensions`, in
    /// any case; `css` means `.css`. Empty entries are ignored.
    pub fn new(prefixes: &[String], extensions: &[String]) -> Exclusions {
        let prefixes = prefixes.iter().filter(|prefix| !prefix.is_empty()).map(|prefix| Prefix {
            written: prefix.clone(),
            read: READINGS.map(|reading| reading.of(prefix)),
        });
        let dotted = |extension: &String| match extension.starts_with('.') {
            true => extension.clone(),
            false => format!(".{extension}"),
        };
        let extensions = extensions.iter().filter(|extension| !extension.is_empty()).map(dotted);
        Exclusions {
            prefixes: prefixes.collect(),
            extensions: extensions.collect(),
            server_log: ServerLog::default(),
        }
    }

    /// Excludes lines of the server itself, too.
    pub fn and_server_log(self) -> Exclusions {
        Exclusions { server_log: ServerLog::Excluded, ..self }
    }

    /// Returns whether lines of the server itself are excluded.
    pub(super) fn cover_server_log(&self) -> bool {
        self.server_log == ServerLog::Excluded
    }

    /// Returns whether a request for `url` is excluded.
    pub(super) fn covers(&self, url: &str) -> bool {
        if self.prefixes.is_empty() && self.extensions.is_empty() {
            return false;
        }
        let path = path(url);
        let mut prefixes = self
            .prefixes
            .iter()
            .filter(|prefix| path.starts_with(prefix.written.as_str()))
            .peekable();
        let mut extensions =
            self.extensions.iter().filter(|it| ends_with(path.as_bytes(), it)).peekable();
        if prefixes.peek().is_none() && extensions.peek().is_none() {
            return false;
        }
        if is_plain(path) {
            return true;
        }
        let read = READINGS.map(|reading| reading.of(path));
        let covers = |prefix: &Prefix| {
            read.iter().zip(&prefix.read).all(|(path, prefix)| path.starts_with(prefix))
        };
        prefixes.any(covers) || extensions.any(|it| read.iter().all(|path| ends_with(path, it)))
    }
}

fn ends_with(path: &[u8], extension: &str) -> bool {
    let end = path.len().checked_sub(extension.len()).and_then(|at| path.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(extension.as_bytes()))
}

/// Returns the path of a URL.
fn path(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => path,
    }
}

/// Returns whether all servers read a path in the same way.
fn is_plain(path: &str) -> bool {
    !path.bytes().any(|byte| matches!(byte, b'%' | b';' | b'\\'))
        && !path.contains("/.")
        && !path.contains("//")
}

impl Reading {
    /// Returns a path without dot segments.
    fn of(self, path: &str) -> Vec<u8> {
        let path = self.decoded(path.as_bytes());
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        let mut read = Vec::with_capacity(path.len() + 1);
        let mut segments = path.split(|byte| *byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            let segment = match self {
                Reading::Strict => segment,
                Reading::Liberal => segment.split(|byte| *byte == b';').next().unwrap_or_default(),
            };
            match segment {
                b"." | b".." => {
                    if segment == b".." {
                        read.truncate(memchr::memrchr(b'/', &read).unwrap_or(0));
                    }
                    if is_last {
                        read.push(b'/');
                    }
                }
                b"" if self == Reading::Liberal && !is_last => {}
                segment => {
                    read.push(b'/');
                    read.extend(segment);
                }
            }
        }
        read
    }

    /// Replaces what is percent-encoded and takes a path apart, once or several times.
    fn decoded(self, path: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::with_capacity(path.len());
        let mut rest = path;
        while let Some((&first, after)) = rest.split_first() {
            let (byte, after) = match first {
                b'%' => self.encoded(after).unwrap_or((first, after)),
                b'\\' if self == Reading::Liberal => (b'/', after),
                _ => (first, after),
            };
            if byte == 0 || matches!(byte, b'?' | b'#') && first == b'%' {
                break;
            }
            decoded.push(byte);
            rest = after;
        }
        decoded
    }

    /// Returns the byte whose code stands here after a percent sign, if it takes a path apart, and what follows. The
    /// percent sign may itself be encoded.
    fn encoded(self, mut code: &[u8]) -> Option<(u8, &[u8])> {
        while let Some(after) = code.strip_prefix(b"25") {
            code = after;
        }
        let (digits, after) = code.split_first_chunk::<2>()?;
        let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        match (byte, self) {
            (b'.', _) => Some((byte, after)),
            (b'/' | b'\\', Reading::Liberal) => Some((b'/', after)),
            (b';' | b'?' | b'#' | 0, Reading::Liberal) => Some((byte, after)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_match_the_path_only() {
        let exclusions =
            Exclusions::new(&["/static/".into(), String::new()], &[".css".into(), "PNG".into()]);
        for url in
            ["/static/x", "/a.css", "/a.CSS?v=1", "/b.png", "http://h/static/", "http://h/a.css"]
        {
            assert!(exclusions.covers(url), "{url}");
        }
        for url in [
            "/x/static/",
            "/a.cssx",
            "/?a=.css",
            "/apng",
            "*",
            "",
            "/?next=http://h/static/",
            "http://h/static/../x",
            "/static/../x?a=.css",
        ] {
            assert!(!exclusions.covers(url), "{url}");
        }
        assert!(!Exclusions::default().covers("/static/"));
    }

    #[test]
    fn a_rule_covers_what_every_server_reads_alike() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/masking/cases.json");
        let cases = std::fs::read_to_string(path).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&cases).unwrap();
        let texts = |name: &str| -> Vec<String> {
            let texts = cases["exclusions"][name].as_array().unwrap().iter();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let exclusions = Exclusions::new(&texts("paths"), &texts("extensions"));
        for (name, excluded) in [("excluded", true), ("stored", false)] {
            assert!(!texts(name).is_empty());
            for path in texts(name) {
                assert_eq!(exclusions.covers(&path), excluded, "{path}");
            }
        }
    }

    #[test]
    fn dot_segments_are_removed_as_in_rfc_3986() {
        for (path, strict, liberal) in [
            ("/a/b/c/./../../g", "/a/g", "/a/g"),
            ("/mid/content=5/../6", "/mid/6", "/mid/6"),
            ("/../a", "/a", "/a"),
            ("/a/..", "/", "/"),
            ("/a/.", "/a/", "/a/"),
            ("/a//../b", "/a/b", "/b"),
            ("/a/%2E%2e/b", "/b", "/b"),
            ("/a/%252e./b", "/b", "/b"),
            ("/a/..%2fb", "/a/..%2fb", "/b"),
            ("/a/..;v=1/b", "/a/..;v=1/b", "/b"),
            ("/a/..\\b", "/a/..\\b", "/b"),
            ("/a%00.css", "/a%00.css", "/a"),
            ("/...", "/...", "/..."),
            ("/%", "/%", "/%"),
            ("", "/", "/"),
        ] {
            let read = READINGS.map(|it| String::from_utf8(it.of(path)).unwrap());
            assert_eq!(read, [strict, liberal], "{path}");
        }
    }
}
