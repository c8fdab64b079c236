//! TLS to PostgreSQL: its settings from the URL, the environment and libpq's default files.
//!
//! The driver implements TLS for its connections. It reads `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, and ignores
//! what it does not know. With a misspelt `PGSSLMODE` or a revocation list, connections would
//! silently have no TLS, or less of it. So all settings are read here first, with libpq's meaning,
//! and an unsupported one is an error.
//!
//! Files: this one (settings), [`client`] (TLS for the connections that commit), [`files`] (checks of the files before each connection), [`explain`]
//! (errors with the names of these files).

mod client;
mod explain;
mod files;

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::parameters::Parameters;

pub(crate) use client::AnyCertificate;

/// Directory of libpq's default files, below the home directory.
const DEFAULT_DIRECTORY: &str = ".postgresql";

/// The valid values of `sslmode`.
const MODES: &str = "disable, prefer, require, verify-ca or verify-full";

/// A file of PEM text and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pem {
    /// `sslcert`, `PGSSLCERT` and so on.
    setting: &'static str,
    path: PathBuf,
}

/// The TLS settings of one server.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    mode: PgSslMode,
    host: String,
    /// Certificates of authorities, in addition to the system's.
    root: Option<Pem>,
    /// The client's certificate and its key.
    identity: Option<(Pem, Pem)>,
}

/// A setting that names a file.
struct Setting {
    /// Its name in a URL.
    name: &'static str,
    /// Other names in a URL.
    aliases: [&'static str; 2],
    /// Its environment variable.
    variable: &'static str,
    /// Its default file.
    default: &'static str,
}

const ROOT: Setting = Setting {
    name: "sslrootcert",
    aliases: ["ssl-root-cert", "ssl-ca"],
    variable: "PGSSLROOTCERT",
    default: "root.crt",
};
const CERTIFICATE: Setting = Setting {
    name: "sslcert",
    aliases: ["ssl-cert", "ssl-cert"],
    variable: "PGSSLCERT",
    default: "postgresql.crt",
};
const KEY: Setting = Setting {
    name: "sslkey",
    aliases: ["ssl-key", "ssl-key"],
    variable: "PGSSLKEY",
    default: "postgresql.key",
};

/// The sources of settings: the URL's parameters, and a function that reads environment variables.
pub(super) struct Sources<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Sources<'_> {
    /// Returns a variable. As in libpq, an empty one counts as unset.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Returns the file of a setting; `None` if none is named and the default does not exist.
    fn pem(&self, setting: &Setting) -> Option<Pem> {
        let names = [setting.name, setting.aliases[0], setting.aliases[1]];
        if let Some(path) = self.parameters.last(&names) {
            return Some(Pem { setting: setting.name, path: path.into() });
        }
        if let Some(path) = self.variable(setting.variable) {
            return Some(Pem { setting: setting.variable, path: path.into() });
        }
        let path = Path::new(&self.variable("HOME")?).join(DEFAULT_DIRECTORY).join(setting.default);
        path.exists().then_some(Pem { setting: setting.name, path })
    }

    /// Refuses variables that would make a connection safer and are not supported. [`Parameters`]
    /// refuses those of a URL.
    fn refuse_unsupported(&self) -> Result<(), String> {
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

    /// Returns the mode; `None` if none is set.
    fn mode(&self) -> Result<Option<PgSslMode>, String> {
        let (from, mode) = match self.parameters.last(&["sslmode", "ssl-mode"]) {
            Some(mode) => ("sslmode", mode.to_owned()),
            None => match self.variable("PGSSLMODE") {
                Some(mode) => ("PGSSLMODE", mode),
                None => return Ok(None),
            },
        };
        let invalid = |_| format!("invalid {from} '{mode}': expected {MODES}");
        mode.parse().map(Some).map_err(invalid)
    }
}

impl Tls {
    /// Reads the settings, and returns the driver's options with the same settings.
    ///
    /// # Errors
    /// A message, if a setting is invalid or unsupported, or contradicts another.
    pub(super) fn from_sources(
        mut options: PgConnectOptions,
        sources: &Sources<'_>,
    ) -> Result<(PgConnectOptions, Tls), String> {
        sources.refuse_unsupported()?;
        let configured = sources.mode()?;
        let host = options.get_host().to_owned();
        if options.get_socket().is_some() || host.starts_with('/') {
            // PostgreSQL has no TLS on a Unix socket, which does not need it.
            let mode = PgSslMode::Disable;
            return Ok((options.ssl_mode(mode), Tls { mode, host, root: None, identity: None }));
        }
        let mut root = sources.pem(&ROOT);
        let mut mode = configured.unwrap_or(PgSslMode::Prefer);
        if root.as_ref().is_some_and(|root| root.path == Path::new("system")) {
            root = None;
            match configured {
                None => mode = PgSslMode::VerifyFull,
                Some(PgSslMode::VerifyFull) => {}
                Some(_) => {
                    return Err(
                        "sslrootcert=system needs sslmode=verify-full: a public authority signs \
                         certificates for any name that its customer owns"
                            .into(),
                    );
                }
            }
        }
        mode = match mode {
            // The driver treats `allow` as `disable`. `prefer` is safer and works with the same servers.
            PgSslMode::Allow => PgSslMode::Prefer,
            // As in libpq, a named authority is checked.
            PgSslMode::Require if root.is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        let identity = match (sources.pem(&CERTIFICATE), sources.pem(&KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => {
                // For an empty variable the driver would open a file without a name.
                for name in [CERTIFICATE.variable, KEY.variable] {
                    if (sources.variable)(name).is_some() {
                        return Err(format!("{name} is set and empty: unset it"));
                    }
                }
                None
            }
            (Some(one), None) => return Err(incomplete(&one, "sslkey")),
            (None, Some(one)) => return Err(incomplete(&one, "sslcert")),
        };
        options = options.ssl_mode(mode);
        options = match &root {
            Some(root) => options.ssl_root_cert(&root.path),
            None => options.ssl_root_cert_from_pem(Vec::new()), // only the system's authorities
        };
        if let Some((certificate, key)) = &identity {
            options = options.ssl_client_cert(&certificate.path).ssl_client_key(&key.path);
        }
        Ok((options, Tls { mode, host, root, identity }))
    }

    /// Returns whether a connection without TLS is an error.
    pub(super) fn is_required(&self) -> bool {
        !matches!(self.mode, PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer)
    }

    /// Returns whether the server's certificate is checked.
    fn verifies(&self) -> bool {
        matches!(self.mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
    }

    /// Returns the mode as written in a URL.
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

fn incomplete(one: &Pem, other: &str) -> String {
    let Pem { setting, path } = one;
    format!("{setting} is '{}' and there is no {other}: give both, or neither", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        parameters: &[(&str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<(PgConnectOptions, Tls), String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = Parameters(parameters.iter().map(own).collect());
        let variables: Vec<_> = variables.iter().map(own).collect();
        let variable = |name: &str| {
            variables.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone())
        };
        let options = PgConnectOptions::new_without_pgpass().host("db.example");
        Tls::from_sources(options, &Sources { parameters: &parameters, variable: &variable })
    }

    fn mode(parameters: &[(&str, &str)], variables: &[(&str, &str)]) -> &'static str {
        let (options, tls) = read(parameters, variables).unwrap();
        assert_eq!(format!("{:?}", options.get_ssl_mode()), format!("{:?}", tls.mode));
        tls.mode_name()
    }

    #[test]
    fn the_mode_comes_from_the_url_or_else_from_the_environment() {
        assert_eq!(mode(&[], &[]), "prefer");
        assert_eq!(mode(&[("sslmode", "allow")], &[]), "prefer");
        assert_eq!(mode(&[("sslmode", "disable")], &[("PGSSLMODE", "require")]), "disable");
        assert_eq!(mode(&[], &[("PGSSLMODE", "verify-full")]), "verify-full");
        assert_eq!(mode(&[], &[("PGSSLMODE", "")]), "prefer");
        let error = read(&[], &[("PGSSLMODE", "verify_full")]).unwrap_err();
        assert!(error.contains("invalid PGSSLMODE 'verify_full': expected disable"), "{error}");
    }

    #[test]
    fn a_named_authority_is_checked() {
        let authority = ("sslrootcert", "/ca.pem");
        assert_eq!(mode(&[("sslmode", "require"), authority], &[]), "verify-ca");
        let variables = [("PGSSLMODE", "require"), ("PGSSLROOTCERT", "/ca.pem")];
        assert_eq!(mode(&[], &variables), "verify-ca");
        assert_eq!(mode(&[("sslmode", "prefer"), authority], &[]), "prefer");
        let system = ("sslrootcert", "system");
        assert_eq!(mode(&[system], &[]), "verify-full");
        let error = read(&[system, ("sslmode", "require")], &[]).unwrap_err();
        assert!(error.contains("needs sslmode=verify-full"), "{error}");
    }

    #[test]
    fn the_default_files_are_those_of_libpq() {
        let home = tempfile::tempdir().unwrap();
        let usual = home.path().join(DEFAULT_DIRECTORY);
        std::fs::create_dir(&usual).unwrap();
        for name in ["root.crt", "postgresql.crt", "postgresql.key"] {
            std::fs::write(usual.join(name), "").unwrap();
        }
        let home = home.path().to_str().unwrap();
        let (_, tls) = read(&[("sslmode", "require")], &[("HOME", home)]).unwrap();
        assert_eq!(tls.mode_name(), "verify-ca");
        assert_eq!(tls.root.unwrap().path, usual.join("root.crt"));
        let (certificate, key) = tls.identity.unwrap();
        assert_eq!(certificate.path, usual.join("postgresql.crt"));
        assert_eq!(key.path, usual.join("postgresql.key"));
        let (_, tls) = read(&[("sslrootcert", "/ca.pem")], &[("HOME", home)]).unwrap();
        assert_eq!(tls.root, Some(Pem { setting: "sslrootcert", path: "/ca.pem".into() }));
    }

    #[test]
    fn a_unix_socket_needs_no_tls() {
        let parameters = Parameters::read("sslmode=verify-full").unwrap();
        let none = Sources { parameters: &parameters, variable: &|_| None };
        for options in [
            PgConnectOptions::new_without_pgpass().socket("/run/postgresql"),
            PgConnectOptions::new_without_pgpass().host("/run/postgresql"),
        ] {
            let (_, tls) = Tls::from_sources(options, &none).unwrap();
            assert_eq!(tls.mode_name(), "disable");
        }
    }

    #[test]
    fn unsupported_settings_are_refused_by_name() {
        for (parameters, variables, words) in [
            (&[][..], &[("PGSSLCRL", "/crl.pem")][..], "PGSSLCRL is '/crl.pem'"),
            (&[], &[("PGSSLCERT", "")], "PGSSLCERT is set and empty: unset it"),
            (&[], &[("PGCHANNELBINDING", "require")], "unset it"),
            (&[("sslcert", "/me.crt")], &[], "sslcert is '/me.crt' and there is no sslkey"),
            (&[], &[("PGSSLKEY", "/me.key")], "PGSSLKEY is '/me.key' and there is no sslcert"),
        ] {
            let error = read(parameters, variables).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for (query, words) in [
            ("sslcrl=/crl.pem", "unknown parameter 'sslcrl'"),
            ("sslmod=s3cret", "unknown parameter 'sslmod'"),
            ("sslpassword=s3cret", "without a passphrase"),
            ("channel_binding=require", "use sslmode=verify-full"),
            ("s3cret@db/name", "write / ? # @ in a password"),
        ] {
            let error = Parameters::read(query).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let taken = "channel_binding=prefer&connect_timeout=5&options[jit]=off&sslmode=require#x";
        let taken = Parameters::read(taken).unwrap().for_driver();
        assert_eq!(taken, "options%5Bjit%5D=off");
    }
}
