//! Refuses the page's data to other sites.
//!
//! A site cannot read an answer of another origin, but its scripts can make a browser on this machine send
//! requests, and each search costs time. A link to the page itself works from any site.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::listener::Peer;
use super::notices::{Notices, Refused};
use super::requests::refusal;

const WHY: &str = "another site sent this request, by a link or a script: open the page itself";

/// Passes a request on unless it is one for `/api` that another site has caused.
pub(super) async fn refuse(
    State(notices): State<Arc<Notices>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") && is_cross_site(request.headers()) {
        notices.count(Refused::CrossSite, peer.address);
        return refusal(path, StatusCode::FORBIDDEN, WHY.to_owned());
    }
    next.run(request).await
}

/// Returns whether the headers that scripts cannot set name another origin. Programs send none of them. A
/// browser leaves `Sec-Fetch-Site` out where the page's address is neither local nor `https`.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter().peekable();
    if sites.peek().is_some() {
        return sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let host = headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.as_bytes();
        let named = [&b"http://"[..], b"https://"].iter().find_map(|it| origin.strip_prefix(*it));
        !named.is_some_and(|named| named.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_and_programs_are_answered() {
        let all = |given: &[(&'static str, &str)]| {
            let headers = given.iter().map(|(name, value)| {
                (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
            });
            let mut all: HeaderMap = HeaderMap::new();
            headers.for_each(|(name, value)| {
                all.append(name, value);
            });
            all
        };
        let host = ("host", "localhost:8686");
        for given in [
            vec![host],
            vec![host, ("sec-fetch-site", "same-origin")],
            vec![host, ("sec-fetch-site", "none")],
            vec![host, ("origin", "http://LOCALHOST:8686")],
            // A proxy may send another Host than the browser.
            vec![host, ("origin", "https://logs.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(!is_cross_site(&all(&given)), "{given:?}");
        }
        for given in [
            vec![host, ("sec-fetch-site", "cross-site")],
            vec![host, ("sec-fetch-site", "same-site")],
            vec![host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            vec![host, ("origin", "http://localhost:3000")],
            vec![host, ("origin", "null")],
            vec![("origin", "http://localhost:8686")],
        ] {
            assert!(is_cross_site(&all(&given)), "{given:?}");
        }
    }
}
