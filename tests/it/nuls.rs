//! NULs before a line, as a power cut leaves them, or a writer that does not append when its log is
//! truncated: they are skipped, their place is stored, and the line is a row.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::archives::compress;
use crate::bounds::assert_idle;
use crate::containers::runtime::{RUNTIMES, moment};
use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::{Lines, NOW, Place, advanced, claimed, sighting, together, until};

impl Bench {
    /// The runs of NULs of each file, as they are stored, without spaces.
    async fn nul_runs(&self) -> Vec<String> {
        let select = "SELECT CAST(nul_runs AS text) FROM log_file ORDER BY id";
        self.place.texts(select).await.iter().map(|runs| runs.replace(' ', "")).collect()
    }

    async fn offsets(&self) -> Vec<i64> {
        let select = "SELECT CAST(log_offset AS text) AS found FROM gunicorn_log ORDER BY log_file, log_offset";
        self.place.texts(select).await.iter().map(|offset| offset.parse().unwrap()).collect()
    }

    async fn reject_count(&self) -> i64 {
        self.place.rejected().await.len() as i64
    }

    /// Makes the file longer by a hole.
    fn add_hole(&self, name: &str, bytes: u64) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.log(name));
        let file = file.unwrap();
        file.set_len(file.metadata().unwrap().len() + bytes).unwrap();
    }
}

fn nuls(length: usize) -> Vec<u8> {
    vec![0; length]
}

for_each_store! {
    /// The runs of NULs, and the lines with their ends, are all of the file.
    async fn nuls_before_a_line_are_skipped_and_those_within_a_line_are_not(bench) {
        let (a, b) = (lines("a", 0..3), line("/b"));
        let within = line("/c").replace("/c", "/\0c");
        let mut text = a.clone().into_bytes();
        let (mut at, mut runs, mut offsets) = (0, Vec::new(), Vec::new());
        for _ in 0..3 {
            offsets.push(at);
            at += a.len() as i64 / 3;
        }
        for length in [1, 63, 64, 127, 128, 191, 5000, 300_000] {
            text.extend(nuls(length));
            text.extend(b.as_bytes());
            text.extend(within.as_bytes());
            runs.push(format!("[{at},{length}]"));
            at += length as i64;
            offsets.push(at);
            at += (b.len() + within.len()) as i64;
        }
        bench.append("access.log", &text);
        let daemon = bench.watch();
        bench.rows(11).await;
        until("the rejects are there", async || bench.reject_count().await == 8).await;
        assert_eq!(bench.nul_runs().await, [format!("[{}]", runs.join(","))]);
        assert_eq!(bench.offsets().await, offsets);
        bench.balanced().await;
        bench.digests_are_true().await;
        // It goes on in the middle of a block of the digest, in several turns of the program.
        daemon.kill();
        let daemon = bench.watch();
        for nth in 0..5 {
            bench.append("access.log", [nuls(1000 + nth), line("/d").into_bytes()].concat());
            bench.rows(12 + nth as i64).await;
        }
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (16, 8));
        assert!(bench.said().contains("skipped NULs before a line"), "{}", bench.said());
    }

    /// Nothing is committed before the line is complete, however often the program ends meanwhile.
    async fn nuls_without_a_line_after_them_wait_for_it(bench) {
        bench.append("access.log", lines("a", 0..5));
        let committed = lines("a", 0..5).len() as i64;
        let half = line("/half");
        let (one, two) = half.split_at(40);
        let offset = format!("SELECT count(*) FROM log_file WHERE committed = {committed}");
        let texts = [nuls(70_000), nuls(9), one.as_bytes().to_vec()];
        for (nth, text) in texts.into_iter().enumerate() {
            let daemon = bench.watch();
            bench.rows(5 + nth as i64).await;
            bench.append("access.log", text);
            bench.append("other.log", line("/other")); // when it is stored, the daemon has looked
            bench.rows(6 + nth as i64).await;
            assert_eq!(bench.place.number(&offset).await, 1);
            daemon.kill();
        }
        let _daemon = bench.watch();
        bench.append("access.log", two);
        bench.rows(9).await;
        let runs = bench.nul_runs().await;
        assert!(runs.contains(&format!("[[{committed},70009]]")), "{runs:?}");
        assert!(bench.offsets().await.contains(&(committed + 70_009)));
        bench.digests_are_true().await;
    }

    async fn the_line_after_a_hole_of_20_gib_is_visible_within_two_seconds(bench) {
        const HOLE: u64 = 20 << 30;
        bench.append("access.log", lines("a", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        let before = fs::metadata(bench.log("access.log")).unwrap().len();
        bench.add_hole("access.log", HOLE);
        assert_idle(&daemon).await;
        assert_eq!(bench.place.number("SELECT committed FROM log_file").await, before as i64);
        bench.append("access.log", "half");
        assert_idle(&daemon).await;
        let began = Instant::now();
        bench.append("access.log", format!("\n{}", line("/after")));
        bench.rows(11).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(bench.nul_runs().await, [format!("[[{before},{HOLE}]]")]);
        bench.digests_are_true().await;
        // A new program, which has to pass over another hole; and a file that begins with one.
        daemon.kill();
        bench.add_hole("access.log", HOLE);
        bench.append("access.log", line("/after"));
        bench.add_hole("new.log", HOLE);
        bench.append("new.log", line("/new"));
        let began = Instant::now();
        let daemon = bench.watch();
        bench.rows(13).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        bench.digests_are_true().await;
        assert!(daemon.stop().await.success());
        assert!(bench.succeed(&["status"]).contains("new.log\n  offset 21,474,836,"));
        bench.balanced().await;
    }

    /// NULs that were written are read, in several turns: at the beginning of a file, and later.
    async fn written_nuls_take_several_turns(bench) {
        const MANY: usize = 30 << 20;
        let text = |prefix| [nuls(MANY), lines(prefix, 0..50).into_bytes()].concat();
        bench.append("access.log", text("a"));
        let daemon = bench.watch();
        bench.rows(50).await;
        bench.append("access.log", text("b"));
        bench.rows(100).await;
        bench.append("access.log", text("c"));
        bench.exactly([urls("a", 0..50), urls("b", 0..50), urls("c", 0..50)].concat()).await;
        let step = MANY + lines("a", 0..50).len();
        let runs = (0..3).map(|nth| format!("[{},{MANY}]", nth * step)).collect::<Vec<_>>();
        assert_eq!(bench.nul_runs().await, [format!("[{}]", runs.join(","))]);
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
        assert!(daemon.peak_kib() < 64 << 10, "{} KiB", daemon.peak_kib());
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
    }

    async fn a_file_of_nuls_only_is_no_log_yet_and_costs_nothing(bench) {
        bench.append("access.log", nuls(200_000));
        bench.add_hole("hole.log", 1 << 30);
        let daemon = bench.watch();
        bench.append("other.log", lines("other", 0..1));
        bench.rows(1).await;
        assert_idle(&daemon).await;
        assert_eq!(bench.nul_runs().await, ["[]"]);
        bench.append("access.log", lines("a", 0..5));
        bench.append("hole.log", lines("b", 0..5));
        bench.exactly([urls("other", 0..1), urls("a", 0..5), urls("b", 0..5)].concat()).await;
        assert_eq!(bench.reject_count().await, 0);
        bench.digests_are_true().await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    /// It is known by the first line after its NULs, wherever it goes.
    async fn a_log_that_begins_with_nuls_is_recognized(bench) {
        let names = ["one.log", "two.log"];
        for name in names {
            bench.append(name, [nuls(100_000), lines(name, 0..20).into_bytes()].concat());
        }
        let daemon = bench.watch();
        let all = |count| names.iter().flat_map(|name| urls(name, 0..count)).collect::<Vec<_>>();
        bench.exactly(all(20)).await;
        assert_eq!(bench.nul_runs().await, ["[[0,100000]]", "[[0,100000]]"]);
        let heads = "SELECT count(DISTINCT head) FROM log_file";
        assert_eq!(bench.place.number(heads).await, 2);
        assert!(daemon.stop().await.success());
        // A copy, an archive and the original: nothing is stored twice.
        let whole = fs::read(bench.log("one.log")).unwrap();
        fs::write(bench.aside("copy"), &whole).unwrap();
        fs::write(bench.aside("copy.gz"), compress("gz", &whole)).unwrap();
        for name in ["copy", "copy.gz"] {
            let told = bench.succeed(&["import", bench.aside(name).to_str().unwrap()]);
            assert!(told.contains(" 0 stored"), "{told}");
        }
        fs::rename(bench.log("one.log"), bench.log("one.log.1")).unwrap();
        let daemon = bench.watch();
        bench.append("one.log.1", lines("one.log", 20..30));
        bench.append("two.log", lines("two.log", 20..30));
        bench.exactly(all(30)).await;
        assert!(daemon.stop().await.success());
        // The rest is in the archive only.
        let more = [fs::read(bench.log("two.log")).unwrap(), lines("two.log", 30..40).into_bytes()];
        fs::write(bench.log("two.log.gz"), compress("gz", &more.concat())).unwrap();
        fs::remove_file(bench.log("two.log")).unwrap();
        let daemon = bench.watch();
        bench.exactly([urls("one.log", 0..30), urls("two.log", 0..40)].concat()).await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    /// Older versions took NULs at the beginning of a file for a part of its first line.
    async fn a_log_that_an_older_version_knew_by_its_nuls_goes_on(bench) {
        bench.append("access.log", [nuls(5000), lines("a", 0..20).into_bytes()].concat());
        let daemon = bench.watch();
        bench.rows(20).await;
        let head = "SELECT count(*) FROM log_file WHERE head_length < 4096";
        assert_eq!(bench.place.number(head).await, 1);
        assert!(daemon.stop().await.success());
        let print: String =
            Sha256::digest(nuls(4096))[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let print = match bench.place.is_postgres() {
            true => format!("'\\x{print}'"),
            false => format!("x'{print}'"),
        };
        let older = format!("UPDATE log_file SET head_length = 4096, head = {print}");
        bench.place.execute(&older).await;
        let daemon = bench.watch();
        bench.append("access.log", lines("a", 20..30));
        bench.exactly(urls("a", 0..30)).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
        assert_eq!(bench.place.number(head).await, 1, "the claim has stored it");
        // By that, its copy is known, too.
        fs::rename(bench.log("access.log"), bench.aside("moved")).unwrap();
        fs::copy(bench.aside("moved"), bench.log("access.log.1")).unwrap();
        bench.append("access.log.1", lines("a", 30..40));
        let _daemon = bench.watch();
        bench.exactly(urls("a", 0..40)).await;
    }

    /// A file with NULs everywhere cannot make its row in the store grow for ever.
    async fn a_thousand_runs_are_skipped_and_further_ones_are_rejected_with_their_line(bench) {
        let each = |range: std::ops::Range<u32>| {
            range.map(|nth| format!("\0\0{}", line(&format!("/a/{nth}")))).collect::<String>()
        };
        bench.append("access.log", each(0..990));
        let daemon = bench.watch();
        bench.rows(990).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", each(990..1100));
        let daemon = bench.watch();
        until("all lines are stored", async || bench.stored().await == 1100).await;
        bench.exactly(urls("a", 0..1000)).await;
        assert_eq!(bench.reject_count().await, 100);
        let codes = "SELECT DISTINCT code FROM rejected_line";
        assert_eq!(bench.place.texts(codes).await, ["holds_nul"]);
        assert_eq!(bench.nul_runs().await[0].matches("],[").count(), 999);
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("rejected")), (1000, 100));
        let told = bench.run(&["check", bench.log("access.log").to_str().unwrap()]);
        assert!(String::from_utf8(told.stdout).unwrap().contains("1,100 lines: 1,000 would be stored, 100 rejected"));
    }

    async fn a_line_after_nuls_that_is_too_long_or_that_the_store_refuses_is_a_reject(bench) {
        if bench.place.is_postgres() {
            bench.place.execute("ALTER TABLE gunicorn_log ADD CONSTRAINT odd CHECK (url NOT LIKE '%/77')").await;
        } else {
            bench.place.execute("CREATE TRIGGER odd BEFORE INSERT ON gunicorn_log WHEN NEW.url LIKE '%/77'
                BEGIN SELECT raise(ABORT, 'odd'); END").await;
        }
        bench.append("access.log", lines("a", 0..20));
        bench.append("access.log", [nuls(700), line("/x/77").into_bytes()].concat());
        bench.append("access.log", lines("b", 0..20));
        bench.append("access.log", [nuls(7000), vec![b'x'; 5 << 20], b"\n".to_vec()].concat());
        bench.append("access.log", [nuls(70), lines("c", 0..20).into_bytes()].concat());
        let daemon = bench.watch();
        bench.exactly([urls("a", 0..20), urls("b", 0..20), urls("c", 0..20)].concat()).await;
        let codes = "SELECT code FROM rejected_line ORDER BY log_offset";
        assert_eq!(bench.place.texts(codes).await, ["refused_by_store", "too_long"]);
        let a = lines("a", 0..20).len();
        let b = a + 700 + line("/x/77").len() + lines("b", 0..20).len();
        let c = b + 7000 + (5 << 20) + 1;
        assert_eq!(bench.nul_runs().await, [format!("[[{a},700],[{b},7000],[{c},70]]")]);
        let offsets = "SELECT CAST(log_offset AS text) AS found FROM rejected_line ORDER BY log_offset";
        let wanted = [(a + 700).to_string(), (b + 7000).to_string()];
        assert_eq!(bench.place.texts(offsets).await, wanted);
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        bench.verified(&[]);
    }

    /// Batches over several connections, and files that share a batch.
    async fn an_import_skips_them_too(bench) {
        let mut text = Vec::new();
        for nth in 0..30 {
            text.extend(nuls(1 + nth * 77));
            text.extend(lines("a", nth as u32 * 2000..(nth as u32 + 1) * 2000).as_bytes());
        }
        text.extend(nuls(12_345)); // the end is blank
        bench.append("large.log", &text);
        for nth in 0..5 {
            let name = format!("small.{nth}");
            bench.append(&name, [nuls(nth), lines(&name, 0..5).into_bytes(), nuls(3), line("/z").into_bytes()].concat());
        }
        let files: Vec<_> = fs::read_dir(bench.logs()).unwrap().map(|it| it.unwrap().path()).collect();
        let mut arguments = vec!["import", "--jobs", "3"];
        arguments.extend(files.iter().map(|path| path.to_str().unwrap()));
        bench.succeed(&arguments);
        let mut all = urls("a", 0..60_000);
        all.extend((0..5).flat_map(|nth| urls(&format!("small.{nth}"), 0..5)));
        all.extend(vec!["/z".to_owned(); 5]);
        bench.exactly(all).await;
        assert_eq!(bench.reject_count().await, 0);
        let large = bench.nul_runs().await.into_iter().max_by_key(String::len).unwrap();
        assert_eq!(large.matches("],[").count(), 29, "{large}");
        let sorted: Vec<(u64, u64)> = serde_json::from_str(&large).unwrap();
        assert!(sorted.is_sorted(), "{large}");
        bench.digests_are_true().await;
        bench.verified(&[]);
        // What was blank gets a line.
        bench.append("large.log", line("/last"));
        let _daemon = bench.watch();
        bench.rows(60_031).await;
        let large = bench.nul_runs().await.into_iter().max_by_key(String::len).unwrap();
        assert!(large.ends_with(&format!("[{},12345]]", text.len() - 12_345)), "{large}");
    }

    async fn those_among_the_lines_of_a_container_are_skipped(bench) {
        for (nth, runtime) in RUNTIMES.into_iter().enumerate() {
            let name = format!("{nth}.log");
            let whole = |text: &str| runtime.piece(moment(1), "stdout", text.trim_end().as_bytes(), true);
            let open = |text: &str| runtime.piece(moment(1), "stdout", text.as_bytes(), false);
            let prefix = format!("r{nth}");
            let url = |it: u32| line(&format!("/{prefix}/{it}"));
            let mut text = nuls(10);
            for it in 0..5 {
                text.extend(whole(&url(it)));
            }
            text.extend(nuls(500));
            text.extend(whole(&url(5)));
            // A piece whose rest was lost, and half of a record of two lines.
            text.extend(open("cut off "));
            text.extend(nuls(5000));
            text.extend(whole(&url(6)));
            text.extend(whole("no line of ours"));
            text.extend(nuls(1));
            text.extend(whole(&url(7)));
            bench.append(&name, text);
        }
        let daemon = bench.watch();
        let count = RUNTIMES.len();
        bench.exactly((0..count).flat_map(|nth| urls(&format!("r{nth}"), 0..8))).await;
        let codes = "SELECT code FROM rejected_line ORDER BY log_file, log_offset";
        let wanted = ["no_final_piece", "unlike_format"].repeat(count);
        until("the rejects are there", async || bench.reject_count().await == 2 * count as i64).await;
        assert_eq!(bench.place.texts(codes).await, wanted);
        for runs in bench.nul_runs().await {
            assert_eq!(runs.matches("],[").count(), 3, "{runs}");
        }
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        bench.verified(&[]);
    }

    /// Skipped NULs that are something else by now are a change of the file.
    async fn verify_finds_bytes_in_the_place_of_skipped_nuls(bench) {
        bench.append("access.log", lines("a", 0..20));
        bench.append("access.log", [nuls(40 << 20), lines("b", 0..20).into_bytes()].concat());
        bench.import(&["access.log"]);
        bench.verified(&[]);
        let file = OpenOptions::new().write(true).open(bench.log("access.log")).unwrap();
        for offset in [30 << 20, 41 << 20] {
            file.write_all_at(b"x", offset.min((40 << 20) + lines("a", 0..20).len() as u64 - 1)).unwrap();
            bench.differs(&[]);
            file.write_all_at(b"\0", offset.min((40 << 20) + lines("a", 0..20).len() as u64 - 1)).unwrap();
        }
        bench.verified(&[]);
    }

    async fn those_of_a_stream_are_skipped(bench) {
        let (mut daemon, mut input) = crate::streams::watch(&bench, &["-"], "stderr");
        input.write_all(&nuls(100)).unwrap();
        input.write_all(lines("a", 0..20).as_bytes()).unwrap();
        bench.rows(20).await;
        input.write_all(&nuls(100_000)).unwrap();
        input.write_all(lines("b", 0..20).as_bytes()).unwrap();
        drop(input);
        assert!(daemon.ends().await.success());
        bench.exactly([urls("a", 0..20), urls("b", 0..20)].concat()).await;
        assert_eq!(bench.reject_count().await, 0);
    }
}

for_every_store!(runs_of_nuls_are_added_in_the_transaction_that_moves_the_offset);

async fn runs_of_nuls_are_added_in_the_transaction_that_moves_the_offset(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let (mut one, mut two) = (claimed(&mut writer, 1).await, claimed(&mut writer, 2).await);
    let run = |offset, length| log_ingestd::model::NulRun { offset, length };
    for nth in 0..3 {
        let mut lines = Lines::after(&one).row(NOW).batch();
        lines.spans[0].nul_runs = vec![run(nth * 10, 7), run(nth * 10 + 8, 1)];
        writer.commit(&lines).await.unwrap();
        one = advanced(&one, &lines);
        // Over a connection of its own, as an import does.
        let mut sent = Lines::after(&one).row(NOW).batch();
        sent.spans[0].nul_runs = vec![run(nth * 10 + 9, 20 << 30)];
        let mut other = store.lane("web:1").await.unwrap();
        other.commit(&sent, None).await.unwrap();
        drop(other);
        let one_after = advanced(&one, &sent);
        // Two files in one batch, of which one has no run.
        let mut both =
            together(vec![Lines::after(&one_after).row(NOW), Lines::after(&two).row(NOW)]);
        both.spans[0].nul_runs = vec![run(1000 + nth, 1)];
        writer.commit(&both).await.unwrap();
        (one, two) = (advanced(&one_after, &both), advanced(&two, &both));
    }
    assert_eq!((one.nul_runs.len(), two.nul_runs.len()), (12, 0));
    let stale = Lines::after(&two).row(NOW).batch();
    writer.commit(&stale).await.unwrap();
    let mut again = stale.clone();
    again.spans[0].nul_runs = vec![run(5, 5)];
    writer.commit(&again).await.unwrap_err();
    two = advanced(&two, &stale);
    let known = writer.candidates(&sighting(1, None)).await.unwrap();
    assert_eq!(known, [one]);
    assert_eq!(writer.candidates(&sighting(2, None)).await.unwrap(), [two]);
}
