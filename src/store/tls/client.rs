//! The TLS client of our own connections, set up as the driver sets up its own.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError,
    RootCertStore, SignatureScheme,
};
use sqlx::postgres::PgSslMode;

use super::{Tls, files};

impl Tls {
    /// Returns whether the server is asked for TLS.
    pub(in crate::store) fn is_wanted(&self) -> bool {
        !matches!(self.mode, PgSslMode::Disable | PgSslMode::Allow)
    }

    /// Makes the state of a connection on which nothing was sent. The files are read each time: they
    /// may have been renewed.
    ///
    /// # Errors
    /// Files and names that cannot be used, of the driver's kinds, which [`Tls::explain`] knows.
    pub(in crate::store) async fn client(&self) -> Result<ClientConnection, sqlx::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider).await?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            Some((certificate, key)) => {
                let certificate = files::bytes(&certificate.path).await?;
                let chain = CertificateDer::pem_slice_iter(&certificate);
                let chain = chain.collect::<Result<_, _>>().map_err(refused)?;
                let key = PrivateKeyDer::from_pem_slice(&files::bytes(&key.path).await?);
                let key = key.map_err(|error| sqlx::Error::Configuration(error.into()))?;
                config.with_client_auth_cert(chain, key).map_err(refused)?
            }
            None => config.with_no_client_auth(),
        };
        let host = ServerName::try_from(self.host.clone()).map_err(refused)?;
        ClientConnection::new(Arc::new(config), host).map_err(refused)
    }

    /// Returns what checks the server's certificate, as far as the mode wants it.
    async fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, sqlx::Error> {
        if !self.verifies() {
            return Ok(Arc::new(AnyCertificate(Arc::clone(provider))));
        }
        let mut roots = RootCertStore::empty();
        // Certificates that cannot be read sign nothing; the others may be enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(root) = &self.root {
            let text = files::bytes(&root.path).await?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                roots.add(certificate.map_err(refused)?).map_err(refused)?;
            }
        }
        let provider = Arc::clone(provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(refused)?;
        match self.mode {
            PgSslMode::VerifyFull => Ok(verifier),
            _ => Ok(Arc::new(AnyName(verifier))),
        }
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Tls(error.into())
}

/// Takes a certificate of any authority, for the modes `prefer` and `require`: they only encrypt.
#[derive(Debug)]
pub(crate) struct AnyCertificate(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks everything but the name, for the mode `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.0.verify_server_cert(certificate, others, name, ocsp, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
