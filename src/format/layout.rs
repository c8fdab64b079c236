//! How the lines of a file are read: by a template, as JSON, and after which prefix.

use super::prefix::Prefix;
use super::presets::{find, names, nearest};
use super::template::{FormatError, Template};

/// The name of the JSON format, on the command line and in the store.
pub(super) const JSON: &str = "json";

/// The name of the format of JSON lines that are read by the names of their keys.
pub(super) const JSON_KEYS: &str = "json-keys";

/// How a file's lines are read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Access lines, by a format string.
    Template(Template),
    /// One JSON object a line, for either table.
    Json,
    /// One JSON object a line, of another server or logger.
    JsonKeys,
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
        Layout::read(format, |format| match format {
            JSON => Ok(Layout::Json),
            JSON_KEYS => Ok(Layout::JsonKeys),
            _ => Template::compile(format).map(Layout::from),
        })
    }

    /// Compiles a format string, or the format of the preset with this name. A text with a `%` or a `$`
    /// is a format string. The name of a prefix may stand before either.
    ///
    /// # Errors
    /// Those of [`Template::compile`], and a name that no preset has.
    pub fn named_or_format(text: &str) -> Result<Layout, FormatError> {
        Layout::read(text, |text| {
            if text.contains(['%', '$']) {
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
            prefixes.push(prefix);
            rest = after;
        }
        let layout = compile(rest)?;
        Ok(prefixes.into_iter().rev().fold(layout, Layout::after))
    }

    /// Returns the layout of the same lines after a prefix.
    pub(super) fn after(self, prefix: Prefix) -> Layout {
        let format = format!("{} {}", prefix.name(), self.format());
        Layout::Prefixed(Box::new(Prefixed { format, prefix, layout: self }))
    }

    /// Returns what is stored with a file: the format string, or `json`.
    pub fn format(&self) -> &str {
        match self {
            Layout::Template(template) => template.format(),
            Layout::Json => JSON,
            Layout::JsonKeys => JSON_KEYS,
            Layout::Prefixed(prefixed) => &prefixed.format,
        }
    }

    /// Returns whether the lines carry a time. Rows of other lines get an estimated time.
    pub fn has_time(&self) -> bool {
        match self {
            Layout::Template(template) => template.has_time(),
            Layout::Json | Layout::JsonKeys => true,
            Layout::Prefixed(prefixed) => prefixed.layout.has_time() || prefixed.prefix.has_time(),
        }
    }

    /// Returns the warnings of [`Template::warnings`]; JSON has none.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Layout::Template(template) => template.warnings(),
            Layout::Json | Layout::JsonKeys => Vec::new(),
            Layout::Prefixed(prefixed) => prefixed.layout.warnings(),
        }
    }

    /// Returns the template, if the lines have one.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Layout::Template(template) => Some(template),
            Layout::Json | Layout::JsonKeys => None,
            Layout::Prefixed(prefixed) => prefixed.layout.template(),
        }
    }
}
