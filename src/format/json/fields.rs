//! The keys of an object, taken one by one as what their column holds.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, Timelike};
use serde_json::{Map, Value};

use super::refuse::{NO_KIND, holds_nul, nul, reject, storable, unreadable, wrong};
use crate::format::address::address;
use crate::format::reject::Reject;
use crate::model::Micros;

const TIME: &str = "a time with offset like 2026-11-24T15:02:03.123456+00:00";
const OBJECT: &str = "an object, {…}";

/// What is not taken yet of a line.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads the line.
    pub(super) fn of(text: &str) -> Result<Fields, Reject> {
        if !text.trim_start().starts_with('{') {
            return Err(reject(NO_KIND));
        }
        serde_json::from_str(text).map(Fields).map_err(|error| unreadable(&error))
    }

    /// What `log` says.
    pub(super) fn kind(&mut self) -> Result<Option<String>, Reject> {
        self.text("log")
    }

    /// A value, unless it is none.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        })
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Reject> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if holds_nul(&text) => Err(nul(key)),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(key, &other, "a text")),
        }
    }

    /// What is no address is no value, as in Gunicorn's own lines.
    pub(super) fn address(&mut self, key: &str) -> Result<Option<IpAddr>, Reject> {
        Ok(self.text(key)?.and_then(|text| address(&text)))
    }

    pub(super) fn time(&mut self, key: &str) -> Result<Micros, Reject> {
        let Some(text) = self.text(key)? else {
            return Err(reject(&format!("`{key}` is missing; it must be {TIME}")));
        };
        // A leap second is refused, since neither database could give it back.
        DateTime::parse_from_rfc3339(&text)
            .ok()
            .map(|time| time.to_utc())
            .filter(|time| {
                (1970..=9999).contains(&time.year()) && time.nanosecond() < 1_000_000_000
            })
            .map(|time| time.timestamp_micros())
            .ok_or_else(|| reject(&format!("`{key}` must be {TIME}, of the years 1970 to 9999")))
    }

    pub(super) fn int8(&mut self, key: &str) -> Result<Option<i64>, Reject> {
        self.whole(key, i64::MIN, i64::MAX)
    }

    pub(super) fn int4(&mut self, key: &str) -> Result<Option<i32>, Reject> {
        let value = self.whole(key, i32::MIN.into(), i32::MAX.into())?;
        Ok(value.and_then(|value| i32::try_from(value).ok()))
    }

    fn whole(&mut self, key: &str, least: i64, most: i64) -> Result<Option<i64>, Reject> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(key, &value, &format!("a whole number from {least} to {most}"))),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, Reject> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(wrong(key, &value, "a number")),
        }
    }

    pub(super) fn object(&mut self, key: &str) -> Result<Option<Value>, Reject> {
        self.must_be_object(key)?;
        let value = self.take(key);
        value.as_ref().map_or(Ok(()), |value| storable(key, value))?;
        Ok(value)
    }

    /// Refuses a value that is there and no object.
    pub(super) fn must_be_object(&self, key: &str) -> Result<(), Reject> {
        match self.0.get(key) {
            None | Some(Value::Null | Value::Object(_)) => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(other) => Err(wrong(key, other, OBJECT)),
        }
    }

    /// The value of `key` with all keys in it that nobody took. If it is no object, it stays as it
    /// is while it is alone, and else under its own name.
    pub(super) fn rest(mut self, key: &str) -> Result<Option<Value>, Reject> {
        let own = self.take(key);
        let mut others = self.0;
        others.retain(|_, value| !value.is_null());
        let all = match own {
            own if others.is_empty() => own,
            None => Some(Value::Object(others)),
            Some(Value::Object(mut map)) => {
                for (mut name, value) in others {
                    while map.contains_key(&name) {
                        name.push('_'); // both are kept
                    }
                    map.insert(name, value);
                }
                Some(Value::Object(map))
            }
            Some(own) => {
                others.insert(key.to_owned(), own);
                Some(Value::Object(others))
            }
        };
        all.as_ref().map_or(Ok(()), |value| storable(key, value))?;
        Ok(all)
    }
}
