//! The auth file: who may ask, line by line.
//!
//! ```text
//! # people: name:hash
//! jo:$argon2id$v=19$m=19456,t=2,p=1$…$…
//! # programs: token:name:hash
//! token:prometheus:$argon2id$v=19$m=19456,t=2,p=1$…$…
//! ```

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use argon2::password_hash::phc::PasswordHash;

/// Each token that there is, is tried.
const MOST_TOKENS: usize = 16;

/// Those who may ask, with the hashes of their secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    entries: Vec<(SecretKind, String, String)>,
    /// Whether every user of this machine can read the file.
    pub readable_by_all: bool,
}

/// The kind of a secret in the auth file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// A person's password, sent with a user name (HTTP Basic).
    Password,
    /// A program's token, sent alone (HTTP Bearer).
    Token,
}

impl SecretKind {
    /// Returns the prefix of a line of this kind.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Password => "",
            Self::Token => "token:",
        }
    }
}

/// An auth file that cannot be used. No message holds a hash.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// It cannot be read.
    #[error("cannot read the auth file '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("the auth file is not valid: line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// Nobody could get in.
    #[error("the auth file names nobody; `log-ingestd hash-password NAME` makes a line for it")]
    Empty,
}

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    /// [`AuthFileError`].
    pub fn read(path: &Path) -> Result<Self, AuthFileError> {
        let unreadable = |source| AuthFileError::Unreadable { path: path.to_path_buf(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
        Ok(Self { readable_by_all: mode & 0o004 != 0, ..text.parse()? })
    }

    pub(super) fn people(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(SecretKind::Password)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of(SecretKind::Token)
    }

    fn of(&self, wanted: SecretKind) -> impl Iterator<Item = (&str, &str)> {
        let theirs = self.entries.iter().filter(move |(holder, ..)| *holder == wanted);
        theirs.map(|(_, name, hash)| (name.as_str(), hash.as_str()))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|(_, name, _)| name.as_str()).collect();
        f.debug_struct("Credentials").field("names", &names).finish_non_exhaustive()
    }
}

impl FromStr for Credentials {
    type Err = AuthFileError;

    fn from_str(text: &str) -> Result<Self, AuthFileError> {
        let mut all = Self { entries: Vec::new(), readable_by_all: false };
        for (nth, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = entry(line).and_then(|entry| match entry {
                (SecretKind::Password, ..) if all.people().any(|(name, _)| name == entry.1) => {
                    Err("this name was there before")
                }
                (SecretKind::Token, ..) if all.tokens().count() >= MOST_TOKENS => {
                    Err("there may be 16 tokens, not more")
                }
                entry => Ok(entry),
            });
            all.entries.push(entry.map_err(|why| AuthFileError::Line { line: nth + 1, why })?);
        }
        if all.entries.is_empty() { Err(AuthFileError::Empty) } else { Ok(all) }
    }
}

fn entry(line: &str) -> Result<(SecretKind, String, String), &'static str> {
    let (holder, rest) = match line.strip_prefix(SecretKind::Token.prefix()) {
        Some(rest) => (SecretKind::Token, rest),
        None => (SecretKind::Password, line),
    };
    let (name, hash) = rest.split_once(':').ok_or("expected name:hash or token:name:hash")?;
    if !is_name(name) {
        return Err("expected a name before the hash");
    }
    // The parameters are read when they are used; what cannot be used should be known now.
    let read = PasswordHash::new(hash).ok().filter(|read| read.hash.is_some());
    let usable = read.is_some_and(|read| {
        read.algorithm.as_str().starts_with("argon2") && argon2::Params::try_from(&read).is_ok()
    });
    if !usable {
        return Err(
            "expected an Argon2 hash such as $argon2id$v=19$…; `log-ingestd hash-password NAME` \
             makes one",
        );
    }
    Ok((holder, name.to_owned(), hash.to_owned()))
}

/// Whether a line with this name can be read back as it was meant.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != "token"
        && name.trim() == name
        && !name.starts_with('#')
        && !name.contains(|c: char| c == ':' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$\
                        MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

    #[test]
    fn comments_and_blank_lines_are_passed_over() {
        let text = format!("# who\n\n jo:{HASH}\r\ntoken:ci:{HASH}\n");
        let all: Credentials = text.parse().unwrap();
        assert_eq!(all.people().collect::<Vec<_>>(), [("jo", HASH)]);
        assert_eq!(all.tokens().collect::<Vec<_>>(), [("ci", HASH)]);
        assert!(!format!("{all:?}").contains("argon2"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_shown() {
        for (line, part) in [
            ("jo", "expected name:hash"),
            ("jo:secret", "expected an Argon2 hash"),
            (":$argon2id$", "expected a name"),
            ("token:$argon2id$v=19", "expected name:hash"),
            ("jo:$2b$12$secretsecretsecretsecre", "expected an Argon2 hash"),
            (
                "jo:$argon2id$v=19$m=1,t=0,p=1$c29tZXNhbHQ$c2VjcmV0c2VjcmV0",
                "expected an Argon2 hash",
            ),
            (&format!("jo:{HASH}\njo:{HASH}"), "line 3: this name was there before"),
        ] {
            let error =
                format!("# first\n{line}\n").parse::<Credentials>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("line "), "{line}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(matches!("# nobody\n".parse::<Credentials>(), Err(AuthFileError::Empty)));
    }
}
