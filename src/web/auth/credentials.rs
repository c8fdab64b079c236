//! The auth file, and the check of a password or token against it.
//!
//! The file has one line for each secret:
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

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64ct::{Base64, Encoding};

use crate::source::open::read_text_of_settings;

/// Most tokens in the file. A request with a token is checked against all of them.
const MAX_TOKENS: usize = 16;

/// The people and programs that may use the page, with the hashes of their secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    entries: Vec<Entry>,
    /// Whether every user of this machine can read the file.
    pub readable_by_all: bool,
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    kind: SecretKind,
    name: String,
    hash: String,
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

/// An error of the auth file. No message contains a hash.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// The file cannot be read.
    #[error("cannot read the auth file '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line is not valid.
    #[error("the auth file is not valid: line {line}: {why}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong, or what was expected.
        why: &'static str,
    },
    /// The file has no entry, so that every request would be refused.
    #[error("the auth file has no entry; `log-ingestd hash-password NAME` makes a line for it")]
    Empty,
}

impl Credentials {
    /// Reads the file.
    ///
    /// # Errors
    /// [`AuthFileError`].
    pub fn read(path: &Path) -> Result<Self, AuthFileError> {
        let unreadable = |source| AuthFileError::Unreadable { path: path.to_path_buf(), source };
        let (text, metadata) = read_text_of_settings(path).map_err(unreadable)?;
        let mode = metadata.permissions().mode();
        Ok(Self { readable_by_all: mode & 0o004 != 0, ..text.parse()? })
    }

    /// Returns the name and the hash of each entry of a kind.
    fn of(&self, kind: SecretKind) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.entries.iter().filter(move |entry| entry.kind == kind);
        entries.map(|entry| (entry.name.as_str(), entry.hash.as_str()))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the hashes: a log must not contain them.
        let names: Vec<&str> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
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
            let entry = entry(line).and_then(|entry| match entry.kind {
                SecretKind::Password
                    if all.of(SecretKind::Password).any(|(name, _)| name == entry.name) =>
                {
                    Err("an earlier line has the same name")
                }
                SecretKind::Token if all.of(SecretKind::Token).count() >= MAX_TOKENS => {
                    Err("more than 16 tokens")
                }
                _ => Ok(entry),
            });
            all.entries.push(entry.map_err(|why| AuthFileError::Line { line: nth + 1, why })?);
        }
        if all.entries.is_empty() { Err(AuthFileError::Empty) } else { Ok(all) }
    }
}

/// Reads one line.
fn entry(line: &str) -> Result<Entry, &'static str> {
    let (kind, pair) = match line.strip_prefix(SecretKind::Token.prefix()) {
        Some(pair) => (SecretKind::Token, pair),
        None => (SecretKind::Password, line),
    };
    let (name, hash) = pair.split_once(':').ok_or("expected name:hash or token:name:hash")?;
    if !is_name(name) {
        return Err("expected a name before the hash");
    }
    // The library reads the parameters at the first check. An error must show at the start.
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
    Ok(Entry { kind, name: name.to_owned(), hash: hash.to_owned() })
}

/// Returns whether a line with this name is read back with the same name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != "token"
        && name.trim() == name
        && !name.starts_with('#')
        && !name.contains(|c: char| c == ':' || c.is_control())
}

/// The secret that a request presents.
#[derive(Debug)]
pub(super) enum Claim {
    Password { name: String, password: String },
    Token(String),
}

impl Claim {
    /// Reads an Authorization header. Returns `None` for an unknown scheme or an unreadable value.
    pub(super) fn from_header(header: &str) -> Option<Self> {
        let (scheme, value) = header.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(value.trim().to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(Base64::decode_vec(value.trim()).ok()?).ok()?;
        let (name, password) = pair.split_once(':')?;
        Some(Self::Password { name: name.to_owned(), password: password.to_owned() })
    }

    /// Returns whether the client may be a browser, which keeps cookies.
    pub(super) fn is_password(&self) -> bool {
        matches!(self, Self::Password { .. })
    }
}

impl Credentials {
    /// Returns whether the claim is right. Takes the time of a hash, tens of milliseconds: once for
    /// a password, and once for each token of the file for a token.
    pub(super) fn accept(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Password { name, password } => {
                let known = self.of(SecretKind::Password).find(|(person, _)| person == name);
                // An unknown name takes as long as a known one: the time must not reveal names.
                let any = self.of(SecretKind::Password).next();
                let right = known.or(any).is_some_and(|(_, hash)| matches(password, hash));
                right && known.is_some()
            }
            Claim::Token(token) => self
                .of(SecretKind::Token)
                .fold(false, |found, (_, hash)| found | matches(token, hash)),
        }
    }
}

fn matches(secret: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

/// Why no line of an auth file can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The name is not valid in the file.
    #[error(
        "invalid name: the name may not be empty, be 'token', begin with # or contain a colon, a space \
         at either end or a control character"
    )]
    Name,
    /// The secret is empty, which is as good as none.
    #[error("the password is empty")]
    Empty,
    /// The system has no random salt, or no memory.
    #[error("cannot hash the password: the system provides no random numbers")]
    System,
}

/// Returns the auth file's line for a person's password or for a token: Argon2id with a random salt.
///
/// # Errors
/// [`HashError`].
pub fn auth_line(kind: SecretKind, name: &str, secret: &str) -> Result<String, HashError> {
    if !is_name(name) {
        return Err(HashError::Name);
    }
    if secret.is_empty() {
        return Err(HashError::Empty);
    }
    let hash = Argon2::default().hash_password(secret.as_bytes()).map_err(|_| HashError::System)?;
    Ok(format!("{}{name}:{hash}", kind.prefix()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$\
                        MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        let text = format!("# who\n\n jo:{HASH}\r\ntoken:ci:{HASH}\n");
        let all: Credentials = text.parse().unwrap();
        assert_eq!(all.of(SecretKind::Password).collect::<Vec<_>>(), [("jo", HASH)]);
        assert_eq!(all.of(SecretKind::Token).collect::<Vec<_>>(), [("ci", HASH)]);
        assert!(!format!("{all:?}").contains("argon2"));
    }

    #[test]
    fn an_error_names_its_line_and_shows_no_secret() {
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
            (&format!("jo:{HASH}\njo:{HASH}"), "line 3: an earlier line has the same name"),
        ] {
            let error =
                format!("# first\n{line}\n").parse::<Credentials>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("line "), "{line}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(matches!("# no entry\n".parse::<Credentials>(), Err(AuthFileError::Empty)));
    }

    fn basic(pair: &str) -> Option<Claim> {
        Claim::from_header(&format!("Basic {}", Base64::encode_string(pair.as_bytes())))
    }

    #[test]
    fn only_the_right_secret_is_accepted() {
        let jo = auth_line(SecretKind::Password, "jo", "pa:ss wörd").unwrap();
        let token = auth_line(SecretKind::Token, "prometheus", "t0ken").unwrap();
        let all: Credentials = format!("{jo}\n{token}\n").parse().unwrap();
        let accepts = |claim: Option<Claim>| claim.is_some_and(|claim| all.accept(&claim));
        assert!(accepts(basic("jo:pa:ss wörd")));
        assert!(accepts(Claim::from_header("bearer t0ken")));
        for pair in
            ["jo:", "jo:wrong", "al:pa:ss wörd", "prometheus:t0ken", "token:t0ken", ":", "jo"]
        {
            assert!(!accepts(basic(pair)), "{pair}");
        }
        for header in
            ["", "Basic", "Basic !", "Bearer ", "Bearer pa:ss wörd", "Digest x", "Basic /w=="]
        {
            assert!(!accepts(Claim::from_header(header)), "{header}");
        }
    }

    #[test]
    fn no_line_is_made_that_cannot_be_read_back() {
        for name in ["", "token", "#jo", "a:b", " jo", "jo\n"] {
            let line = auth_line(SecretKind::Password, name, "x");
            assert_eq!(line, Err(HashError::Name), "{name:?}");
        }
        assert_eq!(auth_line(SecretKind::Password, "jo", ""), Err(HashError::Empty));
    }

    #[test]
    fn no_header_and_no_auth_file_makes_them_panic() {
        use crate::model::fuzz::{each_input, text};

        each_input("authorization and auth files", 2, |rng| {
            let (name, password) = (text(rng), text(rng));
            let scheme = ["Basic ", "basic  ", "Bearer ", "Basic", "", " Basic "][rng.usize(..6)];
            let value = match rng.u8(..3) {
                0 => text(rng),
                1 => format!("{name}:{password}"),
                _ => Base64::encode_string(format!("{name}:{password}").as_bytes()),
            };
            if let Some(Claim::Password { name, password }) =
                Claim::from_header(&format!("{scheme}{value}"))
            {
                let sent = format!("{name}:{password}");
                assert!(!name.contains(':') && sent.len() < value.len(), "{value:?}");
            }
            let lines = [text(rng), format!("{name}:{HASH}"), format!("{name}:{}", text(rng))];
            let count = rng.usize(..4);
            let file: String = lines.iter().take(count).map(|line| format!("{line}\n")).collect();
            if let Err(error) = file.parse::<Credentials>() {
                assert!(error.to_string().len() < 300, "{error}");
            }
        });
    }
}
