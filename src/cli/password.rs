//! `log-ingestd hash-password`: a line for the auth file.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::web::{SecretKind, auth_line};

use super::build::usage;

/// Control-C, which is a character while the terminal makes no signal of it.
const INTERRUPT: char = '\u{3}';

/// Reads a password and prints its line.
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
        line()?
    };
    let line = auth_line(kind, name, &secret).map_err(|error| usage(error.to_string()))?;
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // Without signals, too: one that ended the program would leave the terminal silent.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nobody to tell but the terminal itself.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn ask(question: &str) -> anyhow::Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let answer = {
        let _silence = Silence::begin().context("cannot hide what is typed")?;
        line()
    };
    writeln!(terminal)?;
    let answer = answer?;
    if answer.contains(INTERRUPT) {
        bail!("interrupted");
    }
    Ok(answer)
}
