//! `log-ingestd migrate`: its flags and its answer.

use std::io::Write;

use clap::Args;

use crate::commands::{self, MigrateOptions, Migration};
use crate::model::{Micros, now};
use crate::store::Prepared;

use super::build;
use super::clock::Clock;
use super::output::{self, Form};
use super::sources::Settings;

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Also make the partitions of today and of the N days after it, for daemons that may make none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=3650))]
    days: Option<u16>,

    /// With --days: make them from this day on, for older lines: a day (2026-09-01) or an age (90d); a day after
    /// them makes the one partition for lines from a clock that is ahead
    #[arg(long, value_name = "WHEN", requires = "days")]
    since: Option<String>,

    /// Also distribute the tables over the workers of a Citus cluster
    #[arg(long)]
    citus: bool,
}

/// Brings the schema up, and prints what was done.
pub(super) async fn migrate(settings: &Settings, typed: &Migrate) -> anyhow::Result<()> {
    let config = build::config(settings)?;
    // Partitions are UTC days.
    let since = typed.since.as_deref().map(|text| Clock::UTC.read_flag("--since", text));
    let since = since.transpose()?.unwrap_or_else(now);
    let days = match typed.days {
        Some(days) => day_number(since)..day_number(now()) + i32::from(days) + 1,
        None => 0..0,
    };
    let later = (typed.days.is_some() && days.is_empty()).then_some(days.start);
    let options = MigrateOptions { dry_run: typed.dry_run, days, later, citus: typed.citus };
    print(&commands::migrate(&config, &options).await?, typed.dry_run)
}

/// Returns the days since 1970-01-01.
fn day_number(at: Micros) -> i32 {
    i32::try_from(at.div_euclid(86_400_000_000)).unwrap_or(0)
}

fn print(done: &Migration, dry_run: bool) -> anyhow::Result<()> {
    let mut out = output::stdout(Form::Text);
    let schema = &done.before;
    match schema.found {
        _ if schema.is_current() => writeln!(out, "schema {}, nothing to do", schema.known)?,
        Some(found) => writeln!(out, "schema {found} → {}", schema.known)?,
        None => writeln!(out, "no tables → schema {}", schema.known)?,
    }
    if dry_run {
        for step in &done.steps {
            writeln!(out, "  would apply {:04} {}", step.schema, step.about)?;
        }
    }
    match done.distributed.as_deref() {
        Some(_) if dry_run => writeln!(out, "  would distribute what is not yet")?,
        Some([]) => writeln!(out, "all tables are distributed already")?,
        Some(tables) => writeln!(out, "distributed: {}", tables.join(", "))?,
        None => {}
    }
    if done.prepared == Prepared::Postponed {
        writeln!(
            out,
            "days for which rows came before their time have no partition of their own yet, since a table is \
             being read: the same command again makes them"
        )?;
    }
    Ok(())
}
