//! An address, or all that share its first bits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const EXPECTED: &str =
    "no address: expected one such as 203.0.113.9, or a network such as 203.0.113.0/24";

/// Bits before an address of IPv4 within IPv6.
const MAPPED_BITS: u8 = 96;

/// Addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first of them.
    pub first: IpAddr,
    /// How many bits they share; all of them if it is one address.
    pub bits: u8,
}

impl Network {
    /// Returns the network of one address.
    pub fn one(first: IpAddr) -> Network {
        Network { first, bits: if first.is_ipv4() { 32 } else { 128 } }
    }

    pub(super) fn read(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return None;
        }
        // Addresses of IPv4 within IPv6 are stored as those of IPv4.
        let (address, bits) = match bits.checked_sub(MAPPED_BITS) {
            Some(of_ipv4) if address.to_canonical() != address => (address.to_canonical(), of_ipv4),
            _ => (address, bits),
        };
        Some(Network::of(address, bits))
    }

    /// Returns the network of `bits` shared bits that an address is in: at most 32, or 128 of IPv6.
    pub fn of(address: IpAddr, bits: u8) -> Network {
        // PostgreSQL refuses a network with bits after the mask, but people write such networks.
        let first = match address {
            IpAddr::V4(it) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(it.to_bits() & mask))
            }
            IpAddr::V6(it) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & mask))
            }
        };
        Network { first, bits }
    }

    /// Returns the network of IPv6 that has the same addresses as those of IPv4 within IPv6, as in
    /// `::ffff:203.0.113.9`; `None` of a network of IPv6. Older rows have addresses in this form.
    pub fn mapped(self) -> Option<Network> {
        match self.first {
            IpAddr::V4(first) => Some(Network {
                first: first.to_ipv6_mapped().into(),
                bits: self.bits + MAPPED_BITS,
            }),
            IpAddr::V6(_) => None,
        }
    }

    /// Whether it is one address.
    pub fn is_one(self) -> bool {
        self.bits == if self.first.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one() { self.first.fmt(f) } else { write!(f, "{}/{}", self.first, self.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_network() {
        for (given, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.9/32", "203.0.113.9"),
            ("203.0.113.9/20", "203.0.112.0/20"),
            ("203.0.113.9/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8:ffff::1/32", "2001:db8::/32"),
            ("::1/0", "::/0"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.9/95", "::fffe:0:0/95"),
        ] {
            assert_eq!(Network::read(given).unwrap().to_string(), expected);
        }
        for (given, mapped) in [
            ("203.0.113.9", Some("::ffff:203.0.113.9")),
            ("203.0.113.9/20", Some("::ffff:203.0.112.0/116")),
            ("0.0.0.0/0", Some("::ffff:0.0.0.0/96")),
            ("2001:db8::1", None),
        ] {
            let found = Network::read(given).unwrap().mapped().map(|it| it.to_string());
            assert_eq!(found.as_deref(), mapped);
        }
        for given in ["", "203.0.113", "203.0.113.9/33", "203.0.113.9/", "::/129", "localhost"] {
            assert_eq!(Network::read(given), None, "{given}");
        }
    }
}
