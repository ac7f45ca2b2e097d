//! The bus over Redis Pub/Sub: single node, Sentinel or cluster.
//!
//! ```text
//!            ┌ ear      one Pub/Sub connection for all subscriptions, PING every 5 s  ─► Table ─► inboxes
//! Link ──────┤
//!            └ keeper   one multiplexed connection for PUBLISH and SET NX, PING every 5 s
//!
//! each: connecting ─► up ─(broken, silent, the master moved)─► backing off (100 ms … 3 s, jittered) ─► connecting
//! ```
//!
//! Nothing here ends because Redis does: while a connection is down, publications fail, subscriptions are unconfirmed
//! and `Link::state` says since when and why. Knows no protocol above bytes on channels.

mod backoff;
mod dial;
mod ear;
mod gauge;
mod keeper;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use ::redis::{RedisError, cmd};
use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::link::{Audience, Bus, Error, State};
use super::table::{Outlet, Subscription, Table};
use dial::{Dialer, Mode};
use gauge::Gauge;
use keeper::Keeper;
pub use settings::{Settings, Tls};

/// Redis cannot be used; the process cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No address of any kind.
    #[error("redis is not configured")]
    NotConfigured,
    /// The settings contradict themselves, a file cannot be read, or nobody answers.
    #[error("unable to connect to redis: {0}")]
    Unable(String),
}

/// A connected bus. Clones share its connections; the last one closes them.
#[derive(Debug, Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Arc<Table>,
    keeper: Keeper,
    gauge: Arc<Gauge>,
    mode: Mode,
    _stop: DropGuard,
}

/// Connects, and stays connected from then on.
///
/// # Errors
/// Redis is not configured, or does not answer a PING now.
pub async fn connect(settings: &Settings) -> Result<Bus, ConnectError> {
    let dialer = Arc::new(Dialer::new(settings)?);
    let unable = |error: RedisError| ConnectError::Unable(explain(&error));
    let commands = dialer.commands().await.map_err(unable)?;
    let table = Arc::new(Table::default());
    let voice = dialer.pubsub(&table).await.map_err(unable)?;

    let stop = CancellationToken::new();
    let doubts = Arc::new(ear::Doubts::default());
    let gauge = Arc::new(Gauge::new());
    let mode = dialer.mode();
    let ear = ear::Ear {
        dialer: Arc::clone(&dialer),
        table: Arc::clone(&table),
        gauge: Arc::clone(&gauge),
        doubts: Arc::clone(&doubts),
        stop: stop.clone(),
    };
    tokio::spawn(ear.run(voice));
    let keeper = Keeper::spawn(dialer, commands, Arc::clone(&gauge), doubts, stop.clone());
    Ok(Bus::Redis(Link {
        inner: Arc::new(Inner {
            table,
            keeper,
            gauge,
            mode,
            _stop: stop.drop_guard(),
        }),
    }))
}

impl Link {
    pub(super) async fn publish(&self, channel: &str, payload: Bytes) -> Result<Audience, Error> {
        let mut command = cmd("PUBLISH");
        command.arg(channel).arg(payload.as_ref());
        let receivers: u64 = self.inner.keeper.run(&command).await?;
        Ok(match self.inner.mode {
            Mode::Single | Mode::Sentinel => Audience::Of(receivers),
            Mode::Cluster => Audience::Unknown,
        })
    }

    pub(super) fn subscribe(&self, channel: &str, outlet: &Outlet) -> Subscription {
        self.inner.table.subscribe(channel, outlet, false)
    }

    pub(super) async fn lock(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        let mut command = cmd("SET");
        let value = rand::random::<u32>();
        command
            .arg(key)
            .arg(value)
            .arg("EX")
            .arg(lifetime.as_secs().max(1))
            .arg("NX");
        let answer: Option<String> = self.inner.keeper.run(&command).await?;
        Ok(answer.is_some())
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.inner.gauge.watch()
    }
}

/// An error in the words Redis used.
fn explain(error: &RedisError) -> String {
    if error.kind() == ::redis::ErrorKind::AuthenticationFailed {
        // The crate replaces the server's text by its own.
        return "WRONGPASS invalid username-password pair or user is disabled.".to_owned();
    }
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(_) | None, _) => error.to_string(),
    }
}
