//! The client of `healthcheck`: TLS to the page on the same machine, with any certificate.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::store::AnyCertificate;

/// Begins TLS on a connection, with a server whose certificate is not checked. So send nothing secret, and
/// believe an answer as far as one without TLS. The certificate need not have the address by which a probe
/// reaches the page, and a renewed file may be newer than what the daemon uses.
///
/// # Errors
/// None that a system with working random numbers has. The handshake comes with the first bytes.
pub fn encrypt_for_any(stream: TcpStream) -> io::Result<impl Read + Write> {
    let provider = Arc::new(ring::default_provider());
    let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(any)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}
