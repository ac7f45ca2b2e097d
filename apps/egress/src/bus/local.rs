//! The bus inside one process: the demo, tests, and a fleet in one runtime.
//!
//! Delivers at once and in order; loses only what a full inbox drops. Knows no protocol.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::link::{Audience, State};
use super::table::{Outlet, Subscription, Table};

/// A bus in memory. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Arc<Table>,
    locks: Mutex<BTreeMap<String, Instant>>,
    state: watch::Sender<State>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        let since = Instant::now();
        Self {
            inner: Arc::new(Inner {
                table: Arc::default(),
                locks: Mutex::default(),
                state: watch::Sender::new(State::Connected { since }),
            }),
        }
    }

    pub(super) fn publish(&self, channel: &str, payload: &Bytes) -> Audience {
        Audience::Of(self.inner.table.dispatch(channel, payload))
    }

    pub(super) fn subscribe(&self, channel: &str, outlet: &Outlet) -> Subscription {
        self.inner.table.subscribe(channel, outlet, true)
    }

    pub(super) fn lock(&self, key: &str, lifetime: Duration) -> bool {
        let now = Instant::now();
        let mut locks = self
            .inner
            .locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, until| *until > now);
        if locks.contains_key(key) {
            return false;
        }
        locks.insert(key.to_owned(), now + lifetime);
        true
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.inner.state.subscribe()
    }
}
