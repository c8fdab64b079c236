use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use super::*;
use crate::source::open::Links;

struct Bench {
    directory: tempfile::TempDir,
    spool: Arc<Spool>,
}

impl Bench {
    fn new(limit: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("mkfifo").arg(directory.path().join("fifo")).status().unwrap();
        assert!(status.success());
        let spool = Arc::new(Spool::new(directory.path().join("spool"), limit));
        Self { directory, spool }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("fifo")
    }

    fn pump(&self) -> StreamPump {
        self.controlled().0
    }

    fn controlled(&self) -> (StreamPump, Arc<PumpControl>) {
        let control = PumpControl::new().unwrap();
        let pump = StreamPump::fifo(
            Arc::clone(&self.spool),
            &self.path(),
            Links::All,
            Arc::clone(&control),
        )
        .unwrap();
        (pump, control)
    }

    /// Opens a writer; a pump must read the FIFO already.
    fn writer(&self) -> File {
        OpenOptions::new().write(true).open(self.path()).unwrap()
    }

    /// Opens a writer that does not block.
    fn nonblocking_writer(&self) -> File {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        OpenOptions::new().write(true).custom_flags(flags).open(self.path()).unwrap()
    }

    fn texts(&self) -> Vec<String> {
        self.spool.list().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

/// Writes what the pipe takes now, and returns the number of bytes.
fn write_some(writer: &mut File, bytes: &[u8]) -> usize {
    match writer.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written.unwrap(),
    }
}

/// Makes steps until no more bytes are moved.
fn run(pump: &mut StreamPump) -> PumpStep {
    loop {
        match pump.step().unwrap() {
            PumpStep::Moved => {}
            step => return step,
        }
    }
}

#[test]
fn bytes_of_a_fifo_are_in_a_file_that_only_its_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(1 << 30);
    let mut pump = bench.pump();
    assert_eq!(run(&mut pump), PumpStep::Idle);
    assert_eq!(bench.spool.list(), Vec::<PathBuf>::new(), "no bytes came");
    let mut writer = bench.writer();
    writer.write_all(b"one\ntw").unwrap();
    assert_eq!(run(&mut pump), PumpStep::Idle);
    writer.write_all(b"o\n").unwrap();
    assert_eq!(run(&mut pump), PumpStep::Idle);
    assert_eq!(bench.texts(), ["one\ntwo\n"]);
    let path = bench.spool.list().remove(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(bench.spool.directory())), (0o600, 0o700));
    assert_eq!(bench.spool.files(), [Spooled { path, finished: false }]);
}

#[test]
fn the_line_of_the_last_writer_is_ended() {
    let bench = Bench::new(1 << 30);
    let mut pump = bench.pump();
    for text in ["one\n", "two", "three\n"] {
        bench.writer().write_all(text.as_bytes()).unwrap();
        assert_eq!(run(&mut pump), PumpStep::Idle);
    }
    assert_eq!(bench.texts(), ["one\ntwo\nthree\n"]);
}

#[test]
fn a_line_that_was_cut_is_continued_while_a_writer_has_the_fifo_open() {
    let bench = Bench::new(1 << 30);
    let mut pump = bench.pump();
    let mut writer = bench.writer();
    writer.write_all(b"one\nha").unwrap();
    run(&mut pump);
    drop(pump);
    assert!(!bench.spool.files()[0].finished);
    let mut pump = bench.pump();
    writer.write_all(b"lf\n").unwrap();
    run(&mut pump);
    assert_eq!(bench.texts(), ["one\nhalf\n"]);
    // Without a writer, what was in the pipe is lost.
    writer.write_all(b"cut").unwrap();
    run(&mut pump);
    drop(pump);
    drop(writer);
    let mut pump = bench.pump();
    bench.writer().write_all(b"new\n").unwrap();
    run(&mut pump);
    assert_eq!(bench.texts(), ["one\nhalf\ncut\n", "new\n"]);
}

#[test]
fn files_end_at_a_line_end_and_are_removed_when_finished() {
    let bench = Bench::new(256 << 10); // files of 64 KiB
    let mut pump = bench.pump();
    let mut writer = bench.writer();
    let line = format!("{}\n", "x".repeat(1006)); // no line end where a pipe is full
    let wanted = 200;
    for _ in 0..wanted {
        let (one, other) = line.split_at(500);
        writer.write_all(one.as_bytes()).unwrap();
        run(&mut pump);
        writer.write_all(other.as_bytes()).unwrap();
        run(&mut pump);
    }
    let texts = bench.texts();
    assert_eq!(texts.len(), 4, "200 KB in files of 64 KiB");
    assert!(texts.iter().all(|text| text.ends_with('\n')));
    assert_eq!(texts.concat(), line.repeat(wanted));
    let files = bench.spool.files();
    let finished: Vec<bool> = files.iter().map(|file| file.finished).collect();
    assert_eq!(finished, [true, true, true, false]);
    let sizes: Vec<u64> = texts.iter().map(|text| text.len() as u64).collect();
    assert!(!bench.spool.remove(&files[3].path, sizes[3]).unwrap(), "it is still written");
    assert!(!bench.spool.remove(&files[0].path, sizes[0] - 1).unwrap(), "there is more in it");
    assert!(bench.spool.remove(&files[0].path, sizes[0]).unwrap());
    assert_eq!(bench.texts().len(), 3);
}

#[test]
fn a_full_spool_takes_only_the_rest_of_a_line_until_there_is_room() {
    let bench = Bench::new(256 << 10);
    let mut pump = bench.pump();
    let mut writer = bench.nonblocking_writer();
    let line = |nth: usize| format!("{nth:09} {}\n", "y".repeat(5000));
    let text: String = (0..1000).map(line).collect();
    let (mut sent, mut all, mut was_full) = (0, String::new(), 0);
    loop {
        sent += write_some(&mut writer, &text.as_bytes()[sent..]);
        match pump.step().unwrap() {
            PumpStep::SpoolFull => {
                was_full += 1;
                let texts = bench.texts();
                let used: usize = texts.iter().map(String::len).sum();
                assert!(used < (256 << 10) + 2 * (64 << 10) + 5011, "{used} bytes");
                assert!(texts.iter().all(|text| text.ends_with('\n')));
                for (file, text) in bench.spool.files().into_iter().zip(texts) {
                    assert!(file.finished);
                    all += &text;
                    assert!(bench.spool.remove(&file.path, text.len() as u64).unwrap());
                }
            }
            PumpStep::Idle if sent == text.len() => break,
            _ => {}
        }
    }
    all += &bench.texts().concat();
    assert!(was_full >= 5, "5 MB through 256 KiB");
    assert!(all == text, "bytes are missing or doubled");
}

#[test]
fn a_fifo_that_is_replaced_is_read_until_its_last_writer_closes_it() {
    let bench = Bench::new(1 << 30);
    let (mut pump, control) = bench.controlled();
    let mut writer = bench.writer();
    fs::remove_file(bench.path()).unwrap();
    control.path_is_gone();
    writer.write_all(b"one\ntwo").unwrap();
    assert_eq!(run(&mut pump), PumpStep::Idle);
    drop(writer);
    assert_eq!(run(&mut pump), PumpStep::Ended);
    assert_eq!(bench.texts(), ["one\ntwo\n"]);
    assert!(bench.spool.files()[0].finished);
    // A FIFO without a writer ends at once, and leaves no file.
    let bench = Bench::new(1 << 30);
    let (mut pump, control) = bench.controlled();
    fs::remove_file(bench.path()).unwrap();
    control.path_is_gone();
    assert_eq!(run(&mut pump), PumpStep::Ended);
    assert_eq!(bench.texts(), Vec::<String>::new());
}

#[test]
fn files_of_another_process_are_left_to_it_and_leftovers_are_not() {
    let bench = Bench::new(1 << 30);
    let other = Spool::new(bench.spool.directory().to_path_buf(), 1 << 30);
    let mut file = other.begin(&StreamName::standard_input()).unwrap();
    file.file.write_all(b"one\ntwo").unwrap();
    file.end = 7;
    let path = file.path.clone();
    assert_eq!(bench.spool.files(), []);
    assert!(!bench.spool.remove(&path, 7).unwrap());
    let empty = other.begin(&StreamName::fifo(Path::new("/a"))).unwrap();
    drop((file, empty)); // as a kill does
    assert_eq!(bench.spool.files(), [Spooled { path, finished: true }]);
    assert_eq!(
        bench.texts(),
        ["one\ntwo\n"],
        "its last line is ended, and the empty file is removed"
    );
}

#[test]
fn a_line_without_an_end_does_not_fill_the_disk() {
    let bench = Bench::new(256 << 10);
    let mut pump = bench.pump();
    let mut writer = bench.nonblocking_writer();
    let endless = vec![b'z'; 64 << 10];
    while pump.step().unwrap() != PumpStep::SpoolFull {
        write_some(&mut writer, &endless);
    }
    let used: usize = bench.texts().iter().map(String::len).sum();
    assert!((4 << 20..5 << 20).contains(&used), "{used} bytes");
}

#[test]
fn a_fifo_is_named_by_its_path_and_names_are_unique() {
    let name = |path: &str| StreamName::fifo(Path::new(path)).0;
    assert_eq!(name("/run/app/access.fifo"), "run-app-access.fifo");
    assert_eq!(name("/run/app-access.fifo"), "run-app%2Daccess.fifo");
    assert_eq!(name("/.ü"), "%2E%C3%BC");
    assert_eq!(name("/stdin"), "-stdin");
    let long = |end: &str| name(&format!("/{}/{end}", "d".repeat(3000)));
    assert!(long("a").len() <= MAX_NAME && long("a").ends_with("d-a"), "{}", long("a"));
    assert_ne!(name(&format!("/{}", "d".repeat(3000))), name(&format!("/{}", "d".repeat(3001))));
}

#[test]
fn the_name_of_a_file_gives_its_stream() {
    let begun = chrono::DateTime::from_timestamp_micros(1_795_552_215_123_456).unwrap();
    for stream in [StreamName::standard_input(), StreamName::fifo(Path::new("/run/a.b/c.fifo"))] {
        let name = stream.file_name(begun);
        assert!(name.ends_with(".20261124T203015123456.log"), "{name}");
        assert_eq!(StreamName::of(Path::new(&format!("/spool/{name}"))), Some(stream));
    }
    for other in ["/spool/notes.txt", "/spool/.x.log", "/spool/x.log"] {
        assert_eq!(StreamName::of(Path::new(other)), None, "{other}");
    }
}
