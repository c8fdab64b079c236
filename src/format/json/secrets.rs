//! Secrets in JSON lines. Whoever wrote the line should have hidden them already: this is the
//! second line of defence.

use std::borrow::Cow;

use serde_json::Value;

use super::scan::hide_in_json;
use crate::format::mask::{Mask, STARS};
use crate::model::{GunicornJson, JsonRecord, RequestLog};

/// Headers that hold nothing but a secret.
const HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

/// Hides the values of the configured names, and of [`HEADERS`] in whatever configuration.
pub(super) struct Secrets<'m> {
    mask: &'m Mask,
}

impl Secrets<'_> {
    pub(super) fn of(mask: &Mask) -> Secrets<'_> {
        Secrets { mask }
    }

    pub(super) fn hide(&self, record: &mut JsonRecord) {
        match record {
            JsonRecord::Gunicorn(line) => self.of_gunicorn(line),
            JsonRecord::Request(line) => self.of_request(line),
        }
    }

    fn of_gunicorn(&self, line: &mut GunicornJson) {
        for url in [&mut line.record.url, &mut line.record.source].into_iter().flatten() {
            self.mask.apply(url);
        }
        for value in [&mut line.request, &mut line.response, &mut line.headers] {
            value.iter_mut().for_each(|value| self.in_value(value));
        }
    }

    fn of_request(&self, line: &mut RequestLog) {
        if let Some(path) = &mut line.path {
            edit(path, |path| self.mask.apply(path));
        }
        for text in [&mut line.query_params, &mut line.body, &mut line.response_body] {
            text.iter_mut().for_each(|text| self.in_text(text));
        }
        for value in [&mut line.headers, &mut line.response_headers, &mut line.extra_data] {
            value.iter_mut().for_each(|value| self.in_value(value));
        }
    }

    fn hides(&self, name: &str) -> bool {
        is_secret_header(name) || self.mask.knows(name.as_bytes())
    }

    fn in_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.in_text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.in_value(value)),
            Value::Object(map) => {
                for (name, value) in map {
                    if !self.hides(name) {
                        self.in_value(value);
                    } else if !(value.is_null() || value.as_str() == Some("")) {
                        *value = STARS.into();
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// JSON, or names and values as a form or a URL has them; any other text is left as it is.
    fn in_text(&self, text: &mut String) {
        if text.trim_start().starts_with(['{', '[']) {
            let hides = |name: &str| self.hides(name);
            let mask = |text: &mut Cow<'_, str>| self.mask.apply_to_form(text);
            edit(text, |text| hide_in_json(text, hides, mask));
        } else {
            edit(text, |text| self.mask.apply_to_form(text));
        }
    }
}

/// `Authorization`, and `HTTP_AUTHORIZATION` as the WSGI environment has it.
fn is_secret_header(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase().replace('_', "-");
    HEADERS.contains(&name.strip_prefix("http-").unwrap_or(&name))
}

fn edit(text: &mut String, mask: impl FnOnce(&mut Cow<'_, str>)) {
    let mut edited = Cow::Borrowed(text.as_str());
    mask(&mut edited);
    if let Cow::Owned(edited) = edited {
        *text = edited;
    }
}
