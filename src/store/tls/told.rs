//! What goes wrong with TLS, for people: which name, which file, and what would be right.

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::Tls;

impl Tls {
    /// What a fault of a connection that was being made means, if it is about TLS and waiting does
    /// not mend it.
    pub(in crate::store) fn explain(&self, error: &sqlx::Error) -> Option<String> {
        match error {
            sqlx::Error::Io(error) => self.of_rustls(error.get_ref()?.downcast_ref::<TlsError>()?),
            sqlx::Error::Tls(cause) => match cause.downcast_ref::<TlsError>() {
                Some(error) => self.of_rustls(error),
                None if cause.to_string().contains("does not support TLS") => Some(format!(
                    "the server has no TLS, and sslmode is {}: set ssl = on there, with \
                     ssl_cert_file and ssl_key_file",
                    self.mode_name()
                )),
                None => None,
            },
            sqlx::Error::Configuration(cause) => {
                let (certificate, key) = self.identity.as_ref()?;
                let (certificate, key) = (certificate.path.display(), key.path.display());
                Some(format!("cannot use '{certificate}' with its key '{key}': {cause}"))
            }
            sqlx::Error::Database(answer) => self.of_answer(&answer.code()?, answer.message()),
            _ => None,
        }
    }

    fn of_rustls(&self, error: &TlsError) -> Option<String> {
        match error {
            TlsError::InvalidCertificate(error) => Some(self.of_certificate(error)),
            TlsError::AlertReceived(alert) => Some(self.of_alert(*alert)),
            TlsError::InconsistentKeys(_) => {
                let (certificate, key) = self.identity.as_ref()?;
                Some(format!(
                    "the key '{}' is not that of the certificate '{}'",
                    key.path.display(),
                    certificate.path.display()
                ))
            }
            // A server that goes away during the handshake may come back.
            error => self.is_required().then(|| error.to_string()),
        }
    }

    /// The server's certificate is not one to trust.
    fn of_certificate(&self, error: &CertificateError) -> String {
        let host = &self.host;
        let of = format!("the certificate of the server '{host}'");
        match error {
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                format!(
                    "{of} names no host: it needs '{host}' as subjectAltName (the common name, CN, \
                     does not count)"
                )
            }
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "{of} is for {}, not for '{host}': connect to a name that it has, or have \
                 '{host}' added to its subjectAltName",
                names(presented)
            ),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => match &self.root {
                Some(root) => format!(
                    "{of} is not signed by an authority of {} '{}', nor by one that this system \
                     trusts: name the file with the certificate of the authority that signed it",
                    root.setting,
                    root.path.display()
                ),
                None => format!(
                    "{of} is not signed by an authority that this system trusts: name the file \
                     with the certificate of its authority as sslrootcert"
                ),
            },
            CertificateError::Expired => format!("{of} has expired: renew it on the server"),
            CertificateError::ExpiredContext { not_after, .. } => {
                format!("{of} has expired on {}: renew it on the server", day(not_after.as_secs()))
            }
            CertificateError::NotValidYet => {
                format!("{of} is not valid yet: look at the clocks here and there")
            }
            CertificateError::NotValidYetContext { not_before, .. } => format!(
                "{of} is not valid before {}: look at the clocks here and there",
                day(not_before.as_secs())
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                format!("{of} is not for servers: its extendedKeyUsage needs serverAuth")
            }
            error => {
                let why = format!("{error:?}");
                if why.contains("CaUsedAsEndEntity") {
                    format!("{of} is that of an authority (CA:TRUE): make one with CA:FALSE")
                } else if why.contains("UnsupportedCertVersion") {
                    format!("{of} is of an old version: make one of version 3, with subjectAltName")
                } else {
                    format!("{of} cannot be trusted: {error}")
                }
            }
        }
    }

    /// The server ended the handshake, most often because of the client's certificate.
    fn of_alert(&self, alert: AlertDescription) -> String {
        let Some((certificate, _)) = &self.identity else {
            return format!(
                "the server ended the TLS handshake ({alert:?}); if it wants a certificate of \
                 this client, name it as sslcert, and its key as sslkey"
            );
        };
        let (setting, path) = (certificate.setting, certificate.path.display());
        let right = match alert {
            AlertDescription::UnknownCA => {
                "it needs one that an authority of its ssl_ca_file signed"
            }
            AlertDescription::CertificateExpired => "it has expired: renew it",
            AlertDescription::CertificateRevoked => "it is revoked: ask for another",
            _ => "its log says why",
        };
        format!(
            "the server does not take the certificate of {setting} '{path}' ({alert:?}): {right}"
        )
    }

    /// PostgreSQL has let the connection through, and not the user.
    fn of_answer(&self, code: &str, message: &str) -> Option<String> {
        if code == "28P01" {
            // `clientcert=verify-full` says no in these words too.
            let (certificate, _) = self.identity.as_ref()?;
            return Some(format!(
                "{message} ({code}): the password, or the common name (CN) in '{}', is not this user's",
                certificate.path.display()
            ));
        }
        if code != "28000" {
            return None;
        }
        let right = if message.contains("requires a valid client certificate") {
            "name this client's certificate as sslcert, and its key as sslkey".to_owned()
        } else if message.contains("certificate authentication failed") {
            let (certificate, _) = self.identity.as_ref()?;
            format!(
                "the common name (CN) in '{}' must be that of the user, or mapped to it in \
                 pg_ident.conf",
                certificate.path.display()
            )
        } else if message.ends_with("no encryption") || message.ends_with("SSL off") {
            format!(
                "the connection has no TLS, for sslmode is {}; hostssl in pg_hba.conf wants it: \
                 use sslmode=verify-full",
                self.mode_name()
            )
        } else {
            return None;
        };
        Some(format!("{message} ({code}): {right}"))
    }
}

/// `DnsName("db.example")` and `IpAddress(10.0.0.1)` as names alone.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        format!("'{}'", inner.trim_end_matches(')').trim_matches('"'))
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d").to_string())
}
