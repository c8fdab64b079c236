//! Links within the repository: to files that are there, and to headings that are in them.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::{pages, root, text};

#[test]
fn each_link_leads_somewhere() {
    let mut dead = Vec::new();
    let mut followed = 0;
    let django = ["deploy/django/README.md", "deploy/django/MOVING.md"].map(str::to_owned);
    for page in pages().into_iter().chain(django) {
        let text = text(&page);
        for link in links(&text) {
            followed += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = match path {
                "" => PathBuf::from(&page),
                path => tidy(&Path::new(&page).parent().unwrap().join(path)),
            };
            if !root().join(&file).exists() {
                dead.push(format!("{page}: {link}: there is no {}", file.display()));
            } else if !anchor.is_empty() && !anchors(&file).contains(&anchor.to_owned()) {
                dead.push(format!("{page}: {link}: no such heading in {}", file.display()));
            }
        }
    }
    assert!(followed > 50, "only {followed} links were found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// What stands between `](` and `)`, without what lies elsewhere.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
        .filter(|link| !link.contains("://"))
}

/// `deploy/docs/../x` as `deploy/x`.
fn tidy(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut tidy, part| {
        match part {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
        tidy
    })
}

/// The names under which the headings of a page are linked to: small letters and digits, `-` for
/// spaces, a number after a name that was there before.
fn anchors(page: &Path) -> Vec<String> {
    let text = text(page.to_str().unwrap());
    let mut in_code = false;
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut anchors = Vec::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if in_code || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let name: String = title
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let count = seen.entry(name.clone()).or_default();
        anchors.push(if *count == 0 { name } else { format!("{name}-{count}") });
        *count += 1;
    }
    anchors
}
