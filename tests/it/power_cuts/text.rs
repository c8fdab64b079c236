//! The lines of a log, in formats that tell more or less of them apart.

use crate::daemon::line;

/// What can be known of a log by its lines alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each line has a time and is the only one of its kind.
    Timed,
    /// The same; the first lines are those of other logs, too, as when a probe asks all sites.
    Probed,
    /// Each line is the only one of its kind, and has no time.
    Timeless,
    /// No line has a time, and all lines of the log are the same.
    Alike,
    /// The same, and the lines of other logs are so, too.
    AllAlike,
}

/// Every kind, the usual ones more than once.
pub(super) const KINDS: [Kind; 8] = [
    Kind::Timed,
    Kind::Timed,
    Kind::Timed,
    Kind::Probed,
    Kind::Probed,
    Kind::Timeless,
    Kind::Alike,
    Kind::AllAlike,
];

/// Lines at the beginning of a probed log that others have, too.
const PROBES: u32 = 2;

impl Kind {
    /// The line with this number of a log, with its newline. Some are longer than others. Logs that are made
    /// at the same time have the same `probe`.
    pub(super) fn line(self, generation: u32, number: u32, probe: u32) -> String {
        let agent = "x".repeat((number as usize * 37 + generation as usize * 11) % 190);
        match self {
            Kind::Probed if number < PROBES => line(&format!("/g0/probe{probe}-{number}")),
            Kind::Timed | Kind::Probed => line(&format!("/g{generation}/{number}"))
                .replace("curl/8", &format!("curl/8{agent}")),
            Kind::Timeless => timeless(&format!("/g{generation}/{number}?{agent}")),
            Kind::Alike => timeless(&format!("/g{generation}/health")),
            Kind::AllAlike => timeless("/health"),
        }
    }

    /// Whether content proves which log a copy or an archive is.
    pub(super) fn is_known_by_content(self) -> bool {
        matches!(self, Kind::Timed | Kind::Probed | Kind::Timeless)
    }
}

/// A line of Uvicorn's workers under Gunicorn.
fn timeless(url: &str) -> String {
    format!("127.0.0.1:5000 - \"GET {url} HTTP/1.1\" 200\n")
}
