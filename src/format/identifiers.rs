//! What names a request in other logs, and the view that answered it: which values of a line fill the columns
//! `route`, `request_id` and `trace_id`, and what such a value must look like.
//!
//! A client may send any request id. So a value of another shape fills no column, and stays where it was
//! captured.

use std::borrow::Cow;

use super::key_names::{REQUEST_IDS, ROUTES, TRACE_IDS, TRACE_PARENTS, folded};
use super::template::Atom;

/// The most bytes of a request id.
const LONGEST_ID: usize = 200;
/// The most bytes of a route.
const LONGEST_ROUTE: usize = 1_000;
/// The digits of a trace id.
const TRACE_ID: usize = 32;

/// Whether the columns are those of today, or those of a version that had none of these three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Columns {
    #[default]
    Current,
    Older,
}

/// A column of this module, and how a value fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    Route,
    RequestId,
    TraceId,
    /// The trace id is a part of the value: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
    TraceParent,
}

/// What a captured value is besides itself. Of several in one line the one of the highest rank counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identifies {
    pub(super) what: Identifier,
    pub(super) rank: u8,
}

/// The ranks: what the application decided, what it answered, what a proxy passed on, what the client sent.
const DECIDED: u8 = 4;
const ANSWERED: u8 = 3;
const PASSED_ON: u8 = 2;
const SENT: u8 = 1;

impl Identifies {
    /// Returns what a captured value with this name identifies.
    pub(super) fn of(atom: Atom, name: &str) -> Option<Identifies> {
        use Identifier::{RequestId, Route, TraceId, TraceParent};
        let is_in = |names: &[&str]| names.iter().any(|known| folded(known) == name);
        let (what, rank) = match (atom, name) {
            (Atom::RequestHeader, "x-request-id") => (RequestId, SENT),
            (Atom::ResponseHeader, "x-request-id") => (RequestId, ANSWERED),
            (Atom::Environ, "http_x_request_id") => (RequestId, SENT),
            // Apache's mod_unique_id.
            (Atom::Environ, "unique_id") => (RequestId, PASSED_ON),
            (Atom::Environ, "django_audit_logger.request_id") => (RequestId, DECIDED),
            (Atom::RequestHeader, "traceparent") => (TraceParent, SENT),
            (Atom::ResponseHeader, "traceparent" | "traceresponse") => (TraceParent, ANSWERED),
            (Atom::Environ, "http_traceparent") => (TraceParent, SENT),
            (Atom::Environ, "django_audit_logger.trace_id") => (TraceId, DECIDED),
            (Atom::Environ, "django_audit_logger.route") => (Route, DECIDED),
            (Atom::Tail, "upstream_http_x_request_id") => (RequestId, ANSWERED),
            (Atom::Tail, name) if is_in(REQUEST_IDS) => match name.starts_with("http_") {
                true => (RequestId, SENT),
                false => (RequestId, PASSED_ON),
            },
            (Atom::Tail, _) if is_in(TRACE_IDS) => (TraceId, PASSED_ON),
            (Atom::Tail, _) if is_in(TRACE_PARENTS) => (TraceParent, SENT),
            (Atom::Tail, _) if is_in(ROUTES) => (Route, PASSED_ON),
            _ => return None,
        };
        Some(Identifies { what, rank })
    }
}

impl Identifier {
    /// Returns what the value says; `None` if it has not the shape of the column.
    pub(super) fn value(self, text: &str) -> Option<&str> {
        match self {
            Identifier::Route => is_route(text).then_some(text),
            Identifier::RequestId => is_request_id(text).then_some(text),
            Identifier::TraceId => is_trace_id(text).then_some(text),
            Identifier::TraceParent => trace_id(text),
        }
    }

    /// Does the same for a text of a line, and copies it only if it is a copy already.
    pub(super) fn value_of<'a>(self, text: &Cow<'a, str>) -> Option<Cow<'a, str>> {
        match text {
            Cow::Borrowed(text) => self.value(text).map(Cow::Borrowed),
            Cow::Owned(text) => self.value(text).map(|value| Cow::Owned(value.to_owned())),
        }
    }
}

/// Returns whether a text is a request id: 1 to 200 ASCII letters, digits and `-_.:+/=@~|,`.
fn is_request_id(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@~|,".contains(&byte);
    (1..=LONGEST_ID).contains(&text.len()) && text != "-" && text.bytes().all(is_usual)
}

/// Returns whether a text is a trace id of W3C's Trace Context: 32 hexadecimal digits in lower case, not all
/// of them 0.
fn is_trace_id(text: &str) -> bool {
    text.len() == TRACE_ID && is_hex(text) && text.bytes().any(|byte| byte != b'0')
}

/// Returns the trace id of a `traceparent`, whose form is that of <https://www.w3.org/TR/trace-context/>.
fn trace_id(text: &str) -> Option<&str> {
    let mut parts = text.splitn(4, '-');
    let [version, id, parent, flags] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    // Versions after 00 may have more parts.
    let flags = match (version, flags.split_once('-')) {
        ("00", _) | (_, None) => flags,
        (_, Some((flags, _))) => flags,
    };
    let is_right = version.len() == 2
        && version != "ff"
        && parent.len() == 16
        && parent.bytes().any(|byte| byte != b'0')
        && flags.len() == 2
        && [version, parent, flags].into_iter().all(is_hex);
    (is_right && is_trace_id(id)).then_some(id)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_route(text: &str) -> bool {
    (1..=LONGEST_ROUTE).contains(&text.len()) && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_request_id_is_bounded_in_length_and_characters() {
        let long = "a".repeat(LONGEST_ID);
        for right in [
            "7b0c2e0e-6f8e-4d5a-9a3e-0f6a2b1c9d8e",
            "C0D2:1234:5A6B",
            "a",
            "dGVzdA==",
            "req_1.2~3|4,5@6",
            &long,
        ] {
            assert_eq!(Identifier::RequestId.value(right), Some(right));
        }
        let longer = "a".repeat(LONGEST_ID + 1);
        for wrong in ["", "-", "a b", "a\"b", "a\\b", "<b>", "ä", "a\nb", "a\0", &longer] {
            assert_eq!(Identifier::RequestId.value(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_trace_id_is_taken_from_a_valid_traceparent_only() {
        let read = |text: &str| Identifier::TraceParent.value(text).map(str::to_owned);
        for right in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("01-{TRACE}-00f067aa0ba902b7-00-more"),
        ] {
            assert_eq!(read(&right).as_deref(), Some(TRACE), "{right}");
        }
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902bg-01"),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
        assert_eq!(Identifier::TraceId.value(TRACE), Some(TRACE));
        assert_eq!(Identifier::TraceId.value("0123"), None);
    }

    #[test]
    fn names_that_servers_use_are_known() {
        let of = |atom, name| Identifies::of(atom, name).map(|it| (it.what, it.rank));
        assert_eq!(of(Atom::Tail, "request_id"), Some((Identifier::RequestId, PASSED_ON)));
        assert_eq!(of(Atom::Tail, "otel_trace_id"), Some((Identifier::TraceId, PASSED_ON)));
        assert_eq!(of(Atom::Tail, "id"), None);
        assert_eq!(of(Atom::RequestHeader, "x-correlation-id"), None);
    }
}
