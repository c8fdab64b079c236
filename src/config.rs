//! The configuration that the daemon and the commands work with. `cli` builds it, and can only build
//! a valid one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::format::{Layout, Parsing};
use crate::retain::{Retention, SweepTime};
use crate::source::{ByWatchedPath, Watchlist};
use crate::store::Location;
use crate::web::{Credentials, Tls, Webhook};

/// The configuration of every command, and of the daemon.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database.
    pub location: Location,
    /// How long to try to reach the database at the start.
    pub connect_timeout: Duration,
    /// The host whose files these are. Files of two hosts are never the same file.
    pub host: String,
    /// How lines become records.
    pub parsing: Parsing,
    /// The formats of single watched paths; `None` for a path that has none of its own.
    pub formats_by_path: ByWatchedPath<Option<Layout>>,
    /// How long rows stay.
    pub retention: Retention,
    /// How long counts by minute and hour stay. Never shorter than `retention`.
    pub rollup_retention: Retention,
}

/// The configuration of the daemon.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What the daemon shares with the commands.
    pub config: Config,
    /// Whether commands find the database without a flag: by the settings of the installed service.
    pub commands_find_store: bool,
    /// The files to follow.
    pub list: Watchlist,
    /// Whether standard input is followed.
    pub standard_input: StandardInput,
    /// Where the bytes of streams are kept until they are stored.
    pub spool: SpoolConfig,
    /// The paths as the user wrote them, but absolute, for messages.
    pub paths: Vec<PathBuf>,
    /// Time between two looks at all files, for file systems that send no events.
    pub poll_interval: Duration,
    /// Local time of the daily sweep.
    pub sweep_at: SweepTime,
    /// The page's address; `None` for no page.
    pub page: Option<PageConfig>,
    /// Where notices go; `None` if there is no target.
    pub notify: Option<NotifyConfig>,
}

/// Where notices go, and their bounds.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    /// Where they are posted.
    pub webhook: Option<Arc<Webhook>>,
    /// A command of the shell that gets them on standard input.
    pub command: Option<String>,
    /// The longest time for which lines may wait; `None` if they may wait for any time.
    pub lag: Option<Duration>,
    /// The largest share of requests that may be answered with 5xx, from 0 to 1; `None` if any share may be.
    pub server_errors: Option<f64>,
}

/// What a reload makes of the settings.
#[derive(Debug)]
pub struct Reload {
    /// The new configuration.
    pub watch: Watch,
    /// A configuration file that is a pipe, which can be read only once: its settings stay.
    pub unread_pipe: Option<PathBuf>,
}

/// Where the bytes of streams are kept until they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// A directory of the daemon's own.
    pub directory: PathBuf,
    /// The size in bytes at which writers wait, approximately.
    pub limit: u64,
}

/// Whether the daemon follows standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardInput {
    /// It is not read.
    Unread,
    /// It is followed beside other paths.
    Beside,
    /// Nothing else is followed: the daemon ends when standard input does.
    Alone,
}

impl StandardInput {
    /// Returns whether standard input is followed.
    pub fn is_read(self) -> bool {
        self != StandardInput::Unread
    }
}

/// The page's address, users and certificate. Without credentials it is a loopback address.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Whether the user gave the address: then the daemon fails if it cannot listen there.
    pub explicit: bool,
    /// Who may see the page; `None` is every user of this machine.
    pub credentials: Option<Arc<Credentials>>,
    /// The certificate and key; `None` for a page without TLS.
    pub tls: Option<Arc<Tls>>,
}
