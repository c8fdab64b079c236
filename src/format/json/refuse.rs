//! Why a JSON line is refused. A reason says which key is wrong and what would be right, and nothing
//! of the line itself.

use serde_json::Value;
use serde_json::error::Category;

use crate::format::reject::Reject;

/// The reason for a line of neither kind.
pub(super) const NO_KIND: &str = r#"does not begin with {"log":"request" or {"log":"gunicorn""#;

/// From this number on (2⁶⁴), whole numbers would not be kept exactly.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

pub(super) fn reject(reason: &str) -> Reject {
    Reject::Unlike(reason.into())
}

/// Refuses what a `jsonb` column cannot hold, or not exactly. Objects lie in each other 127 deep at
/// most: the reader refuses what is deeper.
pub(super) fn storable(key: &str, value: &Value) -> Result<(), Reject> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(text) if holds_nul(text) => Err(nul(key)),
        Value::String(_) => Ok(()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.abs() >= TOO_LARGE => Err(reject(&format!(
                "`{key}` holds a number out of range; numbers must be smaller than 2^64"
            ))),
            _ => Ok(()),
        },
        Value::Array(values) => values.iter().try_for_each(|value| storable(key, value)),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            if holds_nul(name) { Err(nul(key)) } else { storable(key, value) }
        }),
    }
}

pub(super) fn holds_nul(text: &str) -> bool {
    memchr::memchr(0, text.as_bytes()).is_some()
}

pub(super) fn nul(key: &str) -> Reject {
    reject(&format!("`{key}` holds NUL (\\u0000), which a text column cannot"))
}

pub(super) fn wrong(key: &str, found: &Value, right: &str) -> Reject {
    let name = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    match found.is_number() && right.contains("number") {
        true => reject(&format!("`{key}` must be {right}")),
        false => reject(&format!("`{key}` is {name}; it must be {right}")),
    }
}

/// The reader's message without the place, so that equal causes give equal reasons.
pub(super) fn unreadable(error: &serde_json::Error) -> Reject {
    let said = error.to_string();
    let is = |what: &str| said.contains(what);
    reject(match error.classify() {
        Category::Eof => "is cut off: its JSON object has no end",
        _ if is("surrogate") || is("end of hex escape") => {
            "holds an unpaired surrogate; a character beyond \\uffff is written as a pair"
        }
        _ if is("out of range") => "holds a number out of range; numbers must be smaller than 2^64",
        _ if is("recursion") => "is nested more than 127 deep",
        _ if is("trailing") => "goes on behind its JSON object; one object is one line",
        _ if is("control character") => {
            "holds a control character; JSON writes it with a backslash"
        }
        _ => "is no JSON object",
    })
}
