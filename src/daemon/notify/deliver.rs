//! Brings notices to their targets. A target that does not answer delays its own notices alone.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::config::NotifyConfig;
use crate::model::{Micros, moment, printable};
use crate::web::Webhook;

use super::conditions::{Change, Kind, State};

/// Most notices that wait for a target. There are few, so more wait for one that does not answer at all.
const QUEUE: usize = 32;

/// Delays before the tries after the first.
const DELAYS: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];

/// How long a command may run.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Variables of the daemon's environment that a command gets. The others may hold passwords.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ"];

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    kind: Kind,
    state: State,
    host: String,
    text: String,
    at: Micros,
}

impl Notice {
    pub(super) fn new(change: Change, host: &str, at: Micros) -> Notice {
        let Change { kind, state, text } = change;
        // A database's answer may hold anything.
        Notice { kind, state, host: host.to_owned(), text: printable(&text).into_owned(), at }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Raised => "raised",
            State::Recovered => "recovered",
        }
    }

    /// Returns one sentence that names the host.
    fn sentence(&self) -> String {
        format!("log-ingestd on {}: {}", self.host, self.text)
    }

    fn json(&self) -> String {
        json!({
            "kind": self.kind.name(),
            "state": self.state(),
            "host": self.host,
            "at": moment(self.at),
            "text": self.sentence(),
        })
        .to_string()
    }
}

/// Where a notice goes.
#[derive(Clone, Debug)]
enum Target {
    Webhook(Arc<Webhook>),
    Command(String),
}

/// The queues of all targets.
#[derive(Debug)]
pub(super) struct Targets(Vec<(&'static str, mpsc::Sender<Notice>)>);

impl Targets {
    /// Starts the task of each target, which ends when this is dropped and nothing waits any more.
    pub(super) fn start(config: &NotifyConfig) -> Targets {
        let webhook = config.webhook.clone().map(Target::Webhook);
        let command = config.command.clone().map(Target::Command);
        let queues = [webhook, command].into_iter().flatten().map(|target| {
            let (queue, notices) = mpsc::channel(QUEUE);
            let name = target.name();
            tokio::spawn(deliver_all(target, notices));
            (name, queue)
        });
        Targets(queues.collect())
    }

    /// Puts a notice into each queue. It never waits.
    pub(super) fn send(&self, notice: &Notice) {
        for (target, queue) in &self.0 {
            if queue.try_send(notice.clone()).is_err() {
                warn!(target, kind = notice.kind.name(), "a notice is dropped: too many wait");
            }
        }
    }
}

async fn deliver_all(target: Target, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let mut delays = DELAYS.into_iter();
        loop {
            let Err(error) = deliver(target.clone(), notice.clone()).await else { break };
            let (kind, target) = (notice.kind.name(), target.name());
            let Some(delay) = delays.next() else {
                warn!(target, kind, %error, "a notice could not be delivered");
                break;
            };
            debug!(target, kind, %error, "a notice is tried again");
            tokio::time::sleep(delay).await;
        }
    }
}

async fn deliver(target: Target, notice: Notice) -> io::Result<()> {
    let delivered = tokio::task::spawn_blocking(move || match &target {
        Target::Webhook(webhook) => webhook.post(&notice.json()),
        Target::Command(command) => run(command, &notice),
    });
    delivered.await.map_err(io::Error::other)?
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Target::Webhook(_) => "--notify-url",
            Target::Command(_) => "--notify-command",
        }
    }
}

/// Runs a command of the shell with the notice on standard input. What it says on standard error is in the
/// daemon's log.
fn run(command: &str, notice: &Notice) -> io::Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env_clear().process_group(0).current_dir("/");
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            shell.env(name, value);
        }
    }
    shell.env("NOTICE_KIND", notice.kind.name()).env("NOTICE_STATE", notice.state());
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A pipe takes so few bytes at once, and a command need not read them.
        let text = format!("{}\n\n{}\n", notice.sentence(), moment(notice.at));
        let _ = input.write_all(text.as_bytes());
    }
    let end = Instant::now() + COMMAND_TIMEOUT;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(io::Error::other(format!("the command ends with {status}")));
            }
            None if Instant::now() > end => return Err(kill(&mut child)),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Ends a command with all that it has started.
fn kill(child: &mut Child) -> io::Error {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    io::Error::other(format!("the command takes more than {} s", COMMAND_TIMEOUT.as_secs()))
}
