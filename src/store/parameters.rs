//! What stands behind the `?` of a PostgreSQL URL.
//!
//! As in libpq a name that nobody knows is refused: it may be `sslmode`, misspelt. The driver would
//! pass over it, and write its value, which may be a secret, into the log.

/// Those that the driver keeps; besides, `options[NAME]`.
const KEPT: [&str; 17] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Those that libpq knows and that mean nothing here, so that a URL which others use too is taken.
const PASSED_OVER: [&str; 15] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "statement-cache-capacity",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// Names and values, in their order.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// Of a URL's query.
    ///
    /// # Errors
    ///
    /// A sentence that quotes a name, never a value.
    pub(super) fn read(query: &str) -> Result<Parameters, String> {
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in &all {
            refuse(name, value)?;
        }
        Ok(Parameters(all))
    }

    /// The value of the last one with one of these names.
    pub(super) fn last(&self, names: &[&str]) -> Option<&str> {
        let mut found = self.0.iter().rev();
        found.find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    }

    /// A query of those that the driver keeps. It is told the mode apart, when that is known.
    pub(super) fn for_driver(&self) -> String {
        let mode = |name: &str| matches!(name, "sslmode" | "ssl-mode");
        let kept = self.0.iter().filter(|(name, _)| is_kept(name) && !mode(name));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish()
    }
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
}

fn refuse(name: &str, value: &str) -> Result<(), String> {
    match (name, value) {
        ("sslpassword", _) => {
            Err("sslpassword is not supported: write the key of sslkey without a \
                                   passphrase (openssl pkey -in KEY -out NEW), readable by its \
                                   owner only"
                .into())
        }
        ("channel_binding" | "gssencmode", "require") => Err(format!(
            "{name}=require is not supported: leave it out and use sslmode=verify-full"
        )),
        _ if is_kept(name) || PASSED_OVER.contains(&name) => Ok(()),
        _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) => Err(
            format!("'{name}' is no parameter that is known here: there are {}", KEPT.join(", ")),
        ),
        // It may be a part of a password that holds a `?`.
        _ => {
            Err("behind its ? stands something else than parameters (write / ? # @ in a password \
                  as %2F %3F %23 %40)"
                .into())
        }
    }
}
