//! TLS of the page: its certificate and key, read and checked before the page uses them.
//!
//! A certificate that browsers would refuse for its dates, or a key that is not the certificate's, is an
//! error here, and not a page that stays unreachable. Which names the certificate has is not checked: the
//! page has all names under which clients reach it.
//!
//! The files are read at the start and at each reload. A connection keeps the certificate with which it began.
//!
//! Files: this one (files, checks, configuration), [`stream`] (an encrypted connection), [`any`] (the client of
//! `healthcheck`).

mod any;
mod stream;

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, Error as TlsError, RootCertStore, ServerConfig};
use tokio::net::TcpStream;

use crate::model::{Micros, moment};
use crate::source::open::read_of_settings;

pub use any::encrypt_for_any;
pub(super) use stream::{Broken, TlsStream};

/// The protocol that the page speaks, for clients that offer several.
const PROTOCOL: &[u8] = b"http/1.1";

/// The first second that no certificate can name: 10000-01-01.
const AFTER_ALL: Duration = Duration::from_secs(253_402_300_800);

/// The page's certificate and key, ready for connections.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// When the first certificate of the chain to end is not valid any more; `None` if that is not known.
    pub valid_until: Option<Micros>,
    /// Whether every user of this machine can read the key.
    pub key_readable_by_all: bool,
    /// For how long browsers are told to use TLS alone for the page's host name; `None` if they are not.
    pub hsts: Option<Duration>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key: a log must not contain it.
        f.debug_struct("Tls").field("valid_until", &self.valid_until).finish_non_exhaustive()
    }
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// A file cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The content of a file cannot be used.
    #[error("'{}' {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error("the key '{}' is not that of the certificate '{}'", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The dates of a certificate do not hold now. A renewal or a clock that is set right changes that.
    #[error("the certificate in '{}' {why}", path.display())]
    Dates {
        /// The file.
        path: PathBuf,
        /// Which date, and what to do.
        why: String,
    },
}

impl CertificateFileError {
    /// Returns whether the error is about a date: it may pass without a change of the settings.
    pub fn is_about_dates(&self) -> bool {
        matches!(self, Self::Dates { .. })
    }
}

impl Tls {
    /// Reads a certificate with those of its authorities after it, and its key, both in PEM form.
    ///
    /// # Errors
    /// [`CertificateFileError`]: a file that cannot be read or used, a key of another certificate, or a date
    /// that does not hold now.
    pub fn read(
        certificate: &Path,
        key: &Path,
        hsts: Option<Duration>,
    ) -> Result<Tls, CertificateFileError> {
        let chain = chain(certificate)?;
        let (private, key_readable_by_all) = private_key(key)?;
        let provider = Arc::new(ring::default_provider());
        let valid_until = check_dates(&chain, certificate, &provider)?;
        let unusable = |error: TlsError| match error {
            TlsError::InconsistentKeys(_) => CertificateFileError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            },
            TlsError::InvalidCertificate(_) => content(certificate, unusable_certificate(&error)),
            error => content(key, format!("holds a key that cannot be used: {error}")),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(unusable)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Tls { config: Arc::new(config), valid_until, key_readable_by_all, hsts })
    }

    /// Returns the value of `Strict-Transport-Security`, if browsers are to get it.
    pub(super) fn strict_transport(&self) -> Option<String> {
        self.hsts.map(|hsts| format!("max-age={}", hsts.as_secs()))
    }

    /// Begins an encrypted connection.
    ///
    /// # Errors
    /// Those of the TLS library, for a configuration that it cannot use.
    pub(super) fn begin(&self, socket: Arc<TcpStream>) -> io::Result<TlsStream> {
        TlsStream::new(socket, Arc::clone(&self.config))
    }
}

fn content(path: &Path, why: String) -> CertificateFileError {
    CertificateFileError::Content { path: path.to_owned(), why }
}

fn unusable_certificate(error: &TlsError) -> String {
    format!("holds a certificate that cannot be used: {error}")
}

fn read(path: &Path) -> Result<(Vec<u8>, Metadata), CertificateFileError> {
    let unreadable = |source| CertificateFileError::Unreadable { path: path.to_owned(), source };
    read_of_settings(path).map_err(unreadable)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFileError> {
    let (bytes, _) = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| content(path, format!("is damaged: {error}")))?;
    if chain.is_empty() {
        let why = "contains no CERTIFICATE in PEM form (openssl x509 -inform der -in FILE -out NEW writes it)";
        return Err(content(path, why.to_owned()));
    }
    Ok(chain)
}

/// Returns the key, and whether every user of this machine can read its file.
fn private_key(path: &Path) -> Result<(PrivateKeyDer<'static>, bool), CertificateFileError> {
    let (bytes, metadata) = read(path)?;
    let mode = metadata.permissions().mode();
    if memchr::memmem::find(&bytes, b"ENCRYPTED").is_some() {
        let why = "is encrypted, and a daemon cannot ask for its passphrase: write it without one \
                   (openssl pkey -in KEY -out NEW), readable by the daemon's user only";
        return Err(content(path, why.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let why = "contains no PRIVATE KEY in PEM form (openssl pkey -in KEY -out NEW writes it)";
        content(path, why.to_owned())
    })?;
    Ok((key, mode & 0o004 != 0))
}

/// Checks the dates of all certificates. Returns when the first of them ends.
///
/// The library that clients use, too, reads the dates, and does so before it asks who has signed. So it is
/// asked as if each certificate were one that a server presents, and only what it says of dates, and of what
/// it cannot read, counts.
fn check_dates(
    chain: &[CertificateDer<'static>],
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Micros>, CertificateFileError> {
    let mut first_end: Option<Micros> = None;
    for certificate in chain {
        let said = |at| say_of(certificate, at, provider);
        let dates = |why| CertificateFileError::Dates { path: path.to_owned(), why };
        match said(UnixTime::now()) {
            Some(TlsError::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => {
                let why = format!("has expired on {}: renew it", day(not_after));
                return Err(dates(why));
            }
            Some(TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => {
                let why = format!(
                    "is not valid before {}: look at the clock of this machine",
                    day(not_before)
                );
                return Err(dates(why));
            }
            Some(error @ TlsError::InvalidCertificate(CertificateError::BadEncoding)) => {
                return Err(content(path, unusable_certificate(&error)));
            }
            _ => {}
        }
        if let Some(TlsError::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) = said(UnixTime::since_unix_epoch(AFTER_ALL))
        {
            let end = micros(not_after);
            first_end = Some(first_end.map_or(end, |first| first.min(end)));
        }
    }
    Ok(first_end)
}

/// Returns what a client says of this certificate at this time.
fn say_of(
    certificate: &CertificateDer<'static>,
    at: UnixTime,
    provider: &Arc<CryptoProvider>,
) -> Option<TlsError> {
    let mut roots = RootCertStore::empty();
    // The library asks for an authority, and any one will do.
    if let Err(error) = roots.add(certificate.clone()) {
        return Some(error);
    }
    let client = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let name = ServerName::try_from("localhost").ok()?;
    client.build().ok()?.verify_server_cert(certificate, &[], &name, &[], at).err()
}

fn micros(time: UnixTime) -> Micros {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn day(time: UnixTime) -> String {
    let moment = moment(micros(time));
    moment.split('T').next().unwrap_or(&moment).to_owned()
}
