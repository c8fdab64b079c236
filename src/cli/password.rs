//! `log-ingestd hash-password`: makes a line for the auth file.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::web::{SecretKind, auth_line};

use super::usage;

/// Control-C, which the terminal gives as a character while its signals are off.
const INTERRUPT: char = '\u{3}';

/// Reads a password or token and prints its line.
pub(super) fn hash(kind: SecretKind, name: &str) -> anyhow::Result<()> {
    let what = match kind {
        SecretKind::Password => "Password",
        SecretKind::Token => "Token",
    };
    let secret = if io::stdin().is_terminal() {
        let secret = ask(&format!("{what}: "))?;
        if ask("The same again: ")? != secret {
            bail!("the two are not the same");
        }
        secret
    } else {
        read_line()?
    };
    let line = auth_line(kind, name, &secret).map_err(|error| usage(error.to_string()))?;
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Keeps the terminal from showing what is typed, until it is dropped.
struct HiddenInput(Termios);

impl HiddenInput {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        // Without signals: one that ended the program would leave the terminal in this mode.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // A failure could only be shown on this terminal.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn ask(question: &str) -> anyhow::Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let answer = {
        let _hidden = HiddenInput::begin().context("cannot hide what is typed")?;
        read_line()
    };
    writeln!(terminal)?;
    let answer = answer?;
    if answer.contains(INTERRUPT) {
        bail!("interrupted");
    }
    Ok(answer)
}
