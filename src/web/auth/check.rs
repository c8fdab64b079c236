//! Passwords and tokens against their hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64ct::{Base64, Encoding};

use super::file::{Credentials, SecretKind, is_name};

/// What somebody says who they are.
#[derive(Debug)]
pub(super) enum Claim {
    Person { name: String, password: String },
    Token(String),
}

impl Claim {
    /// Reads an Authorization header; `None` if it is of no kind that is known here.
    pub(super) fn of(header: &str) -> Option<Self> {
        let (scheme, value) = header.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Token(value.trim().to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(Base64::decode_vec(value.trim()).ok()?).ok()?;
        let (name, password) = pair.split_once(':')?;
        Some(Self::Person { name: name.to_owned(), password: password.to_owned() })
    }

    /// Whether a browser may have sent it, which keeps cookies.
    pub(super) fn is_a_persons(&self) -> bool {
        matches!(self, Self::Person { .. })
    }
}

impl Credentials {
    /// Whether the claim is right. Takes as long as a hash takes: tens of milliseconds for a
    /// person, the same for each token that there is.
    pub(super) fn accept(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Person { name, password } => {
                let known = self.people().find(|(holder, _)| holder == name);
                // A name that is not there takes as long as one that is, so that nobody finds out.
                let any = self.people().next();
                let right = known.or(any).is_some_and(|(_, hash)| matches(password, hash));
                right && known.is_some()
            }
            Claim::Token(token) => {
                self.tokens().fold(false, |found, (_, hash)| found | matches(token, hash))
            }
        }
    }
}

fn matches(secret: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
}

/// A line of an auth file that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The name cannot stand in the file.
    #[error(
        "the name may not be empty, 'token', begin with #, or hold a colon, a space at either end \
         or a control character"
    )]
    Name,
    /// An empty password would be none.
    #[error("the password is empty")]
    Empty,
    /// No random salt, or no memory.
    #[error("the password could not be hashed: the system gives no random numbers")]
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

    fn basic(pair: &str) -> Option<Claim> {
        Claim::of(&format!("Basic {}", Base64::encode_string(pair.as_bytes())))
    }

    #[test]
    fn right_is_right_and_everything_else_is_wrong() {
        let jo = auth_line(SecretKind::Password, "jo", "pa:ss wörd").unwrap();
        let token = auth_line(SecretKind::Token, "prometheus", "t0ken").unwrap();
        let all: Credentials = format!("{jo}\n{token}\n").parse().unwrap();
        let accepts = |claim: Option<Claim>| claim.is_some_and(|claim| all.accept(&claim));
        assert!(accepts(basic("jo:pa:ss wörd")));
        assert!(accepts(Claim::of("bearer t0ken")));
        for pair in
            ["jo:", "jo:wrong", "al:pa:ss wörd", "prometheus:t0ken", "token:t0ken", ":", "jo"]
        {
            assert!(!accepts(basic(pair)), "{pair}");
        }
        for header in
            ["", "Basic", "Basic !", "Bearer ", "Bearer pa:ss wörd", "Digest x", "Basic /w=="]
        {
            assert!(!accepts(Claim::of(header)), "{header}");
        }
    }

    #[test]
    fn a_line_that_could_not_be_read_back_is_not_made() {
        for name in ["", "token", "#jo", "a:b", " jo", "jo\n"] {
            let line = auth_line(SecretKind::Password, name, "x");
            assert_eq!(line, Err(HashError::Name), "{name:?}");
        }
        assert_eq!(auth_line(SecretKind::Password, "jo", ""), Err(HashError::Empty));
    }
}
