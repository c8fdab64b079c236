//! The shapes of values: what a text must look like to be the value of an atom.
//!
//! Where a format has no double quotes around a value, its end is not certain. The search
//! ([`super::matching`]) prefers the reading in which the values have their shapes, and detection takes
//! no other. Whether a value that is alone in its place has its shape is another question: it stays where
//! it was captured, and its column is NULL.

use super::template::{Atom, Field};
use super::values::{address, is_request_line};

/// How well a text fits an atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// It looks like such a value.
    Right,
    /// No such value is usual, but a client can send one.
    Odd,
    /// The server itself writes the value, and never so.
    Wrong,
}

/// The headers whose value is an address, or a list of addresses.
const ADDRESS_HEADERS: [&str; 8] = [
    "x-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "http_x_real_ip",
    "http_x_forwarded_for",
];

/// Returns the shape of a text as the value of a field.
pub(super) fn shape(field: &Field, text: &str) -> Shape {
    let text = if field.padded { text.trim_matches(' ') } else { text };
    if matches!(text, "" | "-") {
        return Shape::Right;
    }
    let or_odd = |right: bool| if right { Shape::Right } else { Shape::Odd };
    let or_wrong = |right: bool| if right { Shape::Right } else { Shape::Wrong };
    match field.atom {
        Atom::RemoteAddress => or_wrong(is_remote(text)),
        Atom::AddressAndPort => {
            or_wrong(address_and_port(text).is_some() || address(text).is_none() && is_remote(text))
        }
        Atom::Method if !is_token(text) => Shape::Wrong,
        Atom::Method => or_odd(is_method(text)),
        Atom::Protocol if text.contains(' ') => Shape::Wrong,
        Atom::Protocol => or_odd(text.starts_with("HTTP/")),
        Atom::RequestLine => or_odd(is_request_line(text)),
        Atom::VersionedRequestLine => or_odd(text.split(' ').count() == 3),
        Atom::Path | Atom::PathAndQuery => or_odd(text.starts_with(['/', '*']) || text == "None"),
        Atom::Url => or_odd(text.starts_with(['/', '*']) && !text.contains(' ')),
        Atom::Query | Atom::Referer => or_odd(!text.contains(' ')),
        Atom::Host => or_odd(is_host(text)),
        // Inference names an address so that no column holds.
        Atom::Tail if field.name.starts_with("address_") => or_odd(is_address_list(text)),
        Atom::Tail => or_odd(!text.contains([' ', '"'])),
        Atom::TailNumber => or_wrong(is_number(text)),
        Atom::RequestHeader | Atom::Environ if field.name == "host" => or_odd(is_host(text)),
        Atom::RequestHeader | Atom::Environ if ADDRESS_HEADERS.contains(&field.name.as_str()) => {
            or_odd(is_address_list(text))
        }
        Atom::Environ if field.name == "remote_addr" => or_wrong(is_remote(text)),
        _ => Shape::Right,
    }
}

/// Returns whether a text may stand for the client: an address, a host name, or a Unix socket.
fn is_remote(text: &str) -> bool {
    text.starts_with("unix:") && !text.contains(' ')
        || text == "b''"
        || address(text).is_some()
        || is_name(text)
}

/// Returns whether a text may be a host name, with or without a port.
pub(super) fn is_host(text: &str) -> bool {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    };
    is_name(name) || address(text).is_some()
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Returns whether a text is a number, with or without a fraction and a sign.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    text == "None"
        || digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Returns whether a text is a token of RFC 9110, as each method is.
fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    text.bytes().all(token)
}

/// Returns whether a text is a method as methods are named: in capital letters.
pub(super) fn is_method(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .bytes()
            .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || matches!(it, b'-' | b'_'))
}

/// Returns whether a text is a list of addresses. A proxy writes `unknown` for one that it does not
/// know.
pub(super) fn is_address_list(text: &str) -> bool {
    let mut items = text.split(',').map(str::trim);
    let words = |item: &str| !item.is_empty() && !item.contains(' ');
    items.clone().all(words) && items.any(|item| address(item).is_some())
}

/// Returns the address of `ADDRESS:PORT`. An IPv6 address need not be in brackets there.
pub(super) fn address_and_port(text: &str) -> Option<std::net::IpAddr> {
    let (before, port) = text.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.len() <= 5 && port.bytes().all(|it| it.is_ascii_digit());
    if is_port { address(before) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Template;

    fn of(format: &str, text: &str) -> Shape {
        shape(&Template::compile(format).unwrap().fields[0], text)
    }

    #[test]
    fn an_address_is_no_other_text() {
        for right in ["", "-", "unix:", "10.0.0.7", "[::1]:80", "2001:db8::7", "web.example.com"] {
            assert_eq!(of("%(h)s", right), Shape::Right, "{right}");
        }
        for wrong in ["web_1  | 127.0.0.1", "10.1.2.3 127.0.0.1", "10.1.2.3,", "a/b"] {
            assert_eq!(of("%(h)s", wrong), Shape::Wrong, "{wrong}");
        }
    }

    #[test]
    fn a_list_of_addresses_ends_in_no_comma_and_holds_an_address() {
        for right in ["-", "203.0.113.9, 10.1.2.3", "unknown, 198.51.100.7:4711", "2001:db8::7"] {
            assert_eq!(of("%({X-Forwarded-For}i)s", right), Shape::Right, "{right}");
        }
        for odd in ["203.0.113.9,", "unknown", "203.0.113.9, 10.1.2.3 127.0.0.1", ", 10.1.2.3"] {
            assert_eq!(of("%({X-Forwarded-For}i)s", odd), Shape::Odd, "{odd}");
        }
    }

    #[test]
    fn methods_and_protocols_hold_no_space() {
        assert_eq!(of("%(m)s", "PROPFIND"), Shape::Right);
        assert_eq!(of("%(m)s", "10.1.2.3 GET"), Shape::Wrong);
        assert_eq!(of("%(H)s", "HTTP/1.1"), Shape::Right);
        assert_eq!(of("%(H)s", " HTTP/1.1"), Shape::Wrong);
    }

    #[test]
    fn a_port_is_cut_off_for_certain() {
        let found = |text: &str| address_and_port(text).map(|it| it.to_string());
        assert_eq!(found("2001:db8::7:0").as_deref(), Some("2001:db8::7"));
        assert_eq!(found("::ffff:1.2.3.4:0").as_deref(), Some("1.2.3.4"));
        assert_eq!(found("1.2.3.4:80").as_deref(), Some("1.2.3.4"));
        assert_eq!(found("1.2.3.4"), None);
    }
}
