//! By what lines are read: an `access_log_format`, or as JSON.

use super::preset;
use super::template::{FormatError, Template};

/// What stands for JSON lines wherever a format is named or written down.
pub(super) const JSON: &str = "json";

/// By what lines are read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Gunicorn's lines, by an `access_log_format`.
    Template(Template),
    /// One JSON object a line, of either kind.
    Json,
}

impl From<Template> for Layout {
    fn from(template: Template) -> Layout {
        Layout::Template(template)
    }
}

impl Layout {
    /// The layout that [`Layout::format`] says.
    ///
    /// # Errors
    /// As [`Template::compile`].
    pub fn compile(format: &str) -> Result<Layout, FormatError> {
        if format == JSON {
            return Ok(Layout::Json);
        }
        Template::compile(format).map(Layout::Template)
    }

    /// Compiles a format string, or the format of the preset with that name. Whatever holds `%` is
    /// a format string.
    ///
    /// # Errors
    /// As [`Template::compile`], and if there is no such preset.
    pub fn named_or_format(text: &str) -> Result<Layout, FormatError> {
        if text.contains('%') {
            return Layout::compile(text);
        }
        match preset::find(text) {
            Some(preset) => Layout::compile(preset.format),
            None => Err(FormatError::UnknownPreset {
                name: text.to_owned(),
                nearest: preset::nearest(text),
                presets: preset::names(),
            }),
        }
    }

    /// What is written down with a file: the format string, or `json`.
    pub fn format(&self) -> &str {
        match self {
            Layout::Template(template) => template.format(),
            Layout::Json => JSON,
        }
    }

    /// Whether its lines carry a time. If they do not, rows get an estimated one.
    pub fn has_time(&self) -> bool {
        match self {
            Layout::Template(template) => template.has_time(),
            Layout::Json => true,
        }
    }

    /// As [`Template::warnings`]; JSON reads back exactly.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Layout::Template(template) => template.warnings(),
            Layout::Json => Vec::new(),
        }
    }
}
