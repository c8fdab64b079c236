//! A file system of its own, in a file, that can be cut off like a disk without power.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::TempDir;

use crate::postgres::is_root;

/// The least that mkfs.xfs makes, and some room (bytes).
const SIZE: u64 = 400 << 20;

/// How long processes that were killed may keep the file system busy.
const BUSY: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Ext4,
    Xfs,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Ext4 => "ext4",
            Type::Xfs => "xfs",
        }
    }

    /// How it is made. ext4 needs large inodes to know when a file was made, as on any real disk.
    fn mkfs(self) -> &'static [&'static str] {
        match self {
            Type::Ext4 => &["mkfs.ext4", "-q", "-F", "-I", "256", "-b", "4096"],
            Type::Xfs => &["mkfs.xfs", "-q", "-f"],
        }
    }

    /// Options that decide what is left of a file that was not synced.
    fn options(self, dice: &mut Rng) -> &'static str {
        let options: &[&str] = match self {
            Type::Ext4 => &["commit=5", "commit=1", "nodelalloc,commit=1", "data=journal"],
            Type::Xfs => &["noatime", "allocsize=4k", "allocsize=64k"],
        };
        options[dice.usize(..options.len())]
    }
}

/// It is unmounted and removed when it is dropped, or when this process ends, however it ends.
pub(super) struct FileSystem {
    pub(super) kind: Type,
    pub(super) options: &'static str,
    pub(super) mount: PathBuf,
    /// Stays the same, so that the number of the device does.
    device: String,
    watchdog: Child,
    /// Removed after it is unmounted.
    _directory: TempDir,
}

impl FileSystem {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// Why this machine has none.
    pub(super) fn new(kind: Type, dice: &mut Rng) -> Result<FileSystem, String> {
        Self::with(kind, kind.options(dice))
    }

    /// The same with these options of the mount.
    pub(super) fn with(kind: Type, options: &'static str) -> Result<FileSystem, String> {
        if !is_root() {
            return Err("only root may mount a file system".to_owned());
        }
        let directory = tempfile::Builder::new().prefix("log-ingestd-power-").tempdir().unwrap();
        // PostgreSQL's user has to get there, too.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let (image, mount) = (directory.path().join("image"), directory.path().join("mount"));
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(&mount).unwrap();
        let (program, flags) = kind.mkfs().split_first().unwrap();
        run(Command::new(program).args(flags).arg(&image))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        let device = device.trim().to_owned();
        // A server whose data is there is stopped by a watchdog of its own.
        let clean = format!(
            "cat >/dev/null; for nth in $(seq 50); do umount {0} 2>/dev/null && break; \
             mountpoint -q {0} || break; sleep 0.1; done; umount -l {0} 2>/dev/null; \
             losetup -d {device}",
            mount.display()
        );
        let watchdog = Command::new("setsid")
            .args(["sh", "-c", &clean])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .current_dir("/")
            .spawn()
            .unwrap();
        let system = FileSystem { kind, options, mount, device, watchdog, _directory: directory };
        system.mount()?;
        Ok(system)
    }

    /// Cuts the power: what is synced stays, the rest is gone, and nothing more can be written.
    pub(super) fn cut(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/power_cuts/shutdown.py");
        run(Command::new("python3").arg(script).arg(&self.mount)).unwrap();
    }

    /// Unmounts it, when no process has a file open there, and mounts it again.
    pub(super) fn mount_again(&self) {
        let deadline = Instant::now() + BUSY;
        while let Err(why) = run(Command::new("umount").arg(&self.mount)) {
            assert!(Instant::now() < deadline, "{why}");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.mount().unwrap();
    }

    /// Writes everything to the disk.
    pub(super) fn sync(&self) {
        run(Command::new("sync").arg("-f").arg(&self.mount)).unwrap();
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", self.kind.name(), "-o", self.options, &self.device]).arg(&self.mount);
        run(&mut mount).map(drop)
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Runs a program to its end. Returns what it says.
///
/// # Errors
/// Its name and what it says when it fails, or that it is missing.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{name}: {}", said.trim())),
    }
}
