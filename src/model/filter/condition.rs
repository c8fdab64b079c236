//! One condition on a row, of a filter that requires or excludes it.

use super::{Codes, FilterError, Network, network, status};

/// The most bytes of a value: longer patterns and statements are refused by the databases.
const MOST_BYTES: usize = 4096;

/// The most codes and ranges of one condition: a database takes a condition for each.
const MOST_CODES: usize = 100;

/// Most characters that are searched for in any place of a text. For each row that takes the product of
/// the two lengths.
const MAX_PART: usize = 1000;

/// A condition on one value of a row. See [`Filter`](super::Filter) for what each of them compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The URL, or the path of a request log.
    Url(UrlFilter),
    /// Ranges of codes; one of them contains the code.
    Codes(Vec<Codes>),
    /// The request method.
    Method(String),
    /// The user's name.
    User(String),
    /// The address of the client.
    Address(Network),
    /// The Host header.
    Host(String),
    /// The machine whose log it is.
    Server(String),
    /// The pattern of URLs.
    Route(String),
    /// The id of the request.
    RequestId(String),
    /// The id of the trace.
    TraceId(String),
    /// The session, which request logs alone have.
    Session(String),
    /// Part of the User-Agent header.
    Agent(String),
    /// Part of URL, agent, referer or user.
    Text(String),
}

/// A condition on a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlFilter {
    /// The URL begins with this text.
    Prefix(String),
    /// The URL contains this text.
    Part(String),
}

impl Condition {
    /// Reads a condition by the name of its field.
    ///
    /// # Errors
    ///
    /// The value is invalid, or no field has this name.
    pub(super) fn read(name: &str, value: &str) -> Result<Condition, FilterError> {
        let wrong = |trouble| FilterError::new(name, value, trouble);
        check_value(name, value)?;
        let text = value.to_owned();
        Ok(match name {
            "url" => Condition::Url(UrlFilter::read(value)),
            "code" => {
                if value.split(',').count() > MOST_CODES {
                    return Err(wrong(
                        "a list of more than 100 codes: give ranges, such as 400-499",
                    ));
                }
                let codes = value.split(',').map(Codes::read).collect::<Option<Vec<_>>>();
                Condition::Codes(codes.ok_or_else(|| wrong(status::EXPECTED))?)
            }
            "method" => Condition::Method(text),
            "user" => Condition::User(text),
            "address" => {
                Condition::Address(Network::read(value).ok_or_else(|| wrong(network::EXPECTED))?)
            }
            "host" => Condition::Host(text),
            "server" => Condition::Server(text),
            "route" => Condition::Route(text),
            "request_id" => Condition::RequestId(text),
            "trace_id" => Condition::TraceId(text),
            "agent" | "text" if value.chars().nth(MAX_PART).is_some() => {
                return Err(wrong("too long: expected at most 1000 characters"));
            }
            "agent" => Condition::Agent(text),
            "text" => Condition::Text(text),
            _ => {
                return Err(wrong(
                    "not a filter; there are from, to, url, code, method, user, address, host, \
                     server, agent, text, route, request_id, trace_id and not",
                ));
            }
        })
    }
}

/// Checks what holds for the values of all fields.
///
/// # Errors
///
/// The value is too long, or has a NUL character.
pub(super) fn check_value(name: &str, value: &str) -> Result<(), FilterError> {
    let wrong = |trouble| FilterError::new(name, value, trouble);
    if value.len() > MOST_BYTES && super::Filter::NAMES.contains(&name) {
        return Err(wrong("longer than 4,096 bytes: give a part of it"));
    }
    // PostgreSQL's text cannot hold NUL, so no row matches; the database would report an error.
    if value.contains('\0') {
        return Err(wrong("nothing that a row can hold: it has a NUL character"));
    }
    Ok(())
}

impl UrlFilter {
    /// Reads a condition: `/orders` is a prefix, `orders` and `*orders*` are parts.
    fn read(text: &str) -> UrlFilter {
        match text.strip_prefix('*').map(|part| part.strip_suffix('*').unwrap_or(part)) {
            Some(part) => UrlFilter::Part(part.to_owned()),
            None if text.starts_with('/') => UrlFilter::Prefix(text.to_owned()),
            None => UrlFilter::Part(text.to_owned()),
        }
    }
}
