//! Makes the completions of shells and the manual's pages out of the flags, so that both have all of
//! them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap_complete::Shell;
use clap_mangen::Man;

use super::command_line::CommandLine;

/// Prints the completion script of a shell.
pub(super) fn completions(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::with_settings(), "log-ingestd", &mut script);
    if shell == Shell::Bash {
        // clap_complete 4.6 reads the hyphen of a program's name as the beginning of a command in one
        // half of its script, and not in the other: nothing after a command would be completed.
        let text = String::from_utf8_lossy(&script);
        script = text.replace("log__subcmd__ingestd", "log__ingestd").into_bytes();
    }
    io::stdout().lock().write_all(&script)
}

/// Writes `log-ingestd.1`, and a page for each command that is shown.
pub(super) fn man(directory: &Path) -> anyhow::Result<()> {
    let mut program = CommandLine::with_settings().disable_help_subcommand(true);
    program.build(); // gives the commands their full names and the common flags
    write(directory, &program, "log-ingestd")?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        write(directory, command, &format!("log-ingestd-{}", command.get_name()))?;
    }
    Ok(())
}

fn write(directory: &Path, command: &clap::Command, name: &str) -> anyhow::Result<()> {
    let mut page = Vec::new();
    // The name of a page is what `man` is asked for: `man log-ingestd-import`.
    Man::new(command.clone().display_name(name.to_owned()))
        .source(concat!("log-ingestd ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
