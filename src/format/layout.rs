//! How the lines of a file are read: by a template, as JSON, and after which prefix.

use std::sync::Arc;

use super::json_mapping::{JsonMapping, SharedMapping};
use super::prefix::Prefix;
use super::presets::{find, names, nearest};
use super::template::{FormatError, Template};
use crate::model::excerpt;

/// The name of the JSON format, on the command line and in the store.
pub(super) const JSON: &str = "json";

/// The name of the format of JSON lines that are read by the names of their keys.
pub(super) const JSON_KEYS: &str = "json-keys";

/// The most prefixes that a format may name. Each is taken off within the one before it, on one stack.
const MOST_PREFIXES: usize = 8;

/// How a file's lines are read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Access lines, by a format string.
    Template(Template),
    /// One JSON object a line, for either table.
    Json,
    /// One JSON object a line, of another server or logger; with the user's mapping of its keys.
    JsonKeys(SharedMapping),
    /// Lines that another program has put something before.
    Prefixed(Box<Prefixed>),
}

/// A prefix, and how its lines are read without it.
#[derive(Clone, Debug)]
pub struct Prefixed {
    /// The first word of the format names the prefix.
    format: String,
    pub(super) prefix: Prefix,
    pub(super) layout: Layout,
}

impl From<Template> for Layout {
    fn from(template: Template) -> Layout {
        Layout::Template(template)
    }
}

impl Layout {
    /// Compiles a format as [`Layout::format`] returns it.
    ///
    /// # Errors
    /// Those of [`Template::compile`].
    pub fn compile(format: &str) -> Result<Layout, FormatError> {
        Layout::read(format, |format| match (format, mapping_of(format)) {
            (JSON, _) => Ok(Layout::Json),
            (JSON_KEYS, _) => Ok(Layout::JsonKeys(SharedMapping::default())),
            (_, Some(mapping)) => Ok(Layout::JsonKeys(Arc::new(JsonMapping::read(mapping)?))),
            (_, None) => Template::compile(format).map(Layout::from),
        })
    }

    /// Compiles a format string, or the format of the preset with this name. A text with a `%` or a `$`
    /// is a format string. The name of a prefix may stand before either.
    ///
    /// # Errors
    /// Those of [`Template::compile`], and a name that no preset has.
    pub fn named_or_format(text: &str) -> Result<Layout, FormatError> {
        Layout::read(text, |text| {
            if text.contains(['%', '$']) || mapping_of(text).is_some() {
                return Layout::compile(text);
            }
            match find(text) {
                Some(preset) => Layout::compile(preset.format),
                None => Err(FormatError::UnknownPreset {
                    name: text.to_owned(),
                    nearest: nearest(text),
                    presets: names(),
                }),
            }
        })
    }

    /// Takes the names of prefixes off a format, and compiles the rest by `compile`.
    fn read(
        format: &str,
        compile: impl Fn(&str) -> Result<Layout, FormatError>,
    ) -> Result<Layout, FormatError> {
        let mut prefixes = Vec::new();
        let mut rest = format;
        while let Some((prefix, after)) = Prefix::of_format(rest) {
            if prefixes.len() == MOST_PREFIXES {
                return Err(FormatError::TooManyPrefixes(excerpt(format)));
            }
            prefixes.push(prefix);
            rest = after;
        }
        let layout = compile(rest)?;
        Ok(prefixes.into_iter().rev().fold(layout, Layout::after))
    }

    /// Returns the same with this mapping, if it reads JSON by the names of keys and has none.
    #[must_use]
    pub fn with_mapping(self, mapping: &SharedMapping) -> Layout {
        match self {
            Layout::JsonKeys(own) if own.is_empty() => Layout::JsonKeys(Arc::clone(mapping)),
            Layout::Prefixed(prefixed) => {
                prefixed.layout.with_mapping(mapping).after(prefixed.prefix)
            }
            other => other,
        }
    }

    /// Returns the same with this mapping in place of its own; `None` if it does not read JSON by the names of
    /// keys.
    pub fn remapped(&self, mapping: &SharedMapping) -> Option<Layout> {
        match self {
            Layout::JsonKeys(_) => Some(Layout::JsonKeys(Arc::clone(mapping))),
            Layout::Prefixed(prefixed) => {
                Some(prefixed.layout.remapped(mapping)?.after(prefixed.prefix))
            }
            Layout::Template(_) | Layout::Json => None,
        }
    }

    /// Returns the layout of the same lines after a prefix.
    pub(super) fn after(self, prefix: Prefix) -> Layout {
        let format = format!("{} {}", prefix.name(), self.format());
        Layout::Prefixed(Box::new(Prefixed { format, prefix, layout: self }))
    }

    /// Returns what is stored with a file: the format string, or `json`, or `json-keys` with its mapping.
    pub fn format(&self) -> &str {
        match self {
            Layout::Template(template) => template.format(),
            Layout::Json => JSON,
            Layout::JsonKeys(mapping) => mapping.format(),
            Layout::Prefixed(prefixed) => &prefixed.format,
        }
    }

    /// Returns what lines of Gunicorn lack that it could write, as [`Template::lacking`].
    pub fn lacking(&self) -> Option<(&'static str, String)> {
        self.template()?.lacking()
    }

    /// Returns whether the lines carry a time. Rows of other lines get an estimated time.
    pub fn has_time(&self) -> bool {
        match self {
            Layout::Template(template) => template.has_time(),
            Layout::Json | Layout::JsonKeys(_) => true,
            Layout::Prefixed(prefixed) => prefixed.layout.has_time() || prefixed.prefix.has_time(),
        }
    }

    /// Returns the warnings of [`Template::warnings`]; JSON has none.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Layout::Template(template) => template.warnings(),
            Layout::Json | Layout::JsonKeys(_) => Vec::new(),
            Layout::Prefixed(prefixed) => prefixed.layout.warnings(),
        }
    }

    /// Returns whether a line may fill a column of [`super::identifiers`].
    pub(super) fn identifies(&self) -> bool {
        match self {
            Layout::Template(template) => template.identifies(),
            Layout::Json | Layout::JsonKeys(_) => true,
            Layout::Prefixed(prefixed) => prefixed.layout.identifies(),
        }
    }

    /// Returns the template, if the lines have one.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Layout::Template(template) => Some(template),
            Layout::Json | Layout::JsonKeys(_) => None,
            Layout::Prefixed(prefixed) => prefixed.layout.template(),
        }
    }
}

/// Returns the mapping in a format like `json-keys {"req.path":"url"}`.
fn mapping_of(format: &str) -> Option<&str> {
    let rest = format.strip_prefix(JSON_KEYS)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a database may hold it that another program has changed.
    #[test]
    fn a_format_with_very_many_prefixes_is_refused() {
        let with =
            |prefixes: usize| Layout::compile(&format!("{}json", "after-syslog ".repeat(prefixes)));
        assert!(with(MOST_PREFIXES).is_ok());
        for prefixes in [MOST_PREFIXES + 1, 1_000_000] {
            let error = with(prefixes).unwrap_err().to_string();
            assert!(error.ends_with("names more than 8 prefixes before its lines"), "{error}");
            assert!(error.len() < 300, "{error}");
        }
    }
}
