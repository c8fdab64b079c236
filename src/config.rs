//! The configuration that the rooms work with. `cli` builds it, and can only build it valid.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::format::Parsing;
use crate::retain::{Retention, SweepTime};
use crate::source::Watchlist;
use crate::store::Location;
use crate::web::Credentials;

/// What every command shares.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which database.
    pub location: Location,
    /// How long to try to reach it at the start.
    pub connect_timeout: Duration,
    /// The host whose files these are; a file's identity never crosses hosts.
    pub host: String,
    /// How lines are read.
    pub parsing: Parsing,
    /// How long rows stay.
    pub retention: Retention,
    /// How long their counts by minute and hour stay; never shorter.
    pub rollup_retention: Retention,
}

/// What the daemon needs besides.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What every command shares.
    pub config: Config,
    /// Which files.
    pub list: Watchlist,
    /// What is made of standard input.
    pub standard_input: StandardInput,
    /// Where what comes from streams is kept until it is stored.
    pub spool: SpoolConfig,
    /// What the user wrote, to be printed.
    pub paths: Vec<PathBuf>,
    /// Time between two looks at all files, in case no event tells of a change.
    pub poll_interval: Duration,
    /// Local time of the daily sweep.
    pub sweep_at: SweepTime,
    /// Where the page is, if there is to be one.
    pub page: Option<PageConfig>,
}

/// Where what comes from streams is kept until it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// A directory of the daemon's own.
    pub directory: PathBuf,
    /// Bytes that may lie there, about.
    pub limit: u64,
}

/// What the daemon makes of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardInput {
    /// It is not read.
    Unread,
    /// It is followed beside other paths.
    Beside,
    /// It is all that is followed: its end is the daemon's.
    Alone,
}

impl StandardInput {
    /// Whether it is followed.
    pub fn is_read(self) -> bool {
        self != StandardInput::Unread
    }
}

/// Where the page is, and for whom. Without credentials the address is a loopback one.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Whether somebody asked for this address, so that it must be had.
    pub explicit: bool,
    /// Who may ask; `None` is everybody on this machine.
    pub credentials: Option<Arc<Credentials>>,
}
