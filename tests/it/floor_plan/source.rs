//! Rust source with its comments and string literals taken apart: enough to know what is code.

/// One file's source.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The code: comments are gone, literals are empty, lines are where they were.
    pub(crate) code: String,
    /// Line number and text of each string literal.
    pub(crate) literals: Vec<(usize, String)>,
}

impl Source {
    pub(crate) fn of(text: &str) -> Self {
        let mut source = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                block_comment(rest)
            } else if let Some((length, literal)) = string(rest, source.code.chars().next_back()) {
                source.literals.push((source.line(), literal.to_owned()));
                source.code.push_str("\"\"");
                length
            } else if let Some(length) = character(rest) {
                length
            } else {
                source.code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            };
            let newlines = rest[..taken].matches('\n').count();
            source.code.extend(std::iter::repeat_n('\n', newlines));
            rest = &rest[taken..];
        }
        source
    }

    fn line(&self) -> usize {
        self.code.matches('\n').count() + 1
    }

    /// Line and name of each folder in `crate::folder…`, `crate::{folder…, folder…}` and, for the binary,
    /// `log_ingestd::folder…`.
    pub(super) fn folders_named(&self) -> Vec<(usize, String)> {
        let mut folders = Vec::new();
        for root in ["crate::", "log_ingestd::"] {
            for (at, _) in self.code.match_indices(root) {
                let line = self.code[..at].matches('\n').count() + 1;
                let path = self.code[at + root.len()..].trim_start();
                folders.extend(heads(path).into_iter().map(|folder| (line, folder)));
            }
        }
        folders
    }

    /// Line and length of each chain `super::super::…`, less the inline modules around it: how far
    /// it climbs above its file.
    pub(super) fn climbs(&self) -> Vec<(usize, usize)> {
        let mut climbs = Vec::new();
        let mut open_braces: Vec<bool> = Vec::new(); // whether each is a module's
        let mut at = 0;
        while let Some(letter) = self.code[at..].chars().next() {
            let (before, rest) = self.code.split_at(at);
            match letter {
                '{' => open_braces.push(is_module(before)),
                '}' => drop(open_braces.pop()),
                's' if rest.starts_with("super::") => {
                    let after = rest.trim_start_matches("super::");
                    let climbed = (rest.len() - after.len()) / "super::".len();
                    let inline = open_braces.iter().filter(|module| **module).count();
                    climbs.push((before.matches('\n').count() + 1, climbed.saturating_sub(inline)));
                    at += rest.len() - after.len();
                    continue;
                }
                _ => {}
            }
            at += letter.len_utf8();
        }
        climbs
    }

    /// Whether `name` begins a path on this line: `name::…`, `use name;`.
    pub(super) fn is_path(&self, line: usize, name: &str) -> bool {
        let Some(text) = self.code.lines().nth(line - 1) else { return false };
        text.contains(&format!("{name}::")) || text.contains(&format!("use {name};"))
    }
}

/// Words of the code with their lines.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    code.lines()
        .enumerate()
        .flat_map(move |(nth, line)| line.split(word).map(move |word| (nth + 1, word)))
        .filter(|(_, word)| !word.is_empty())
}

/// The first name of a path, or of each path in `{…}`.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Whether what stands before a brace is `mod name`.
fn is_module(before: &str) -> bool {
    let mut words = before.split_whitespace().rev();
    let _name = words.next();
    words.next() == Some("mod")
}

/// Length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length and content of the string literal that `text` begins with; `before` is the letter before
/// it, since `r` and `b` begin a literal only at the beginning of a word.
fn string(text: &str, before: Option<char>) -> Option<(usize, &str)> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = text.len() - text.trim_start_matches(['b', 'r', 'c']).len();
    if prefix > 2 || (prefix > 0 && in_word) {
        return None;
    }
    let after = &text[prefix..];
    if text[..prefix].contains('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = after[hashes..].strip_prefix('"')?;
        let end = body.find(&format!("\"{}", "#".repeat(hashes)))?;
        return Some((prefix + 2 * hashes + 2 + end, &body[..end]));
    }
    let body = after.strip_prefix('"')?;
    let mut escaped = false;
    for (at, letter) in body.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((prefix + at + 2, &body[..at])),
            _ => {}
        }
    }
    None
}

/// Length of the character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let mut letters = body.char_indices();
    let (_, first) = letters.next()?;
    if first == '\\' {
        let (_, _) = letters.next()?; // what is escaped, which may be a quote
        return letters.find(|(_, letter)| *letter == '\'').map(|(at, _)| at + 2);
    }
    let (at, second) = letters.next()?;
    (second == '\'').then_some(at + 2)
}
