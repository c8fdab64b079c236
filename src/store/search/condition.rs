//! A filter as conditions of SQL.

use std::net::IpAddr;

use super::{Names, Reader};
use crate::model::{Condition, Filter, FilterError, Network, UrlFilter};
use crate::store::answers::Table;
use crate::store::statement::Statement;

/// Number of a URL's first characters that PostgreSQL's index contains.
const INDEXED: usize = 200;

/// Where a text must occur in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occurs {
    AtStart,
    Anywhere,
}

impl Reader {
    /// Checks that this database supports the filter.
    ///
    /// # Errors
    /// The filter has an IPv6 network and the database is SQLite. Addresses are text there, and those
    /// of one IPv6 network have no common prefix.
    pub fn check(&self, filter: &Filter) -> Result<(), FilterError> {
        let refused =
            filter.required().into_iter().chain(filter.not.clone()).find_map(|it| match it {
                Condition::Address(network) => {
                    Some(network).filter(|it| it.first.is_ipv6() && !it.is_one())
                }
                _ => None,
            });
        match refused {
            Some(network) if !self.is_postgres() => {
                let problem = "a network of IPv6, of which SQLite finds single addresses only: give \
                               one, or use PostgreSQL";
                Err(FilterError::new("address", &network.to_string(), problem))
            }
            _ => Ok(()),
        }
    }

    /// Appends ` AND …` for each part of the filter except the time range.
    pub(super) fn conditions(&self, to: &mut Statement, table: Table, filter: &Filter) {
        let names = table.columns();
        for condition in filter.required() {
            self.condition(to, &names, &condition);
        }
        for condition in &filter.not {
            // A comparison with a missing value is neither true nor false.
            to.sql(" AND (1 = 1");
            self.condition(to, &names, condition);
            to.sql(") IS NOT TRUE");
        }
    }

    /// Appends ` AND …` for a condition.
    fn condition(&self, to: &mut Statement, names: &Names, condition: &Condition) {
        let mut is = |column: &str, wanted: &str| {
            to.sql(" AND ").sql(column).sql(" = ").text(wanted);
        };
        match condition {
            Condition::Method(wanted) => is("method", wanted),
            Condition::User(wanted) => is("user_id", wanted),
            Condition::Route(wanted) => is("route", wanted),
            Condition::RequestId(wanted) => is("request_id", wanted),
            Condition::TraceId(wanted) => is("trace_id", wanted),
            Condition::Session(wanted) => is("session_id", wanted),
            Condition::Host(wanted) => match names.host {
                Some(column) => is(column, wanted),
                // The table has no such column; the request headers contain the host.
                None if self.is_postgres() => is("headers ->> 'host'", wanted),
                None => is("json_extract(headers, '$.host')", wanted),
            },
            Condition::Url(UrlFilter::Prefix(prefix)) => self.starts_with(to, names.url, prefix),
            Condition::Url(UrlFilter::Part(part)) => self.contains(to, names.url, part),
            Condition::Codes(codes) => {
                to.any_of(codes, |to, codes| {
                    to.sql(names.code).sql(" BETWEEN ").int(i64::from(codes.first));
                    to.sql(" AND ").int(i64::from(codes.last));
                });
            }
            Condition::Server(server) => of_server(to, server),
            Condition::Address(network) => self.in_network(to, names.address, *network),
            Condition::Agent(agent) => self.contains_ignoring_case(to, &[names.agent], agent),
            Condition::Text(text) => {
                self.contains_ignoring_case(to, &searched_columns(names), text);
            }
        }
    }

    fn starts_with(&self, to: &mut Statement, column: &str, prefix: &str) {
        if self.is_postgres() {
            // The first condition uses the index, the second one compares the whole prefix.
            let start: String = prefix.chars().take(INDEXED).collect();
            to.sql(" AND left(")
                .sql(column)
                .sql(", 200) LIKE ")
                .text(like_pattern(&start, Occurs::AtStart));
            to.sql(" AND starts_with(").sql(column).sql(", ").text(prefix).sql(")");
        } else {
            let length = prefix.chars().count() as i64;
            to.sql(" AND substr(").sql(column).sql(", 1, ").int(length).sql(") = ").text(prefix);
        }
    }

    fn contains(&self, to: &mut Statement, column: &str, part: &str) {
        let find = if self.is_postgres() { "strpos" } else { "instr" };
        to.sql(" AND ").sql(find).sql("(").sql(column).sql(", ").text(part).sql(") > 0");
    }

    fn contains_ignoring_case(&self, to: &mut Statement, columns: &[&str], part: &str) {
        let like = if self.is_postgres() { " ILIKE " } else { " LIKE " };
        to.any_of(columns, |to, column| {
            to.sql(column).sql(like).text(like_pattern(part, Occurs::Anywhere)).sql(" ESCAPE '\\'");
        });
    }

    /// Appends the condition on the address. Rows of older versions have addresses of IPv4 as
    /// `::ffff:203.0.113.9`: they are found too.
    fn in_network(&self, to: &mut Statement, column: &str, network: Network) {
        let both = || std::iter::once(network).chain(network.mapped());
        if self.is_postgres() {
            let operator = if network.is_one() { " = " } else { " <<= " };
            to.any_of(both(), |to, network| {
                // As text: an inet parameter would need its binary form.
                to.sql(column).sql(operator).text(network.to_string()).sql("::inet");
            });
            return;
        }
        match network.first {
            _ if network.is_one() => {
                to.any_of(both(), |to, network| {
                    to.sql(column).sql(" = ").text(network.first.to_string());
                });
            }
            IpAddr::V4(first) => {
                let octets = first.octets();
                let whole = usize::from(network.bits / 8);
                let start: String = octets[..whole].iter().map(|it| format!("{it}.")).collect();
                let address = format!("replace({column}, '::ffff:', '')");
                // Of the addresses of IPv6 only those of IPv4 within IPv6 hold a dot.
                to.sql(" AND ").sql(&address).sql(" GLOB ").text(match start.as_str() {
                    "" => "*.*.*.*".to_owned(),
                    start => format!("{start}*"),
                });
                // The octet that the mask splits is a range. SQLite reads the number up to the next dot.
                let more = network.bits % 8;
                if more > 0 {
                    let low = i64::from(octets[whole]);
                    let rest =
                        format!(" AND CAST(substr({address}, {}) AS INTEGER)", start.len() + 1);
                    to.sql(&rest).sql(" BETWEEN ").int(low);
                    to.sql(" AND ").int(low + (1 << (8 - more)) - 1);
                }
            }
            // `check` refuses this filter.
            IpAddr::V6(_) => {
                to.sql(" AND 1 = 0");
            }
        }
    }
}

/// Appends the condition that the line's file is on this server.
pub(super) fn of_server(to: &mut Statement, server: &str) {
    to.sql(" AND log_file IN (SELECT id FROM log_file WHERE host = ").text(server).sql(")");
}

/// Returns the columns that a free text is searched in.
fn searched_columns(names: &Names) -> Vec<&'static str> {
    let all = [Some(names.url), Some(names.agent), names.source, Some("user_id")];
    all.into_iter().flatten().collect()
}

/// Returns a LIKE pattern, with `\` as its escape, that matches a text anywhere.
pub(super) fn like_anywhere(text: &str) -> String {
    like_pattern(text, Occurs::Anywhere)
}

/// Returns a LIKE pattern that matches a text at the given place.
fn like_pattern(text: &str, occurs: Occurs) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    if occurs == Occurs::Anywhere {
        pattern.push('%');
    }
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
