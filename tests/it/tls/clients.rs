//! Certificates of clients: the right one, none, another user's, and files that are not right.

use std::path::Path;

use super::authority::{mode, only_owner, openssl};
use super::*;

impl Secure {
    fn url_with(&self, user: &str, certificate: &Path, key: &Path) -> String {
        let (root, certificate, key) = (self.root(), certificate.display(), key.display());
        let parameters = format!("sslmode=verify-full&{root}&sslcert={certificate}&sslkey={key}");
        self.url(user, "localhost", &parameters)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_let_in_by_the_certificate_with_its_name_only() {
    let secure = Secure::start().await;
    let (me, you) = (secure.authority.client("certain"), secure.authority.client("you"));
    secure.works(&secure.url_with("certain", &me.certificate, &me.key), &[]);
    secure.works(&secure.url_with("shown", &you.certificate, &you.key), &[]);

    let root = format!("sslmode=verify-full&{}", secure.root());
    let none = secure.url("certain", "localhost", &root);
    let words = ["valid client certificate", "name this client's certificate as sslcert"];
    secure.refuses(&none, &[], &words);
    let yours = secure.url_with("certain", &you.certificate, &you.key);
    let name = format!("the common name (CN) in '{}'", you.certificate.display());
    secure.refuses(&yours, &[], &["certificate authentication failed", &name]);

    let twice = secure.authority.client("twice");
    secure.works(&secure.url_with("twice:right-pa55", &twice.certificate, &twice.key), &[]);
    let yours = secure.url_with("twice:right-pa55", &you.certificate, &you.key);
    secure.refuses(&yours, &[], &["authentication failed", &name]);

    let old = secure.authority.client_for("certain", 0);
    let url = secure.url_with("certain", &old.certificate, &old.key);
    until("the second is over", async || !secure.status(&url, &[]).status.success()).await;
    let path = format!("does not take the certificate of sslcert '{}'", old.certificate.display());
    secure.refuses(&url, &[], &[&path, "it has expired: renew it"]);

    let stranger = Authority::new("stranger").client("certain");
    // Its directory is gone with its authority.
    let strange = secure.url_with("certain", &stranger.certificate, &stranger.key);
    let path = format!("sslcert '{}' cannot be read", stranger.certificate.display());
    secure.refuses(&strange, &[], &[&path, "No such file"]);
    let strangers = Authority::new("stranger");
    let stranger = strangers.client("certain");
    let strange = secure.url_with("certain", &stranger.certificate, &stranger.key);
    let path =
        format!("does not take the certificate of sslcert '{}'", stranger.certificate.display());
    secure.refuses(&strange, &[], &[&path, "ssl_ca_file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_files_of_libpq_are_found() {
    let secure = Secure::start().await;
    let url = secure.url("certain", "localhost", "sslmode=verify-full");
    secure.refuses(&url, &[], &["authority that this system trusts"]);
    let usual = secure.bench.aside(".postgresql"); // the program's home is there
    std::fs::create_dir(&usual).unwrap();
    let me = secure.authority.client("certain");
    me.copy_to(&usual.join("postgresql.crt"), &usual.join("postgresql.key"));
    std::fs::copy(secure.authority.certificate(), usual.join("root.crt")).unwrap();
    secure.works(&url, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_missing_encrypted_open_to_others_or_no_pem_are_named() {
    let secure = Secure::start().await;
    let (me, you) = (secure.authority.client("certain"), secure.authority.client("you"));
    let aside = |name: &str| secure.bench.aside(name);
    let with = |certificate: &Path, key: &Path| secure.url_with("certain", certificate, key);

    let nothing = aside("nothing");
    let named = |setting: &str, path: &Path| format!("{setting} '{}'", path.display());
    let missing = [&*named("sslkey", &nothing), "cannot be read", "No such file"];
    secure.refuses(&with(&me.certificate, &nothing), &[], &missing);
    let missing = [&*named("sslcert", &nothing), "cannot be read", "No such file"];
    secure.refuses(&with(&nothing, &me.key), &[], &missing);
    let root = format!("sslmode=verify-full&sslrootcert={}", nothing.display());
    let missing = [&*named("sslrootcert", &nothing), "certificates of the authorities"];
    secure.refuses(&secure.url("encrypted", "localhost", &root), &[], &missing);

    for (name, words) in [
        ("pkcs8", "pkcs8 -topk8 -passout pass:pa55"),
        ("traditional", "ec -aes128 -passout pass:pa55"),
    ] {
        let encrypted = aside(name);
        let paths = ["-in", me.key.to_str().unwrap(), "-out", encrypted.to_str().unwrap()];
        openssl(secure.bench.logs().parent().unwrap(), words, &paths);
        only_owner(&encrypted);
        let right =
            [&*named("sslkey", &encrypted), "is encrypted", "openssl pkey -in KEY -out NEW"];
        secure.refuses(&with(&me.certificate, &encrypted), &[], &right);
    }

    mode(&me.key, 0o644);
    let right = [&*named("sslkey", &me.key), "has mode 0644", "chmod 06"];
    secure.refuses(&with(&me.certificate, &me.key), &[], &right);
    only_owner(&me.key);

    let text = aside("text");
    std::fs::write(&text, "no PEM").unwrap();
    only_owner(&text);
    let right = [&*named("sslkey", &text), "contains no PRIVATE KEY in PEM form"];
    secure.refuses(&with(&me.certificate, &text), &[], &right);
    let right = [&*named("sslcert", &text), "contains no CERTIFICATE in PEM form"];
    secure.refuses(&with(&text, &me.key), &[], &right);
    let right = format!("the key '{}' is not that of the certificate", you.key.display());
    secure.refuses(&with(&me.certificate, &you.key), &[], &[&right]);
    secure.works(&with(&me.certificate, &me.key), &[]);

    for (parameters, words) in [
        ("sslcert=/me.crt", "there is no sslkey: give both, or neither"),
        ("sslmod=require", "unknown parameter 'sslmod'"),
        ("sslpassword=right-pa55", "sslpassword is not supported"),
        ("sslmode=required", "sslmode"),
    ] {
        let url = secure.url("secret:right-pa55", "localhost", parameters);
        secure.refuses(&url, &[], &["cannot use the database URL", words]);
    }
}
