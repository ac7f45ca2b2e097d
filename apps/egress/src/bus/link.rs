//! One interface over both buses. Holds nothing; knows neither protocol nor connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::table::{Outlet, Subscription};
use super::{local, redis};

/// How many received a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// This many subscribers.
    Of(u64),
    /// The bus cannot tell (a cluster counts one node only).
    Unknown,
}

/// The bus did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no connection now.
    #[error("not connected to redis: {0}")]
    Disconnected(String),
    /// The server refused or the connection broke meanwhile.
    #[error("{0}")]
    Failed(String),
}

/// Whether the bus works, for health reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Every connection is up.
    Connected {
        /// Since when.
        since: Instant,
    },
    /// At least one is not; they are being tried again.
    Disconnected {
        /// Since when.
        since: Instant,
        /// The latest cause.
        cause: String,
    },
}

/// A way to reach other processes.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Redis Pub/Sub.
    Redis(redis::Link),
    /// This process only.
    Local(local::Hub),
}

impl Bus {
    /// Sends a payload to everybody who is subscribed now. Nothing is stored.
    ///
    /// # Errors
    /// It did not go out, as far as we know.
    pub async fn publish(&self, channel: &str, payload: Bytes) -> Result<Audience, Error> {
        match self {
            Self::Redis(link) => link.publish(channel, payload).await,
            Self::Local(hub) => Ok(hub.publish(channel, &payload)),
        }
    }

    /// Listens to a channel for as long as the subscription lives, through any number of reconnections.
    #[must_use]
    pub fn subscribe(&self, channel: &str, outlet: &Outlet) -> Subscription {
        match self {
            Self::Redis(link) => link.subscribe(channel, outlet),
            Self::Local(hub) => hub.subscribe(channel, outlet),
        }
    }

    /// Tries to take a lock that nobody gives back; it vanishes after `lifetime`.
    ///
    /// # Errors
    /// The lock could not be asked for.
    pub async fn lock(&self, key: &str, lifetime: Duration) -> Result<bool, Error> {
        match self {
            Self::Redis(link) => link.lock(key, lifetime).await,
            Self::Local(hub) => Ok(hub.lock(key, lifetime)),
        }
    }

    /// Whether it works, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        match self {
            Self::Redis(link) => link.state(),
            Self::Local(hub) => hub.state(),
        }
    }
}
