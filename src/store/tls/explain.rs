//! Explains errors of TLS: which name or file is wrong, and what to do.

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::Tls;
use crate::store::foreign_text::{
    Refusal, certificate_name, is_authority_certificate, is_old_certificate_version,
    server_has_no_tls,
};

impl Tls {
    /// Explains an error of a new connection, if it is about TLS and waiting does not help.
    pub(in crate::store) fn explain(&self, error: &sqlx::Error) -> Option<String> {
        match error {
            sqlx::Error::Io(error) => {
                self.explain_rustls(error.get_ref()?.downcast_ref::<TlsError>()?)
            }
            sqlx::Error::Tls(cause) => match cause.downcast_ref::<TlsError>() {
                Some(error) => self.explain_rustls(error),
                None if server_has_no_tls(&cause.to_string()) => Some(format!(
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
            sqlx::Error::Database(answer) => {
                self.explain_refusal(&answer.code()?, answer.message())
            }
            _ => None,
        }
    }

    fn explain_rustls(&self, error: &TlsError) -> Option<String> {
        match error {
            TlsError::InvalidCertificate(error) => Some(self.explain_certificate(error)),
            TlsError::AlertReceived(alert) => Some(self.explain_alert(*alert)),
            TlsError::InconsistentKeys(_) => {
                let (certificate, key) = self.identity.as_ref()?;
                Some(format!(
                    "the key '{}' is not that of the certificate '{}'",
                    key.path.display(),
                    certificate.path.display()
                ))
            }
            // A server that restarts during the handshake is unavailable, unless TLS is required.
            error => self.is_required().then(|| error.to_string()),
        }
    }

    /// Explains why the server's certificate is not trusted.
    fn explain_certificate(&self, error: &CertificateError) -> String {
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
                if is_authority_certificate(&why) {
                    format!("{of} is that of an authority (CA:TRUE): make one with CA:FALSE")
                } else if is_old_certificate_version(&why) {
                    format!("{of} is of an old version: make one of version 3, with subjectAltName")
                } else {
                    format!("{of} cannot be trusted: {error}")
                }
            }
        }
    }

    /// Explains why the server ended the handshake, most often because of the client's certificate.
    fn explain_alert(&self, alert: AlertDescription) -> String {
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

    /// Explains why PostgreSQL refuses the user, after the TLS handshake.
    fn explain_refusal(&self, code: &str, message: &str) -> Option<String> {
        if code == "28P01" {
            // With `clientcert=verify-full` a wrong certificate gets this message, too.
            let (certificate, _) = self.identity.as_ref()?;
            return Some(format!(
                "{message} ({code}): the password, or the common name (CN) in '{}', is not this user's",
                certificate.path.display()
            ));
        }
        if code != "28000" {
            return None;
        }
        let advice = match Refusal::from_message(message)? {
            Refusal::NeedsClientCertificate => {
                "name this client's certificate as sslcert, and its key as sslkey".to_owned()
            }
            Refusal::WrongCommonName => {
                let (certificate, _) = self.identity.as_ref()?;
                format!(
                    "the common name (CN) in '{}' must be that of the user, or mapped to it in \
                     pg_ident.conf",
                    certificate.path.display()
                )
            }
            Refusal::NeedsTls => format!(
                "the connection has no TLS, for sslmode is {}; hostssl in pg_hba.conf requires it: \
                 use sslmode=verify-full",
                self.mode_name()
            ),
        };
        Some(format!("{message} ({code}): {advice}"))
    }
}

/// Returns the names of a certificate for a message.
fn names(presented: &[String]) -> String {
    let quoted = |name: &String| format!("'{}'", certificate_name(name));
    presented.iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d").to_string())
}
