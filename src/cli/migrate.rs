//! `log-ingestd migrate`: what was typed, and what is answered.

use std::io::{self, Write};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;

use crate::commands;
use crate::commands::{MigrateOptions, Migration};

use super::build::{self, usage};
use super::flags::Flags;

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Also make the partitions of today and of the N days after it, for daemons that may make none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=3650))]
    days: Option<u16>,

    /// With --days: make them from this day on, for older lines
    #[arg(long, value_name = "YYYY-MM-DD", requires = "days")]
    since: Option<NaiveDate>,

    /// Also distribute the tables over the workers of a Citus cluster
    #[arg(long)]
    citus: bool,
}

pub(super) async fn migrate(flags: &Flags, typed: &Migrate) -> anyhow::Result<()> {
    let config = build::config(flags)?;
    let (first, last) = match typed.days {
        Some(days) => {
            let today = Utc::now().date_naive();
            (typed.since.unwrap_or(today), number(today) + i32::from(days))
        }
        None => (NaiveDate::default(), -1),
    };
    let days = number(first)..last + 1;
    if typed.since.is_some() && days.is_empty() {
        return Err(usage(format!("--since {first} is no day before the last one of --days")));
    }
    let options = MigrateOptions { dry_run: typed.dry_run, days, citus: typed.citus };
    said(&commands::migrate(&config, &options).await?, typed)
}

/// Days since 1970.
fn number(date: NaiveDate) -> i32 {
    let days = date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days();
    i32::try_from(days).unwrap_or(0)
}

fn said(done: &Migration, typed: &Migrate) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let schema = &done.before;
    match schema.found {
        _ if schema.is_current() => writeln!(out, "schema {}, nothing to do", schema.known)?,
        Some(found) => writeln!(out, "schema {found} → {}", schema.known)?,
        None => writeln!(out, "no tables → schema {}", schema.known)?,
    }
    if typed.dry_run {
        for step in &done.steps {
            writeln!(out, "  would apply {:04} {}", step.schema, step.about)?;
        }
    }
    match done.distributed.as_deref() {
        Some(_) if typed.dry_run => writeln!(out, "  would distribute what is not yet")?,
        Some([]) => writeln!(out, "all tables are distributed already")?,
        Some(tables) => writeln!(out, "distributed: {}", tables.join(", "))?,
        None => {}
    }
    Ok(())
}
