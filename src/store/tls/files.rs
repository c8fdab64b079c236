//! Checks the certificate and key files before each connection, since they may have been renewed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

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

async fn read(pem: &Pem, what: &str) -> Result<String, String> {
    match tokio::fs::read(&pem.path).await {
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
