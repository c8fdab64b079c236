//! The page's own files, which are compiled into the program.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::PageState;
use crate::model::hex;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A compiled-in file.
#[derive(Clone, Copy, Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// The HTML document, at `/`.
const INDEX: Asset =
    Asset { name: "index.html", media_type: HTML, bytes: include_bytes!("page/index.html") };

/// Declares a file of `page/`.
macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("page/", $name)),
        }
    };
}

/// The files that the document refers to, below `/assets/`.
const ASSETS: [Asset; 40] = [
    asset!("api.js", SCRIPT),
    asset!("bar.js", SCRIPT),
    asset!("cells.js", SCRIPT),
    asset!("changed.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("charts.css", CSS),
    asset!("chips.js", SCRIPT),
    asset!("columns.js", SCRIPT),
    asset!("counted.js", SCRIPT),
    asset!("cursor.js", SCRIPT),
    asset!("detail.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("doubts.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("filter.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("heat.js", SCRIPT),
    asset!("histogram.js", SCRIPT),
    asset!("icon.svg", IMAGE),
    asset!("live.js", SCRIPT),
    asset!("log.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("marks.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("points.js", SCRIPT),
    asset!("previous.js", SCRIPT),
    asset!("rejects.js", SCRIPT),
    asset!("requests.js", SCRIPT),
    asset!("rows.js", SCRIPT),
    asset!("saved.js", SCRIPT),
    asset!("scale.js", SCRIPT),
    asset!("series.js", SCRIPT),
    asset!("sheet.js", SCRIPT),
    asset!("story.js", SCRIPT),
    asset!("style.css", CSS),
    asset!("tables.css", CSS),
    asset!("tail.js", SCRIPT),
    asset!("terms.js", SCRIPT),
    asset!("top.js", SCRIPT),
    asset!("why.js", SCRIPT),
];

pub(super) fn routes() -> Router<PageState> {
    Router::new().route("/", get(index)).route("/assets/{name}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    answer(INDEX, &headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.into_iter().find(|asset| asset.name == name) {
        Some(asset) => answer(asset, &headers),
        None => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
    }
}

/// The files as gzip, by their names: a third of their bytes. They hold nothing secret, so their lengths may be known.
static COMPRESSED: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let all = ASSETS.into_iter().chain([INDEX]);
    all.filter_map(|asset| Some((asset.name, gzip(asset.bytes).ok()?))).collect()
});

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Returns whether a client takes gzip. One that gives weights, such as `gzip;q=0`, gets the plain bytes.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut names = all.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case("gzip"))
}

/// Answers with the file, or with 304 if the browser has it. The browser asks each time
/// (`no-cache`), so that a newer program never runs with an older page.
fn answer(asset: Asset, headers: &HeaderMap) -> Response {
    let compressed = COMPRESSED.get(asset.name).filter(|_| takes_gzip(headers));
    let bytes = compressed.map_or(asset.bytes, Vec::as_slice);
    let tag = tag(bytes);
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    let is_known = { known }.any(|known| known.trim().trim_start_matches("W/") == tag);
    let caching = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::VARY, "Accept-Encoding".to_owned()),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let mut response = (caching, [(header::CONTENT_TYPE, asset.media_type)], bytes).into_response();
    if compressed.is_some() {
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

/// Returns the ETag of the bytes, with its quotes. Hashing 100 kB takes 0.1 ms, so it is not cached.
fn tag(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    format!("\"{}\"", hex(&sum[..12]))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn headers(encodings: &[&'static str]) -> HeaderMap {
        let all = encodings.iter().map(|it| HeaderValue::from_static(it));
        all.map(|value| (header::ACCEPT_ENCODING, value)).collect()
    }

    #[test]
    fn gzip_is_for_clients_that_take_it() {
        for (encodings, takes) in [
            (&[][..], false),
            (&["gzip, deflate, br"], true),
            (&["br", "GZIP"], true),
            (&["gzip;q=0"], false),
            (&["identity"], false),
        ] {
            assert_eq!(takes_gzip(&headers(encodings)), takes, "{encodings:?}");
        }
        let plain = answer(INDEX, &headers(&[]));
        let small = answer(INDEX, &headers(&["gzip"]));
        assert_eq!(plain.headers().get(header::CONTENT_ENCODING), None);
        assert_eq!(small.headers()[header::CONTENT_ENCODING], "gzip");
        // A browser that has one of them does not have the other.
        assert_ne!(plain.headers()[header::ETAG], small.headers()[header::ETAG]);
    }

    #[test]
    fn each_file_is_the_same_without_its_compression() {
        for asset in ASSETS.into_iter().chain([INDEX]) {
            let mut bytes = Vec::new();
            GzDecoder::new(&*COMPRESSED[asset.name]).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, asset.bytes, "{}", asset.name);
        }
    }
}
