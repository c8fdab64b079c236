//! Compressed logs, and what a summary of an import says of them.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::daemon::Bench;

/// Each kind of archive, with the ending that it usually has.
pub(crate) const KINDS: [&str; 4] = ["gz", "zst", "xz", "bz2"];

/// `content`, compressed.
pub(crate) fn compress(kind: &str, content: &[u8]) -> Vec<u8> {
    match kind {
        "gz" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        "zst" => zstd::encode_all(content, 1).unwrap(),
        "xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        "bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        }
        other => unreachable!("no archive is called {other}"),
    }
}

/// What `import --json` says.
pub(crate) struct Summary(pub(crate) Value);

impl Summary {
    pub(crate) fn of(output: &[u8]) -> Summary {
        Summary(serde_json::from_slice(output).unwrap())
    }

    /// A count of it.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap()
    }

    /// Lines, rows, lines already stored.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (self.count("lines"), self.count("rows"), self.count("already_stored"))
    }
}

impl Bench {
    /// Imports files of the log directory, which must succeed.
    pub(crate) fn import(&self, names: &[&str]) -> Summary {
        let paths: Vec<_> = names.iter().map(|name| self.log(name)).collect();
        let mut arguments = vec!["import", "--json"];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        Summary::of(self.succeed(&arguments).as_bytes())
    }

    /// Imports a file that cannot be: the exit code is 1 and this is what it says.
    pub(crate) fn refused_import(&self, names: &[&str]) -> (Summary, String) {
        let paths: Vec<_> = names.iter().map(|name| self.log(name)).collect();
        let mut arguments = vec!["import", "--json"];
        arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
        let output = self.run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        (Summary::of(&output.stdout), String::from_utf8(output.stderr).unwrap())
    }

    /// Imports what comes on standard input.
    pub(crate) fn import_stream(&self, content: &[u8]) -> Summary {
        let mut command = self.command(&["import", "--json", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(content).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        Summary::of(&output.stdout)
    }
}
