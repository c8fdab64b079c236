//! The beginning of a line for a message.

use super::printable::is_printable;

/// Characters that are shown.
const SHOWN: usize = 100;

/// Returns the beginning of a line without the queries of its urls, which may hold secrets. Of an object of
/// JSON nothing is shown: any of its values may be one.
pub fn excerpt(line: &str) -> String {
    if line.starts_with('{') {
        return "{…}".to_owned();
    }
    let mut shown = String::new();
    let mut is_query = false;
    for (nth, c) in line.chars().enumerate() {
        if nth == SHOWN {
            shown.push('…');
            break;
        }
        is_query &= !matches!(c, ' ' | '"');
        match (is_query, c) {
            (true, _) => {}
            (false, '?') => {
                is_query = true;
                shown.push_str("?…");
            }
            (false, c) if !is_printable(c) => shown.extend(c.escape_default()),
            (false, c) => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn queries_and_objects_are_not_shown() {
        assert_eq!(excerpt(r#""GET /a?b=c HTTP/1.1" x"#), r#""GET /a?… HTTP/1.1" x"#);
        assert_eq!(excerpt(r#"{"password":"x"}"#), "{…}");
        assert_eq!(excerpt("a\tb\0"), "a\\tb\\u{0}");
        assert_eq!(excerpt(&"é".repeat(200)), "é".repeat(100) + "…");
    }
}
