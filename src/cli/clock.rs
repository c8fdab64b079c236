//! Times and ages as people write and read them: the same for every command.

use chrono::{DateTime, Local, SecondsFormat, Utc};
use clap::Args;

use crate::model::{MOMENT_EXPECTED, Micros, now, read_moment};

use super::usage;

/// In which zone times are printed, and read if they have none.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Clock {
    /// Times in UTC, which is the default
    #[arg(long, conflicts_with = "local")]
    utc: bool,

    /// Times in the zone of this machine, or of the variable TZ
    #[arg(long)]
    local: bool,
}

impl Clock {
    /// Times in UTC.
    pub(super) const UTC: Self = Self { utc: true, local: false };

    /// Returns whether times are in the zone of this machine.
    pub(super) fn is_local(self) -> bool {
        self.local && !self.utc
    }

    /// Reads an age, a day or a time; `None` for anything else.
    pub(super) fn read(self, text: &str, now: Micros) -> Option<Micros> {
        match self.is_local() {
            true => read_moment(text, now, &Local),
            false => read_moment(text, now, &Utc),
        }
    }

    /// Reads what was given with a flag.
    ///
    /// # Errors
    /// A usage error that quotes it.
    pub(super) fn read_flag(self, flag: &str, text: &str) -> anyhow::Result<Micros> {
        self.read(text, now())
            .ok_or_else(|| usage(format!("{flag}: '{text}' is {MOMENT_EXPECTED}")))
    }

    /// Returns a moment to the second.
    pub(super) fn time(self, at: Micros) -> String {
        self.shown(at, SecondsFormat::Secs)
    }

    /// Returns a moment, with a fraction if there is one.
    pub(super) fn moment(self, at: Micros) -> String {
        self.shown(at, SecondsFormat::AutoSi)
    }

    fn shown(self, at: Micros, precision: SecondsFormat) -> String {
        let Some(time) = DateTime::from_timestamp_micros(at) else { return at.to_string() };
        match self.is_local() {
            true => time.with_timezone(&Local).to_rfc3339_opts(precision, true),
            false => time.to_rfc3339_opts(precision, true),
        }
    }
}
