//! Ports: who listens where, and whose failure to listen matters.
//!
//! As upstream (egress-behaviour.md §6.5): without its metrics port the service does not start; without health,
//! templates or debug it does, and says so.

use super::state::State;
use super::{health as health_page, templates as template_pages};
use crate::config::Ports;
use crate::metrics::Metrics;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A port the service cannot do without.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {key} {port}: {source}")]
pub struct Error {
    /// Configuration key.
    pub key: &'static str,
    /// Its value.
    pub port: u16,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A running server. Stops with the token it was started with; dropping this does not stop it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when it has stopped. Open connections are waited for: give it a deadline.
    pub task: JoinHandle<()>,
}

/// What the servers show.
#[derive(Clone)]
pub struct Parts {
    /// The worker.
    pub state: State,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// For `/debug/config`: [`Config::masked_yaml`](crate::config::Config::masked_yaml).
    pub masked_config: String,
}

/// The servers that run; `None`: not configured, or it could not listen (logged).
#[derive(Debug)]
pub struct Servers {
    /// Health.
    pub health: Option<Server>,
    /// Metrics.
    pub prometheus: Option<Server>,
    /// Layout pages.
    pub templates: Option<Server>,
    /// Debug.
    pub debug: Option<Server>,
}

/// Starts every configured server.
///
/// # Errors
/// The metrics port cannot be listened on; nothing runs then.
pub async fn start(
    ports: &Ports,
    parts: Parts,
    stop: &CancellationToken,
) -> Result<Servers, Error> {
    let prometheus = match ports.prometheus {
        Some(port) => Some(
            prometheus(port, parts.state.clone(), parts.metrics, stop)
                .await
                .map_err(|source| Error {
                    key: "prometheus_port",
                    port,
                    source,
                })?,
        ),
        None => None,
    };
    let health = match ports.health {
        Some(port) => optional("health_port", port, health(port, parts.state, stop).await),
        None => None,
    };
    let debug = match ports.debug {
        Some(port) => optional(
            "debug_handler_port",
            port,
            debug(port, parts.masked_config, stop).await,
        ),
        None => None,
    };
    let templates = optional(
        "template_port",
        ports.template,
        templates(ports.template, stop).await,
    );
    Ok(Servers {
        health,
        prometheus,
        templates,
        debug,
    })
}

/// Health on all interfaces; port 0 takes any.
///
/// # Errors
/// It cannot listen.
pub async fn health(port: u16, state: State, stop: &CancellationToken) -> io::Result<Server> {
    serve(everywhere(port).await?, health_page::router(state), stop)
}

/// Metrics on all interfaces, under any path; port 0 takes any.
///
/// # Errors
/// It cannot listen.
pub async fn prometheus(
    port: u16,
    state: State,
    metrics: Arc<Metrics>,
    stop: &CancellationToken,
) -> io::Result<Server> {
    let router = Router::new().fallback(async move || {
        (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            metrics.render(&state().gauges),
        )
    });
    serve(everywhere(port).await?, router, stop)
}

/// Layout pages on loopback; port 0 takes any.
///
/// # Errors
/// It cannot listen.
pub async fn templates(port: u16, stop: &CancellationToken) -> io::Result<Server> {
    serve(loopback(port).await?, template_pages::router(), stop)
}

/// The effective configuration on loopback; port 0 takes any.
///
/// # Errors
/// It cannot listen.
pub async fn debug(
    port: u16,
    masked_config: String,
    stop: &CancellationToken,
) -> io::Result<Server> {
    let router = Router::new().route(
        "/debug/config",
        get(async move || {
            (
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
                masked_config,
            )
        }),
    );
    serve(loopback(port).await?, router, stop)
}

fn optional(key: &'static str, port: u16, server: io::Result<Server>) -> Option<Server> {
    match server {
        Ok(server) => {
            tracing::info!(address = %server.address, "listening on {key}");
            Some(server)
        }
        Err(error) => {
            tracing::warn!(port, %error, "cannot listen on {key}; going on without");
            None
        }
    }
}

/// Both address families where there are two, else IPv4.
async fn everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

async fn loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let stopped = stop.clone().cancelled_owned();
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(%address, %error, "http server ended");
        }
    });
    Ok(Server { address, task })
}

#[cfg(test)]
mod tests {
    use super::super::state::{Active, Readiness, Snapshot};
    use super::*;
    use recording::EgressId;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use wire::livekit::{WebEgressRequest, egress_info::Request};

    struct Answer {
        status: u16,
        head: String,
        body: String,
    }

    async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port()))
            .await
            .unwrap();
        stream
            .write_all(
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            )
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn state(readiness: Readiness) -> State {
        Arc::new(move || Snapshot {
            readiness,
            available_cpu: 3.5,
            active: vec![Active {
                egress_id: EgressId::new("EG_1").unwrap(),
                request: Some(Request::Web(WebEgressRequest {
                    url: "https://example.com/?token={token}".to_owned(),
                    ..WebEgressRequest::default()
                })),
            }],
            gauges: worker::Worker::new(worker::Config::new(4.0)).gauges(),
        })
    }

    #[tokio::test]
    async fn health_answers_anything_with_200() {
        let stop = CancellationToken::new();
        let server = health(0, state(Readiness::Draining), &stop).await.unwrap();
        for (method, path) in [("GET", "/"), ("POST", "/any/path"), ("DELETE", "/x?y=z")] {
            let answer = ask(server.address, method, path).await;
            assert_eq!(answer.status, 200);
            assert!(answer.head.contains("content-type: application/json"));
            assert_eq!(
                serde_json::from_str::<Value>(&answer.body).unwrap(),
                json!({
                    "CpuLoad": 3.5,
                    "EG_1": {"Web": {"url": "https://example.com/?token={token}", "Output": null, "Options": null}},
                })
            );
        }
        stop.cancel();
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn readiness_tells_the_truth() {
        for (readiness, status) in [
            (Readiness::Starting, 503),
            (Readiness::Ready, 200),
            (Readiness::Draining, 503),
            (Readiness::BusDown, 503),
        ] {
            let stop = CancellationToken::new();
            let server = health(0, state(readiness), &stop).await.unwrap();
            let answer = ask(server.address, "GET", "/readyz").await;
            assert_eq!(answer.status, status, "{readiness:?}");
            assert!(answer.body.contains(readiness.as_str()));
            assert_eq!(ask(server.address, "GET", "/livez").await.status, 200);
            stop.cancel();
        }
    }

    #[tokio::test]
    async fn metrics_templates_and_debug_answer() {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new("NE_1", ""));
        let server = prometheus(0, state(Readiness::Ready), metrics, &stop)
            .await
            .unwrap();
        let answer = ask(server.address, "GET", "/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("version=0.0.4"));
        assert!(answer.body.contains("livekit_egress_available{"));
        assert_eq!(ask(server.address, "GET", "/").await.status, 200);

        let server = templates(0, &stop).await.unwrap();
        assert!(server.address.ip().is_loopback());
        for path in ["/", "/index.html", "/?layout=grid&token=x"] {
            let answer = ask(server.address, "GET", path).await;
            assert_eq!(answer.status, 200);
            assert!(answer.body.contains("class=\"error\""));
        }
        assert_eq!(ask(server.address, "GET", "/other").await.status, 404);

        let server = debug(0, "api_secret: '***'\n".to_owned(), &stop)
            .await
            .unwrap();
        assert!(server.address.ip().is_loopback());
        assert_eq!(
            ask(server.address, "GET", "/debug/config").await.body,
            "api_secret: '***'\n"
        );
        assert_eq!(ask(server.address, "GET", "/").await.status, 404);
        stop.cancel();
    }

    #[tokio::test]
    async fn only_the_metrics_port_is_worth_dying_for() {
        let stop = CancellationToken::new();
        let taken = everywhere(0).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let local = loopback(0).await.unwrap();
        let parts = || Parts {
            state: state(Readiness::Ready),
            metrics: Arc::new(Metrics::new("NE_1", "")),
            masked_config: String::new(),
        };
        let ports = Ports {
            health: Some(port),
            prometheus: None,
            debug: None,
            template: local.local_addr().unwrap().port(),
        };
        let servers = start(&ports, parts(), &stop).await.unwrap();
        assert!(servers.health.is_none() && servers.templates.is_none());
        let ports = Ports {
            prometheus: Some(port),
            ..ports
        };
        let error = start(&ports, parts(), &stop).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot listen on prometheus_port {port}"))
        );
    }
}
