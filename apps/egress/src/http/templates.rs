//! Layout pages for room composites, served to the browser on this machine only.
//!
//! This build brings no layouts: the page says so, in the way templates report errors. Room composites with the
//! default layouts are refused before a browser would see it.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const INDEX: &str = include_str!("../../assets/index.html");

pub(crate) fn router() -> Router {
    let index =
        async || ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], INDEX).into_response();
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
}
