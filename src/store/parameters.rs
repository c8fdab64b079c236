//! The parameters of a PostgreSQL URL, after its `?`.
//!
//! As in libpq an unknown name is an error: it may be a misspelt `sslmode`. The driver would ignore
//! the name and log its value, which may be a secret.

/// Names that the driver supports, in addition to `options[NAME]`.
const SUPPORTED: [&str; 17] = [
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

/// Names of libpq that have no effect here. They are accepted, so that programs can share a URL.
const IGNORED: [&str; 15] = [
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

/// Names and values, in the URL's order.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// A message, which may quote a name and never a value.
    pub(super) fn read(query: &str) -> Result<Parameters, String> {
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in &all {
            check(name, value)?;
        }
        Ok(Parameters(all))
    }

    /// Returns the value of the last parameter with one of these names.
    pub(super) fn last(&self, names: &[&str]) -> Option<&str> {
        let mut found = self.0.iter().rev();
        found.find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
    }

    /// Returns a query with the supported parameters except the TLS mode, which is set separately.
    pub(super) fn for_driver(&self) -> String {
        let is_mode = |name: &str| matches!(name, "sslmode" | "ssl-mode");
        let supported = self.0.iter().filter(|(name, _)| is_supported(name) && !is_mode(name));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(supported).finish()
    }
}

fn is_supported(name: &str) -> bool {
    SUPPORTED.contains(&name) || (name.starts_with("options[") && name.ends_with(']'))
}

fn check(name: &str, value: &str) -> Result<(), String> {
    match (name, value) {
        ("sslpassword", _) => {
            let why = "sslpassword is not supported: write the key of sslkey without a passphrase \
                       (openssl pkey -in KEY -out NEW), readable by its owner only";
            Err(why.into())
        }
        ("channel_binding" | "gssencmode", "require") => Err(format!(
            "{name}=require is not supported: leave it out and use sslmode=verify-full"
        )),
        _ if is_supported(name) || IGNORED.contains(&name) => Ok(()),
        _ if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) => {
            Err(format!("unknown parameter '{name}': expected one of {}", SUPPORTED.join(", ")))
        }
        // The name is not quoted: it may be part of a password with a `?`.
        _ => {
            let why = "its text after the ? has no valid parameters (write / ? # @ in a password \
                       as %2F %3F %23 %40)";
            Err(why.into())
        }
    }
}
