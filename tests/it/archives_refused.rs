//! Archives that are refused, and archives that only look unusual.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::archives::{KINDS, compress};
use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::until;

/// `access.log` of the log directory, as tar(1) packs it in this format.
pub(crate) fn tar(bench: &Bench, format: &str) -> Vec<u8> {
    let format = format!("--format={format}");
    let mut command = Command::new("tar");
    let output = command.args(["-c", &format, "access.log"]).current_dir(bench.logs()).output();
    output.unwrap().stdout
}

/// `access.log` of the log directory, as a zip archive without compression.
fn zip(bench: &Bench) -> Vec<u8> {
    let script = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').write('access.log')";
    let path = bench.aside("packed.zip");
    let mut command = Command::new("python3");
    command.args(["-c", script, path.to_str().unwrap()]).current_dir(bench.logs());
    assert!(command.status().unwrap().success());
    fs::read(path).unwrap()
}

/// A frame of lz4 with one block that is not compressed.
fn lz4(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap() | 1 << 31;
    let header = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    [&header[..], &length.to_le_bytes(), text, &[0; 4]].concat()
}

/// An archive of 7-Zip begins so, and holds what is not compressed as it is.
fn seven_zip(text: &[u8]) -> Vec<u8> {
    [b"7z\xbc\xaf\x27\x1c\x00\x04", &[7; 24][..], text].concat()
}

/// What `xz --format=lzma` writes.
fn lzma(text: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Writes archives of `access.log` beside it; their names, and what they are called.
fn packed(bench: &Bench) -> Vec<(String, &'static str)> {
    let text = fs::read(bench.log("access.log")).unwrap();
    let ustar = tar(bench, "ustar");
    let mut archives = vec![
        ("logs.zip".to_owned(), "a zip archive", zip(bench)),
        ("logs.7z".to_owned(), "a 7z archive", seven_zip(&text)),
        ("access.log.lz4".to_owned(), "compressed with lz4", lz4(&text)),
        ("access.log.lzma".to_owned(), "compressed with lzma", lzma(&text)),
        ("access.lz4.gz".to_owned(), "compressed with lz4", compress("gz", &lz4(&text))),
        ("packed.log".to_owned(), "a tar archive", compress("gz", &ustar)),
    ];
    for format in ["v7", "ustar", "gnu", "posix"] {
        archives.push((format!("{format}.tar"), "a tar archive", tar(bench, format)));
    }
    for kind in KINDS {
        archives.push((format!("logs.tar.{kind}"), "a tar archive", compress(kind, &ustar)));
    }
    let write = |(name, what, bytes): (String, &'static str, Vec<u8>)| {
        bench.append(&name, bytes);
        (name, what)
    };
    archives.into_iter().map(write).collect()
}

/// A frame that decoders skip, as pzstd writes one before each frame of data.
fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&[0x50, 0x2a, 0x4d, 0x18][..], &length.to_le_bytes(), content].concat()
}

for_each_store! {
    async fn an_archive_that_is_not_read_is_refused_by_import_and_by_check(bench) {
        bench.append("access.log", lines("a", 0..30));
        bench.append("other.log", lines("b", 0..5));
        let archives = packed(&bench);
        let mut names: Vec<&str> = archives.iter().map(|(name, _)| name.as_str()).collect();
        names.insert(0, "access.log");
        names.push("other.log");
        let (summary, said) = bench.refused_import(&names);
        assert_eq!(summary.counts(), (35, 35, 0), "{said}");
        assert_eq!(said.lines().count(), archives.len(), "{said}");
        for (name, what) in &archives {
            let words = format!("/{name}': this is {what}, which log-ingestd does not read; unpack it first");
            assert!(said.contains(&words), "'{words}' is not in: {said}");
            let output = bench.run(&["check", bench.log(name).to_str().unwrap()]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(1) && said.contains("unpack it first"), "{said}");
        }
        bench.exactly([urls("a", 0..30), urls("b", 0..5)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
        // It is no log that the database should know, and it is said if it is named.
        assert_eq!(bench.verified(&[bench.logs().to_str().unwrap()]).sum("lines"), 35);
        let (_, _, file, _) = bench.differs(&[bench.log("logs.tar.gz").to_str().unwrap()]).first();
        assert!(file.contains("this is a tar archive"), "{file}");
    }

    async fn the_daemon_leaves_such_an_archive_alone_and_says_it_once(bench) {
        bench.append("access.log", lines("a", 0..30));
        let archives = packed(&bench);
        let mut daemon = bench.watch_with(&["--include", "*"]);
        for (name, what) in &archives {
            daemon.says(&format!("this is {what}: left alone; unpack it first, or leave it out with --exclude PATTERN")).await;
            until("it is named", async || {
                daemon.said().lines().any(|line| line.contains("left alone") && line.contains(&format!("/{name} ")))
            })
            .await;
        }
        bench.append("access.log", lines("a", 30..40));
        bench.exactly(urls("a", 0..40)).await;
        // Renamed by a rotation, it is not told again; other content under the name is followed.
        fs::rename(bench.log("logs.zip"), bench.log("logs.zip.1")).unwrap();
        bench.append("logs.zip", lines("b", 0..10));
        bench.exactly([urls("a", 0..40), urls("b", 0..10)].concat()).await;
        assert_eq!(daemon.said().matches("left alone").count(), archives.len(), "{}", daemon.said());
        assert!(daemon.stop().await.success());
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn zstd_that_begins_with_a_skippable_frame_is_read(bench) {
        let text = lines("a", 0..40);
        let (one, other) = text.split_at(text.len() / 2);
        let frames = [one, other].map(|part| {
            let frame = compress("zst", part.as_bytes());
            let length = u32::try_from(frame.len()).unwrap();
            [skippable(&length.to_le_bytes()), frame].concat()
        });
        bench.append("pzstd.log.zst", frames.concat());
        bench.append("empty.zst", skippable(b""));
        assert_eq!(bench.import(&["pzstd.log.zst", "empty.zst"]).counts(), (40, 40, 0));
        assert_eq!(bench.import(&["pzstd.log.zst"]).counts(), (40, 0, 40));
        let checked = bench.succeed(&["check", bench.log("pzstd.log.zst").to_str().unwrap()]);
        assert!(checked.contains("40 would be stored"), "{checked}");
        bench.append("garbage.zst", [skippable(b"x"), lz4(b"no log\n")].concat());
        let (summary, said) = bench.refused_import(&["garbage.zst"]);
        assert!(summary.counts() == (0, 0, 0) && said.contains("garbage.zst"), "{said}");
        // A log whose rest is in such an archive is finished from it.
        bench.append("b.log", lines("b", 0..10));
        let daemon = bench.watch();
        bench.rows(50).await;
        assert!(daemon.stop().await.success());
        fs::remove_file(bench.log("b.log")).unwrap();
        let rest = compress("zst", lines("b", 0..30).as_bytes());
        bench.append("b.log.1.zst", [skippable(b"1234"), rest].concat());
        let _daemon = bench.watch();
        bench.exactly([urls("a", 0..40), urls("b", 0..30)].concat()).await;
        bench.verified(&[]);
    }

    async fn zeros_after_a_gzip_member_are_padding_and_garbage_is_an_error(bench) {
        let member = |prefix| compress("gz", lines(prefix, 0..20).as_bytes());
        let padded = |mut bytes: Vec<u8>| {
            bytes.resize(bytes.len().next_multiple_of(512) + 512, 0);
            bytes
        };
        bench.append("tape.gz", padded(member("a")));
        bench.append("two.gz", [padded(member("b")), padded(member("c"))].concat());
        assert_eq!(bench.import(&["tape.gz", "two.gz"]).counts(), (60, 60, 0));
        bench.verified(&[bench.logs().to_str().unwrap()]);
        let length = lines("d", 0..20).len();
        for (name, rest) in [
            ("short.gz", &b"x"[..]),
            ("text.gz", b"This is no gzip data, although it follows some.\n"),
            ("after-zeros.gz", b"\0\0\0\0\0\0\0\0garbage"),
            ("half-a-header.gz", b"\x1f\x8b\x09\0\0\0\0\0\0\0\0\0"),
        ] {
            bench.append(name, [member("d"), rest.to_vec()].concat());
            let (_, said) = bench.refused_import(&[name]);
            let place = format!("{name}': unreadable after byte {length} of its content");
            assert!(said.contains(&place), "'{place}' is not in: {said}");
        }
        bench.exactly(["a", "b", "c", "d"].map(|name| urls(name, 0..20)).concat()).await;
    }

    /// The checksum stands at the end of a member: what is before it is stored, and the file is named.
    async fn a_gzip_member_whose_checksum_is_wrong_is_an_error(bench) {
        let mut archive = compress("gz", lines("a", 0..20).as_bytes());
        let checksum = archive.len() - 8;
        archive[checksum] ^= 1;
        bench.append("broken.gz", archive);
        let (summary, said) = bench.refused_import(&["broken.gz"]);
        assert_eq!(summary.counts(), (20, 20, 0));
        assert!(said.contains("broken.gz': unreadable after byte"), "{said}");
        let said = bench.run(&["check", bench.log("broken.gz").to_str().unwrap()]);
        assert_eq!(said.status.code(), Some(1));
        bench.append("after.log", line("/after"));
        bench.import(&["after.log"]);
        bench.exactly(urls("a", 0..20).into_iter().chain(["/after".to_owned()])).await;
    }
}
