//! What is asked for, read from made-up places.

use super::*;

fn read(
    parameters: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<(PgConnectOptions, Tls), String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let parameters = Parameters(parameters.iter().map(own).collect());
    let variables: Vec<_> = variables.iter().map(own).collect();
    let variable =
        |name: &str| variables.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
    let options = PgConnectOptions::new_without_pgpass().host("db.example");
    Tls::of(options, &Sources { parameters: &parameters, variable: &variable })
}

fn mode(parameters: &[(&str, &str)], variables: &[(&str, &str)]) -> &'static str {
    let (options, tls) = read(parameters, variables).unwrap();
    assert_eq!(format!("{:?}", options.get_ssl_mode()), format!("{:?}", tls.mode));
    tls.mode_name()
}

#[test]
fn a_mode_is_that_of_the_url_or_of_the_environment_and_no_other() {
    assert_eq!(mode(&[], &[]), "prefer");
    assert_eq!(mode(&[("sslmode", "allow")], &[]), "prefer");
    assert_eq!(mode(&[("sslmode", "disable")], &[("PGSSLMODE", "require")]), "disable");
    assert_eq!(mode(&[], &[("PGSSLMODE", "verify-full")]), "verify-full");
    assert_eq!(mode(&[], &[("PGSSLMODE", "")]), "prefer");
    let error = read(&[], &[("PGSSLMODE", "verify_full")]).unwrap_err();
    assert!(error.contains("PGSSLMODE is 'verify_full', expected disable"), "{error}");
}

#[test]
fn whoever_names_an_authority_wants_it_asked() {
    let authority = ("sslrootcert", "/ca.pem");
    assert_eq!(mode(&[("sslmode", "require"), authority], &[]), "verify-ca");
    let variables = [("PGSSLMODE", "require"), ("PGSSLROOTCERT", "/ca.pem")];
    assert_eq!(mode(&[], &variables), "verify-ca");
    assert_eq!(mode(&[("sslmode", "prefer"), authority], &[]), "prefer");
    let system = ("sslrootcert", "system");
    assert_eq!(mode(&[system], &[]), "verify-full");
    let error = read(&[system, ("sslmode", "require")], &[]).unwrap_err();
    assert!(error.contains("needs sslmode=verify-full"), "{error}");
}

#[test]
fn files_that_nobody_names_are_those_of_libpq() {
    let home = tempfile::tempdir().unwrap();
    let usual = home.path().join(USUAL);
    std::fs::create_dir(&usual).unwrap();
    for name in ["root.crt", "postgresql.crt", "postgresql.key"] {
        std::fs::write(usual.join(name), "").unwrap();
    }
    let home = home.path().to_str().unwrap();
    let (_, tls) = read(&[("sslmode", "require")], &[("HOME", home)]).unwrap();
    assert_eq!(tls.mode_name(), "verify-ca");
    assert_eq!(tls.root.unwrap().path, usual.join("root.crt"));
    let (certificate, key) = tls.identity.unwrap();
    assert_eq!(certificate.path, usual.join("postgresql.crt"));
    assert_eq!(key.path, usual.join("postgresql.key"));
    let (_, tls) = read(&[("sslrootcert", "/ca.pem")], &[("HOME", home)]).unwrap();
    assert_eq!(tls.root, Some(Pem { setting: "sslrootcert", path: "/ca.pem".into() }));
}

#[test]
fn a_socket_in_the_file_system_needs_no_tls() {
    let parameters = Parameters::read("sslmode=verify-full").unwrap();
    let none = Sources { parameters: &parameters, variable: &|_| None };
    for options in [
        PgConnectOptions::new_without_pgpass().socket("/run/postgresql"),
        PgConnectOptions::new_without_pgpass().host("/run/postgresql"),
    ] {
        let (_, tls) = Tls::of(options, &none).unwrap();
        assert_eq!(tls.mode_name(), "disable");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    for (parameters, variables, words) in [
        (&[][..], &[("PGSSLCRL", "/crl.pem")][..], "PGSSLCRL is '/crl.pem'"),
        (&[], &[("PGSSLCERT", "")], "PGSSLCERT is set and empty: unset it"),
        (&[], &[("PGCHANNELBINDING", "require")], "unset it"),
        (&[("sslcert", "/me.crt")], &[], "sslcert is '/me.crt' and there is no sslkey"),
        (&[], &[("PGSSLKEY", "/me.key")], "PGSSLKEY is '/me.key' and there is no sslcert"),
    ] {
        let error = read(parameters, variables).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    for (query, words) in [
        ("sslcrl=/crl.pem", "'sslcrl' is no parameter that is known here"),
        ("sslmod=s3cret", "'sslmod' is no parameter"),
        ("sslpassword=s3cret", "without a passphrase"),
        ("channel_binding=require", "use sslmode=verify-full"),
        ("s3cret@db/name", "write / ? # @ in a password"),
    ] {
        let error = Parameters::read(query).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let taken = "channel_binding=prefer&connect_timeout=5&options[jit]=off&sslmode=require#x";
    let taken = Parameters::read(taken).unwrap().for_driver();
    assert_eq!(taken, "options%5Bjit%5D=off");
}
