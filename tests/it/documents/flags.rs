//! Flags, environment variables, defaults and commands in the documents are those of the program.

use std::collections::{BTreeMap, BTreeSet};

use super::{docs, quoted, rows, text};
use crate::command_line::COMMANDS;
use crate::daemon::Bench;
use crate::place::Place;

/// Flags of other programs, by the page that names them.
const OF_OTHERS: &[(&str, &[&str])] = &[
    ("README.md", &["--access-logfile", "--access-logformat", "--path", "--profile", "--release"]),
    ("deploy/docs/architecture.md", &["--fleet", "--kills", "--minutes", "--power-cuts"]),
    (
        "deploy/docs/backup.md",
        &[
            "--clean",
            "--dbname",
            "--exit-on-error",
            "--file",
            "--force",
            "--if-exists",
            "--quiet",
            "--reference",
            "--set",
            "--single-transaction",
            "--table",
        ],
    ),
    ("deploy/docs/comparison.md", &["--keep-last", "--persist", "--restore"]),
    ("deploy/docs/containers.md", &["--access-logfile"]),
    ("deploy/docs/fleet.md", &["--fleet"]),
    (
        "deploy/docs/install.md",
        &[
            "--check",
            "--ignore-missing",
            "--lines",
            "--now",
            "--path",
            "--profile",
            "--target",
            "--unit",
        ],
    ),
    ("deploy/docs/kubernetes.md", &["--install", "--namespace", "--set-file", "--values"]),
    ("deploy/docs/streams.md", &["--access-logfile"]),
    ("deploy/docs/troubleshooting.md", &["--access-logformat"]),
];

/// Words like `--watch` or `LOG_INGESTD_WATCH` in a text.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c| !name(c))
        .filter(|word| {
            word.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(char::is_alphabetic))
        })
        .map(str::to_owned)
        .collect()
}

/// The help of the program (under the name "") and of each command.
async fn helps() -> BTreeMap<&'static str, String> {
    let bench = Bench::new(Place::sqlite().await).await;
    let of_commands = COMMANDS.map(|command| (command, bench.succeed(&[command, "--help"])));
    let mut helps = BTreeMap::from(of_commands);
    helps.insert("", bench.succeed(&["--help"]));
    helps
}

#[tokio::test(flavor = "multi_thread")]
async fn each_flag_and_variable_is_explained_and_no_other_is_named() {
    let help = helps().await.into_values().collect::<String>();
    let pages: Vec<_> = docs().into_iter().chain(["README.md".to_owned()]).collect();
    for prefix in ["--", "LOG_INGESTD_"] {
        let known = names(&help, prefix);
        let mut explained = BTreeSet::from(["--help", "--version"].map(str::to_owned));
        let mut unknown = Vec::new();
        for page in &pages {
            let named = names(&text(page), prefix);
            let of_others = OF_OTHERS.iter().find(|(other, _)| page == other);
            let of_others = of_others.map_or(&[][..], |(_, flags)| flags);
            let foreign =
                |name: &&String| !known.contains(*name) && !of_others.contains(&name.as_str());
            unknown.extend(named.iter().filter(foreign).map(|name| format!("{page}: {name}")));
            explained.extend(named);
        }
        assert!(unknown.is_empty(), "the program does not know {unknown:?}");
        let silent: Vec<_> = known.difference(&explained).collect();
        assert!(silent.is_empty(), "no page explains {silent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_has_its_variable_and_its_default() {
    let help = helps().await.remove("").unwrap();
    let settings = settings(&help);
    let rows: Vec<_> = rows(&text("deploy/docs/settings.md"));
    let mut listed = BTreeSet::new();
    for row in rows.iter().filter(|row| row[0].starts_with("`--")) {
        let flag = names(&row[0], "--").pop_first().unwrap();
        let Some(setting) = settings.get(&flag) else { panic!("{flag} is not a setting") };
        assert_eq!(row[1].replace('`', ""), setting.variable, "{flag}");
        let default = row[2].replace('`', "");
        // clap shows no default of a flag.
        let unsaid =
            ["--exclude-server-log", "--follow-symlinks", "--keep-raw-rejects"].contains(&&*flag);
        assert!(unsaid || default.is_empty() == setting.default.is_empty(), "{flag}: {default}");
        assert!(
            unsaid || setting.default.starts_with(&default),
            "{flag}: {default} is not {}",
            setting.default
        );
        listed.insert(flag);
    }
    assert_eq!(listed, settings.into_keys().collect::<BTreeSet<_>>());
}

struct Setting {
    variable: String,
    default: String,
}

/// The settings in the help of the program, by their flags.
fn settings(help: &str) -> BTreeMap<String, Setting> {
    let (_, options) = help.split_once("Options:").unwrap();
    let mut settings = BTreeMap::new();
    for entry in options.split("\n      --").skip(1) {
        let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        let flag = format!("--{}", entry.split([' ', '[']).next().unwrap());
        let bracketed = |name: &str| {
            let (_, rest) = entry.split_once(&format!("[{name}: "))?;
            rest.split_once(']').map(|(value, _)| value.to_owned())
        };
        let variable = bracketed("env").unwrap_or_else(|| panic!("{flag} has no variable"));
        let variable = variable.split(['=', ',']).next().unwrap().to_owned();
        settings
            .insert(flag, Setting { variable, default: bracketed("default").unwrap_or_default() });
    }
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_listed_with_its_options() {
    let helps = helps().await;
    let settings: BTreeSet<_> = settings(&helps[""]).into_keys().collect();
    let page = text("deploy/docs/commands.md");
    let (commands, options) = page.split_once("\n## Options\n").unwrap();
    let listed: BTreeSet<_> = rows(commands)
        .iter()
        .filter_map(|row| {
            row[0].strip_prefix("`log-ingestd ")?.split([' ', '`']).next().map(str::to_owned)
        })
        .collect();
    assert_eq!(listed, COMMANDS.map(str::to_owned).into());

    // Of each command; a row without one goes on with those of the row before.
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut of = Vec::new();
    for row in rows(options).iter().filter(|row| row[1].starts_with("`--")) {
        if !row[0].is_empty() {
            of = quoted(&row[0]).map(str::to_owned).collect();
        }
        for command in &of {
            described.entry(command.clone()).or_default().extend(names(&row[1], "--"));
        }
    }
    let queries = names(&text("deploy/docs/queries.md"), "--");
    for command in COMMANDS {
        let own = helps[command].split("Common options:").next().unwrap();
        let own = own.split_once("Options:\n").map_or("", |(_, own)| own);
        let own = own.lines().map(|line| line.trim_start().trim_start_matches("-o, "));
        let own = own.filter(|line| line.starts_with("--"));
        let own: BTreeSet<_> = own
            .filter_map(|line| names(line.split(' ').next()?, "--").pop_first())
            .filter(|flag| !settings.contains(flag))
            .collect();
        let described = described.remove(command).unwrap_or_default();
        let invented: Vec<_> = described.difference(&own).collect();
        assert!(invented.is_empty(), "{command} does not have {invented:?}");
        let asks = matches!(command, "query" | "top");
        let silent = own.difference(&described).filter(|it| !asks || !queries.contains(*it));
        let silent: Vec<_> = silent.collect();
        assert!(silent.is_empty(), "no page explains {silent:?} of {command}");
    }
    assert!(described.is_empty(), "not commands: {described:?}");
}
