//! Ports for servers that cannot be told to take any free one.

use std::fs::{self, File};
use std::net::TcpListener;

/// The first port that is given out.
const FIRST: u16 = 12_000;

/// A port of 127.0.0.1 that belongs to this value until it is dropped.
///
/// A port that `bind` to 0 returned is free for a moment only: the system may give it to any outgoing
/// connection, also while a server is stopped. This one is below the range for those, and a lock on
/// a file keeps other test processes from it.
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn reserve() -> Port {
        let directory = std::env::temp_dir().join("log-ingestd-ports");
        let _ = fs::create_dir(&directory); // another process may be faster
        let range = FIRST..first_outgoing().max(FIRST + 1000);
        let start = fastrand::u16(range.clone());
        for number in (start..range.end).chain(range.start..start) {
            let path = directory.join(number.to_string());
            let file = File::options().append(true).create(true).open(path).unwrap();
            if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Port { number, _lock: file };
            }
        }
        panic!("no port is free in {range:?}");
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// The first port that the system gives to outgoing connections.
fn first_outgoing() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    range.split_whitespace().next().unwrap().parse().unwrap()
}
