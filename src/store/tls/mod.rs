//! TLS to PostgreSQL: what is asked for, by URL, environment or libpq's usual files.
//!
//! The driver speaks TLS. It reads `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, and passes over
//! what it does not know: a mode of `PGSSLMODE` that is misspelt, or a revocation list, would silently
//! be no TLS, or less of it. So all of it is read here first, in libpq's sense, and what cannot be kept
//! is refused. The files are looked at before each connection ([`files`]), and what goes wrong is told
//! with their names ([`told`]).

mod files;
mod told;

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::parameters::Parameters;

/// Where libpq looks for files that nobody names, below the home directory.
const USUAL: &str = ".postgresql";

/// What people may write for `sslmode`.
const MODES: &str = "disable, prefer, require, verify-ca or verify-full";

/// A file of PEM text and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pem {
    /// `sslcert`, `PGSSLCERT` and so on.
    setting: &'static str,
    path: PathBuf,
}

/// What a connection to one server does about TLS.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    mode: PgSslMode,
    host: String,
    /// Authorities besides the system's.
    root: Option<Pem>,
    /// The client's certificate and its key.
    identity: Option<(Pem, Pem)>,
}

/// Of a setting: its name in a URL, its other names there, its variable, its usual file.
struct Setting {
    name: &'static str,
    others: [&'static str; 2],
    variable: &'static str,
    usual: &'static str,
}

const ROOT: Setting = Setting {
    name: "sslrootcert",
    others: ["ssl-root-cert", "ssl-ca"],
    variable: "PGSSLROOTCERT",
    usual: "root.crt",
};
const CERTIFICATE: Setting = Setting {
    name: "sslcert",
    others: ["ssl-cert", "ssl-cert"],
    variable: "PGSSLCERT",
    usual: "postgresql.crt",
};
const KEY: Setting = Setting {
    name: "sslkey",
    others: ["ssl-key", "ssl-key"],
    variable: "PGSSLKEY",
    usual: "postgresql.key",
};

/// Where a setting comes from: the URL's parameters, the environment, the home directory.
pub(super) struct Sources<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Sources<'_> {
    /// As in libpq an empty variable is one that is not set.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn pem(&self, setting: &Setting) -> Option<Pem> {
        let names = [setting.name, setting.others[0], setting.others[1]];
        if let Some(path) = self.parameters.last(&names) {
            return Some(Pem { setting: setting.name, path: path.into() });
        }
        if let Some(path) = self.variable(setting.variable) {
            return Some(Pem { setting: setting.variable, path: path.into() });
        }
        let path = Path::new(&self.variable("HOME")?).join(USUAL).join(setting.usual);
        path.exists().then_some(Pem { setting: setting.name, path })
    }

    /// What would make a connection safer, and is not done here; of a URL [`Parameters`] refuses it.
    fn refuse_what_is_not_kept(&self) -> Result<(), String> {
        for name in ["PGSSLCRL", "PGSSLCRLDIR"] {
            if let Some(value) = self.variable(name) {
                return Err(format!(
                    "revocation lists are not supported, and {name} is '{value}': unset it"
                ));
            }
        }
        if self.variable("PGCHANNELBINDING").as_deref() == Some("require") {
            return Err("PGCHANNELBINDING=require is not supported: unset it and use \
                        sslmode=verify-full"
                .into());
        }
        Ok(())
    }

    /// The mode, if one is asked for.
    fn mode(&self) -> Result<Option<PgSslMode>, String> {
        let (from, mode) = match self.parameters.last(&["sslmode", "ssl-mode"]) {
            Some(mode) => ("sslmode", mode.to_owned()),
            None => match self.variable("PGSSLMODE") {
                Some(mode) => ("PGSSLMODE", mode),
                None => return Ok(None),
            },
        };
        let refused = |_| format!("{from} is '{mode}', expected {MODES}");
        mode.parse().map(Some).map_err(refused)
    }
}

impl Tls {
    /// Reads what is asked for; gives the options with the same said to the driver.
    ///
    /// # Errors
    ///
    /// A sentence, when what is asked for cannot be kept or does not go together.
    pub(super) fn of(
        mut options: PgConnectOptions,
        sources: &Sources<'_>,
    ) -> Result<(PgConnectOptions, Tls), String> {
        sources.refuse_what_is_not_kept()?;
        let asked = sources.mode()?;
        let host = options.get_host().to_owned();
        if options.get_socket().is_some() || host.starts_with('/') {
            // A socket in the file system needs none, and PostgreSQL has none for it.
            let mode = PgSslMode::Disable;
            return Ok((options.ssl_mode(mode), Tls { mode, host, root: None, identity: None }));
        }
        let mut root = sources.pem(&ROOT);
        let mut mode = asked.unwrap_or(PgSslMode::Prefer);
        if root.as_ref().is_some_and(|root| root.path == Path::new("system")) {
            root = None;
            match asked {
                None => mode = PgSslMode::VerifyFull,
                Some(PgSslMode::VerifyFull) => {}
                Some(_) => {
                    return Err(
                        "sslrootcert=system needs sslmode=verify-full: anybody can have a \
                                certificate of a public authority for another name"
                            .into(),
                    );
                }
            }
        }
        mode = match mode {
            // The driver would take it for `disable`. This is safer, and suits the same servers.
            PgSslMode::Allow => PgSslMode::Prefer,
            // Whoever names an authority wants it asked: so it is in libpq.
            PgSslMode::Require if root.is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        let identity = match (sources.pem(&CERTIFICATE), sources.pem(&KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => {
                // The driver would look for a file without a name.
                for name in [CERTIFICATE.variable, KEY.variable] {
                    if (sources.variable)(name).is_some() {
                        return Err(format!("{name} is set and empty: unset it"));
                    }
                }
                None
            }
            (Some(one), None) => return Err(alone(&one, "sslkey")),
            (None, Some(one)) => return Err(alone(&one, "sslcert")),
        };
        options = options.ssl_mode(mode);
        options = match &root {
            Some(root) => options.ssl_root_cert(&root.path),
            None => options.ssl_root_cert_from_pem(Vec::new()), // the system's alone
        };
        if let Some((certificate, key)) = &identity {
            options = options.ssl_client_cert(&certificate.path).ssl_client_key(&key.path);
        }
        Ok((options, Tls { mode, host, root, identity }))
    }

    /// Whether a connection without TLS is an error.
    fn is_required(&self) -> bool {
        !matches!(self.mode, PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer)
    }

    /// Whether the server's certificate is held against authorities.
    fn verifies(&self) -> bool {
        matches!(self.mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
    }

    /// As in a URL.
    fn mode_name(&self) -> &'static str {
        match self.mode {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        }
    }
}

fn alone(one: &Pem, other: &str) -> String {
    let Pem { setting, path } = one;
    format!("{setting} is '{}' and there is no {other}: give both, or neither", path.display())
}

#[cfg(test)]
mod tests;
