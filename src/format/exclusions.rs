//! Requests that are not stored at all.

/// Which requests to leave out, by the path of their URL (without query, and without the scheme
/// and host of a proxy request).
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    prefixes: Vec<String>,
    /// Each with its dot.
    extensions: Vec<String>,
}

impl Exclusions {
    /// Leaves out paths that begin with one of `prefixes`, as written, or end with one of
    /// `extensions`, in any case; `css` means `.css`. Empty entries count for nothing.
    pub fn new(prefixes: &[String], extensions: &[String]) -> Exclusions {
        let prefixes = prefixes.iter().filter(|prefix| !prefix.is_empty()).cloned().collect();
        let dotted = |extension: &String| match extension.starts_with('.') {
            true => extension.clone(),
            false => format!(".{extension}"),
        };
        let extensions = extensions.iter().filter(|extension| !extension.is_empty()).map(dotted);
        Exclusions { prefixes, extensions: extensions.collect() }
    }

    /// Whether a request for `url` is left out.
    pub(super) fn cover(&self, url: &str) -> bool {
        if self.prefixes.is_empty() && self.extensions.is_empty() {
            return false;
        }
        let path = path(url);
        self.prefixes.iter().any(|prefix| path.starts_with(prefix.as_str()))
            || self.extensions.iter().any(|extension| {
                let (path, extension) = (path.as_bytes(), extension.as_bytes());
                path.len() >= extension.len()
                    && path[path.len() - extension.len()..].eq_ignore_ascii_case(extension)
            })
    }
}

fn path(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_extensions_are_those_of_the_path() {
        let exclusions =
            Exclusions::new(&["/static/".into(), String::new()], &[".css".into(), "PNG".into()]);
        for url in
            ["/static/x", "/a.css", "/a.CSS?v=1", "/b.png", "http://h/static/", "http://h/a.css"]
        {
            assert!(exclusions.cover(url), "{url}");
        }
        for url in
            ["/x/static/", "/a.cssx", "/?a=.css", "/apng", "*", "", "/?next=http://h/static/"]
        {
            assert!(!exclusions.cover(url), "{url}");
        }
        assert!(!Exclusions::default().cover("/static/"));
    }
}
