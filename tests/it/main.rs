//! The integration tests, in one binary: real files, real databases, real programs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by ending"
)]
#![expect(clippy::print_stdout, reason = "fuzzing says how many inputs it saw")]

/// The same behaviour on every store: each named function becomes two tests.
macro_rules! for_every_store {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Place::postgres().await).await })*
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Place::sqlite().await).await })*
        }
    };
}

mod addresses;
mod archives;
mod archives_followed;
mod archives_refused;
mod bad_input;
mod bad_rows;
mod bounds;
mod byte_order_mark;
mod changes;
mod check;
mod citus;
mod command_line;
mod commands;
mod commit_moments;
mod containers;
mod content;
mod copy;
mod corpora;
mod corpus;
mod daemon;
mod descriptors;
mod digest;
mod distance;
mod doctor;
mod documents;
mod durability;
mod environment;
mod export;
mod faults;
mod first_minute;
mod fleet;
mod floor_plan;
mod follow;
mod forget;
mod formats;
mod given_format;
mod grafana;
mod gunicorn;
mod host_names;
mod hostile_files;
mod hostile_texts;
mod ignored;
mod import;
mod import_many;
mod import_trouble;
mod indexes;
mod inference;
mod json_lines;
mod json_mapping;
mod json_parse;
mod judge;
mod kills;
mod ledger;
mod linked_places;
mod local_users;
mod long_select;
mod look_alikes;
mod many_files;
mod masking;
mod model;
mod notify;
mod nuls;
mod outage;
mod page;
mod pages;
mod parse;
mod parse_properties;
mod place;
mod plain_english;
mod ports;
mod postgres;
mod postgres_faults;
mod power_cuts;
mod proxy;
mod query;
mod reject_notices;
mod reparse;
mod reparse_rows;
mod repeats;
mod report;
mod request_ids;
mod restore;
mod roles;
mod rollups;
mod rotation;
mod routes;
mod scenarios;
mod search;
mod server_log;
mod servers;
mod settings;
mod signals;
mod store_claims;
mod store_contract;
mod store_schema;
mod streams;
mod supervisor;
mod sweeps;
mod takeover;
mod terminal;
mod times;
mod tls;
mod torture;
mod traffic;
mod unreachable;
mod upgrade;
mod verify;
mod views;
mod watched_formats;
mod workers;
