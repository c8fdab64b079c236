//! The values of one slot over several lines, and what they look like.

use super::lex::Kind;
use crate::format::key_names::folded;
use crate::format::shapes::{is_address_list, is_method};
use crate::format::values::{address, is_request_line};

/// The methods that a word without other evidence is taken for.
const METHODS: [&str; 14] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "MKCOL", "REPORT", "MOVE", "COPY",
];

/// The values of one slot, one for each line, without what is the same in all of them: `key=` before
/// them and a unit after them.
#[derive(Clone, Debug)]
pub(super) struct Column<'a> {
    pub(super) kind: Kind,
    pub(super) values: Vec<&'a str>,
    /// The name that the line itself gives the value, in lower case.
    pub(super) key: Option<String>,
    /// What stands before each value within its slot: `rt=`.
    pub(super) before: &'a str,
    /// What stands after each value within its slot: `µs`.
    pub(super) after: &'a str,
    /// The width to which values are filled up with spaces.
    pub(super) width: Option<usize>,
}

/// The units that may follow a number without a space.
const UNITS: [&str; 5] = ["µs", "μs", "us", "ms", "s"];

impl<'a> Column<'a> {
    /// Takes `key=` and a unit off the values, if all of them have the same.
    pub(super) fn of(kind: Kind, values: Vec<&'a str>) -> Self {
        let mut column = Self { kind, values, key: None, before: "", after: "", width: None };
        if kind == Kind::Word {
            column.take_padding();
            column.take_key();
        }
        column.take_unit();
        column
    }

    fn take_padding(&mut self) {
        let padded = self.values.iter().find(|value| value.ends_with(' '));
        let Some(width) = padded.map(|value| value.chars().count()) else { return };
        let fills = |value: &&str| match value.ends_with(' ') {
            true => value.chars().count() == width,
            false => value.chars().count() >= width,
        };
        if self.values.iter().all(fills) {
            self.width = Some(width);
            self.values.iter_mut().for_each(|value| *value = value.trim_end_matches(' '));
        }
    }

    fn take_key(&mut self) {
        let Some(first) = self.values.first().copied() else { return };
        let Some(end) = first.find('=').map(|at| at + 1) else { return };
        let key = &first[..end - 1];
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && key.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it));
        if is_key && self.values.iter().all(|value| value.starts_with(&first[..end])) {
            self.before = &first[..end];
            self.key = Some(folded(key));
            self.values.iter_mut().for_each(|value| *value = &value[end..]);
        }
    }

    fn take_unit(&mut self) {
        let number = |text: &str| {
            text == "-"
                || text.starts_with(|c: char| c.is_ascii_digit())
                    && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        for unit in UNITS {
            let cut = |value: &&'a str| value.strip_suffix(unit).filter(|text| number(text));
            let Some(values) = self.values.iter().map(cut).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let first = self.values.first().copied().unwrap_or_default();
            self.after = &first[first.len() - unit.len()..];
            self.values = values;
            return;
        }
    }

    /// Returns whether the column has values and all of them, but those that are missing, pass.
    pub(super) fn all(&self, test: impl Fn(&str) -> bool) -> bool {
        let mut present = self.present().peekable();
        present.peek().is_some() && present.all(test)
    }

    /// Returns whether most values that are not missing pass.
    pub(super) fn most(&self, test: impl Fn(&str) -> bool) -> bool {
        let all = self.present().count();
        2 * self.present().filter(|value| test(value)).count() > all
    }

    pub(super) fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.present().any(test)
    }

    /// The values that are not missing.
    pub(super) fn present(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.values.iter().copied().filter(|value| !matches!(*value, "" | "-"))
    }

    /// Returns whether no value is ever there.
    pub(super) fn is_absent(&self) -> bool {
        self.present().next().is_none()
    }

    /// Returns the value, if it is the same in all lines.
    pub(super) fn constant(&self) -> Option<&'a str> {
        let first = self.values.first().copied()?;
        self.values.iter().all(|value| *value == first).then_some(first)
    }

    pub(super) fn is_quoted(&self) -> bool {
        matches!(self.kind, Kind::Quoted | Kind::Single)
    }

    pub(super) fn is_time(&self) -> bool {
        matches!(self.kind, Kind::BracketedTime | Kind::ClfTime | Kind::IsoTime | Kind::CTime)
    }

    pub(super) fn is_integer(&self) -> bool {
        self.all(|value| value == "None" || is_digits(value))
    }

    pub(super) fn is_status(&self) -> bool {
        self.after.is_empty()
            && self.all(|value| {
                value.len() == 3 && is_digits(value) && matches!(value.as_bytes()[0], b'1'..=b'5')
            })
    }

    /// Returns whether each value is a decimal number with so many digits after its point.
    pub(super) fn has_decimals(&self, count: usize) -> bool {
        self.all(|value| {
            let parts = value.split_once('.');
            parts.is_some_and(|(whole, rest)| {
                is_digits(whole) && is_digits(rest) && rest.len() == count
            })
        })
    }

    pub(super) fn is_decimal(&self) -> bool {
        self.all(|value| {
            value.split_once('.').is_some_and(|(whole, rest)| is_digits(whole) && is_digits(rest))
        })
    }

    pub(super) fn is_request(&self) -> bool {
        self.kind == Kind::Request || self.is_quoted() && self.most(is_request_line)
    }

    pub(super) fn is_method(&self) -> bool {
        self.all(is_method) && self.most(|value| METHODS.contains(&value))
    }

    pub(super) fn is_path(&self) -> bool {
        self.all(|value| value.starts_with(['/', '*']) || value == "None" || value.contains("://"))
            && self.most(|value| value.starts_with('/'))
    }

    pub(super) fn is_query(&self) -> bool {
        self.all(|value| value.contains('=') && !value.contains("://"))
    }

    pub(super) fn is_protocol(&self) -> bool {
        self.all(|value| value.starts_with("HTTP/") && value.len() <= 9)
    }

    /// Returns whether each value is an address, or a list of addresses.
    pub(super) fn is_addresses(&self) -> bool {
        self.all(is_address_list)
    }

    pub(super) fn is_pid(&self) -> bool {
        self.all(|value| {
            value.strip_prefix('<').and_then(|it| it.strip_suffix('>')).is_some_and(is_digits)
        })
    }

    pub(super) fn is_agent(&self) -> bool {
        self.most(looks_like_agent)
    }

    pub(super) fn is_referer(&self) -> bool {
        self.most(|value| value.contains("://"))
    }

    /// Returns whether a value may be the name of a host.
    pub(super) fn may_be_host(&self) -> bool {
        self.any(|value| {
            let name = value.rsplit_once(':').map_or(value, |(name, _)| name);
            name == "localhost"
                || address(value).is_some()
                || name.contains('.')
                    && name.bytes().all(|it| it.is_ascii_alphanumeric() || b".-_".contains(&it))
                    && name.bytes().any(|it| it.is_ascii_alphabetic())
        })
    }

    /// Returns whether each value looks like an id that a program made: no name, no word.
    pub(super) fn is_id(&self) -> bool {
        self.all(looks_like_id)
    }
}

/// Returns whether a text looks like an id that a program made: hexadecimal, or long and with digits.
pub(super) fn looks_like_id(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let of = |test: fn(&u8) -> bool| value.bytes().all(|byte| byte == b'-' || test(&byte));
    value.len() >= 6 && digits >= 1 && of(u8::is_ascii_hexdigit)
        || value.len() >= 8 && digits >= 2 && of(u8::is_ascii_alphanumeric)
}

/// Returns whether a text looks like an id of a request and not like the name of a person, as `user1234` does.
pub(super) fn looks_like_request_id(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let of = |test: fn(&u8) -> bool| value.bytes().all(|byte| byte == b'-' || test(&byte));
    value.len() >= 8 && digits >= 1 && of(u8::is_ascii_hexdigit)
        || value.len() >= 16 && digits >= 2 && of(u8::is_ascii_alphanumeric)
}

pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text looks like a User-Agent header.
pub(super) fn looks_like_agent(text: &str) -> bool {
    let known = ["Mozilla/", "curl", "Wget/", "python-", "Go-http-client", "kube-probe", "okhttp"];
    if known.iter().any(|name| text.starts_with(name)) {
        return true;
    }
    let Some((name, version)) = text.split_once('/') else { return false };
    !text.contains("://")
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && version.starts_with(|c: char| c.is_ascii_digit())
}
