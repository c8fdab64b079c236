//! Each row is a situation, and what each caller decides in it.

use super::*;
use crate::model::Origin;

/// Content that is made up.
#[derive(Clone)]
struct Made {
    path: &'static str,
    key: Option<FileKey>,
    bytes: Vec<u8>,
    /// How far it was read, and what was there; for a followed file.
    intact: bool,
    grown: bool,
    young: bool,
    /// Offset from which on a read fails.
    broken_at: Option<u64>,
    has_time: bool,
    /// Whether it grew as only a log does.
    grows: bool,
    /// Whether it has no name any more.
    unlinked: bool,
    /// When it was written to last.
    changed_at: Micros,
}

fn print(bytes: &[u8]) -> Fingerprint {
    crate::source::fingerprint::print(bytes)
}

fn first_line(bytes: &[u8]) -> Fingerprint {
    print(bytes.split(|&byte| byte == b'\n').next().unwrap_or_default())
}

impl Content for Made {
    fn path(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.path)
    }

    fn key(&self) -> Option<FileKey> {
        self.key
    }

    fn head(&self) -> Option<Fingerprint> {
        Some(first_line(&self.bytes))
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn fingerprint_before(&self, offset: u64) -> io::Result<Option<Fingerprint>> {
        match self.broken_at {
            Some(broken) if broken < offset => Err(io::Error::other("broken")),
            _ => Ok(self.bytes.get(..offset as usize).filter(|it| !it.is_empty()).map(print)),
        }
    }

    fn is_intact(&self) -> bool {
        self.intact
    }

    fn has_grown(&self) -> bool {
        self.grown
    }

    fn may_be_half_a_copy(&self) -> bool {
        self.young
    }

    fn has_time(&self) -> bool {
        self.has_time
    }

    fn grows(&self) -> bool {
        self.grows
    }

    fn is_unlinked(&self) -> bool {
        self.unlinked
    }

    fn changed_at(&self) -> Option<Micros> {
        Some(self.changed_at)
    }
}

fn object(inode: u64) -> Option<FileKey> {
    Some(FileKey { device: 1, inode, birth_us: None })
}

/// Content that lies still, as a file with this inode.
fn content(path: &'static str, inode: u64, bytes: &str) -> Made {
    Made {
        path,
        key: object(inode),
        bytes: bytes.into(),
        intact: true,
        grown: false,
        young: false,
        broken_at: None,
        has_time: true,
        grows: false,
        unlinked: false,
        changed_at: 0,
    }
}

/// A file of which `bytes` are stored.
fn known(file: i32, path: &str, inode: u64, bytes: &str) -> Checkpoint {
    Checkpoint {
        file: FileId(file),
        host: HOST.into(),
        origin: Origin::default(),
        path: path.into(),
        key: object(inode),
        head: Some(first_line(bytes.as_bytes())),
        tail_fingerprint: Some(print(bytes.as_bytes())),
        digest: None,
        first_offset: 0,
        nul_runs: Vec::new(),
        line_forms: Vec::new(),
        patched_from: 0,
        committed: bytes.len() as u64,
        kept_to: None,
        time_estimated: false,
        size: bytes.len() as u64,
        lost_bytes: 0,
        epoch: 1,
        format: String::new(),
        closed_at: None,
    }
}

/// A file that is registered, and of which nothing is stored.
fn unread(file: i32, path: &str, inode: u64, bytes: &str) -> Checkpoint {
    Checkpoint { tail_fingerprint: None, committed: 0, ..known(file, path, inode, bytes) }
}

fn closed(known: Checkpoint) -> Checkpoint {
    Checkpoint { closed_at: Some(CLOSED_AT), ..known }
}

fn with_birth(key: Option<FileKey>) -> Option<FileKey> {
    key.map(|key| FileKey { birth_us: Some(7), ..key })
}

fn born(content: Made) -> Made {
    Made { key: with_birth(content.key), ..content }
}

fn made_later(content: Made) -> Made {
    let key = content.key.map(|key| FileKey { birth_us: Some(8), ..key });
    Made { key, ..content }
}

fn born_later(known: Checkpoint) -> Checkpoint {
    let key = known.key.map(|key| FileKey { birth_us: Some(8), ..key });
    Checkpoint { key, ..known }
}

fn of_other_host(known: Checkpoint) -> Checkpoint {
    Checkpoint { host: "other".into(), key: with_birth(known.key), ..known }
}

/// One situation.
struct Situation {
    what: &'static str,
    content: Made,
    known: Vec<Checkpoint>,
    /// Files that the process follows, how far they were read, and what they hold.
    followed: Vec<(i32, u64, Made)>,
    /// Files that were truncated: id, first content, how far they were read, how much is stored.
    truncated: Vec<(i32, &'static str, u64, u64)>,
    /// Files whose object is still where it was.
    in_place: Vec<i32>,
    /// Files whose object has another name now.
    renamed: Vec<i32>,
    /// What the daemon, `import`, an archive and `verify` decide.
    decisions: [&'static str; 4],
}

impl Situation {
    fn new(what: &'static str, content: Made, known: Vec<Checkpoint>) -> Self {
        let (followed, truncated) = (Vec::new(), Vec::new());
        let (in_place, renamed) = (Vec::new(), Vec::new());
        Self { what, content, known, followed, truncated, in_place, renamed, decisions: [""; 4] }
    }

    fn following(mut self, file: i32, position: u64, content: Made) -> Self {
        self.followed.push((file, position, content));
        self
    }

    fn truncated(mut self, file: i32, bytes: &'static str, read: u64, stored: u64) -> Self {
        self.truncated.push((file, bytes, read, stored));
        self
    }

    fn in_place(mut self, file: i32) -> Self {
        self.in_place.push(file);
        self
    }

    fn renamed(mut self, file: i32) -> Self {
        self.renamed.push(file);
        self
    }

    /// What the daemon, `import`, an archive and `verify` decide.
    fn gives(mut self, decisions: [&'static str; 4]) -> Self {
        self.decisions = decisions;
        self
    }

    fn decide(&self, policy: Policy) -> String {
        let here = FilesOfProcess {
            has_changed: false,
            followed: self
                .followed
                .iter()
                .map(|(file, position, content)| FollowedFile {
                    file: FileId(*file),
                    content: Some(content),
                    position: *position,
                    nameless: false,
                })
                .collect(),
            in_place: self.in_place.iter().map(|file| FileId(*file)).collect(),
            found: self.in_place.iter().chain(&self.renamed).map(|it| FileId(*it)).collect(),
            truncated: self
                .truncated
                .iter()
                .map(|(file, bytes, position, committed)| TruncatedFile {
                    file: FileId(*file),
                    path: "/log/access.log".into(),
                    head: Some(first_line(bytes.as_bytes())),
                    position: *position,
                    committed: *committed,
                })
                .collect(),
        };
        words(&resolve(&self.content, self.known.clone(), HOST, &here, policy))
    }
}

fn words(decision: &Decision) -> String {
    match decision {
        Decision::Resume(file) => format!("resume {}", file.0),
        Decision::Adopt(file) => format!("adopt {}", file.0),
        Decision::CopyOf(file) => format!("copy of {}", file.0),
        Decision::Replaces(file) => format!("replaces {}", file.0),
        Decision::Held => "held".into(),
        Decision::Changed(file) => format!("changed {}", file.0),
        Decision::New => "new".into(),
        Decision::AlreadyRead => "already read".into(),
        Decision::OfOtherHost(file) => format!("of another host: {}", file.0),
        Decision::Cut(file) => format!("cut {}", file.0),
        Decision::Unproven(file) => format!("unproven {}", file.0),
        Decision::Wait => "wait".into(),
        Decision::Unreadable(_) => "unreadable".into(),
        Decision::MayBeContained { files, otherwise } => {
            let files: Vec<String> = files.iter().map(|file| file.0.to_string()).collect();
            format!("contained in {}? else {}", files.join(", "), words(otherwise))
        }
    }
}

const HOST: &str = "web";
/// When files were closed.
const CLOSED_AT: Micros = 3_600_000_000;
const LOG: &str = "/log/access.log";
const ROTATED: &str = "/log/access.log.1";

fn situations() -> Vec<Situation> {
    let half = |content: Made| Made { young: true, ..content };
    let growing = |content: Made| Made { grown: true, ..content };
    let replaced = |content: Made| Made { intact: false, ..content };
    let untimed = |content: Made| Made { has_time: false, ..content };
    let unlinked = |content: Made| Made { unlinked: true, ..content };
    const ARCHIVE: &str = "/log/access.log.1.gz";
    vec![
        Situation::new("a file that the store does not know", content(LOG, 1, "a\nb\n"), vec![])
            .gives(["new", "new", "new", "new"]),
        Situation::new(
            "the same object with more content",
            content(LOG, 1, "a\nb\nc\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["resume 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "the same object, renamed while no daemon ran",
            content(ROTATED, 1, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["resume 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "the same content in another object: moved or restored while no daemon ran",
            content(LOG, 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["adopt 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "the same object, of which nothing is stored",
            content(LOG, 1, "a\nb\n"),
            vec![unread(1, LOG, 1, "a\n")],
        )
        .gives(["resume 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "the same object, written anew in place",
            content(LOG, 1, "x\ny\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["new", "new", "new", "changed 1"]),
        Situation::new(
            "the same object, written anew in place with the same first line",
            content(LOG, 1, "a\ny\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["cut 1", "new", "new", "changed 1"]),
        Situation::new(
            "what a power cut left of a log, which begins like another that is stored wholly",
            content(ROTATED, 1, "a\nb\nx\n"),
            vec![known(1, LOG, 1, "a\nb\nc\n"), known(2, "/log/access.log.2", 2, "a\nb\n")],
        )
        .gives(["cut 1", "resume 2", "resume 2", "resume 2"]),
        Situation::new(
            "a followed log that was replaced by a longer copy",
            content(LOG, 2, "a\nb\nc\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, unlinked(content(LOG, 1, "a\nb\n")))
        .gives(["replaces 1", "held", "held", "resume 1"]),
        Situation::new(
            "a followed log that was replaced by an equal copy",
            content(LOG, 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, unlinked(content(LOG, 1, "a\nb\n")))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a followed log that was replaced by a longer log without times that begins alike",
            untimed(content(LOG, 2, "a\nb\nc\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, unlinked(untimed(content(LOG, 1, "a\nb\n"))))
        .gives(["new", "unproven 1", "held", "resume 1"]),
        Situation::new(
            "a longer copy that is still being made beside a followed log",
            half(content("/log/sedAbCdEf", 2, "a\nb\nc\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["wait", "held", "held", "resume 1"]),
        Situation::new(
            "a new log that begins like the one that was renamed away from it and is gone",
            content(LOG, 2, "a\nb\nc\n"),
            vec![known(1, ROTATED, 1, "a\nb\n")],
        )
        .gives(["new", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "a new log that begins like the one before, which was renamed and damaged",
            content(LOG, 2, "a\nb\nc\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .renamed(1)
        .gives(["new", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "a copy of a log of one line, which was truncated and renamed",
            content("/log/access.log.2", 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\n")],
        )
        .renamed(1)
        .gives(["adopt 1", "unproven 1", "resume 1", "resume 1"]),
        Situation::new(
            "an inode that is used again",
            content(LOG, 1, "x\ny\n"),
            vec![closed(known(1, LOG, 1, "a\nb\n"))],
        )
        .gives(["new", "new", "new", "new"]),
        Situation::new(
            "the object of a closed file with the same content",
            content(LOG, 1, "a\nb\n"),
            vec![closed(known(1, LOG, 1, "a\nb\n"))],
        )
        .gives(["resume 1", "resume 1", "already read", "resume 1"]),
        Situation::new(
            "a copy of a closed file",
            content(ROTATED, 2, "a\nb\nc\n"),
            vec![closed(known(1, LOG, 1, "a\nb\n"))],
        )
        .gives(["adopt 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "a copy of a followed file",
            content(ROTATED, 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a copy of which the followed file holds more",
            content(ROTATED, 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 6, content(LOG, 1, "a\nb\nc\n"))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a copy of a followed file without times, which was made later",
            made_later(untimed(content(ROTATED, 2, "a\nb\n"))),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, born(content(LOG, 1, "a\nb\n")))
        .gives(["copy of 1", "unproven 1", "held", "resume 1"]),
        Situation::new(
            "a file without times that was made in the same moment as a followed one that says the same",
            born(untimed(content(ROTATED, 2, "a\nb\n"))),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, born(content(LOG, 1, "a\nb\n")))
        .gives(["new", "unproven 1", "held", "resume 1"]),
        Situation::new(
            "a file with times that was made in the same moment as a followed one that says the same",
            born(content(ROTATED, 2, "a\nb\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, born(content(LOG, 1, "a\nb\n")))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a log with an unrelated name that says the same as a followed one",
            content("/log/other", 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["new", "held", "held", "resume 1"]),
        Situation::new(
            "a copy of a followed file that was truncated in this moment",
            content(ROTATED, 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, replaced(Made { bytes: b"a\nx\n".to_vec(), ..content(LOG, 1, "") }))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a copy of a followed file that was truncated in this moment, and first stored after it was compared",
            content(ROTATED, 2, "a\nb\n"),
            vec![unread(1, LOG, 1, "a\n")],
        )
        .following(1, 4, replaced(Made { bytes: b"a\nx\n".to_vec(), ..content(LOG, 1, "") }))
        .gives(["wait", "resume 1", "held", "resume 1"]),
        Situation::new(
            "a copy of a followed file that was truncated, written and rotated in this moment",
            content("/log/access.log.2", 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, replaced(Made { bytes: b"a\ny\nz\n".to_vec(), ..content(ROTATED, 1, "") }))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "a copy of a log that another daemon has, of which nothing is stored yet",
            content(ROTATED, 2, "a\nb\n"),
            vec![unread(1, LOG, 1, "a\n")],
        )
        .in_place(1)
        .gives(["adopt 1", "resume 1", "new", "resume 1"]),
        Situation::new(
            "a copy that was half made when its followed file was truncated",
            growing(content(ROTATED, 2, "a\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, replaced(Made { bytes: b"a\nx\n".to_vec(), ..content(LOG, 1, "") }))
        // The first line is still common to both.
        .gives(["copy of 1", "unproven 1", "new", "contained in 1? else new"]),
        Situation::new(
            "the copy of a truncated file, all of which is stored that was read",
            content(ROTATED, 2, "a\nb\nc\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .truncated(1, "a\n", 4, 4)
        .gives(["adopt 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "the copy of a truncated file, of which a batch is being stored",
            content(ROTATED, 2, "a\nb\nc\n"),
            vec![known(1, LOG, 1, "a\n")],
        )
        .truncated(1, "a\n", 4, 2)
        .gives(["wait", "unproven 1", "resume 1", "resume 1"]),
        Situation::new(
            "the copy of a file that was truncated before anything of it was stored",
            content(ROTATED, 2, "a\nb\n"),
            vec![],
        )
        .truncated(1, "a\n", 0, 0)
        .gives(["adopt 1", "new", "new", "new"]),
        Situation::new(
            "the truncated file itself, which begins as before",
            content(LOG, 1, "a\nx\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .truncated(1, "a\n", 0, 0)
        .gives(["new", "new", "new", "changed 1"]),
        Situation::new(
            "half a copy that is still being made",
            half(content(ROTATED, 2, "a\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["wait", "unproven 1", "new", "contained in 1? else new"]),
        Situation::new(
            "a young file with an unrelated name that begins like a known one",
            half(content("/log/other", 2, "a\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["new", "unproven 1", "new", "contained in 1? else new"]),
        Situation::new(
            "a shorter copy that lies still",
            content(ROTATED, 2, "a\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["new", "unproven 1", "new", "contained in 1? else new"]),
        Situation::new(
            "the same object, cut short",
            content(LOG, 1, "a\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["cut 1", "unproven 1", "new", "changed 1"]),
        Situation::new(
            "the same object, whose new lines another daemon has stored since its size was read",
            Made { grown: true, ..content(LOG, 1, "a\n") },
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["wait", "unproven 1", "new", "changed 1"]),
        Situation::new(
            "two files that begin alike: the one of which more is stored",
            content(ROTATED, 3, "a\nb\nc\n"),
            vec![known(2, LOG, 2, "a\nb\n"), known(1, "/log/old", 1, "a\n")],
        )
        .gives(["adopt 2", "resume 2", "resume 2", "resume 2"]),
        Situation::new(
            "two files that begin alike, and this is the object of the shorter one",
            content(ROTATED, 1, "a\nb\nc\n"),
            vec![known(2, LOG, 2, "a\nb\n"), known(1, "/log/old", 1, "a\n")],
        )
        .gives(["resume 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "a shorter copy of one file that is longer than another",
            content(ROTATED, 3, "a\nb\n"),
            vec![known(2, LOG, 2, "a\nb\nc\n"), known(1, "/log/old", 1, "a\n")],
        )
        .gives([
            "new",
            "contained in 2? else unproven 1",
            "contained in 2? else new",
            "resume 1",
        ]),
        Situation::new(
            "content that cannot be read as far as a known file reaches",
            Made { broken_at: Some(3), ..content(ROTATED, 2, "a\nb\nc\n") },
            vec![known(1, LOG, 1, "a\nb\nc\n")],
        )
        .gives(["unreadable", "unreadable", "unreadable", "unreadable"]),
        Situation::new(
            "content that can be read as far as one of two known files reaches",
            Made { broken_at: Some(3), ..content(ROTATED, 3, "a\nb\nc\n") },
            vec![known(2, LOG, 2, "a\nb\nc\n"), known(1, LOG, 1, "a\n")],
        )
        .gives(["unreadable", "unproven 1", "resume 1", "resume 1"]),
        Situation::new(
            "lines without a time, in a new object at the same path",
            untimed(content(LOG, 2, "a\nb\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .gives(["new", "unproven 1", "resume 1", "resume 1"]),
        Situation::new(
            "lines without a time, copied before the log was truncated where it is",
            untimed(content(ROTATED, 2, "a\nb\n")),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .in_place(1)
        .gives(["adopt 1", "unproven 1", "new", "resume 1"]),
        Situation::new(
            "lines without a time, like those of a deleted log with another name",
            untimed(content("/log/beta.log", 2, "a\nb\n")),
            vec![known(1, "/log/alpha.log", 1, "a\nb\n")],
        )
        .gives(["new", "unproven 1", "new", "resume 1"]),
        Situation::new(
            "lines without a time at the live path, like those of the log that was renamed away",
            untimed(content(LOG, 2, "a\n")),
            vec![known(1, ROTATED, 1, "a\nb\n")],
        )
        .following(1, 4, content(ROTATED, 1, "a\nb\n"))
        .gives(["new", "unproven 1", "new", "contained in 1? else new"]),
        Situation::new(
            "compressed and deleted before it was decided about, and stored from its archive",
            unlinked(born(content(LOG, 2, "a\nb\nc\n"))),
            vec![closed(born_later(known(1, ARCHIVE, 1, "a\nb\n")))],
        )
        .gives(["adopt 1", "resume 1", "resume 1", "resume 1"]),
        Situation::new(
            "lines without a time, compressed and deleted before it was decided about",
            unlinked(born(untimed(content(LOG, 2, "a\nb\n")))),
            vec![closed(born_later(known(1, ARCHIVE, 1, "a\nb\n")))],
        )
        .gives(["adopt 1", "unproven 1", "new", "resume 1"]),
        Situation::new(
            "lines without a time, deleted, more of them than an archive has",
            unlinked(untimed(content(LOG, 2, "a\nb\nc\n"))),
            vec![closed(known(1, ARCHIVE, 1, "a\nb\n"))],
        )
        .gives(["new", "unproven 1", "new", "resume 1"]),
        Situation::new(
            "one line with a time, like that of a deleted log with another name",
            content("/log/beta.log", 2, "a\n"),
            vec![known(1, "/log/alpha.log", 1, "a\n")],
        )
        .gives(["new", "unproven 1", "new", "resume 1"]),
        Situation::new(
            "the same name and first lines in another directory",
            content("/other/access.log", 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["new", "held", "held", "resume 1"]),
        Situation::new(
            "a rotated name in another directory, all of it stored",
            content("/other/access.log.1", 2, "a\nb\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["copy of 1", "held", "held", "resume 1"]),
        Situation::new(
            "what looked like a copy and grows as a log does",
            Made { grows: true, ..content("/other/access.log.1", 2, "a\nb\n") },
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(LOG, 1, "a\nb\n"))
        .gives(["new", "held", "held", "resume 1"]),
        Situation::new(
            "a log that begins like a followed one and holds more",
            content("/log/access-2.log", 2, "a\nb\nc\n"),
            vec![known(1, "/log/access-1.log", 1, "a\nb\n")],
        )
        .following(1, 4, content("/log/access-1.log", 1, "a\nb\n"))
        .gives(["new", "held", "held", "resume 1"]),
        Situation::new(
            "two stored logs that say the same: the one of this directory",
            content("/b/access.log.1", 3, "a\nb\n"),
            vec![known(2, "/b/access.log", 2, "a\nb\n"), known(1, "/a/access.log", 1, "a\nb\n")],
        )
        .gives(["adopt 2", "resume 2", "resume 2", "resume 2"]),
        Situation::new(
            "the same object and content, stored under another host's name",
            born(content(LOG, 1, "a\nb\nc\n")),
            vec![of_other_host(known(1, LOG, 1, "a\nb\n"))],
        )
        .gives(["of another host: 1", "of another host: 1", "new", "new"]),
        Situation::new(
            "the same inode and first line on another host, without a birth time",
            content(LOG, 1, "a\nb\nc\n"),
            vec![Checkpoint { host: "other".into(), ..known(1, LOG, 1, "a\nb\n") }],
        )
        .gives(["new", "new", "new", "new"]),
        Situation::new(
            "an archive that was read under another host's name",
            born(content("/log/access.log.1.gz", 1, "a\nb\n")),
            vec![closed(of_other_host(known(1, "/log/access.log.1.gz", 1, "a\nb\n")))],
        )
        .gives(["of another host: 1", "of another host: 1", "already read", "new"]),
        Situation::new(
            "the same object after a power cut, longer again",
            content(LOG, 1, "a\nb\nx\ny\nz\n"),
            vec![known(1, LOG, 1, "a\nb\nc\nd\n")],
        )
        .gives(["cut 1", "new", "new", "changed 1"]),
        Situation::new(
            "the same object after a power cut, whose copy is followed as that file",
            content(LOG, 1, "a\nx\n"),
            vec![known(1, LOG, 1, "a\nb\n")],
        )
        .following(1, 4, content(ROTATED, 2, "a\nb\n"))
        .gives(["new", "new", "new", "changed 1"]),
    ]
}

#[test]
fn each_caller_decides_by_its_policy() {
    let policies = [
        ("the daemon", Policy::Daemon),
        ("import", Policy::Import),
        ("an archive", Policy::Archive),
        ("verify", Policy::Verify),
    ];
    let mut wrong = Vec::new();
    for mut situation in situations() {
        for ((who, policy), expected) in policies.into_iter().zip(situation.decisions) {
            // `verify` knows nothing of the files of a daemon.
            if who == "verify" {
                situation.followed.clear();
                situation.truncated.clear();
            }
            let decided = situation.decide(policy);
            if decided != expected {
                wrong.push(format!("{}: {who}: {decided}, not {expected}", situation.what));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn an_archive_that_was_read_is_never_a_new_log() {
    const ARCHIVE: &str = "/log/access.log.1.gz";
    let read = || vec![closed(known(1, ARCHIVE, 1, "a\nb\n"))];
    let written = |bytes: &str, changed_at| Made { changed_at, ..content(ARCHIVE, 1, bytes) };
    let elsewhere = || vec![closed(of_other_host(known(1, ARCHIVE, 1, "a\nb\n")))];
    let late = CLOSED_AT + 1;
    for (what, content, known, has_changed, expected) in [
        ("left alone since", written("a\nb\n", 0), read(), false, "already read"),
        ("appended to since", written("a\nb\nc\n", late), read(), false, "resume 1"),
        (
            "appended to, by a late clock",
            written("a\nb\nc\n", CLOSED_AT - 1),
            read(),
            false,
            "resume 1",
        ),
        ("seen to grow, with an old time", written("a\nb\nc\n", 0), read(), true, "resume 1"),
        ("touched", written("a\nb\n", late), read(), false, "resume 1"),
        ("other lines in it", written("a\nx\nc\n", late), read(), false, "changed 1"),
        ("one line of it", written("a\n", late), read(), false, "changed 1"),
        ("another first line", written("x\nb\n", late), read(), false, "new"),
        ("of another host", born(written("a\nb\nc\n", late)), elsewhere(), false, "changed 1"),
    ] {
        let here = FilesOfProcess { has_changed, ..FilesOfProcess::default() };
        let decision = resolve(&content, known, HOST, &here, Policy::Archive);
        assert_eq!(words(&decision), expected, "{what}");
    }
}

#[test]
fn a_file_of_the_spool_is_known_by_its_name() {
    let (name, other) = ("/spool/stdin.1", "/spool/stdin.2");
    let stored = || vec![known(1, name, 1, "a\nb\n")];
    let growing = |content: Made| Made { grown: true, ..content };
    for (what, content, known, expected) in [
        ("the same name and content", content(name, 1, "a\nb\nc\n"), stored(), "resume 1"),
        ("the same content under another name", content(other, 2, "a\nb\n"), stored(), "new"),
        ("the same object under another name", content(other, 1, "a\nb\n"), stored(), "new"),
        ("shorter than what is stored of it", content(name, 1, "a\n"), stored(), "cut 1"),
        ("other content under its name", content(name, 1, "a\nx\n"), stored(), "cut 1"),
        ("shorter, and still growing", growing(content(name, 1, "a\n")), stored(), "cut 1"),
        ("a copy that is still being made", growing(content(name, 2, "a\n")), stored(), "wait"),
        ("nothing is known", content(name, 1, "a\n"), vec![], "new"),
    ] {
        let here = FilesOfProcess::default();
        assert_eq!(
            words(&resolve(&content, known, HOST, &here, Policy::Spool)),
            expected,
            "{what}"
        );
    }
}
