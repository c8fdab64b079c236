//! Messages of other programs that have to be recognized by their words, since they have neither a
//! code nor a type. All such comparisons of the store are here, so that an upgrade of the driver or
//! of PostgreSQL is checked in one place.
//!
//! PostgreSQL's messages are English only with `lc_messages` C or English. In another language a
//! function returns `false`, and the user sees the server's own message without our advice.

/// Returns whether sqlx's error says that the server has no TLS.
pub(super) fn server_has_no_tls(message: &str) -> bool {
    message.contains("does not support TLS")
}

/// Returns whether rustls's error, in its `Debug` form, says that the server's certificate is that
/// of an authority.
pub(super) fn is_authority_certificate(error: &str) -> bool {
    error.contains("CaUsedAsEndEntity")
}

/// Returns whether rustls's error, in its `Debug` form, says that the server's certificate is older
/// than version 3.
pub(super) fn is_old_certificate_version(error: &str) -> bool {
    error.contains("UnsupportedCertVersion")
}

/// Returns the name in rustls's description of a certificate's name: `DnsName("db.example")` or
/// `IpAddress(10.0.0.1)`.
pub(super) fn certificate_name(description: &str) -> &str {
    let inner = description.split_once('(').map_or(description, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

/// Why PostgreSQL refuses a connection with SQLSTATE 28000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The client must present a certificate.
    NeedsClientCertificate,
    /// The certificate's common name is not that of the user.
    WrongCommonName,
    /// No line of pg_hba.conf allows the connection without TLS.
    NeedsTls,
}

impl Refusal {
    /// Recognizes PostgreSQL's message; `None` for any other.
    pub(super) fn from_message(message: &str) -> Option<Refusal> {
        if message.contains("requires a valid client certificate") {
            Some(Refusal::NeedsClientCertificate)
        } else if message.contains("certificate authentication failed") {
            Some(Refusal::WrongCommonName)
        } else if message.ends_with("no encryption") || message.ends_with("SSL off") {
            Some(Refusal::NeedsTls) // "SSL off" up to PostgreSQL 13
        } else {
            None
        }
    }
}

/// Returns whether PostgreSQL's message says that a row violates a constraint. Citus reports errors
/// of its workers with one SQLSTATE for all of them.
pub(super) fn violates_constraint(message: &str) -> bool {
    message.contains(" violates ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresql_refusals_are_recognized() {
        for (message, refusal) in [
            (
                "connection requires a valid client certificate",
                Some(Refusal::NeedsClientCertificate),
            ),
            ("certificate authentication failed for user \"jo\"", Some(Refusal::WrongCommonName)),
            (
                "no pg_hba.conf entry for host \"10.0.0.9\", user \"jo\", database \"app\", no \
                 encryption",
                Some(Refusal::NeedsTls),
            ),
            (
                "no pg_hba.conf entry for host \"10.0.0.9\", user \"jo\", database \"app\", SSL off",
                Some(Refusal::NeedsTls),
            ),
            ("role \"jo\" is not permitted to log in", None),
        ] {
            assert_eq!(Refusal::from_message(message), refusal, "{message}");
        }
        assert!(violates_constraint(
            "new row for relation \"gunicorn_log\" violates check constraint \"made\""
        ));
        assert!(!violates_constraint("could not connect to the worker"));
    }

    #[test]
    fn errors_of_the_tls_libraries_are_recognized() {
        let upgrade = "error communicating with database: server does not support TLS";
        assert!(server_has_no_tls(upgrade));
        assert!(!server_has_no_tls("connection reset by peer"));
        for (description, name) in
            [("DnsName(\"db.example\")", "db.example"), ("IpAddress(10.0.0.1)", "10.0.0.1")]
        {
            assert_eq!(certificate_name(description), name);
        }
        let other = |text: &'static str| format!("Other(OtherError({text}))");
        assert!(is_authority_certificate(&other("CaUsedAsEndEntity")));
        assert!(is_old_certificate_version(&other("UnsupportedCertVersion")));
    }
}
