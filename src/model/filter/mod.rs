//! Which rows a user wants to see: the same filter for the page, the command line and downloads.

mod classes;
mod condition;
mod moment;
mod network;
mod status;

use chrono::Utc;

use super::record::{self, Micros};

pub use classes::Share;
pub use condition::{Condition, UrlFilter};
pub use moment::{MOMENT_EXPECTED, read_moment};
pub use network::Network;
pub use status::Codes;

/// The conditions that a row must meet. What is `None` or empty is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The beginning of the time range.
    pub from: Micros,
    /// The end of the time range, which is not part of it.
    pub to: Micros,
    /// The URL, for `gunicorn_log`; the path, for `request_log`.
    pub url: Option<UrlFilter>,
    /// Ranges of codes; the code of the row is in one of them.
    pub codes: Vec<Codes>,
    /// The request method, exactly.
    pub method: Option<String>,
    /// The user's name, exactly.
    pub user: Option<String>,
    /// The address of the client.
    pub address: Option<Network>,
    /// The Host header, exactly.
    pub host: Option<String>,
    /// The machine whose log it is, exactly.
    pub server: Option<String>,
    /// The pattern of URLs that led to the view, exactly.
    pub route: Option<String>,
    /// What names the request in other logs, exactly.
    pub request_id: Option<String>,
    /// The trace, exactly.
    pub trace_id: Option<String>,
    /// The session, exactly. No name sets it: the access log has none, so only searches of `request_log` may.
    pub session: Option<String>,
    /// Part of the User-Agent header, upper or lower case alike.
    pub agent: Option<String>,
    /// Part of URL, agent, referer or user, upper or lower case alike.
    pub text: Option<String>,
    /// Conditions that the row must not meet. A row without a value meets no condition on it.
    pub not: Vec<Condition>,
}

/// An invalid value, and the expected form.
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
        let short = |text: &str| match text.char_indices().nth(MOST_QUOTED) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        FilterError { name: short(name), given: short(given), trouble }
    }

    /// Says that the condition is one that a row must not meet.
    fn of_not(self) -> FilterError {
        FilterError { name: format!("not {}", self.name), ..self }
    }
}

/// Characters of a value that a message quotes.
const MOST_QUOTED: usize = 100;

/// The most conditions that a row must not meet.
const MOST_NOT: usize = 20;

const HOUR_US: i64 = 3_600_000_000;

impl Filter {
    /// The names that [`Filter::set`] accepts.
    pub const NAMES: [&str; 15] = [
        "from",
        "to",
        "url",
        "code",
        "method",
        "user",
        "address",
        "host",
        "server",
        "agent",
        "text",
        "route",
        "request_id",
        "trace_id",
        "not",
    ];

    /// Returns the filter for all rows of the last hour.
    pub fn last_hour(now: Micros) -> Filter {
        // A minute more, for the rows of this second and of servers whose clocks are fast.
        Filter { from: now - HOUR_US, to: now + HOUR_US / 60, ..Filter::default() }
    }

    /// Sets one condition by its name; an empty value sets none. `not` adds one, such as `code:404`. Ages such as
    /// `15m` count back from `now`, and times without a zone are in UTC.
    ///
    /// # Errors
    ///
    /// The value is invalid, or the name is not in [`Filter::NAMES`].
    pub fn set(&mut self, name: &str, value: &str, now: Micros) -> Result<(), FilterError> {
        self.set_with(name, value, |value| read_moment(value, now, &Utc))
    }

    /// The same; `moment` reads times.
    ///
    /// # Errors
    ///
    /// As for [`Filter::set`].
    pub fn set_with(
        &mut self,
        name: &str,
        value: &str,
        moment: impl Fn(&str) -> Option<Micros>,
    ) -> Result<(), FilterError> {
        let wrong = |trouble| FilterError::new(name, value, trouble);
        match name {
            name if value.is_empty() && Self::NAMES.contains(&name) => {}
            "from" => {
                condition::check_value(name, value)?;
                self.from = moment(value).ok_or_else(|| wrong(MOMENT_EXPECTED))?;
            }
            "to" => {
                condition::check_value(name, value)?;
                self.to = moment(value).ok_or_else(|| wrong(MOMENT_EXPECTED))?;
            }
            "not" => {
                condition::check_value(name, value)?;
                if self.not.len() == MOST_NOT {
                    return Err(wrong("one more than the 20 conditions that a filter can have"));
                }
                let condition = value.split_once(':').filter(|(_, value)| !value.is_empty());
                let (field, value) = condition.ok_or_else(|| {
                    wrong("not a name and a value with a colon between, such as code:404")
                })?;
                self.not.push(Condition::read(field, value).map_err(FilterError::of_not)?);
            }
            _ => match Condition::read(name, value)? {
                Condition::Url(url) => self.url = Some(url),
                Condition::Codes(codes) => self.codes = codes,
                Condition::Method(method) => self.method = Some(method),
                Condition::User(user) => self.user = Some(user),
                Condition::Address(network) => self.address = Some(network),
                Condition::Host(host) => self.host = Some(host),
                Condition::Server(server) => self.server = Some(server),
                Condition::Route(route) => self.route = Some(route),
                Condition::RequestId(id) => self.request_id = Some(id),
                Condition::TraceId(id) => self.trace_id = Some(id),
                Condition::Session(id) => self.session = Some(id),
                Condition::Agent(agent) => self.agent = Some(agent),
                Condition::Text(text) => self.text = Some(text),
            },
        }
        Ok(())
    }

    /// Returns the conditions that a row must meet, besides the time range.
    pub fn required(&self) -> Vec<Condition> {
        let codes = Some(&self.codes).filter(|codes| !codes.is_empty());
        [
            self.url.clone().map(Condition::Url),
            codes.cloned().map(Condition::Codes),
            self.method.clone().map(Condition::Method),
            self.user.clone().map(Condition::User),
            self.route.clone().map(Condition::Route),
            self.request_id.clone().map(Condition::RequestId),
            self.trace_id.clone().map(Condition::TraceId),
            self.session.clone().map(Condition::Session),
            self.host.clone().map(Condition::Host),
            self.server.clone().map(Condition::Server),
            self.address.map(Condition::Address),
            self.agent.clone().map(Condition::Agent),
            self.text.clone().map(Condition::Text),
        ]
        .into_iter()
        .flatten()
        .collect()
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
            ("from", "next week"),
            ("to", "2026-13-01"),
            ("code", "4xx,no"),
            ("address", "203.0.113"),
            ("nothing", "x"),
            ("url", "a\0"),
            ("not", "404"),
            ("not", "code:"),
        ] {
            let error = with(name, value).unwrap_err();
            assert!(error.starts_with(&format!("{name} '{value}' is ")), "{error}");
        }
        for name in ["agent", "text"] {
            assert!(with(name, &"é".repeat(1000)).is_ok());
            let error = with(name, &"é".repeat(1001)).unwrap_err();
            assert!(error.ends_with("is too long: expected at most 1000 characters"), "{error}");
        }
        let backwards = with("to", "2h").unwrap_err();
        assert_eq!(backwards, "from '2026-11-23T07:41:00Z' is not before the end of the range");
    }

    #[test]
    fn a_filter_has_limits() {
        let codes = |count: usize| vec!["404"; count].join(",");
        assert_eq!(with("code", &codes(100)).unwrap().codes.len(), 100);
        let error = with("code", &codes(101)).unwrap_err();
        assert!(error.ends_with("is a list of more than 100 codes: give ranges, such as 400-499"));
        for name in Filter::NAMES {
            let error = with(name, &"a".repeat(70_000)).unwrap_err();
            assert!(error.ends_with("is longer than 4,096 bytes: give a part of it"), "{error}");
            assert!(error.len() < 200, "{error}");
        }
    }

    #[test]
    fn conditions_that_must_not_hold_add_up() {
        let mut filter = with("not", "url:/health").unwrap();
        filter.set("not", "code:404,5xx", NOW).unwrap();
        filter.set("not", "user:a:b", NOW).unwrap();
        let [Condition::Url(url), Condition::Codes(codes), Condition::User(user)] = &filter.not[..]
        else {
            panic!("{filter:?}")
        };
        assert_eq!(url, &UrlFilter::Prefix("/health".into()));
        assert_eq!((codes.len(), user.as_str()), (2, "a:b"));
        for (value, expected) in [
            ("code:4x", "not code '4x' is not a code"),
            ("from:1h", "not from '1h' is not a filter"),
            ("not:url:/a", "not not 'url:/a' is not a filter"),
        ] {
            let error = with("not", value).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        for _ in filter.not.len()..20 {
            filter.set("not", "method:GET", NOW).unwrap();
        }
        let error = filter.set("not", "method:PUT", NOW).unwrap_err().to_string();
        assert!(error.ends_with("is one more than the 20 conditions that a filter can have"));
    }

    #[test]
    fn every_name_is_known() {
        for name in Filter::NAMES {
            assert!(!with(name, "~").is_err_and(|error| error.contains("not a filter")), "{name}");
        }
    }

    /// A value is read, or its message quotes it; and what is read can be written and read again.
    #[test]
    fn no_value_panics_and_each_message_is_short() {
        use chrono::FixedOffset;

        use crate::model::fuzz::{each_input, text};

        each_input("filters", 1, |rng| {
            let name = Filter::NAMES[rng.usize(..Filter::NAMES.len())];
            let value = text(rng);
            let mut filter = Filter::last_hour(NOW);
            let zone = FixedOffset::east_opt(rng.i32(-86_399..86_400)).unwrap();
            let _ = filter
                .clone()
                .set_with(name, &value, |value| read_moment(value, NOW, &zone))
                .and_then(|()| filter.clone().checked());
            match filter.set(name, &value, NOW) {
                Err(error) => assert!(error.to_string().len() < 900, "{name}={value:?}: {error}"),
                Ok(()) => {
                    for codes in &filter.codes {
                        assert!(codes.first <= codes.last, "{value:?}");
                    }
                    if let Some(network) = filter.address {
                        let again = Network::read(&network.to_string());
                        assert_eq!(again, Some(network), "{value:?}");
                        let _ = network.mapped();
                    }
                    let _ = filter.checked().map_err(|error| error.to_string());
                }
            }
        });
    }
}
