//! The files, looked at before each connection: they may have been renewed since the last one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use super::{Pem, Tls};

impl Tls {
    /// Sees that the files are there, hold what they should, and that the key is nobody else's.
    ///
    /// # Errors
    ///
    /// A sentence with the path, and what would be right.
    pub(in crate::store) async fn look_at_files(&self) -> Result<(), String> {
        if let Some(root) = self.root.as_ref().filter(|_| self.verifies()) {
            let what = "certificates of the authorities that may sign the server's";
            let text = read(root, what).await?;
            holds_certificate(root, &text)?;
        }
        let Some((certificate, key)) = &self.identity else { return Ok(()) };
        if self.mode_name() == "disable" {
            return Ok(());
        }
        let text = read(certificate, "this client's certificate").await?;
        holds_certificate(certificate, &text)?;
        let text = read(key, "the key of this client's certificate").await?;
        let shown = shown(key);
        if text.contains("ENCRYPTED") {
            return Err(format!(
                "{shown} is encrypted, and nobody is there to type its passphrase: write it \
                 without one (openssl pkey -in KEY -out NEW), readable by its owner only"
            ));
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(format!(
                "{shown} holds no PRIVATE KEY in PEM form (openssl pkey -in KEY -out NEW writes it)"
            ));
        }
        let metadata = tokio::fs::metadata(&key.path).await;
        let metadata = metadata.map_err(|error| format!("{shown} cannot be looked at: {error}"))?;
        if let Some(right) = open_to_others(&metadata) {
            return Err(format!(
                "{shown} has mode {:04o}, so that others can read it: chmod {right} it",
                metadata.mode() & 0o7777
            ));
        }
        Ok(())
    }
}

/// The mode that would be right, when this one is not. As in libpq root's keys may be read by a group.
fn open_to_others(key: &Metadata) -> Option<&'static str> {
    let (forbidden, right) = if key.uid() == 0 { (0o037, "0640") } else { (0o077, "0600") };
    (key.mode() & forbidden != 0).then_some(right)
}

async fn read(pem: &Pem, what: &str) -> Result<String, String> {
    match tokio::fs::read(&pem.path).await {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(format!("{} cannot be read ({what}): {error}", shown(pem))),
    }
}

fn holds_certificate(pem: &Pem, text: &str) -> Result<(), String> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(format!(
        "{} holds no CERTIFICATE in PEM form (openssl x509 -inform der -in FILE -out NEW writes it)",
        shown(pem)
    ))
}

fn shown(pem: &Pem) -> String {
    format!("{} '{}'", pem.setting, pem.path.display())
}
