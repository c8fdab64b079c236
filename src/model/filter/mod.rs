//! Which rows a user wants to see: the same filter for the page, the command line and downloads.

mod moment;
mod network;
mod status;

use super::record::{self, Micros};

pub use network::Network;
pub use status::Codes;

/// What was asked for. What is `None` or empty is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The first moment.
    pub from: Micros,
    /// The moment after the last one.
    pub to: Micros,
    /// Of the URL, for `gunicorn_log`; of the path, for `request_log`.
    pub url: Option<UrlFilter>,
    /// Any of these.
    pub codes: Vec<Codes>,
    /// Exactly.
    pub method: Option<String>,
    /// Exactly.
    pub user: Option<String>,
    /// The client's.
    pub address: Option<Network>,
    /// The Host header, exactly.
    pub host: Option<String>,
    /// The machine whose log it is, exactly.
    pub server: Option<String>,
    /// Part of the User-Agent header, upper or lower case alike.
    pub agent: Option<String>,
    /// Part of URL, agent, referer or user, upper or lower case alike.
    pub text: Option<String>,
}

/// Of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlFilter {
    /// It begins so.
    Prefix(String),
    /// It holds this somewhere.
    Part(String),
}

/// A value that cannot be used, with what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} '{given}' is {trouble}")]
pub struct FilterError {
    name: String,
    given: String,
    trouble: &'static str,
}

impl FilterError {
    /// `trouble` follows "is".
    pub fn new(name: &str, given: &str, trouble: &'static str) -> FilterError {
        FilterError { name: name.to_owned(), given: given.to_owned(), trouble }
    }
}

const HOUR_US: i64 = 3_600_000_000;

impl Filter {
    /// The names that [`Filter::set`] knows.
    pub const NAMES: [&str; 11] = [
        "from", "to", "url", "code", "method", "user", "address", "host", "server", "agent", "text",
    ];

    /// All of the last hour.
    pub fn last_hour(now: Micros) -> Filter {
        // What a clock that runs ahead has logged is seen, too, and so is what is logged this second.
        Filter { from: now - HOUR_US, to: now + HOUR_US / 60, ..Filter::default() }
    }

    /// Takes one value by its name; an empty value asks for nothing. `now` is what ages count from.
    ///
    /// # Errors
    ///
    /// A value that means nothing, or a name that is none of [`Filter::NAMES`].
    pub fn set(&mut self, name: &str, value: &str, now: Micros) -> Result<(), FilterError> {
        let wrong = |trouble| FilterError::new(name, value, trouble);
        if value.is_empty() && Self::NAMES.contains(&name) {
            return Ok(());
        }
        // PostgreSQL's text cannot hold it, so that no row has it; and it is no fault of the server.
        if value.contains('\0') {
            return Err(wrong("nothing that a row can hold: it has a NUL character"));
        }
        let text = Some(value.to_owned());
        match name {
            "from" => {
                self.from = moment::read(value, now).ok_or_else(|| wrong(moment::EXPECTED))?;
            }
            "to" => self.to = moment::read(value, now).ok_or_else(|| wrong(moment::EXPECTED))?,
            "url" => self.url = Some(UrlFilter::read(value)),
            "code" => {
                let codes = value.split(',').map(Codes::read).collect::<Option<Vec<_>>>();
                self.codes = codes.ok_or_else(|| wrong(status::EXPECTED))?;
            }
            "method" => self.method = text,
            "user" => self.user = text,
            "address" => {
                self.address = Some(Network::read(value).ok_or_else(|| wrong(network::EXPECTED))?);
            }
            "host" => self.host = text,
            "server" => self.server = text,
            "agent" => self.agent = text,
            "text" => self.text = text,
            _ => {
                return Err(wrong(
                    "no filter; there are from, to, url, code, method, user, \
                                  address, host, server, agent and text",
                ));
            }
        }
        Ok(())
    }

    /// Checks that the filter can find any row.
    ///
    /// # Errors
    ///
    /// `to` is not after `from`.
    pub fn checked(self) -> Result<Filter, FilterError> {
        if self.from < self.to {
            return Ok(self);
        }
        Err(FilterError::new("from", &record::moment(self.from), "not before the end of the range"))
    }
}

impl UrlFilter {
    /// `/orders` is a beginning, `orders` and `*orders*` a part.
    fn read(text: &str) -> UrlFilter {
        match text.strip_prefix('*').map(|part| part.strip_suffix('*').unwrap_or(part)) {
            Some(part) => UrlFilter::Part(part.to_owned()),
            None if text.starts_with('/') => UrlFilter::Prefix(text.to_owned()),
            None => UrlFilter::Part(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_795_423_260_000_000; // 2026-11-23 08:41:00

    fn with(name: &str, value: &str) -> Result<Filter, String> {
        let mut filter = Filter::last_hour(NOW);
        filter.set(name, value, NOW).map_err(|error| error.to_string())?;
        filter.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn each_value_is_taken_or_quoted() {
        assert_eq!(with("from", "15m").unwrap().from, NOW - 900_000_000);
        assert_eq!(with("from", "2026-11-23T08:00:00Z").unwrap().from, NOW - 41 * 60_000_000);
        assert_eq!(with("url", "/a?b").unwrap().url, Some(UrlFilter::Prefix("/a?b".into())));
        for part in ["x", "*x*", "*x"] {
            assert_eq!(with("url", part).unwrap().url, Some(UrlFilter::Part("x".into())));
        }
        assert_eq!(with("user", "").unwrap(), Filter::last_hour(NOW));
        for (name, value) in [
            ("from", "yesterday"),
            ("to", "2026-13-01"),
            ("code", "4xx,no"),
            ("address", "203.0.113"),
            ("nothing", "x"),
            ("url", "a\0"),
        ] {
            let error = with(name, value).unwrap_err();
            assert!(error.starts_with(&format!("{name} '{value}' is ")), "{error}");
        }
        let backwards = with("to", "2h").unwrap_err();
        assert_eq!(backwards, "from '2026-11-23T07:41:00Z' is not before the end of the range");
    }

    #[test]
    fn every_name_is_known() {
        for name in Filter::NAMES {
            assert!(!with(name, "~").is_err_and(|error| error.contains("no filter")), "{name}");
        }
    }
}
