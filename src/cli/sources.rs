//! Where settings come from: flags first, then the environment, then the configuration file, then
//! the defaults of the table. Without `--config` the file is that of the installed service, so that
//! `log-ingestd status` reads the service's database without another flag.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::ArgMatches;
use clap::parser::ValueSource;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::format::JsonMapping;
use crate::source::open::read_text_of_settings;

use super::print::visible;
use super::settings::{CONFIG, DATABASE_URL, FORMAT, OFF, ON, SETTINGS, Setting, Shape, WATCH};
use super::usage;

/// The configuration file of the installed service.
const OF_SERVICE: &str = "/etc/log-ingestd/config.toml";

/// All settings of one start or of one reload: the configuration file is read once for them.
pub(super) struct Settings {
    flags: Arc<Given>,
    file: Option<FileSettings>,
    /// Why the file of the installed service is not read, where it is there.
    unread: Option<io::Error>,
}

impl Settings {
    /// Reads the configuration file: that of `--config`, else that of the installed service if it is
    /// there. Flags and environment take precedence over it. The command, `watch` for none, decides
    /// whether a file is read at all.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or has an unknown setting: a usage error. A file of the
    /// installed service that this user may not read is an error only where it decides which database is
    /// used; else [`Self::warn_of_unread_file`] tells.
    pub(super) fn read(flags: Given, command: &str) -> anyhow::Result<Self> {
        let mut settings = Self { flags: Arc::new(flags), file: None, unread: None };
        if let Some(path) = settings.path(&CONFIG) {
            let file = FileSettings::read(&path)?;
            let is_of_service = path == Path::new(OF_SERVICE);
            settings.file = Some(if is_of_service { file.of_service() } else { file });
        } else if CONFIG.is_used_by(command) {
            settings.read_of_service(Path::new(OF_SERVICE), command)?;
        }
        Ok(settings)
    }

    fn read_of_service(&mut self, path: &Path, command: &str) -> anyhow::Result<()> {
        let decides = DATABASE_URL.is_used_by(command) && !self.is_given(&DATABASE_URL);
        match text(path) {
            Ok(text) => self.file = Some(FileSettings::of(path, text)?.of_service()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if decides => {
                return Err(usage(format!(
                    "cannot read the configuration file '{}' of the installed service: {error}; run \
                     the command as root or as a member of the file's group, name a database with \
                     --database-url, or leave the file out with --config /dev/null",
                    path.display()
                )));
            }
            Err(error) => self.unread = Some(error),
        }
        Ok(())
    }

    /// Returns the configuration file if it is that of the installed service.
    pub(super) fn file_of_service(&self) -> Option<&Path> {
        self.file.as_ref().filter(|file| file.is_of_service).map(|file| file.path.as_path())
    }

    /// Returns whether a command without flags uses the same database: the file of the installed service names it.
    pub(super) fn are_those_of_commands(&self) -> bool {
        self.file_of_service().is_some() && !self.flags.values.contains_key(DATABASE_URL.flag)
    }

    /// Warns of a file of the installed service that this user may not read.
    pub(super) fn warn_of_unread_file(&self) {
        if let Some(error) = &self.unread {
            tracing::warn!("the settings in '{OF_SERVICE}' are not used: {error}");
        }
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
            Some(file) => (Some(file.read_again()?), None),
        };
        Ok((Self { flags: Arc::clone(&self.flags), file, unread: None }, kept))
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

    /// Returns whether a [`Shape::Switch`] is on.
    pub(super) fn is_on(&self, setting: &Setting) -> bool {
        self.texts(setting).iter().any(|text| text == ON)
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
        let file = FileSettings::of(Path::new(""), (text.to_owned(), false)).unwrap();
        Self { flags, file: Some(file), unread: None }
    }

    fn values(&self, setting: &Setting) -> Vec<OsString> {
        self.given(setting).cloned().unwrap_or_else(|| setting.default_values())
    }

    fn given(&self, setting: &Setting) -> Option<&Vec<OsString>> {
        let in_file = || self.file.as_ref().and_then(|file| file.given.values.get(setting.flag));
        self.flags.values.get(setting.flag).or_else(in_file)
    }

    /// Returns which keys of JSON lines fill which columns.
    pub(super) fn json_mapping(&self) -> JsonMapping {
        self.file.as_ref().map(|file| file.given.json.clone()).unwrap_or_default()
    }

    /// Returns the watched paths that have formats of their own, and those beside them. They belong to the
    /// paths: they are from where the paths are from. A format in flags or environment is for all files, and
    /// takes precedence over those of the configuration file.
    pub(super) fn watched(&self) -> &[Watched] {
        let has = |setting: &Setting| self.flags.values.contains_key(setting.flag);
        match &self.file {
            Some(file) if !has(&WATCH) && !has(&FORMAT) => &file.given.watched,
            _ => &self.flags.watched,
        }
    }
}

impl Given {
    /// Adds the paths of `watch PATH…` to those of `--watch`; those of the environment give way to them.
    pub(super) fn watch(&mut self, paths: &[PathBuf], matches: &ArgMatches) {
        if paths.is_empty() {
            return;
        }
        let paths = paths.iter().map(|path| path.as_os_str().to_owned());
        let all = self.values.entry(WATCH.flag).or_default();
        if !has(matches, WATCH.flag) {
            all.clear();
        }
        all.extend(paths);
    }
}

/// What users gave in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// By the settings' flags.
    values: BTreeMap<&'static str, Vec<OsString>>,
    /// The watched paths, if any of them has a format of its own.
    watched: Vec<Watched>,
    /// The table `[json]`, which only the file can have.
    json: JsonMapping,
}

/// A watched path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) path: PathBuf,
    /// Its own format.
    pub(super) format: Option<String>,
}

/// Returns the settings of the command line, and of the environment where the command line has none.
///
/// # Errors
/// Several formats that are not one after each watched path: a usage error.
pub(super) fn flags_and_environment(matches: &ArgMatches) -> anyhow::Result<Given> {
    let mut given = Given::default();
    for setting in SETTINGS {
        let written = match written(matches, setting.flag) {
            Some(written) => Some(written),
            None if setting.shape == Shape::Paths => paths_in_environment(setting),
            None => None,
        };
        if let Some(written) = written {
            given.values.insert(setting.flag, setting.values(written));
        }
    }
    if given.values.get(FORMAT.flag).is_some_and(|formats| formats.len() > 1) {
        let levels = levels(matches);
        given.watched =
            pairs(levels.into_iter().find(|it| has(it, WATCH.flag)).unwrap_or(matches))?;
        given.values.remove(FORMAT.flag);
    }
    Ok(given)
}

/// Returns what was given after the command, and what was given before it.
fn levels(matches: &ArgMatches) -> Vec<&ArgMatches> {
    matches.subcommand().map(|(_, after)| after).into_iter().chain([matches]).collect()
}

fn has(matches: &ArgMatches, flag: &str) -> bool {
    matches.try_contains_id(flag).unwrap_or(false)
}

/// Returns the values of a flag: those after the command, else those before it, else those of the environment.
fn written(matches: &ArgMatches, flag: &str) -> Option<Vec<OsString>> {
    let levels = levels(matches);
    let of = |source: ValueSource| {
        let is_there = |it: &&&ArgMatches| has(it, flag) && it.value_source(flag) == Some(source);
        let raw = levels.iter().find(is_there)?.get_raw(flag)?;
        Some(raw.map(OsString::from).collect())
    };
    of(ValueSource::CommandLine).or_else(|| of(ValueSource::EnvVariable))
}

/// Returns the watched paths of the command line with their formats, of which there are several: each stands
/// after the `--watch` that it is about, and before the next.
fn pairs(matches: &ArgMatches) -> anyhow::Result<Vec<Watched>> {
    let indices = |setting: &Setting| matches.indices_of(setting.flag).into_iter().flatten();
    let texts = |raw: Option<clap::parser::RawValues<'_>>| -> Vec<String> {
        raw.into_iter().flatten().map(|text| text.to_string_lossy().into_owned()).collect()
    };
    let formats = texts(matches.get_raw(FORMAT.flag));
    let occurrences = matches.get_raw_occurrences(WATCH.flag).into_iter().flatten();
    let places: Vec<Vec<PathBuf>> =
        occurrences.map(|paths| paths.map(PathBuf::from).collect()).collect();
    // The first path of each `--watch`.
    let mut at = indices(&WATCH);
    let begins = places.iter().map(|paths| at.by_ref().take(paths.len()).min().unwrap_or(0));
    let begins: Vec<usize> = begins.collect();
    let ends = begins.iter().skip(1).copied().chain([usize::MAX]);
    let is_in_order = begins.iter().copied().zip(ends).zip(indices(&FORMAT));
    let mut is_in_order = is_in_order.map(|((begin, end), format)| (begin..end).contains(&format));
    if places.len() == formats.len() && is_in_order.all(|one| one) {
        let pairs = places.into_iter().zip(formats);
        return Ok(pairs
            .flat_map(|(paths, format)| {
                paths.into_iter().map(move |path| Watched { path, format: Some(format.clone()) })
            })
            .collect());
    }
    let quoted: Vec<String> =
        formats.iter().map(|format| format!("'{}'", visible(format))).collect();
    Err(usage(format!(
        "{} formats ({}) for {} --watch: expected one --format for all files, or one directly after each \
         --watch, as in --watch PATH --format FORMAT --watch PATH --format FORMAT",
        formats.len(),
        quoted.join(", "),
        places.len(),
    )))
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
    /// Whether it is that of the installed service, whose state is in the service's directory.
    is_of_service: bool,
    given: Given,
}

impl FileSettings {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = text(path)
            .with_context(|| unreadable(path))
            .map_err(|error| usage(format!("{error:#}")))?;
        Self::of(path, text)
    }

    /// Parses the text of a file, and remembers whether the file is a pipe.
    fn of(path: &Path, (text, is_pipe): (String, bool)) -> anyhow::Result<Self> {
        let given = parse(&text).map_err(|(at, why)| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            let shown = path.display();
            usage(format!("the configuration file '{shown}' is not valid: line {line}: {why}"))
        })?;
        Ok(Self { path: path.to_owned(), is_pipe, is_of_service: false, given })
    }

    fn of_service(self) -> Self {
        Self { is_of_service: true, ..self }
    }

    /// Reads a file that was no pipe again. If it is one by now, that is an error: to wait for what comes out of it
    /// would hold up everything else.
    fn read_again(&self) -> anyhow::Result<Self> {
        let (text, _) = read_text_of_settings(&self.path)
            .with_context(|| unreadable(&self.path))
            .map_err(|error| usage(format!("{error:#}")))?;
        Ok(Self { is_of_service: self.is_of_service, ..Self::of(&self.path, (text, false))? })
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read the configuration file '{}'", path.display())
}

/// Reads a file, and says whether it is a pipe. The open file is asked, so that `/dev/fd/63` is what
/// the descriptor is.
fn text(path: &Path) -> io::Result<(String, bool)> {
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
        let place = error.span().unwrap_or_default();
        let is_watch = text.get(place.clone()).is_some_and(|key| key.contains(WATCH.flag));
        match is_watch && why.contains("duplicate key") {
            true => (place.start, format!("{why} `{}`: {WATCHED_ONCE}", WATCH.flag)),
            false => (place.start, why),
        }
    })?;
    let in_file = || SETTINGS.iter().filter(|setting| setting.flag != CONFIG.flag);
    let mut found = Given::default();
    for (key, value) in table.get_ref() {
        if key.get_ref() == JSON {
            map_json(&mut found.json, "", value)?;
            continue;
        }
        let Some(setting) = in_file().find(|setting| setting.flag == key.get_ref()) else {
            let names = in_file().map(|setting| setting.flag).chain([JSON]);
            let nearest = nearest(key.get_ref(), names);
            let why = format!("unknown setting `{}`; the nearest is `{nearest}`", key.get_ref());
            return Err((key.span().start, why));
        };
        let invalid =
            |at: usize, expected: String| (at, format!("invalid `{}`: {expected}", setting.flag));
        let values = match (setting.shape, value.get_ref()) {
            (Shape::Paths, DeValue::Array(items)) => {
                let watched = items.iter().map(|item| watched(item, invalid));
                let watched = watched.collect::<Result<Vec<Watched>, _>>()?;
                let paths = watched.iter().map(|it| it.path.clone().into_os_string()).collect();
                if watched.iter().any(|it| it.format.is_some()) {
                    found.watched = watched;
                }
                paths
            }
            (_, value_of) => values(setting, value_of)
                .map_err(|expected| invalid(value.span().start, expected))?,
        };
        found.values.insert(setting.flag, values);
    }
    Ok(found)
}

/// The table of keys of JSON lines.
const JSON: &str = "json";

/// Adds the keys of a table to a mapping. Keys within tables are paths: `req.path` is the same with and without
/// quotation marks.
fn map_json(
    mapping: &mut JsonMapping,
    path: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<(), (usize, String)> {
    let invalid = |why: &str| (value.span().start, format!("invalid `{JSON}`: {why}"));
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                let key = match path {
                    "" => key.get_ref().to_string(),
                    path => format!("{path}.{}", key.get_ref()),
                };
                map_json(mapping, &key, value)?;
            }
            Ok(())
        }
        DeValue::String(target) if !path.is_empty() => {
            mapping.add(path, target).map_err(|error| invalid(&error.to_string()))
        }
        _ => Err(invalid(
            "expected a table of keys and columns, as in \"req.path\" = \"url\" and took_ms = \
             \"duration:ms\"",
        )),
    }
}

/// What to do about paths in two places of the file, which TOML does not allow.
const WATCHED_ONCE: &str = "all paths must be tables [[watch]], or stand in one list such as watch = \
                            [\"/var/log/a\", { path = \"/var/log/b\", format = \"gunicorn\" }]";

/// Returns a watched path: a string, or a table with a format.
fn watched(
    item: &Spanned<DeValue<'_>>,
    invalid: impl Fn(usize, String) -> (usize, String),
) -> Result<Watched, (usize, String)> {
    const KEYS: [&str; 2] = ["path", "format"];
    let table = match item.get_ref() {
        DeValue::String(path) => {
            return Ok(Watched { path: PathBuf::from(path.as_ref()), format: None });
        }
        DeValue::Table(table) => table,
        _ => {
            let expected = "expected strings, or tables such as { path = \"/var/log/app\", format = \"gunicorn\" }";
            return Err(invalid(item.span().start, expected.to_owned()));
        }
    };
    let (mut path, mut format) = (None, None);
    for (key, value) in table {
        let target = match key.get_ref().as_ref() {
            "path" => &mut path,
            "format" => &mut format,
            other => {
                let nearest = nearest(other, KEYS.into_iter());
                let why = format!("unknown key `{other}` of a path; the nearest is `{nearest}`");
                return Err(invalid(key.span().start, why));
            }
        };
        let text = value.get_ref().as_str().map(str::to_owned).ok_or_else(|| {
            let why = format!("expected a string in quotation marks for `{}`", key.get_ref());
            invalid(value.span().start, why)
        })?;
        *target = Some(text);
    }
    let path = path.ok_or_else(|| {
        invalid(item.span().start, "a table without `path`, which is the path to watch".to_owned())
    })?;
    Ok(Watched { path: PathBuf::from(path), format })
}

/// Returns the texts of a TOML value, or what was expected instead of it.
fn values(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
    match (setting.shape, value) {
        (shape, DeValue::Array(items)) if shape.is_sequence() => items
            .iter()
            .map(|item| item.get_ref().as_str().map(OsString::from))
            .collect::<Option<_>>()
            .ok_or_else(|| "expected a sequence of strings only".to_owned()),
        (Shape::Paths, _) => Err("expected a sequence of strings in square brackets, or tables \
                                  [[watch]]"
            .to_owned()),
        (shape, _) if shape.is_sequence() => {
            Err("expected a sequence of strings in square brackets".to_owned())
        }
        (Shape::Word(words), DeValue::String(word)) if !words.contains(&word.as_ref()) => {
            Err(format!("expected {}", words.join(" or ")))
        }
        (Shape::Switch, DeValue::Boolean(value)) => Ok(vec![if *value { ON } else { OFF }.into()]),
        (Shape::Switch, _) => Err("expected true or false, without quotation marks".to_owned()),
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
    use super::super::settings::{HOST, RETENTION};
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

    /// Reads `path` in place of the installed service's file.
    fn of_service(
        path: &Path,
        given: &[(&'static str, &str)],
        command: &str,
    ) -> anyhow::Result<Settings> {
        let mut flags = Given::default();
        flags.values.extend(given.iter().map(|(flag, value)| (*flag, vec![value.into()])));
        let mut settings = Settings { flags: Arc::new(flags), file: None, unread: None };
        settings.read_of_service(path, command).map(|()| settings)
    }

    #[test]
    fn the_file_of_the_service_gives_way_to_flags_and_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let missing = of_service(&path, &[], "status").unwrap();
        assert!(missing.file_of_service().is_none() && missing.unread.is_none());
        std::fs::write(&path, "host = 'of-file'\nretention = '7d'").unwrap();
        let found = of_service(&path, &[("host", "of-flag")], "status").unwrap();
        assert_eq!(found.file_of_service(), Some(path.as_path()));
        assert_eq!(found.texts(&HOST), ["of-flag"]);
        assert_eq!(found.texts(&RETENTION), ["7d"]);
        assert!(found.are_those_of_commands());
        let url = [("database-url", "sqlite:/x")];
        assert!(!of_service(&path, &url, "watch").unwrap().are_those_of_commands());
        std::fs::write(&path, "retention = '9d'").unwrap();
        let (again, kept) = found.read_again().unwrap();
        assert_eq!((again.file_of_service(), kept), (Some(path.as_path()), None));
        assert_eq!(again.texts(&RETENTION), ["9d"]);
        std::fs::write(&path, "wacth = []").unwrap();
        assert!(of_service(&path, &[], "status").is_err());
    }

    /// A directory stands for a file that cannot be read: root may read all others.
    #[test]
    fn a_file_of_the_service_that_cannot_be_read_stops_what_would_use_another_database() {
        let directory = tempfile::tempdir().unwrap();
        let url = [("database-url", "sqlite:/x")];
        for command in ["watch", "status", "import", "query", "doctor"] {
            let error = of_service(directory.path(), &[], command).map(|_| ()).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("of the installed service: "), "{command}: {said}");
            assert!(said.contains("--config /dev/null"), "{command}: {said}");
            let with_url = of_service(directory.path(), &url, command).unwrap();
            assert!(with_url.unread.is_some() && with_url.file_of_service().is_none(), "{command}");
        }
        for command in ["check", "healthcheck"] {
            assert!(
                of_service(directory.path(), &[], command).unwrap().unread.is_some(),
                "{command}"
            );
        }
    }

    #[test]
    fn only_commands_with_settings_read_the_file_of_the_service() {
        for command in ["completions", "man", "hash-password"] {
            assert!(!CONFIG.is_used_by(command), "{command}");
        }
        assert!(CONFIG.is_used_by("watch") && CONFIG.is_used_by("check"));
    }

    #[test]
    fn a_file_has_each_setting_but_its_own_name() {
        for setting in SETTINGS {
            let value = match setting.shape {
                Shape::Word(words) => format!("\"{}\"", words[0]),
                Shape::Switch => "true".to_owned(),
                shape if shape.is_sequence() => "[\"a\", \"b,c\"]".to_owned(),
                _ => "\"a\"".to_owned(),
            };
            let parsed = parse(&format!("{} = {value}", setting.flag));
            assert_eq!(parsed.is_ok(), setting.flag != "config", "{}", setting.flag);
            if let Ok(values) = parsed
                && setting.shape.is_sequence()
            {
                assert_eq!(values.values[setting.flag], ["a", "b,c"]);
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
            ("exclude-server-log = \"true\"", 21, "expected true or false"),
            ("include = [\"a\", 7]", 10, "sequence of strings"),
            ("host = \"a\"\nhost = \"secret\"", 11, "duplicate key"),
        ] {
            let (found, why) = parse(text).map(|_| ()).unwrap_err();
            assert_eq!(found, at, "{text}: {why}");
            assert!(why.contains(part) && !why.contains("secret"), "{why}");
        }
    }
}
