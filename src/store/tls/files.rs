//! Checks the certificate and key files before each connection, since they may have been renewed.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::OFlags;
use tokio::fs::OpenOptions;
use tokio::io::AsyncReadExt;

use super::{Pem, Tls};

impl Tls {
    /// Checks that the files exist and have the right content, and that only the owner can read the
    /// key.
    ///
    /// # Errors
    /// A message with the path and what to do.
    pub(in crate::store) async fn check_files(&self) -> Result<(), String> {
        if let Some(root) = self.root.as_ref().filter(|_| self.verifies()) {
            let what = "certificates of the authorities that may sign the server's";
            let text = read(root, what).await?;
            check_certificate(root, &text)?;
        }
        let Some((certificate, key)) = &self.identity else { return Ok(()) };
        if self.mode_name() == "disable" {
            return Ok(());
        }
        let text = read(certificate, "this client's certificate").await?;
        check_certificate(certificate, &text)?;
        let text = read(key, "the key of this client's certificate").await?;
        let shown = shown(key);
        if text.contains("ENCRYPTED") {
            return Err(format!(
                "{shown} is encrypted, and a daemon cannot ask for its passphrase: write it \
                 without one (openssl pkey -in KEY -out NEW), readable by its owner only"
            ));
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(format!(
                "{shown} contains no PRIVATE KEY in PEM form (openssl pkey -in KEY -out NEW writes it)"
            ));
        }
        let metadata = tokio::fs::metadata(&key.path).await;
        let metadata =
            metadata.map_err(|error| format!("cannot read the mode of {shown}: {error}"))?;
        if let Some(right) = mode_instead(&metadata) {
            return Err(format!(
                "{shown} has mode {:04o}, so that others can read it: chmod {right} it",
                metadata.mode() & 0o7777
            ));
        }
        Ok(())
    }
}

/// Returns the right mode if others can read the key. As in libpq, a group may read root's keys.
fn mode_instead(key: &Metadata) -> Option<&'static str> {
    let (forbidden, right) = if key.uid() == 0 { (0o037, "0640") } else { (0o077, "0600") };
    (key.mode() & forbidden != 0).then_some(right)
}

/// The most bytes of a file (16 MiB).
const LARGEST: u64 = 16 << 20;

/// Reads a file. A FIFO in its place is an error, and not waited for.
///
/// # Errors
/// Errors of the system, and what is not a regular file of at most 16 MiB.
pub(super) async fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let other = || {
        let why = "not a regular file, but a directory, a FIFO, a socket or a device";
        io::Error::new(io::ErrorKind::Unsupported, why)
    };
    // To open some devices is to use them.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(other());
    }
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).await?;
    if !file.metadata().await?.is_file() {
        return Err(other());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(bytes)
}

async fn read(pem: &Pem, what: &str) -> Result<String, String> {
    match bytes(&pem.path).await {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(format!("{} cannot be read ({what}): {error}", shown(pem))),
    }
}

fn check_certificate(pem: &Pem, text: &str) -> Result<(), String> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(format!(
        "{} contains no CERTIFICATE in PEM form (openssl x509 -inform der -in FILE -out NEW writes it)",
        shown(pem)
    ))
}

/// Returns the setting and the path, for messages.
fn shown(pem: &Pem) -> String {
    format!("{} '{}'", pem.setting, pem.path.display())
}
