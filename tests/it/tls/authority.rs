//! A certificate authority of the test's own, by the `openssl` command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An authority with its directory.
pub(crate) struct Authority {
    directory: TempDir,
}

/// A certificate and its key, both PEM files in the authority's directory.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority { directory };
        openssl(
            authority.directory.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
             -keyout ca.key -out ca.crt -subj",
            &[&format!("/CN={name}")],
        );
        authority
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    /// For a server with these names (`DNS:localhost`), none if empty.
    pub(crate) fn server(&self, names: &str, days: u32) -> Issued {
        let names =
            if names.is_empty() { String::new() } else { format!("subjectAltName={names}\n") };
        self.issue("localhost", days, &format!("{names}extendedKeyUsage=serverAuth\n"))
    }

    /// For a client of this name.
    pub(crate) fn client(&self, name: &str) -> Issued {
        self.client_for(name, 30)
    }

    pub(crate) fn client_for(&self, name: &str, days: u32) -> Issued {
        self.issue(name, days, "extendedKeyUsage=clientAuth\n")
    }

    /// For a server with these names, from one moment to another (`20990101000000Z`).
    pub(crate) fn server_between(&self, names: &str, from: &str, to: &str) -> Issued {
        let issued = self.server(names, 1);
        let here = self.directory.path();
        let configuration = "[ca]\ndefault_ca=it\n[it]\nnew_certs_dir=.\ndatabase=index\nserial=serial\n\
             default_md=sha256\npolicy=all\ncertificate=ca.crt\nprivate_key=ca.key\n\
             unique_subject=no\n[all]\ncommonName=supplied\n";
        fs::write(here.join("ca.cnf"), configuration).unwrap();
        fs::write(here.join("index"), "").unwrap();
        fs::write(here.join("serial"), "1000\n").unwrap();
        let request = issued.key.with_file_name("request");
        openssl(
            here,
            "ca -batch -notext -config ca.cnf -extfile extensions",
            &[
                "-startdate",
                from,
                "-enddate",
                to,
                "-in",
                request.to_str().unwrap(),
                "-out",
                issued.certificate.to_str().unwrap(),
            ],
        );
        issued
    }

    /// A certificate for `localhost` that is one of an authority as well, as people make it who have
    /// none.
    pub(crate) fn self_signed(&self) -> Issued {
        let path = |name: &str| self.directory.path().join(name);
        let (certificate, key) = (path("self.crt"), path("self.key"));
        openssl(
            self.directory.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj \
             /CN=localhost -addext subjectAltName=DNS:localhost -keyout self.key -out self.crt",
            &[],
        );
        Issued { certificate, key }
    }

    fn issue(&self, name: &str, days: u32, extensions: &str) -> Issued {
        let here = self.directory.path();
        fs::write(here.join("extensions"), format!("basicConstraints=CA:FALSE\n{extensions}"))
            .unwrap();
        let issued = tempfile::Builder::new().prefix(name).tempdir_in(here).unwrap().keep();
        let path = |name: &str| issued.join(name).to_str().unwrap().to_owned();
        let (request, key, certificate) = (path("request"), path("key"), path("crt"));
        openssl(
            here,
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes",
            &["-keyout", &key, "-out", &request, "-subj", &format!("/CN={name}")],
        );
        openssl(
            here,
            "x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -extfile extensions",
            &["-days", &days.to_string(), "-in", &request, "-out", &certificate],
        );
        Issued { certificate: certificate.into(), key: key.into() }
    }
}

impl Issued {
    /// Copies both to these paths, as a renewal does.
    pub(crate) fn copy_to(&self, certificate: &Path, key: &Path) {
        fs::copy(&self.certificate, certificate).unwrap();
        fs::copy(&self.key, key).unwrap();
        only_owner(key);
    }
}

/// What a key's mode has to be.
pub(crate) fn only_owner(path: &Path) {
    mode(path, 0o600);
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the command with `words`, then `arguments`.
pub(crate) fn openssl(directory: &Path, words: &str, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}
