//! Where settings come from: flags first, then the environment, then the configuration file, then
//! the defaults of the table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::ArgMatches;
use toml::de::{DeTable, DeValue};

use super::print::visible;
use super::settings::{CONFIG, SETTINGS, Setting, Shape};
use super::usage;

/// All settings of one start or of one reload: the configuration file is read once for them.
pub(super) struct Settings {
    flags: Arc<Given>,
    file: Option<FileSettings>,
}

impl Settings {
    /// Reads the configuration file, if there is one. Flags and environment take precedence over it.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or has an unknown setting: a usage error.
    pub(super) fn read(flags: Given) -> anyhow::Result<Self> {
        let mut settings = Self { flags: Arc::new(flags), file: None };
        if let Some(path) = settings.path(&CONFIG) {
            settings.file = Some(FileSettings::read(&path)?);
        }
        Ok(settings)
    }

    /// Returns the settings for a reload, and the configuration file if its settings stay: a pipe
    /// can be read only once.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(super) fn read_again(&self) -> anyhow::Result<(Self, Option<PathBuf>)> {
        let (file, kept) = match &self.file {
            None => (None, None),
            Some(file) if file.is_pipe => (Some(file.clone()), Some(file.path.clone())),
            Some(file) => (Some(FileSettings::read(&file.path)?), None),
        };
        Ok((Self { flags: Arc::clone(&self.flags), file }, kept))
    }

    /// Returns a setting's value, or the default that the table has.
    ///
    /// # Errors
    /// A value that cannot be used: a usage error that names the flag and what is expected.
    pub(super) fn get<T, E: Display>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let text = self.texts(setting).into_iter().next().unwrap_or_default();
        parse(&text).map_err(|error| usage(format!("--{}: {error}", setting.flag)))
    }

    /// Returns the value of a setting for which the table has no default; `None` if it is not given.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub(super) fn optional<T, E: Display>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> anyhow::Result<Option<T>> {
        self.given(setting).map(|_| self.get(setting, parse)).transpose()
    }

    /// Returns a setting's texts. They are UTF-8: clap and TOML refuse others.
    pub(super) fn texts(&self, setting: &Setting) -> Vec<String> {
        self.values(setting).iter().map(|text| text.to_string_lossy().into_owned()).collect()
    }

    /// Returns a setting's paths.
    pub(super) fn paths(&self, setting: &Setting) -> Vec<PathBuf> {
        self.values(setting).into_iter().map(PathBuf::from).collect()
    }

    /// Returns a setting's path.
    pub(super) fn path(&self, setting: &Setting) -> Option<PathBuf> {
        self.paths(setting).into_iter().next()
    }

    /// Returns whether a user gave the setting anywhere.
    pub(super) fn is_given(&self, setting: &Setting) -> bool {
        self.given(setting).is_some()
    }

    /// Returns the settings of a configuration file with this text, for tests.
    #[cfg(test)]
    pub(super) fn of_file(text: &str) -> Self {
        let flags = Arc::default();
        let (path, values) = (PathBuf::new(), parse(text).unwrap());
        Self { flags, file: Some(FileSettings { path, is_pipe: false, values }) }
    }

    fn values(&self, setting: &Setting) -> Vec<OsString> {
        self.given(setting).cloned().unwrap_or_else(|| setting.default_values())
    }

    fn given(&self, setting: &Setting) -> Option<&Vec<OsString>> {
        let in_file = || self.file.as_ref().and_then(|file| file.values.get(setting.flag));
        self.flags.get(setting.flag).or_else(in_file)
    }
}

/// What users gave, by the settings' flags.
pub(super) type Given = BTreeMap<&'static str, Vec<OsString>>;

/// Returns the settings of the command line, and of the environment where the command line has none.
pub(super) fn flags_and_environment(matches: &ArgMatches) -> Given {
    let mut given = Given::new();
    for setting in SETTINGS {
        let written = match matches.get_raw(setting.flag) {
            Some(raw) => Some(raw.map(OsString::from).collect()),
            None if setting.shape == Shape::Paths => paths_in_environment(setting),
            None => None,
        };
        if let Some(written) = written {
            given.insert(setting.flag, setting.values(written));
        }
    }
    given
}

/// Returns the paths of a variable that clap does not read.
fn paths_in_environment(setting: &Setting) -> Option<Vec<OsString>> {
    let paths = std::env::var_os(setting.variable).filter(|paths| !paths.is_empty())?;
    Some(std::env::split_paths(&paths).map(PathBuf::into_os_string).collect())
}

/// The settings of one version of the configuration file.
#[derive(Clone)]
struct FileSettings {
    path: PathBuf,
    /// Whether it is a pipe, a FIFO or a device: its bytes are gone once they are read.
    is_pipe: bool,
    values: Given,
}

impl FileSettings {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let (text, is_pipe) = text(path)
            .with_context(|| format!("cannot read the configuration file '{shown}'"))
            .map_err(|error| usage(format!("{error:#}")))?;
        let values = parse(&text).map_err(|(at, why)| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            usage(format!("the configuration file '{shown}' is not valid: line {line}: {why}"))
        })?;
        Ok(Self { path: path.to_owned(), is_pipe, values })
    }
}

/// Reads a file, and says whether it is a pipe. The open file is asked, so that `/dev/fd/63` is what
/// the descriptor is.
fn text(path: &Path) -> std::io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let is_pipe = !file.metadata()?.is_file();
    Ok((text, is_pipe))
}

/// Returns the settings of a TOML text, or the byte at which it is wrong and why. The reason quotes
/// no value, which may hold a password.
fn parse(text: &str) -> Result<Given, (usize, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let why = error.message().lines().collect::<Vec<_>>().join(", ");
        (error.span().map_or(0, |span| span.start), why)
    })?;
    let in_file = || SETTINGS.iter().filter(|setting| setting.flag != CONFIG.flag);
    let mut found = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let Some(setting) = in_file().find(|setting| setting.flag == key.get_ref()) else {
            let nearest = nearest(key.get_ref(), in_file().map(|setting| setting.flag));
            let why = format!("unknown setting `{}`; the nearest is `{nearest}`", key.get_ref());
            return Err((key.span().start, why));
        };
        let values = values(setting, value.get_ref()).map_err(|expected| {
            (value.span().start, format!("invalid `{}`: {expected}", setting.flag))
        })?;
        found.insert(setting.flag, values);
    }
    Ok(found)
}

/// Returns the texts of a TOML value, or what was expected instead of it.
fn values(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    match (setting.shape, value) {
        (shape, DeValue::Array(items)) if shape.is_sequence() => items
            .iter()
            .map(|item| item.get_ref().as_str().map(OsString::from))
            .collect::<Option<_>>()
            .ok_or_else(|| "expected a sequence of strings only".to_owned()),
        (shape, _) if shape.is_sequence() => {
            Err("expected a sequence of strings in square brackets".to_owned())
        }
        (Shape::Word(words), DeValue::String(word)) if !words.contains(&word.as_ref()) => {
            Err(format!("expected {}", words.join(" or ")))
        }
        (_, DeValue::String(text)) => Ok(vec![text.as_ref().into()]),
        _ => Err("expected a string in quotation marks".to_owned()),
    }
}

/// What the environment variables of this program begin with.
const PREFIX: &str = "LOG_INGESTD_";

/// Beginnings of the variables that Kubernetes sets for a service named `log-ingestd`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
const OF_KUBERNETES: [&str; 2] = ["LOG_INGESTD_SERVICE_", "LOG_INGESTD_PORT"];

/// Warns of each environment variable that looks like a setting and is none. Values are never shown:
/// one may be a password.
pub(super) fn warn_of_unknown_variables() {
    for (unknown, nearest) in unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        let unknown = visible(&unknown);
        tracing::warn!(
            "unknown environment variable {unknown} is ignored; the nearest setting is {nearest}"
        );
    }
}

/// Returns the unknown variables among `names`, each with the variable of the nearest setting.
fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<(String, &'static str)> {
    let variables = || SETTINGS.iter().map(|setting| setting.variable);
    let mut unknown = Vec::new();
    for name in names {
        let name = name.to_string_lossy().into_owned();
        let is_known = variables().any(|variable| variable == name);
        let is_of_kubernetes = OF_KUBERNETES.iter().any(|start| name.starts_with(start));
        if name.starts_with(PREFIX) && !is_known && !is_of_kubernetes {
            let nearest = nearest(&name, variables());
            unknown.push((name, nearest));
        }
    }
    unknown.sort_unstable();
    unknown
}

/// Returns the one of `names` that takes the fewest changed letters to become `given`.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> &'static str {
    // DATABASE_URL has no prefix, and is what LOG_INGESTD_DATABASE_URL means.
    let plain = |text: &str| text.strip_prefix(PREFIX).unwrap_or(text).to_lowercase();
    let given = plain(given);
    let distance = |name: &&str| strsim::damerau_levenshtein(&given, &plain(name));
    names.min_by_key(distance).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_setting() {
        let names = [
            "LOG_INGESTD_RETENTOIN",
            "LOG_INGESTD_DATABASE_URL",
            "LOG_INGESTD_watch",
            "LOG_INGESTD_HOST",
            "LOG_INGESTD_PORT",
            "LOG_INGESTD_PORT_8686_TCP_ADDR",
            "LOG_INGESTD_SERVICE_HOST",
            "DATABASE_URL",
            "PATH",
            "MY_LOG_INGESTD_HOST",
        ];
        let unknown = unknown_variables(names.into_iter().map(OsString::from));
        let right = [
            ("LOG_INGESTD_DATABASE_URL".to_owned(), "DATABASE_URL"),
            ("LOG_INGESTD_RETENTOIN".to_owned(), "LOG_INGESTD_RETENTION"),
            ("LOG_INGESTD_watch".to_owned(), "LOG_INGESTD_WATCH"),
        ];
        assert_eq!(unknown, right);
    }

    #[test]
    fn a_file_has_each_setting_but_its_own_name() {
        for setting in SETTINGS {
            let value = match setting.shape {
                Shape::Word(words) => format!("\"{}\"", words[0]),
                shape if shape.is_sequence() => "[\"a\", \"b,c\"]".to_owned(),
                _ => "\"a\"".to_owned(),
            };
            let parsed = parse(&format!("{} = {value}", setting.flag));
            assert_eq!(parsed.is_ok(), setting.flag != "config", "{}", setting.flag);
            if let Ok(values) = parsed
                && setting.shape.is_sequence()
            {
                assert_eq!(values[setting.flag], ["a", "b,c"]);
            }
            assert!(parse(&format!("{} = 1", setting.flag)).is_err());
        }
    }

    #[test]
    fn a_wrong_file_is_refused_at_its_byte_and_without_its_values() {
        for (text, at, part) in [
            ("config = \"a\"", 0, "unknown setting `config`; the nearest is `"),
            ("host = \"a\"\nwacth = []", 11, "unknown setting `wacth`; the nearest is `watch`"),
            ("log-format = \"secret\"", 13, "invalid `log-format`: expected human or json"),
            ("retention = 7", 12, "expected a string"),
            ("include = [\"a\", 7]", 10, "sequence of strings"),
            ("host = \"a\"\nhost = \"secret\"", 11, "duplicate key"),
        ] {
            let (found, why) = parse(text).map(|_| ()).unwrap_err();
            assert_eq!(found, at, "{text}: {why}");
            assert!(why.contains(part) && !why.contains("secret"), "{why}");
        }
    }
}
