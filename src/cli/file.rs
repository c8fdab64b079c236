//! The configuration file: TOML, with the names of the long flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde::Deserialize;

use super::flags::LogFormat;

/// What a configuration file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct File {
    pub(super) watch: Vec<PathBuf>,
    pub(super) include: Option<Vec<String>>,
    pub(super) exclude: Option<Vec<String>>,
    pub(super) poll_interval: Option<String>,
    pub(super) sweep_at: Option<String>,
    pub(super) spool_dir: Option<PathBuf>,
    pub(super) spool_limit: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) auth_file: Option<PathBuf>,
    pub(super) database_url: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) format: Option<String>,
    pub(super) retention: Option<String>,
    pub(super) rollup_retention: Option<String>,
    pub(super) sensitive_fields: Option<Vec<String>>,
    pub(super) exclude_path: Option<Vec<String>>,
    pub(super) exclude_extension: Option<Vec<String>>,
    pub(super) host: Option<String>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log_level: Option<String>,
}

impl File {
    /// Reads the file; none gives an empty one.
    ///
    /// # Errors
    /// A file that cannot be read, or that says something unknown: the message quotes the line.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file '{shown}'"))?;
        // Not the error's own text: it quotes the whole line, which may hold a password.
        toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            let why = error.message().lines().collect::<Vec<_>>().join(", ");
            anyhow!("the configuration file '{shown}' is not valid: line {line}: {why}")
        })
    }
}
