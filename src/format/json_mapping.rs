//! Which keys of JSON lines fill which columns, as the user says: for loggers whose keys
//! [`super::key_names`] does not know.
//!
//! A mapping is a part of the format's text, `json-keys {"req.path":"url"}`: so the store remembers by which
//! mapping a file was read, and another mapping is another format.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::layout::JSON_KEYS;

/// Keys of JSON, and the columns of `gunicorn_log` that their values fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonMapping {
    /// By key, in alphabetical order.
    entries: Vec<(String, Target)>,
    /// `json-keys`, and after it the entries as an object.
    format: String,
}

/// A column, and the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) column: Column,
    /// That of a duration; of a time that is a number.
    pub(super) unit: Option<Unit>,
}

/// A column that a key may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    Method,
    Url,
    Host,
    UserId,
    UserIp,
    Agent,
    Source,
    Duration,
    Code,
    Protocol,
    ResponseBytes,
    Pid,
    Route,
    RequestId,
    TraceId,
}

impl Column {
    /// All columns by their names.
    const NAMES: [(&str, Column); 16] = [
        ("timestamp", Column::Timestamp),
        ("method", Column::Method),
        ("url", Column::Url),
        ("host", Column::Host),
        ("user_id", Column::UserId),
        ("user_ip", Column::UserIp),
        ("agent", Column::Agent),
        ("source", Column::Source),
        ("duration", Column::Duration),
        ("code", Column::Code),
        ("protocol", Column::Protocol),
        ("response_bytes", Column::ResponseBytes),
        ("pid", Column::Pid),
        ("route", Column::Route),
        ("request_id", Column::RequestId),
        ("trace_id", Column::TraceId),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, column)| *column == self).map_or("", |(name, _)| name)
    }
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    const NAMES: [(&str, Unit); 4] = [
        ("s", Unit::Seconds),
        ("ms", Unit::Milliseconds),
        ("us", Unit::Microseconds),
        ("ns", Unit::Nanoseconds),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, unit)| *unit == self).map_or("", |(name, _)| name)
    }

    /// Returns a number of this unit in microseconds; `None` if it is negative, or too large to be one.
    pub(super) fn micros(self, value: &Value) -> Option<i64> {
        let text = value.as_str();
        let whole = value.as_i64().or_else(|| text?.parse().ok());
        let micros = match (whole, self) {
            (Some(whole), Unit::Seconds) => whole.checked_mul(1_000_000)?,
            (Some(whole), Unit::Milliseconds) => whole.checked_mul(1_000)?,
            (Some(whole), Unit::Microseconds) => whole,
            (Some(whole), Unit::Nanoseconds) => whole / 1_000,
            (None, _) => {
                let number = value.as_f64().or_else(|| decimal(text?))?;
                let micros = match self {
                    Unit::Seconds => number * 1e6,
                    Unit::Milliseconds => number * 1e3,
                    Unit::Microseconds => number,
                    Unit::Nanoseconds => number / 1e3,
                };
                (0.0..9e15).contains(&micros).then(|| micros.round() as i64)?
            }
        };
        (micros >= 0).then_some(micros)
    }
}

/// Returns a number that is written with digits and a point, and not as `inf` or `1e9`.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

/// Why a mapping is not valid. The message quotes what is wrong and says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    /// The column does not exist.
    #[error(
        "unknown column {name:?} for the key {key:?}; did you mean {nearest:?}? columns are {columns}"
    )]
    UnknownColumn {
        /// The key of the mapping.
        key: String,
        /// The name that no column has.
        name: String,
        /// The column with the most similar name.
        nearest: &'static str,
        /// The names of all columns.
        columns: String,
    },
    /// The unit does not exist.
    #[error("unknown unit {unit:?} in {target:?} for the key {key:?}; units are s, ms, us and ns")]
    UnknownUnit {
        /// The key of the mapping.
        key: String,
        /// The unit.
        unit: String,
        /// The column with its unit.
        target: String,
    },
    /// A duration without a unit.
    #[error(
        "a duration needs a unit for the key {0:?}: duration:s, duration:ms, duration:us or duration:ns"
    )]
    NoUnit(String),
    /// A unit of a column that has none.
    #[error("{target:?} for the key {key:?} has a unit; only duration and timestamp have one")]
    UnitOfOther {
        /// The key of the mapping.
        key: String,
        /// The column with its unit.
        target: String,
    },
    /// Two keys for one column.
    #[error("the keys {first:?} and {second:?} are both for {column}; a column has one key")]
    Twice {
        /// The one key.
        first: String,
        /// The other key.
        second: String,
        /// The column's name.
        column: &'static str,
    },
    /// A key that no object has.
    #[error(
        "the key {0:?} is empty, or a part of it is: expected a name, or names with dots between them"
    )]
    EmptyKey(String),
    /// What follows `json-keys` is not a mapping.
    #[error(
        "{0:?} is not a mapping: expected an object of keys and columns, {{\"req.path\":\"url\"}}"
    )]
    NoObject(String),
}

impl Default for JsonMapping {
    fn default() -> Self {
        Self { entries: Vec::new(), format: JSON_KEYS.to_owned() }
    }
}

impl JsonMapping {
    /// Adds a key, which may be a path with dots, and the column that its value fills: `url`, or with a unit
    /// `duration:ms`.
    ///
    /// # Errors
    /// A key or a column that cannot be meant.
    pub fn add(&mut self, key: &str, target: &str) -> Result<(), MappingError> {
        if key.split('.').any(str::is_empty) {
            return Err(MappingError::EmptyKey(key.to_owned()));
        }
        let new = Target::read(key, target)?;
        let same = |entry: &&(String, Target)| entry.1.column == new.column && entry.0 != key;
        if let Some((first, _)) = self.entries.iter().find(same) {
            let (first, second) = (first.clone(), key.to_owned());
            return Err(MappingError::Twice { first, second, column: new.column.name() });
        }
        self.entries.retain(|(known, _)| known != key);
        self.entries.push((key.to_owned(), new));
        self.entries.sort_by(|one, other| one.0.cmp(&other.0));
        let object: BTreeMap<&str, String> =
            self.entries.iter().map(|(key, target)| (key.as_str(), target.text())).collect();
        let object = serde_json::json!(object);
        self.format = format!("{JSON_KEYS} {object}");
        Ok(())
    }

    /// Reads the text after `json-keys` of a format.
    ///
    /// # Errors
    /// A text that is not a mapping.
    pub(super) fn read(text: &str) -> Result<Self, MappingError> {
        let no_object = || MappingError::NoObject(text.to_owned());
        let object: Map<String, Value> = serde_json::from_str(text).map_err(|_| no_object())?;
        let mut mapping = Self::default();
        for (key, target) in &object {
            mapping.add(key, target.as_str().ok_or_else(no_object)?)?;
        }
        Ok(mapping)
    }

    /// Returns the format's text.
    pub(super) fn format(&self) -> &str {
        &self.format
    }

    /// Returns whether no key is mapped.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the columns whose keys are in a line, with their values. Of a key with dots the name as a whole
    /// comes first, then the path.
    pub(super) fn found<'m, 'o>(
        &'m self,
        object: &'o Map<String, Value>,
    ) -> impl Iterator<Item = (&'m str, Target, &'o Value)> {
        self.entries.iter().filter_map(|(key, target)| {
            let value = value_at(object, key).filter(|value| !value.is_null())?;
            Some((key.as_str(), *target, value))
        })
    }
}

impl Target {
    fn read(key: &str, text: &str) -> Result<Self, MappingError> {
        let (key, target) = (key.to_owned(), text.to_owned());
        let (name, unit) = match text.split_once(':') {
            Some((name, unit)) => (name, Some(unit)),
            None => (text, None),
        };
        let Some((_, column)) = Column::NAMES.iter().find(|(known, _)| *known == name) else {
            let names = Column::NAMES.map(|(name, _)| name);
            let nearest = names.iter().min_by_key(|known| strsim::levenshtein(known, name));
            return Err(MappingError::UnknownColumn {
                key,
                name: name.to_owned(),
                nearest: nearest.copied().unwrap_or_default(),
                columns: names.join(", "),
            });
        };
        let unit = match unit {
            None if *column == Column::Duration => return Err(MappingError::NoUnit(key)),
            None => None,
            Some(_) if !matches!(column, Column::Duration | Column::Timestamp) => {
                return Err(MappingError::UnitOfOther { key, target });
            }
            Some(unit) => match Unit::NAMES.iter().find(|(known, _)| *known == unit) {
                Some((_, unit)) => Some(*unit),
                None => {
                    let unit = unit.to_owned();
                    return Err(MappingError::UnknownUnit { key, unit, target });
                }
            },
        };
        Ok(Self { column: *column, unit })
    }

    fn text(self) -> String {
        match self.unit {
            Some(unit) => format!("{}:{}", self.column.name(), unit.name()),
            None => self.column.name().to_owned(),
        }
    }
}

/// Returns the value of a key, or of a path of keys.
fn value_at<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).or_else(|| {
        let (first, rest) = key.split_once('.')?;
        value_at(object.get(first)?.as_object()?, rest)
    })
}

/// Removes the value of a key, or of a path of keys, and the objects that are empty without it.
pub(super) fn remove_at(object: &mut Map<String, Value>, key: &str) {
    if object.remove(key).is_some() {
        return;
    }
    if let Some((first, rest)) = key.split_once('.')
        && let Some(Value::Object(inner)) = object.get_mut(first)
    {
        remove_at(inner, rest);
        if inner.is_empty() {
            object.remove(first);
        }
    }
}

/// Shares a mapping among formats.
pub(super) type SharedMapping = Arc<JsonMapping>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_read_back_from_its_format() {
        let mut mapping = JsonMapping::default();
        assert_eq!((mapping.format(), mapping.is_empty()), ("json-keys", true));
        mapping.add("took_ms", "duration:ms").unwrap();
        mapping.add("req.path", "url").unwrap();
        let format = r#"json-keys {"req.path":"url","took_ms":"duration:ms"}"#;
        assert_eq!(mapping.format(), format);
        let read = JsonMapping::read(r#" {"took_ms": "duration:ms", "req.path": "url"}"#);
        assert_eq!(read, Ok(mapping));
    }

    #[test]
    fn what_cannot_be_meant_is_quoted() {
        let error = |key: &str, target: &str| {
            let mut mapping = JsonMapping::default();
            mapping.add("path", "url").unwrap();
            mapping.add(key, target).unwrap_err().to_string()
        };
        for (key, target, words) in [
            (
                "a",
                "uri",
                "unknown column \"uri\" for the key \"a\"; did you mean \"url\"? columns are timestamp,",
            ),
            ("a", "duration", "duration:s, duration:ms, duration:us or duration:ns"),
            (
                "a",
                "duration:min",
                "unknown unit \"min\" in \"duration:min\" for the key \"a\"; units are",
            ),
            ("a", "code:s", "\"code:s\" for the key \"a\" has a unit"),
            ("a", "url", "the keys \"path\" and \"a\" are both for url"),
            ("a..b", "code", "the key \"a..b\" is empty"),
            ("", "code", "the key \"\" is empty"),
        ] {
            assert!(error(key, target).contains(words), "{}", error(key, target));
        }
        for text in ["x", "[]", "{\"a\":1}"] {
            assert!(JsonMapping::read(text).unwrap_err().to_string().contains("is not a mapping"));
        }
    }

    #[test]
    fn numbers_become_microseconds_by_their_unit() {
        let micros = |unit: Unit, text: &str| unit.micros(&serde_json::from_str(text).unwrap());
        for (unit, text, right) in [
            (Unit::Seconds, "2", Some(2_000_000)),
            (Unit::Seconds, "0.0125", Some(12_500)),
            (Unit::Seconds, "\"0.0125\"", Some(12_500)),
            (Unit::Milliseconds, "12", Some(12_000)),
            (Unit::Milliseconds, "12.5", Some(12_500)),
            (Unit::Microseconds, "\"12\"", Some(12)),
            (Unit::Nanoseconds, "12999", Some(12)),
            (Unit::Seconds, "-1", None),
            (Unit::Seconds, "-0.5", None),
            (Unit::Seconds, "1e300", None),
            (Unit::Seconds, "9223372036854775807", None),
            (Unit::Seconds, "\"1 s\"", None),
            (Unit::Seconds, "\"inf\"", None),
            (Unit::Seconds, "true", None),
        ] {
            assert_eq!(micros(unit, text), right, "{unit:?} {text}");
        }
    }
}
