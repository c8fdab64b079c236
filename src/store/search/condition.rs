//! A filter as conditions.

use std::net::IpAddr;

use super::statement::Statement;
use super::{Names, Reader};
use crate::model::{Filter, FilterError, Network, UrlFilter};
use crate::store::answers::Table;

/// Characters of a URL that PostgreSQL has an index for.
const INDEXED: usize = 200;

impl Reader {
    /// Sees that this database can answer.
    ///
    /// # Errors
    ///
    /// A network of IPv6 on SQLite, where addresses are text, of which those of one network do not
    /// begin alike.
    pub fn check(&self, filter: &Filter) -> Result<(), FilterError> {
        match filter.address {
            Some(network)
                if !self.is_postgres() && network.first.is_ipv6() && !network.is_one() =>
            {
                let trouble = "a network of IPv6, of which SQLite finds single addresses only: give \
                               one, or use PostgreSQL";
                Err(FilterError::new("address", &network.to_string(), trouble))
            }
            _ => Ok(()),
        }
    }

    /// Adds ` AND …` for all that the filter asks for but the time.
    pub(super) fn conditions(&self, to: &mut Statement, table: Table, filter: &Filter) {
        let names = table.columns();
        match &filter.url {
            Some(UrlFilter::Prefix(prefix)) => self.begins(to, names.url, prefix),
            Some(UrlFilter::Part(part)) => self.holds(to, names.url, part),
            None => {}
        }
        if !filter.codes.is_empty() {
            for (nth, codes) in filter.codes.iter().enumerate() {
                to.sql(if nth == 0 { " AND (" } else { " OR " });
                to.sql(names.code).sql(" BETWEEN ").int(i64::from(codes.first));
                to.sql(" AND ").int(i64::from(codes.last));
            }
            to.sql(")");
        }
        for (column, wanted) in [("method", &filter.method), ("user_id", &filter.user)] {
            if let Some(wanted) = wanted {
                to.sql(" AND ").sql(column).sql(" = ").text(wanted);
            }
        }
        if let Some(host) = &filter.host {
            match names.host {
                Some(column) => to.sql(" AND ").sql(column).sql(" = ").text(host),
                // Its headers have it.
                None if self.is_postgres() => to.sql(" AND headers ->> 'host' = ").text(host),
                None => to.sql(" AND json_extract(headers, '$.host') = ").text(host),
            };
        }
        if let Some(server) = &filter.server {
            of_server(to, server);
        }
        if let Some(network) = filter.address {
            self.within(to, names.address, network);
        }
        if let Some(agent) = &filter.agent {
            self.alike(to, &[names.agent], agent);
        }
        if let Some(text) = &filter.text {
            self.alike(to, &anywhere(&names), text);
        }
    }

    fn begins(&self, to: &mut Statement, column: &str, prefix: &str) {
        if self.is_postgres() {
            // The index has the first characters, the second condition all of them.
            let start: String = prefix.chars().take(INDEXED).collect();
            to.sql(" AND left(").sql(column).sql(", 200) LIKE ").text(pattern(&start, false));
            to.sql(" AND starts_with(").sql(column).sql(", ").text(prefix).sql(")");
        } else {
            let length = prefix.chars().count() as i64;
            to.sql(" AND substr(").sql(column).sql(", 1, ").int(length).sql(") = ").text(prefix);
        }
    }

    fn holds(&self, to: &mut Statement, column: &str, part: &str) {
        let find = if self.is_postgres() { "strpos" } else { "instr" };
        to.sql(" AND ").sql(find).sql("(").sql(column).sql(", ").text(part).sql(") > 0");
    }

    fn alike(&self, to: &mut Statement, columns: &[&str], part: &str) {
        let like = if self.is_postgres() { " ILIKE " } else { " LIKE " };
        for (nth, column) in columns.iter().enumerate() {
            to.sql(if nth == 0 { " AND (" } else { " OR " });
            to.sql(column).sql(like).text(pattern(part, true)).sql(" ESCAPE '\\'");
        }
        to.sql(")");
    }

    fn within(&self, to: &mut Statement, column: &str, network: Network) {
        if self.is_postgres() {
            let operator = if network.is_one() { " = " } else { " <<= " };
            // As text: a parameter of the type inet would need its binary form.
            to.sql(" AND ").sql(column).sql(operator).text(network.to_string()).sql("::inet");
            return;
        }
        match network.first {
            _ if network.is_one() => {
                to.sql(" AND ").sql(column).sql(" = ").text(network.first.to_string());
            }
            IpAddr::V4(first) => {
                let octets = first.octets();
                let whole = usize::from(network.bits / 8);
                let start: String = octets[..whole].iter().map(|it| format!("{it}.")).collect();
                let more = network.bits % 8;
                // 128 at most; of an octet that the mask cuts, each value that it leaves.
                let values = if more == 0 { 1 } else { 1u16 << (8 - more) };
                for nth in 0..values {
                    to.sql(if nth == 0 { " AND (" } else { " OR " });
                    let octet = (more > 0).then(|| u16::from(octets[whole]) + nth);
                    let end = if whole == 3 { "" } else { ".*" };
                    let glob = match octet {
                        Some(octet) => format!("{start}{octet}{end}"),
                        None => format!("{start}*"),
                    };
                    to.sql(column).sql(" GLOB ").text(glob);
                }
                // No address of version 6 begins with an octet and a point, but `*` fits it.
                to.sql(") AND instr(").sql(column).sql(", ':') = 0");
            }
            // See `check`.
            IpAddr::V6(_) => {
                to.sql(" AND 1 = 0");
            }
        }
    }
}

/// Adds that the line is of this machine's log.
pub(super) fn of_server(to: &mut Statement, server: &str) {
    to.sql(" AND log_file IN (SELECT id FROM log_file WHERE host = ").text(server).sql(")");
}

fn anywhere(names: &Names) -> Vec<&'static str> {
    let all = [Some(names.url), Some(names.agent), names.source, Some("user_id")];
    all.into_iter().flatten().collect()
}

/// A pattern of LIKE that a text fits if it begins so, or holds it anywhere.
fn pattern(text: &str, anywhere: bool) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    if anywhere {
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
