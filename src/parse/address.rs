//! Client addresses, with whatever servers and proxies put around them.

use std::net::{IpAddr, SocketAddr};

/// The address that `text` is: `10.0.0.7`, `10.0.0.7:1234`, `2001:db8::7`, `[2001:db8::7]`,
/// `[2001:db8::7]:1234`, `fe80::1%eth0`. The port and the zone are dropped.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    const LONGEST: usize = 80; // 45 bytes of IPv6, brackets, a zone, a port
    let text = text.trim();
    if text.len() > LONGEST {
        return None;
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let within = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text,
    };
    within.split('%').next()?.parse().ok()
}

/// The first address in a list like `unknown, 203.0.113.9, 10.1.2.3`.
pub(super) fn first_address(list: &str) -> Option<IpAddr> {
    list.split(',').find_map(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_with_ports_brackets_and_zones() {
        for (text, right) in [
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7:1234", "10.0.0.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:1234", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:80", "fe80::1"),
        ] {
            assert_eq!(address(text), right.parse().ok(), "{text}");
        }
        for none in ["", "-", "unknown", "unix:", "b''", "10.0.0", "10.0.0.256", "example.com:80"] {
            assert_eq!(address(none), None, "{none}");
        }
    }

    #[test]
    fn a_list_gives_its_first_address() {
        assert_eq!(first_address("unknown, 203.0.113.9, 10.1.2.3"), "203.0.113.9".parse().ok());
        assert_eq!(first_address("_hidden, -"), None);
    }
}
