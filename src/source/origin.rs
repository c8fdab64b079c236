//! Where a file lies: the machine and the file system.

use std::path::Path;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::devices;
use crate::model::{Origin, hex};

/// The id itself is to stay on the machine: machine-id(5) asks for a hash with a word of the program.
static MACHINE: LazyLock<Option<String>> = LazyLock::new(|| {
    let id = std::fs::read_to_string("/etc/machine-id").ok()?;
    let id = id.trim();
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| {
        let hash = Sha256::digest(format!("log-ingestd {id}"));
        hex(&hash[..8])
    })
});

/// Returns the machine, and the file system of `path`. A file system without an id gives none.
pub(crate) fn origin(path: &Path) -> Origin {
    let found = devices::at(path, |path| Ok(rustix::fs::statvfs(path)?)).ok();
    let file_system = found.map(|found| found.f_fsid.cast_signed()).filter(|id| *id != 0);
    Origin { machine: MACHINE.clone(), file_system }
}
