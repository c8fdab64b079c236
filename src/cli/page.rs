//! Where the page is to be, and who may see it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use crate::config::PageConfig;
use crate::web::Credentials;

use super::build::usage;

/// Of this machine only.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8686);

/// What `--listen` and `--auth-file` say together; `None` is no page.
pub(super) fn page(
    listen: Option<&str>,
    auth_file: Option<&Path>,
) -> anyhow::Result<Option<PageConfig>> {
    let Some(address) = listens_at(listen)? else { return Ok(None) };
    let credentials = match auth_file {
        Some(path) => Some(credentials(path)?),
        None if address.ip().is_loopback() => None,
        None => {
            return Err(usage(format!(
                "--listen {address} can be reached from other machines: say who may see the page \
                 with --auth-file FILE (`log-ingestd hash-password NAME` makes its lines), or \
                 listen on 127.0.0.1"
            )));
        }
    };
    Ok(Some(PageConfig { address, explicit: listen.is_some(), credentials }))
}

/// The address that `--listen` says; `None` is no page.
pub(super) fn listens_at(listen: Option<&str>) -> anyhow::Result<Option<SocketAddr>> {
    match listen.map(str::trim) {
        Some("off") => Ok(None),
        Some(text) => address(text).map(Some),
        None => Ok(Some(DEFAULT)),
    }
}

fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| {
        usage(format!(
            "--listen '{text}' is no address: expected an address and a port such as \
             127.0.0.1:8686 or [::1]:8686, or off"
        ))
    })
}

fn credentials(path: &Path) -> anyhow::Result<Arc<Credentials>> {
    let credentials =
        Credentials::read(path).map_err(|error| usage(format!("--auth-file: {error}")))?;
    if credentials.readable_by_all {
        tracing::warn!(
            "--auth-file: every user of this machine can read '{}'; chmod o-r mends that",
            path.display()
        );
    }
    Ok(Arc::new(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_of_this_machine_only_and_may_be_anothers() {
        let page = page(None, None).unwrap().unwrap();
        assert_eq!(page.address.to_string(), "127.0.0.1:8686");
        assert!(!page.explicit && page.credentials.is_none());
    }

    #[test]
    fn what_can_be_reached_from_elsewhere_wants_an_auth_file() {
        for text in ["127.0.0.1:0", "[::1]:8686", "localhost:8686", " off "] {
            assert!(page(Some(text), None).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:8686", "[::]:8686", "192.0.2.1:80"] {
            let error = page(Some(text), None).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("--auth-file"), "{error}");
        }
        for text in ["", "8686", ":8686", "127.0.0.1", "example.org:80", "127.0.0.1:99999"] {
            let error = page(Some(text), None).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}' is no address")), "{error}");
        }
    }
}
