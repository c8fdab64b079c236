//! The page's own files, which are compiled into the program.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
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
const ASSETS: [Asset; 35] = [
    asset!("api.js", SCRIPT),
    asset!("bar.js", SCRIPT),
    asset!("cells.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("charts.css", CSS),
    asset!("chips.js", SCRIPT),
    asset!("columns.js", SCRIPT),
    asset!("cursor.js", SCRIPT),
    asset!("detail.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("doubts.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("filter.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("histogram.js", SCRIPT),
    asset!("icon.svg", IMAGE),
    asset!("live.js", SCRIPT),
    asset!("log.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("points.js", SCRIPT),
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

/// Answers with the file, or with 304 if the browser has it. The browser asks each time
/// (`no-cache`), so that a newer program never runs with an older page.
fn answer(asset: Asset, headers: &HeaderMap) -> Response {
    let tag = tag(asset.bytes);
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    let is_known = { known }.any(|known| known.trim().trim_start_matches("W/") == tag);
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
}

/// Returns the ETag of the bytes, with its quotes. Hashing 100 kB takes 0.1 ms, so it is not cached.
fn tag(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    format!("\"{}\"", hex(&sum[..12]))
}
