//! File systems that may stop answering, as NFS does when its server is gone, and FUSE when its daemon hangs.
//!
//! A call on such a file system cannot be cut off. So it is made by a thread that the device has for itself,
//! and the caller waits for [`PATIENCE`] at most. Then it gets [`Unreachable`], which says nothing of the file:
//! not that it is missing, nor that it has changed. Until the call returns, all others on the device get the
//! same answer at once, so there is one thread for each device, whatever hangs. The late answer is thrown away.
//!
//! Such file systems are known by their types in mountinfo (proc(5)). Where a path leads is found out without
//! touching them: its links are followed name by name, up to the first place where one is mounted. Calls on all
//! other file systems are made by the caller, and noted ([`Call`]). So are all calls until
//! [`isolate_file_systems`]: a command that reads one file may wait for it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, makedev};
use rustix::io::Errno;
use thiserror::Error;

use super::calls::Call;
use super::nuls::hole_at;
use super::open::{MAX_LINKS, push_reversed};

/// How long a caller waits for a device that may not answer.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// What a call returns that got no answer. Nothing is known of the file.
#[derive(Clone, Debug, Error)]
#[error("the file system at '{}' does not answer", .0.display())]
pub(crate) struct Unreachable(PathBuf);

impl Unreachable {
    /// Returns whether this is the error of a call that got no answer.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

/// A file system that may not answer.
#[derive(Debug)]
struct Device {
    /// The first place where it is mounted.
    place: PathBuf,
    is_fuse: bool,
    state: Mutex<State>,
}

/// Returns what the answer to a call says of the device; `None` if nothing.
type Job = Box<dyn FnOnce() -> Option<Answer> + Send>;

#[derive(Debug, Default)]
struct State {
    /// To the thread of the device.
    queue: Option<Sender<Job>>,
    asked: u64,
    answered: u64,
    /// The number of the last call of which the caller does not wait any more.
    given_up: u64,
    unreachable: bool,
    /// When it was unreachable last.
    failed_at: Option<Instant>,
    /// Whether what was opened before cannot be read again.
    ended: bool,
}

/// What an answer says of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Its,
    /// It is not connected to what should answer.
    Unconnected,
}

impl Answer {
    fn of<T>(result: &io::Result<T>) -> Self {
        let error = result.as_ref().err().and_then(Errno::from_io_error);
        match error {
            Some(
                Errno::NOTCONN
                | Errno::CONNABORTED
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ) => Self::Unconnected,
            _ => Self::Its,
        }
    }
}

impl Device {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread of the device make a call.
    fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = sync_channel(1);
        let job = move || {
            let result = call();
            let answer = Answer::of(&result);
            // An answer for which no caller waits any more is dropped here: to close a file may hang, too.
            drop(sender.send(result));
            Some(answer)
        };
        let number = self.ask(Box::new(job), Asked::ForAnswer)?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(result) if Answer::of(&result) == Answer::Its => result,
            Ok(_) => Err(self.unreachable()),
            Err(_) => {
                self.state().given_up = number;
                Err(self.fail(&mut self.state()))
            }
        }
    }

    /// Gives the thread of the device something to do. Returns the number of the call.
    fn ask(self: &Arc<Self>, job: Job, asked: Asked) -> io::Result<u64> {
        let mut state = self.state();
        if asked == Asked::ForAnswer && state.given_up > state.answered {
            return Err(self.fail(&mut state));
        }
        if state.queue.is_none() {
            let (queue, jobs) = channel::<Job>();
            let device = Arc::downgrade(self);
            std::thread::Builder::new().name("file system".to_owned()).spawn(move || {
                for job in jobs {
                    let answer = job();
                    let Some(device) = device.upgrade() else { return };
                    device.answer(answer);
                }
            })?;
            state.queue = Some(queue);
        }
        // The thread ends with the device.
        let _ = state.queue.as_ref().map(|queue| queue.send(job));
        state.asked += 1;
        Ok(state.asked)
    }

    /// Takes note that a call has returned.
    fn answer(&self, answer: Option<Answer>) {
        let mut state = self.state();
        state.answered += 1;
        match answer {
            Some(Answer::Its) => (state.unreachable, state.ended) = (false, false),
            Some(Answer::Unconnected) => {
                drop(self.fail(&mut state));
                // Of FUSE nothing comes after this; others may connect again.
                state.ended = self.is_fuse;
            }
            None => {}
        }
    }

    fn fail(&self, state: &mut State) -> io::Error {
        (state.unreachable, state.failed_at) = (true, Some(Instant::now()));
        self.unreachable()
    }

    fn unreachable(&self) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, Unreachable(self.place.clone()))
    }
}

/// Whether the caller waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    ForAnswer,
    ForNone,
}

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
pub(super) fn look_at_mounts() {
    let mut mounts = mounts();
    let Some(mounts) = mounts.as_mut() else { return };
    mounts.last = None;
    let mut fds = [PollFd::new(&mounts.file, PollFlags::PRI)];
    // An event is a change since the last call.
    if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0)) {
        mounts.read();
    }
}

impl Mounts {
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
                None => Arc::new(Device {
                    place: mount.place.clone(),
                    is_fuse: mount.is_fuse(),
                    state: Mutex::default(),
                }),
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
enum Last {
    Followed,
    AsItIs,
}

/// Returns the file system on the way to a path that may not answer, if there is one.
fn device_of(path: &Path, last: Last) -> Option<Arc<Device>> {
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

/// Makes a call on a path.
///
/// # Errors
/// Those of the call, and [`Unreachable`].
pub(super) fn at<T: Send + 'static>(
    path: &Path,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    call_at(path, Last::Followed, call)
}

fn call_at<T: Send + 'static>(
    path: &Path,
    last: Last,
    call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match device_of(path, last) {
        None => {
            let _call = Call::on(path);
            call(path)
        }
        Some(device) => {
            let path = path.to_path_buf();
            device.call(move || call(&path))
        }
    }
}

/// Returns what is known of the file to which a path leads.
///
/// # Errors
/// Errors of the system, and [`Unreachable`].
pub(crate) fn metadata(path: &Path) -> io::Result<Metadata> {
    at(path, |path| fs::metadata(path))
}

/// Returns whether there is a directory; `false` also if that cannot be known.
pub(crate) fn is_directory(path: &Path) -> bool {
    metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Returns whether there is a link; `false` also if that cannot be known.
pub(crate) fn is_link(path: &Path) -> bool {
    symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// The same of a link itself.
pub(super) fn symlink_metadata(path: &Path) -> io::Result<Metadata> {
    call_at(path, Last::AsItIs, |path| fs::symlink_metadata(path))
}

pub(super) fn read_link(path: &Path) -> io::Result<PathBuf> {
    call_at(path, Last::AsItIs, |path| fs::read_link(path))
}

pub(super) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    at(path, |path| fs::canonicalize(path))
}

/// Lists a directory: names, and kinds where they are known. An entry that cannot be read is left out, but for
/// a list that ends too early because the file system does not answer any more.
pub(super) fn list(path: &Path) -> io::Result<Vec<(OsString, Option<FileType>)>> {
    at(path, |path| {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            match entry {
                Ok(entry) => entries.push((entry.file_name(), entry.file_type().ok())),
                error if Answer::of(&error) == Answer::Unconnected => drop(error?),
                Err(_) => {}
            }
        }
        Ok(entries)
    })
}

/// An open file. If it lies on a device that may not answer, that device's thread makes all calls on it, and
/// closes it.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// `None` only while it is dropped.
    file: Option<File>,
    device: Option<Arc<Device>>,
}

impl OpenFile {
    pub(super) fn new(file: File, metadata: &Metadata) -> Arc<Self> {
        let mounts = mounts();
        let device = mounts.as_ref().and_then(|it| it.devices.get(&metadata.dev())).cloned();
        Arc::new(Self { file: Some(file), device })
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Makes a call on the file. It is noted under `path`, if other files wait for it.
    fn call<T: Send + 'static>(
        self: &Arc<Self>,
        path: Option<&Path>,
        call: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match &self.device {
            None => {
                let _call = path.map(Call::on);
                call(self.file()?)
            }
            Some(device) => {
                let file = Arc::clone(self);
                device.call(move || call(file.file()?))
            }
        }
    }

    pub(super) fn metadata(self: &Arc<Self>, path: &Path) -> io::Result<Metadata> {
        self.call(Some(path), File::metadata)
    }

    pub(super) fn hole_at(self: &Arc<Self>, path: Option<&Path>, offset: u64) -> io::Result<u64> {
        self.call(path, move |file| hole_at(file, offset))
    }

    /// Reads bytes from `offset` on; fewer than asked for at the end of the file.
    pub(super) fn read_at(
        self: &Arc<Self>,
        path: Option<&Path>,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        if self.device.is_none() {
            let _call = path.map(Call::on);
            return self.file()?.read_at(buffer, offset);
        }
        let mut bytes = vec![0; buffer.len()];
        let bytes = self.call(path, move |file| {
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        })?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Returns whether the bytes at `offset` are these; `false` also if they cannot be read.
    ///
    /// # Errors
    /// Only [`Unreachable`].
    pub(super) fn holds(
        self: &Arc<Self>,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<bool> {
        let mut found = vec![0; bytes.len()];
        let found = self.call(Some(path), move |file| {
            file.read_exact_at(&mut found, offset)?;
            Ok(found)
        });
        match found {
            Err(error) if Unreachable::is(&error) => Err(error),
            found => Ok(found.is_ok_and(|found| found == bytes)),
        }
    }

    /// Returns whether its device does not answer, and will not answer by this descriptor: the connection has
    /// ended, or it is not mounted any more.
    pub(super) fn is_cut_off(&self) -> bool {
        let Some(device) = &self.device else { return false };
        let (is_unreachable, has_ended) = {
            let state = device.state();
            (state.unreachable, state.ended)
        };
        let is_mounted = || {
            let mounts = mounts();
            mounts.as_ref().is_some_and(|it| it.devices.values().any(|it| Arc::ptr_eq(it, device)))
        };
        is_unreachable && (has_ended || !is_mounted())
    }

    /// Returns whether its device does not answer.
    pub(super) fn is_unreachable(&self) -> bool {
        self.device.as_ref().is_some_and(|device| device.state().unreachable)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let (Some(file), Some(device)) = (self.file.take(), &self.device) {
            let close = move || {
                drop(file);
                None
            };
            // Without a thread it is closed here.
            let _ = device.ask(Box::new(close), Asked::ForNone);
        }
    }
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
        let device = Arc::new(device());
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

    fn device() -> Device {
        Device { place: PathBuf::from("/far"), is_fuse: true, state: Mutex::default() }
    }

    #[test]
    fn a_call_that_hangs_is_given_up_and_those_after_it_wait_for_nothing() {
        let device = Arc::new(device());
        assert_eq!(device.call(|| Ok(1)).unwrap(), 1);
        let (go, gone) = channel::<()>();
        let late = device.call(move || Ok(gone.recv().is_ok())).unwrap_err();
        assert!(Unreachable::is(&late));
        let began = Instant::now();
        for _ in 0..100 {
            assert!(Unreachable::is(&device.call(|| Ok(2)).unwrap_err()));
        }
        assert!(began.elapsed() < PATIENCE);
        assert!(device.state().unreachable);
        go.send(()).unwrap();
        while device.state().unreachable {
            std::thread::yield_now();
        }
        assert_eq!(device.call(|| Ok(3)).unwrap(), 3);
    }

    #[test]
    fn a_device_that_is_not_connected_is_asked_each_time() {
        let device = Arc::new(device());
        let unconnected = || Err::<u8, _>(Errno::NOTCONN.into());
        assert!(Unreachable::is(&device.call(unconnected).unwrap_err()));
        let missing = device.call(|| Err::<u8, _>(Errno::NOENT.into())).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
