//! Client addresses, with whatever servers and proxies put around them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

/// The IPv4 address that `input` begins with, and its length: four numbers up to 255 without
/// leading zeros, as the standard library reads them. It ends where no further digit follows.
pub(super) fn leading_ipv4(input: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let digit = |at: usize| input.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|it| *it < 10);
    let mut address = 0;
    let mut at = 0;
    for nth in 0..4 {
        if nth > 0 {
            if input.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let first = at;
        let mut part = u32::from(digit(at)?);
        at += 1;
        while let Some(next) = digit(at) {
            if part == 0 || at - first == 3 {
                return None;
            }
            part = part * 10 + u32::from(next);
            at += 1;
        }
        if part > 255 {
            return None;
        }
        address = address << 8 | part;
    }
    Some((Ipv4Addr::from_bits(address), at))
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
    fn a_leading_ipv4_is_what_the_standard_library_reads() {
        let mut rng = fastrand::Rng::with_seed(7);
        let parts = ["0", "1", "01", "9", "00", "25", "255", "256", "2555", "", ".", "x", "192"];
        for _ in 0..20_000 {
            let drawn: Vec<&str> = (0..4).map(|_| parts[rng.usize(..parts.len())]).collect();
            let text = drawn.join(".");
            let found = leading_ipv4(text.as_bytes()).filter(|(_, length)| *length == text.len());
            assert_eq!(found.map(|(address, _)| address), text.parse().ok(), "{text}");
        }
        let found = leading_ipv4(b"203.0.113.9 - -");
        assert_eq!(found, Some((Ipv4Addr::new(203, 0, 113, 9), 11)));
    }

    #[test]
    fn a_list_gives_its_first_address() {
        assert_eq!(first_address("unknown, 203.0.113.9, 10.1.2.3"), "203.0.113.9".parse().ok());
        assert_eq!(first_address("_hidden, -"), None);
    }
}
