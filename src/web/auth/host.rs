//! By which name this machine is asked.
//!
//! A site elsewhere may have its name point to 127.0.0.1; a browser on this machine would then let
//! its scripts read the page. But it sends that name as Host.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

/// What is said to whoever uses another name.
pub(super) const REFUSAL: &str = "without --auth-file this page answers to localhost and 127.0.0.1 only, \
     by that name in the Host header\n";

/// Whether the Host header is a name or an address of the machine itself.
pub(super) fn is_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(names_loopback)
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    }
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_names() {
        for host in ["localhost", "LOCALHOST:8686", "127.0.0.1:8686", "127.8.8.8", "[::1]:8686"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8686",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "localhost:x",
            "[::2]",
            "::2:8686",
            "[localhost]",
            "0.0.0.0:8686",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
