//! Two examples for the help of each command.

/// The command, and what people type: without the program's name.
const EXAMPLES: [(&str, [&str; 2]); 21] = [
    (
        "watch",
        ["watch /var/log/app", "watch /var/log/app '/var/log/nginx/access.log*' --listen off"],
    ),
    ("serve", ["serve", "serve --listen 127.0.0.1:9000 --database-url postgres://me@db/logs"]),
    ("import", ["import /var/log/app/access.log.*.gz", "import --host web1 - < access.log"]),
    ("check", ["check /var/log/app/access.log", "check access.log --format gunicorn-microseconds"]),
    ("status", ["status", "status --all --local"]),
    ("query", ["query --since yesterday --code 5xx", "query --follow --url /api/ --local"]),
    ("top", ["top urls --since 7d", "top addresses --since 2026-11-25 --code 4xx --limit 20"]),
    (
        "report",
        [
            "report --since 7d -o report.html",
            "report --since 2026-11-01 --until 2026-11-08 --server web1 -o - > web1.html",
        ],
    ),
    ("verify", ["verify", "verify /mnt/old-logs --json"]),
    (
        "export",
        [
            "export /var/log/app/access.log > access.log",
            "export --file 17 --since 2026-11-25 --json > part.log",
        ],
    ),
    (
        "reparse",
        [
            "reparse --format gunicorn-microseconds --dry-run",
            "reparse --rows --file /var/log/app/access.log",
        ],
    ),
    (
        "forget",
        ["forget /var/log/app/access.log --yes", "forget /var/log/app/access.log.1 --id 17"],
    ),
    ("cleanup", ["cleanup --dry-run", "cleanup --older-than 2026-11-25"]),
    ("migrate", ["migrate --dry-run", "migrate --days 7 --since 2026-09-01"]),
    (
        "copy",
        [
            "copy --from sqlite:/var/lib/log-ingestd/log-ingestd.sqlite3 --to postgres://me@db/logs",
            "copy --from postgres://me@db/logs --to sqlite:logs.sqlite3 --json",
        ],
    ),
    ("rename-host", ["rename-host web-old web1", "rename-host 3f9c2b1a web1"]),
    ("hash-password", ["hash-password jo >> users", "hash-password --token prometheus >> users"]),
    ("healthcheck", ["healthcheck", "healthcheck --ready --listen 127.0.0.1:9000"]),
    ("doctor", ["doctor --watch /var/log/app", "doctor --config log-ingestd.toml --json"]),
    ("completions", ["completions bash", "completions zsh > _log-ingestd"]),
    ("man", ["man deploy/man", "man ."]),
];

/// Returns the examples of a command as its help shows them.
pub(super) fn of(command: &str) -> String {
    let found = EXAMPLES.iter().find(|(name, _)| *name == command);
    let lines = found.into_iter().flat_map(|(_, examples)| examples);
    let lines: String = lines.map(|example| format!("\n  log-ingestd {example}")).collect();
    format!("Examples:{lines}")
}

#[cfg(test)]
mod tests {
    use super::super::command_line::CommandLine;
    use super::*;

    #[test]
    fn each_command_has_examples_that_it_takes() {
        for command in CommandLine::with_settings().get_subcommands() {
            let name = command.get_name();
            assert!(EXAMPLES.iter().any(|(known, _)| *known == name), "{name} has no examples");
        }
        for example in EXAMPLES.iter().flat_map(|(_, examples)| examples) {
            let typed = example.split(['<', '>']).next().unwrap_or_default().replace('\'', "");
            let words = std::iter::once("log-ingestd").chain(typed.split_whitespace());
            let taken = CommandLine::with_settings().try_get_matches_from(words);
            assert!(taken.is_ok(), "{example}: {}", taken.unwrap_err());
        }
    }
}
