//! URLs without what names one thing, and agents without their versions: values that few rows share say little about
//! a change, so these stand for many of them.

use std::fmt::Write;

/// Bytes of a path that are read. The rest of a longer one is left out.
const MOST_BYTES: usize = 300;
/// Parts of a path that are read.
const MOST_SEGMENTS: usize = 16;
/// Bytes of an agent's family.
const MOST_OF_FAMILY: usize = 64;
/// Hexadecimal digits from which on a word is taken for a hash, if one of them is a letter and one a digit.
const SHORTEST_HASH: usize = 8;
/// Letters and digits from which on a mixture of them is taken for a token.
const SHORTEST_TOKEN: usize = 20;

/// The form of a UUID; see [`has_form`].
const UUID: &[u8] = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// Products whose agents name others as well, the most particular first.
const BROWSERS: [&str; 9] = [
    "Edg",
    "OPR",
    "SamsungBrowser",
    "Firefox",
    "FxiOS",
    "CriOS",
    "HeadlessChrome",
    "Chrome",
    "Safari",
];

/// Returns the path of a URL, without its query.
pub fn url_path(url: &str) -> &str {
    let end = memchr::memchr2(b'?', b'#', url.as_bytes()).unwrap_or(url.len());
    start_of(&url[..end], MOST_BYTES)
}

/// Returns the path of a URL with `{n}`, `{uuid}`, `{date}`, `{hash}` and `{token}` in the places of numbers, UUIDs,
/// dates, hashes and other names that a person would not choose. It stands for a route where the log has none.
pub fn url_pattern(url: &str) -> String {
    let mut pattern = String::with_capacity(url.len().min(MOST_BYTES));
    push_url_pattern(&mut pattern, url);
    pattern
}

/// Appends what [`url_pattern`] returns. The URL of each row is folded before it is stored, so a path is read once, and
/// what stays as it is is copied in few pieces.
pub(super) fn push_url_pattern(pattern: &mut String, url: &str) {
    let path = url_path(url);
    let bytes = path.as_bytes();
    let (mut start, mut copied) = (0, 0);
    for nth in 0.. {
        if nth > MOST_SEGMENTS {
            pattern.push_str(&path[copied..start]);
            pattern.push('…');
            return;
        }
        let (mut end, mut digits, mut separators) = (start, 0, 0);
        while end < bytes.len() && bytes[end] != b'/' {
            digits += usize::from(bytes[end].is_ascii_digit());
            separators += usize::from(matches!(bytes[end], b'.' | b'-' | b'_'));
            end += 1;
        }
        let length = end - start;
        let is_number = digits == length && length > 0;
        let stays =
            (digits == 0 && length < UUID.len()) || (separators == 0 && length < SHORTEST_HASH);
        if is_number || !stays {
            pattern.push_str(&path[copied..start]);
            match is_number {
                true => pattern.push_str("{n}"),
                false => fold(pattern, &path[start..end]),
            }
            copied = end;
        }
        if end == bytes.len() {
            break;
        }
        start = end + 1;
    }
    pattern.push_str(&path[copied..]);
}

/// Appends a part of a path, folded. Of a file, such as `app.3f2a9c11.js`, each word between dots is folded.
fn fold(pattern: &mut String, segment: &str) {
    if let Some(kind) = kind(segment) {
        pattern.push_str(kind);
        return;
    }
    for (nth, word) in segment.split('.').enumerate() {
        if nth > 0 {
            pattern.push('.');
        }
        match kind(word) {
            Some(kind) => pattern.push_str(kind),
            None => fold_end(pattern, word),
        }
    }
}

/// Appends a word; of one like `order-123` the number is folded.
fn fold_end(pattern: &mut String, word: &str) {
    match word.rsplit_once(['-', '_']) {
        Some((start, end)) if !end.is_empty() && end.bytes().all(|it| it.is_ascii_digit()) => {
            let separator = &word[start.len()..=start.len()];
            // Writing to a String cannot fail.
            let _ = write!(pattern, "{start}{separator}{{n}}");
        }
        _ => pattern.push_str(word),
    }
}

/// Returns what a word is an instance of; `None` of one that has a meaning of its own.
fn kind(word: &str) -> Option<&'static str> {
    let bytes = word.as_bytes();
    let is_all = |is: fn(&u8) -> bool| bytes.iter().all(is);
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    if bytes.is_empty() {
        return None;
    }
    if is_all(u8::is_ascii_digit) {
        return Some("{n}");
    }
    if has_form(bytes, UUID) {
        return Some("{uuid}");
    }
    if has_form(bytes, b"dddd-dd-dd") || has_form(bytes, b"dddd-dd") {
        return Some("{date}");
    }
    if bytes.len() < SHORTEST_HASH {
        return None;
    }
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    if is_mixed && bytes.len() >= SHORTEST_HASH && is_all(u8::is_ascii_hexdigit) {
        return Some("{hash}");
    }
    if bytes.len() < SHORTEST_TOKEN {
        return None;
    }
    let is_of_token =
        |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'=' | b'+' | b'~');
    // A slug has words, with a separator every few letters.
    let longest = bytes.split(|it| matches!(it, b'-' | b'_')).map(<[u8]>::len).max();
    let is_long = longest >= Some(SHORTEST_TOKEN);
    (is_mixed && is_long && is_all(is_of_token)).then_some("{token}")
}

/// Returns whether a word has a form: `x` is a hexadecimal digit, `d` a digit, and the rest itself.
fn has_form(word: &[u8], form: &[u8]) -> bool {
    let fits = |(it, form): (&u8, &u8)| match form {
        b'x' => it.is_ascii_hexdigit(),
        b'd' => it.is_ascii_digit(),
        form => it == form,
    };
    word.len() == form.len() && word.iter().zip(form).all(fits)
}

/// Returns the name of the program in a User-Agent header, without its version, as the header has it: `Firefox`, `curl`,
/// `Googlebot`. `None` if the header names no program.
pub fn agent_family(agent: &str) -> Option<&str> {
    // A crawler says "compatible" and then its name, before the browser that it is like.
    let crawler = agent.split_once("compatible; ").map(|(_, rest)| product(rest));
    if let Some(name) = crawler.filter(|name| !name.is_empty() && *name != "MSIE") {
        return Some(name);
    }
    let is_named = |browser: &&str| {
        agent.match_indices(*browser).any(|(at, _)| {
            agent[at + browser.len()..].starts_with('/')
                && (at == 0 || agent[..at].ends_with([' ', ';', ')']))
        })
    };
    if let Some(browser) = BROWSERS.into_iter().find(is_named) {
        return Some(browser);
    }
    Some(product(agent.trim_start())).filter(|name| !name.is_empty())
}

/// Returns the part of a User-Agent header that finds a family again: a browser's name with its slash.
pub fn agent_part(family: &str) -> String {
    match BROWSERS.contains(&family) {
        true => format!("{family}/"),
        false => family.to_owned(),
    }
}

/// Returns the name before the first version, space or comment.
fn product(text: &str) -> &str {
    let end = text.find(['/', ' ', ';', '(', ')', ',', '\t']).unwrap_or(text.len());
    start_of(&text[..end], MOST_OF_FAMILY)
}

/// Returns at most so many bytes of a text, in whole characters.
fn start_of(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_no_names_of_single_things() {
        for (url, expected) in [
            ("", ""),
            ("*", "*"),
            ("/", "/"),
            ("/orders/17?page=2", "/orders/{n}"),
            ("/orders/17/items/3/", "/orders/{n}/items/{n}/"),
            ("/v1/orders", "/v1/orders"),
            ("/u/3F2504E0-4f89-11d3-9a0c-0305e82c3301/x", "/u/{uuid}/x"),
            ("/report/2026-11-28.csv", "/report/{date}.csv"),
            ("/archive/2026-11/", "/archive/{date}/"),
            ("/commit/9fceb02d0ae598e95dc970b74767f19372d61af8", "/commit/{hash}"),
            ("/static/app.3f2a9c11.js", "/static/app.{hash}.js"),
            ("/cafebabe/deadbeef", "/cafebabe/deadbeef"),
            ("/reset/MjA1OQ-5x8q1g7dn0c2k4r6t8u0w2y4", "/reset/{token}"),
            ("/blog/the-10-best-lamps-of-the-year-2026", "/blog/the-10-best-lamps-of-the-year-{n}"),
            ("/order-12/x_7", "/order-{n}/x_{n}"),
            ("/-1/a-/_", "/-{n}/a-/_"),
            ("/é/ü-1", "/é/ü-{n}"),
            ("/u/abcdefab-cdef-abcd-efab-cdefabcdefab", "/u/{uuid}"),
            ("17", "{n}"),
            ("/x1/17", "/x1/{n}"),
            ("//17//", "//{n}//"),
            ("/a1b2c3d/a1b2c3d4", "/a1b2c3d/{hash}"),
            ("/2026-11/é1", "/{date}/é1"),
            ("/u/abcdefab-cdef-abcd-efab-cdefabcdefab.json", "/u/{uuid}.json"),
        ] {
            assert_eq!(url_pattern(url), expected, "{url}");
        }
    }

    #[test]
    fn an_agent_is_known_by_its_product() {
        let chrome = "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
        for (agent, expected) in [
            ("", None),
            (" ", None),
            ("curl/8.5.0", Some("curl")),
            ("python-requests/2.32.3", Some("python-requests")),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                Some("Firefox"),
            ),
            (chrome, Some("Chrome")),
            (&format!("{chrome} Edg/142.0"), Some("Edg")),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Some("Googlebot"),
            ),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)", Some("Mozilla")),
            ("<script>x</script>", Some("<script>x<")),
        ] {
            assert_eq!(agent_family(agent), expected, "{agent}");
            if let Some(family) = expected {
                assert!(agent.contains(&agent_part(family)), "{agent}");
            }
        }
    }

    #[test]
    fn hostile_texts_are_cut_in_whole_characters() {
        use crate::model::fuzz::{each_input, text};

        each_input("folding", 1, |rng| {
            let given = text(rng);
            assert!(url_pattern(&given).len() <= 4 * MOST_BYTES);
            assert!(agent_family(&given).is_none_or(|it| it.len() <= MOST_OF_FAMILY));
        });
        assert_eq!(url_path(&"é".repeat(1000)).len(), MOST_BYTES);
        assert!(url_pattern(&"/1".repeat(1000)).ends_with("/…"));
    }
}
