//! Where file systems are mounted that may not answer, by mountinfo (proc(5)), and which paths lead there.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, makedev};

use super::device::{Device, State};
use crate::source::open::{MAX_LINKS, push_reversed};

/// The types of file systems whose answers come from elsewhere: another machine, or a process. A type with a
/// point counts by what stands before it, as in `fuse.sshfs`.
const ELSEWHERE: [&str; 22] = [
    "9p",
    "afs",
    "autofs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "fuseblk",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "panfs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

/// Which file systems may not answer.
#[derive(Debug)]
struct Mounts {
    /// `/proc/self/mountinfo`.
    file: File,
    places: Arc<HashMap<PathBuf, Arc<Device>>>,
    devices: HashMap<u64, Arc<Device>>,
    /// The directory that was asked for last, and where it leads: a look asks for one file after the other.
    last: Option<(PathBuf, Way)>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
enum Way {
    /// To or over a file system that may not answer.
    Over(Arc<Device>),
    /// To this path, without links.
    Here(PathBuf),
}

static MOUNTS: Mutex<Option<Mounts>> = Mutex::new(None);

fn mounts() -> MutexGuard<'static, Option<Mounts>> {
    MOUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, calls on file systems that may not answer are made by threads of theirs. Without `/proc` all
/// calls stay with their callers.
pub fn isolate_file_systems() {
    let flags = OFlags::RDONLY.union(OFlags::CLOEXEC);
    let file = rustix::fs::open("/proc/self/mountinfo", flags, Mode::empty()).map(File::from);
    let Ok(file) = file else { return };
    let mut found = Mounts { file, places: Arc::default(), devices: HashMap::new(), last: None };
    found.read();
    *mounts() = Some(found);
}

/// Takes note of what was mounted and unmounted, and of links that were turned.
pub(crate) fn look_at_mounts() {
    let mut mounts = mounts();
    let Some(mounts) = mounts.as_mut() else { return };
    mounts.last = None;
    mounts.refresh();
}

/// Returns the file system of an open file, if it may not answer.
pub(super) fn device_of_file(number: u64) -> Option<Arc<Device>> {
    let mut mounts = mounts();
    let mounts = mounts.as_mut()?;
    // What was mounted since the last look may be there at the same path.
    mounts.refresh();
    mounts.devices.get(&number).cloned()
}

/// Returns whether a file system is mounted that may not answer.
pub(super) fn is_mounted(device: &Arc<Device>) -> bool {
    let mounts = mounts();
    mounts.as_ref().is_some_and(|it| it.devices.values().any(|it| Arc::ptr_eq(it, device)))
}

impl Mounts {
    /// Reads the list again if it has changed.
    fn refresh(&mut self) {
        let mut fds = [PollFd::new(&self.file, PollFlags::PRI)];
        // An event is a change since the last call.
        if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0)) {
            self.last = None;
            self.read();
        }
    }

    fn read(&mut self) {
        let Some(text) = read_whole(&self.file) else { return };
        let mut places = HashMap::new();
        let mut devices: HashMap<u64, Arc<Device>> = HashMap::new();
        for mount in text.split(|&byte| byte == b'\n').filter_map(Mount::read) {
            // What is mounted later covers what is there. Without the root nothing can go on.
            places.remove(&mount.place);
            if !mount.is_elsewhere() || mount.place == Path::new("/") {
                continue;
            }
            let before = self.devices.get(&mount.device);
            let before = before.filter(|device| device.is_fuse == mount.is_fuse());
            let device = devices.entry(mount.device).or_insert_with(|| match before {
                Some(device) => Arc::clone(device),
                None => Arc::new(Device::new(mount.place.clone(), mount.is_fuse())),
            });
            places.insert(mount.place, Arc::clone(device));
        }
        (self.places, self.devices) = (Arc::new(places), devices);
    }
}

fn read_whole(file: &File) -> Option<Vec<u8>> {
    let (mut text, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match file.read_at(&mut buffer, text.len() as u64).ok()? {
            0 => return Some(text),
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: u64,
    place: PathBuf,
    kind: String,
}

impl Mount {
    fn read(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let device = std::str::from_utf8(words.nth(2)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let device = makedev(major.parse().ok()?, minor.parse().ok()?);
        let place = PathBuf::from(OsString::from_vec(unescaped(words.nth(1)?)));
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        Some(Self { device, place, kind: String::from_utf8_lossy(kind).into_owned() })
    }

    fn family(&self) -> &str {
        self.kind.split_once('.').map_or(&self.kind, |(family, _)| family)
    }

    fn is_elsewhere(&self) -> bool {
        ELSEWHERE.contains(&self.family())
    }

    fn is_fuse(&self) -> bool {
        self.family().starts_with("fuse")
    }
}

/// Returns a word of mountinfo, in which spaces and the like are written as octal numbers.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, after)) = rest.split_first() {
        let number = after.get(..3).filter(|_| first == b'\\');
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = number.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    bytes
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    AsItIs,
}

/// Returns the file system on the way to a path that may not answer, if there is one.
pub(super) fn device_of(path: &Path, last: Last) -> Option<Arc<Device>> {
    let (places, known) = {
        let mounts = mounts();
        let mounts = mounts.as_ref().filter(|mounts| !mounts.places.is_empty())?;
        let known =
            mounts.last.as_ref().filter(|(directory, _)| Some(&**directory) == path.parent());
        (Arc::clone(&mounts.places), known.map(|(_, way)| way.clone()))
    };
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return over(walk(&places, path, Last::Followed));
    };
    let way = known.unwrap_or_else(|| {
        let way = walk(&places, directory, Last::Followed);
        if let Some(mounts) = mounts().as_mut() {
            mounts.last = Some((directory.to_path_buf(), way.clone()));
        }
        way
    });
    match way {
        Way::Over(device) => Some(device),
        Way::Here(directory) => {
            let path = directory.join(name);
            let is_link = last == Last::Followed && fs::read_link(&path).is_ok();
            match is_link && !places.contains_key(&path) {
                true => over(walk(&places, &path, last)),
                false => places.get(&path).cloned(),
            }
        }
    }
}

fn over(way: Way) -> Option<Arc<Device>> {
    match way {
        Way::Over(device) => Some(device),
        Way::Here(_) => None,
    }
}

/// Follows a path name by name, up to where a file system is mounted that may not answer.
fn walk(places: &HashMap<PathBuf, Arc<Device>>, path: &Path, last: Last) -> Way {
    let mut at = PathBuf::from("/");
    let (mut ahead, mut links) = (Vec::new(), 0);
    push_reversed(&mut ahead, &std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        if let Some(device) = places.get(&at) {
            return Way::Over(Arc::clone(device));
        }
        if last == Last::AsItIs && ahead.is_empty() {
            break;
        }
        let Ok(target) = fs::read_link(&at) else { continue };
        links += 1;
        if links > MAX_LINKS {
            break; // the call says what is wrong
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        push_reversed(&mut ahead, &target);
    }
    Way::Here(at)
}

/// Returns the places of the file systems that do not answer.
pub fn unreachable_file_systems() -> Vec<PathBuf> {
    let mounts = mounts();
    let devices = mounts.iter().flat_map(|mounts| mounts.devices.values());
    let mut places: Vec<PathBuf> =
        devices.filter(|it| it.state().unreachable).map(|it| it.place.clone()).collect();
    places.sort();
    places
}

/// Returns the numbers of the devices that do not answer.
pub(crate) fn unreachable_devices() -> HashSet<u64> {
    devices(|state| state.unreachable)
}

/// Returns the numbers of the devices of which a call got no answer at or after this time.
pub(crate) fn unreachable_since(time: Instant) -> HashSet<u64> {
    devices(|state| state.failed_at.is_some_and(|at| at >= time))
}

fn devices(are: impl Fn(&State) -> bool) -> HashSet<u64> {
    let mounts = mounts();
    let devices = mounts.iter().flat_map(|mounts| &mounts.devices);
    devices.filter(|(_, device)| are(&device.state())).map(|(number, _)| *number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let read = |line: &str| {
            Mount::read(line.as_bytes())
                .map(|it| (it.device, it.place.display().to_string(), it.is_elsewhere()))
        };
        let line =
            "42 27 0:39 / /srv/a\\040b\\134c rw,relatime shared:7 master:1 - fuse.sshfs a:/ rw";
        assert_eq!(read(line), Some((makedev(0, 39), "/srv/a b\\c".to_owned(), true)));
        let line = "43 27 259:2 /x /home rw - ext4 /dev/nvme0n1p2 rw";
        assert_eq!(read(line), Some((makedev(259, 2), "/home".to_owned(), false)));
        let line = "44 27 0:40 / /proc/fs/nfsd rw - nfsd nfsd rw";
        assert_eq!(read(line).map(|it| it.2), Some(false));
        for line in ["", "1 2 3", "1 2 a:b / / rw - ext4 x rw", "1 2 0:1 / / rw shared:1"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn links_are_followed_up_to_where_a_file_system_is_mounted() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("local/deep")).unwrap();
        fs::create_dir(root.join("far")).unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(root.join(target), root.join(name)).unwrap();
        };
        link("far/logs", "local/way");
        link("local/way", "local/deep/again");
        link("local/deep", "near");
        link("itself", "itself");
        let device = Arc::new(Device::new(PathBuf::from("/far"), true));
        let places = HashMap::from([(root.join("far"), Arc::clone(&device))]);
        let leads = |path: &str, last| over(walk(&places, &root.join(path), last)).is_some();
        for path in ["far", "far/x/y", "local/way", "local/way/x", "near/again/x", "local/../far/x"]
        {
            assert!(leads(path, Last::Followed), "{path}");
        }
        for path in ["local", "farther", "near", "local/deep/../x", "missing/x", "itself/x"] {
            assert!(!leads(path, Last::Followed), "{path}");
        }
        assert!(!leads("local/way", Last::AsItIs));
        assert!(leads("local/way/x", Last::AsItIs));
    }
}
