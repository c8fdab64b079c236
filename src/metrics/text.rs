//! OpenMetrics as the older text format.
//!
//! They differ in the names of counters (`x`, whose samples are `x_total`, is `x_total` throughout),
//! in lines of units and in the mark at the end.

/// The same metrics in version 0.0.4 of Prometheus's format.
pub(super) fn to_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        // What help describes a counter is told by the line behind it.
        let typed = lines.peek().filter(|_| line.starts_with("# HELP "));
        let described = typed.copied().unwrap_or(line);
        let counter = described.starts_with("# TYPE ") && described.ends_with(" counter");
        let mut words = line.splitn(4, ' ');
        match (counter, words.next(), words.next(), words.next(), words.next()) {
            (true, Some(hash), Some(keyword), Some(name), Some(rest)) => {
                for part in [hash, " ", keyword, " ", name, "_total ", rest] {
                    out.push_str(part);
                }
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_get_their_names_and_what_only_openmetrics_knows_goes() {
        let open = "# HELP a What a counter.\n# TYPE a counter\na_total 1\n# HELP b_seconds B.\n\
                    # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds{x=\"# EOF\"} 2\n# EOF\n";
        let older = "# HELP a_total What a counter.\n# TYPE a_total counter\na_total 1\n\
                     # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds{x=\"# EOF\"} 2\n";
        assert_eq!(to_prometheus(open), older);
    }
}
