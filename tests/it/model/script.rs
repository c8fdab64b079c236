//! What may happen to logs, to the daemon and to its database: steps, as text and as values.
//!
//! A script is a list of steps, one on each line or between semicolons, in the words that
//! [`Step`]'s comments show. Whatever steps are left out of a script, the rest is a script too: a
//! step that has nothing to act on does nothing.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::archives::KINDS;

/// The logs of a server, each with its rotated files.
pub(super) const LOGS: [&str; 2] = ["access", "other"];

/// A rotated file with a higher number is deleted.
pub(super) const KEPT: u32 = 3;

/// `access` is access.log, `access.2` is access.log.2, or the archive of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) log: usize,
    /// How often it was rotated; 0 is the log itself.
    pub(super) slot: u32,
}

/// Where a copytruncate puts the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// Beside the log.
    Inside,
    /// Where the daemon does not look.
    Outside,
    /// There is none: the log is only truncated.
    Nowhere,
}

/// What a power cut does to the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The bytes are gone.
    Shorten,
    /// The bytes are NULs.
    Blank,
    /// The bytes are those of other lines: the application wrote as much again before a daemon looked.
    Replace,
}

/// Where a commit is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Commit,
    Answer,
}

/// How all logs are rotated at night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Rename,
    /// By copytruncate.
    Copy,
    /// Renamed and compressed at once.
    Compress(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `write access.1 20`: so many lines. A file that is not there is made if it is a log.
    Write(Name, u32),
    /// `begin access 40`: so many percent of a line. The next write begins with the rest.
    Begin(Name, u32),
    /// `rotate access`: .2 becomes .3, .1 becomes .2, the log becomes .1.
    Rotate(Name),
    /// `date access`: the log gets a name that no other file has.
    Date(Name),
    /// `copytruncate access inside`, `outside` or `nowhere`; the older ones move as in `rotate`.
    CopyTruncate(Name, Copy),
    /// `compress access.1 gz`: an archive beside it, then it is deleted.
    Compress(Name, &'static str),
    /// `delete access.1`
    Delete(Name),
    /// `recreate access 5`: deleted, and at once made again with so many lines.
    Recreate(Name, u32),
    /// `away access.1`: moved out of the watched directory.
    Away(Name),
    /// `start 100`: the daemon, if it does not run, with so many milliseconds between two looks.
    Start(u32),
    /// `kill`: kill -9 of the daemon.
    Kill,
    /// `stop`: SIGTERM, and the daemon's orderly end.
    Stop,
    /// `pause`: SIGSTOP.
    Pause,
    /// `continue`: SIGCONT.
    Continue,
    /// `cut`: every connection to PostgreSQL is cut; SQLite is locked until the step `back`.
    Cut,
    /// `back`: SQLite's lock ends.
    Back,
    /// `crash`: PostgreSQL stops without finishing anything and starts again; not SQLite.
    Crash,
    /// `shorten access 300 5`, `blank access 300 5` or `replace access 300 5`: a power cut takes the
    /// last 300 bytes, but for the first line, and the daemon; 5 lines are written, two at least, then
    /// catch-up.
    Power(Name, Damage, u32, u32),
    /// `alike access other`: the second log is made, if it is not there, and its first two lines are
    /// those of the first one.
    Alike(Name, Name),
    /// `no-time`, before everything else: no line has a time.
    NoTime,
    /// `host`: after a catch-up and an orderly stop, the next daemon has another host name; catch-up.
    Host,
    /// `swap`: the watched path leads to another directory, which is empty.
    Swap,
    /// `second 100`: another daemon on the same logs and the same store, if one runs alone.
    Second(u32),
    /// `overtake 100`: the daemon is paused, its connections to PostgreSQL are cut, and a second one
    /// starts. SQLite's files stay those of the paused one.
    Overtake(u32),
    /// `storm access 2000 15`: so many lines, and a cut so many milliseconds later.
    Storm(Name, u32, u32),
    /// `burst access 2000 15 inside`: so many lines, so many milliseconds later a copytruncate, and at once
    /// a line.
    Burst(Name, u32, u32, Copy),
    /// `night 3 rename`, `night 3 copy` or `night 3 gz`: after a catch-up the daemon is stopped; each log
    /// gets 3 lines, is rotated so, and gets 3 lines; the daemon starts.
    Night(u32, Way),
    /// `leave`: kill -9 of the second daemon.
    Leave,
    /// `restore access 5`: after a catch-up the store is kept as it is; 5 lines are written and stored; the
    /// store is again what was kept, under the living daemons; a line is written; catch-up.
    Restore(Name, u32),
    /// `import 30000 2 commit` or `answer`: a log of so many lines, that no daemon watches, is imported into
    /// PostgreSQL. The connection that sends the next commit after the first two is cut, before the server has it
    /// or after it has answered; more are on their way meanwhile. Then the log is imported again.
    Import(u32, u32, Cut),
    /// `lose access 40`: after a catch-up so many percent of a line are written, and seen; then the log is
    /// truncated, and what is lost has to be counted.
    Lose(Name, u32),
    /// `wait 50`: milliseconds, for the next step to come at another moment.
    Wait(u32),
    /// `catch-up`: until all that can be read is stored; starts and continues the daemon.
    CatchUp,
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            0 => f.write_str(LOGS[self.log]),
            slot => write!(f, "{}.{slot}", LOGS[self.log]),
        }
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (log, slot) = text.split_once('.').unwrap_or((text, "0"));
        let log = LOGS.iter().position(|name| *name == log).ok_or(format!("no log '{text}'"))?;
        Ok(Name { log, slot: slot.parse().map_err(|_| format!("no log '{text}'"))? })
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write(name, lines) => write!(f, "write {name} {lines}"),
            Step::Begin(name, percent) => write!(f, "begin {name} {percent}"),
            Step::Rotate(name) => write!(f, "rotate {name}"),
            Step::Date(name) => write!(f, "date {name}"),
            Step::CopyTruncate(name, copy) => {
                write!(f, "copytruncate {name} {}", format!("{copy:?}").to_lowercase())
            }
            Step::Compress(name, kind) => write!(f, "compress {name} {kind}"),
            Step::Delete(name) => write!(f, "delete {name}"),
            Step::Recreate(name, lines) => write!(f, "recreate {name} {lines}"),
            Step::Away(name) => write!(f, "away {name}"),
            Step::Start(milliseconds) => write!(f, "start {milliseconds}"),
            Step::Storm(name, lines, after) => write!(f, "storm {name} {lines} {after}"),
            Step::Burst(name, lines, after, copy) => {
                let copy = format!("{copy:?}").to_lowercase();
                write!(f, "burst {name} {lines} {after} {copy}")
            }
            Step::Night(lines, Way::Compress(kind)) => write!(f, "night {lines} {kind}"),
            Step::Night(lines, way) => {
                write!(f, "night {lines} {}", format!("{way:?}").to_lowercase())
            }
            Step::Second(milliseconds) => write!(f, "second {milliseconds}"),
            Step::Overtake(milliseconds) => write!(f, "overtake {milliseconds}"),
            Step::Restore(name, lines) => write!(f, "restore {name} {lines}"),
            Step::Import(lines, after, cut) => {
                let cut = format!("{cut:?}").to_lowercase();
                write!(f, "import {lines} {after} {cut}")
            }
            Step::Lose(name, percent) => write!(f, "lose {name} {percent}"),
            Step::Power(name, damage, bytes, lines) => {
                let damage = format!("{damage:?}").to_lowercase();
                write!(f, "{damage} {name} {bytes} {lines}")
            }
            Step::Alike(name, other) => write!(f, "alike {name} {other}"),
            Step::NoTime => f.write_str("no-time"),
            Step::Wait(milliseconds) => write!(f, "wait {milliseconds}"),
            Step::CatchUp => f.write_str("catch-up"),
            plain => f.write_str(&format!("{plain:?}").to_lowercase()),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("'{text}' is no number"));
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["write", name, lines] => Step::Write(name.parse()?, number(lines)?),
            ["begin", name, percent] => Step::Begin(name.parse()?, number(percent)?),
            ["rotate", name] => Step::Rotate(name.parse()?),
            ["date", name] => Step::Date(name.parse()?),
            ["copytruncate", name, "inside"] => Step::CopyTruncate(name.parse()?, Copy::Inside),
            ["copytruncate", name, "outside"] => Step::CopyTruncate(name.parse()?, Copy::Outside),
            ["copytruncate", name, "nowhere"] => Step::CopyTruncate(name.parse()?, Copy::Nowhere),
            ["compress", name, kind] => {
                let kind = KINDS.iter().find(|known| **known == kind);
                Step::Compress(name.parse()?, kind.ok_or(format!("no kind in '{text}'"))?)
            }
            ["delete", name] => Step::Delete(name.parse()?),
            ["recreate", name, lines] => Step::Recreate(name.parse()?, number(lines)?),
            ["away", name] => Step::Away(name.parse()?),
            ["shorten", name, bytes, lines] => {
                Step::Power(name.parse()?, Damage::Shorten, number(bytes)?, number(lines)?)
            }
            ["blank", name, bytes, lines] => {
                Step::Power(name.parse()?, Damage::Blank, number(bytes)?, number(lines)?)
            }
            ["replace", name, bytes, lines] => {
                Step::Power(name.parse()?, Damage::Replace, number(bytes)?, number(lines)?)
            }
            ["alike", name, other] => Step::Alike(name.parse()?, other.parse()?),
            ["no-time"] => Step::NoTime,
            ["host"] => Step::Host,
            ["swap"] => Step::Swap,
            ["storm", name, lines, after] => {
                Step::Storm(name.parse()?, number(lines)?, number(after)?)
            }
            ["burst", name, lines, after, copy] => {
                let copy = match copy {
                    "inside" => Copy::Inside,
                    "outside" => Copy::Outside,
                    "nowhere" => Copy::Nowhere,
                    _ => return Err(format!("no copy in '{text}'")),
                };
                Step::Burst(name.parse()?, number(lines)?, number(after)?, copy)
            }
            ["night", lines, "rename"] => Step::Night(number(lines)?, Way::Rename),
            ["night", lines, "copy"] => Step::Night(number(lines)?, Way::Copy),
            ["night", lines, kind] => {
                let kind = KINDS.iter().find(|known| **known == kind);
                Step::Night(
                    number(lines)?,
                    Way::Compress(kind.ok_or(format!("no kind in '{text}'"))?),
                )
            }
            ["second", milliseconds] => Step::Second(number(milliseconds)?),
            ["overtake", milliseconds] => Step::Overtake(number(milliseconds)?),
            ["leave"] => Step::Leave,
            ["restore", name, lines] => Step::Restore(name.parse()?, number(lines)?),
            ["import", lines, after, "commit"] => {
                Step::Import(number(lines)?, number(after)?, Cut::Commit)
            }
            ["import", lines, after, "answer"] => {
                Step::Import(number(lines)?, number(after)?, Cut::Answer)
            }
            ["lose", name, percent] => Step::Lose(name.parse()?, number(percent)?),
            ["start", milliseconds] => Step::Start(number(milliseconds)?),
            ["wait", milliseconds] => Step::Wait(number(milliseconds)?),
            ["kill"] => Step::Kill,
            ["stop"] => Step::Stop,
            ["pause"] => Step::Pause,
            ["continue"] => Step::Continue,
            ["cut"] => Step::Cut,
            ["back"] => Step::Back,
            ["crash"] => Step::Crash,
            ["catch-up"] => Step::CatchUp,
            _ => return Err(format!("'{text}' is no step")),
        })
    }
}

/// Reads a script.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let steps = text.split([';', '\n']).map(str::trim).filter(|step| !step.is_empty());
    steps.map(str::parse).collect()
}

/// Writes a script.
pub(super) fn text(script: &[Step]) -> String {
    script.iter().map(Step::to_string).collect::<Vec<_>>().join("; ")
}
