//! The health page (egress-behaviour.md §9.1), and honest answers beside it.
//!
//! Upstream answers 200 to anything, also while draining; probes in the field rely on it, so every path but two does
//! the same. `/livez`: the process answers. `/readyz`: 503 unless it would take work.

use super::gojson;
use super::state::{Readiness, Snapshot, State};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};

pub(crate) fn router(state: State) -> Router {
    let ready = state.clone();
    Router::new()
        .route(
            "/livez",
            any(async || json_response(StatusCode::OK, &json!({"status": "alive"}))),
        )
        .route("/readyz", any(async move || readiness(&ready())))
        .fallback(async move || json_response(StatusCode::OK, &page(&state())))
}

/// `{"CpuLoad": 3.2, "EG_…": {"Web": {…}}}`.
fn page(snapshot: &Snapshot) -> Value {
    let mut page = Map::new();
    page.insert("CpuLoad".to_owned(), json!(snapshot.available_cpu));
    for active in &snapshot.active {
        page.insert(
            active.egress_id.to_string(),
            active.request.as_ref().map_or(Value::Null, gojson::request),
        );
    }
    Value::Object(page)
}

fn readiness(snapshot: &Snapshot) -> Response {
    let status = match snapshot.readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Draining | Readiness::BusDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    json_response(
        status,
        &json!({"status": snapshot.readiness.as_str(), "recordings": snapshot.active.len()}),
    )
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
