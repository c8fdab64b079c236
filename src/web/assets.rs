//! The page's own files, which are part of the program.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::PageState;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A file as it was compiled in.
#[derive(Clone, Copy, Debug)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// The document, which answers `/`.
const INDEX: Asset =
    Asset { name: "index.html", media_type: HTML, bytes: include_bytes!("page/index.html") };

/// One of the files beside the document.
macro_rules! asset {
    ($name:literal, $media_type:expr) => {
        Asset {
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("page/", $name)),
        }
    };
}

/// What it refers to, below `/assets/`.
const ASSETS: [Asset; 24] = [
    asset!("api.js", SCRIPT),
    asset!("bar.js", SCRIPT),
    asset!("cells.js", SCRIPT),
    asset!("chart.js", SCRIPT),
    asset!("charts.css", CSS),
    asset!("cursor.js", SCRIPT),
    asset!("detail.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("files.js", SCRIPT),
    asset!("filter.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("icon.svg", IMAGE),
    asset!("log.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("points.js", SCRIPT),
    asset!("rejects.js", SCRIPT),
    asset!("requests.js", SCRIPT),
    asset!("rows.js", SCRIPT),
    asset!("scale.js", SCRIPT),
    asset!("style.css", CSS),
    asset!("tables.css", CSS),
    asset!("tail.js", SCRIPT),
    asset!("top.js", SCRIPT),
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
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// The file, or that the browser has it already. It asks each time, so that a newer program is
/// never seen through an older page.
fn answer(asset: Asset, headers: &HeaderMap) -> Response {
    let tag = tag(asset.bytes);
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    let is_known = { known }.any(|known| known.trim().trim_start_matches("W/") == tag);
    let both = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, both).into_response();
    }
    (both, [(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
}

/// The bytes' fingerprint, in quotes as the header wants it. A hundred kilobytes are hashed in a
/// tenth of a millisecond: not worth being remembered.
fn tag(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    let hex: String = sum.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
