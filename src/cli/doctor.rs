//! `log-ingestd doctor`: its answer.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::commands::{self, Finding, Severity};
use crate::model::counted;

use super::build;
use super::print::{self, visible};
use super::sources::Settings;
use super::terminal::{Style, Terminal};

/// Examines all, and prints the findings. Exit code 1 if there is a problem.
pub(super) async fn doctor(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let findings = commands::doctor(&build::doctor(settings)?).await;
    let problems = findings.iter().filter(|it| it.severity == Severity::Problem).count();
    match json {
        true => print::json(&json!({ "problems": problems, "findings": findings }))?,
        false => print(&findings, problems)?,
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(findings: &[Finding], problems: usize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let terminal = Terminal::of_stdout();
    for Finding { about, severity, found, remedy } in findings {
        let (word, style) = match severity {
            Severity::Ok => ("ok", Style::Green),
            Severity::Note => ("note", Style::Yellow),
            Severity::Problem => ("PROBLEM", Style::Red),
        };
        let word = terminal.paint(style, &format!("{word:<7}"));
        writeln!(out, "{word}  {about:<8}  {}", visible(found))?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:19}→ {}", "", visible(remedy))?;
        }
    }
    match problems {
        0 => writeln!(out, "no problem found")?,
        problems => writeln!(out, "{} found", counted(problems as u64, "problem"))?,
    }
    Ok(())
}
