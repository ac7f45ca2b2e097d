//! `egress`: the service.

use super::{new_id, options, runtime, signals, state};
use crate::{
    bus::redis,
    config::Loaded,
    http, log,
    metrics::Metrics,
    service::{self, Outcome, View},
};
use anyhow::Context;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Runs until drained.
///
/// # Errors
/// What keeps it from starting, in a line.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    let Loaded { config, warnings } = loaded;
    let node_id = new_id("NE_");
    let identity = log::Identity {
        node_id: node_id.clone(),
        cluster_id: config.cluster_id.clone(),
        handler_id: String::new(),
    };
    log::init(&config.logging, &identity)?;
    for warning in &warnings {
        tracing::warn!(%warning, "configuration");
    }
    let cores = service::cores(config.cpu_request);
    for misfit in worker::cost::fit(&config.cost_table(), cores)? {
        tracing::warn!(%misfit, "some requests will always be refused here");
    }
    runtime()?.block_on(async {
        let redis = config.redis.as_ref().context("redis is not configured")?;
        let bus = redis::connect(&redis::Settings::from(redis)).await?;
        let (view, views) = watch::channel(View::default());
        let metrics = Arc::new(Metrics::new(node_id, config.cluster_id.clone()));
        let stop = CancellationToken::new();
        let parts = http::Parts {
            state: state(views, &bus),
            metrics: Arc::clone(&metrics),
            masked_config: config.masked_yaml(),
        };
        let servers = http::start(&config.ports, parts, &stop).await?;
        let outcome =
            service::run(options(&config, cores, metrics)?, bus, signals()?, view).await?;
        stop.cancel();
        for server in [
            servers.health,
            servers.prometheus,
            servers.templates,
            servers.debug,
        ]
        .into_iter()
        .flatten()
        {
            // Open connections must not hold the process.
            drop(tokio::time::timeout(Duration::from_millis(500), server.task).await);
        }
        match outcome {
            Outcome::Drained => Ok(()),
            Outcome::Refused => Err(anyhow::anyhow!(
                "the bus did not let this worker serve StartEgress"
            )),
        }
    })
}
