//! The one Pub/Sub connection: keeps what is subscribed equal to what is wanted, through every reconnection.
//!
//! ```text
//! dialling ──► listening: reconcile · PING every 5 s ──(gone, silent, refused, master moved)──► waiting ──► dialling
//! ```
//!
//! Knows channels; payloads go straight to the table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::RedisResult;
use ::redis::aio::{MultiplexedConnection, PubSubSink};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::dial::Dialer;
use super::explain;
use super::gauge::{Gauge, Part};
use crate::bus::table::Table;

/// How often a silent connection is asked whether it is alive.
pub(super) const PING: Duration = Duration::from_secs(5);
/// Channels per SUBSCRIBE.
const BATCH: usize = 256;

/// A Pub/Sub connection.
pub(super) struct Voice {
    pub(super) mouth: Mouth,
    /// Cancelled when the connection has ended.
    pub(super) gone: CancellationToken,
}

/// The half that speaks.
pub(super) enum Mouth {
    Resp2 {
        sink: PubSubSink,
        reader: JoinHandle<()>,
    },
    Resp3(MultiplexedConnection),
}

impl Mouth {
    async fn subscribe(&mut self, channels: &[&str]) -> RedisResult<()> {
        match self {
            Self::Resp2 { sink, .. } => sink.subscribe(channels).await,
            Self::Resp3(connection) => connection.subscribe(channels).await,
        }
    }

    async fn unsubscribe(&mut self, channels: &[&str]) -> RedisResult<()> {
        match self {
            Self::Resp2 { sink, .. } => sink.unsubscribe(channels).await,
            Self::Resp3(connection) => connection.unsubscribe(channels).await,
        }
    }

    async fn ping(&mut self) -> RedisResult<()> {
        match self {
            Self::Resp2 { sink, .. } => sink.ping::<::redis::Value>().await.map(|_pong| ()),
            Self::Resp3(connection) => ::redis::cmd("PING").exec_async(connection).await,
        }
    }
}

impl Drop for Mouth {
    fn drop(&mut self) {
        match self {
            // The reader holds the connection.
            Self::Resp2 { reader, .. } => reader.abort(),
            Self::Resp3(_) => {}
        }
    }
}

/// What one connection's fate says about the other: both lead to the same server.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// The Pub/Sub connection should be tried now.
    pub(super) ear: Notify,
    /// The command connection should be tried now.
    pub(super) commands: Notify,
    /// The master is somewhere else now.
    pub(super) moved: Notify,
}

pub(super) struct Ear {
    pub(super) dialer: Arc<Dialer>,
    pub(super) table: Arc<Table>,
    pub(super) gauge: Arc<Gauge>,
    /// What it and the keeper tell each other.
    pub(super) doubts: Arc<Doubts>,
    pub(super) stop: CancellationToken,
}

impl Ear {
    pub(super) async fn run(self, first: Voice) {
        let stop = self.stop.clone();
        // Dropping the loop drops the connection.
        stop.run_until_cancelled(self.listen_for_ever(first)).await;
    }

    async fn listen_for_ever(self, first: Voice) {
        let mut backoff = Backoff::new();
        let mut voice = Some(first);
        loop {
            let cause = match voice.take() {
                Some(voice) => {
                    let since = Instant::now();
                    let cause = self.listen(voice).await;
                    self.doubts.commands.notify_one();
                    self.table.confirm(&BTreeSet::new());
                    if since.elapsed() > PING {
                        backoff.reset();
                    }
                    tracing::warn!(%cause, "redis subscriptions lost, connecting again");
                    cause
                }
                None => match self.dialer.pubsub(&self.table).await {
                    Ok(connected) => {
                        voice = Some(connected);
                        continue;
                    }
                    Err(error) => explain(&error),
                },
            };
            self.gauge.down(Part::Ear, &cause);
            sleep(backoff.wait()).await;
        }
    }

    /// Until the connection is no good; says why.
    async fn listen(&self, mut voice: Voice) -> String {
        let mut subscribed = BTreeSet::new();
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            if let Err(cause) = self.reconcile(&mut voice.mouth, &mut subscribed).await {
                return cause;
            }
            self.gauge.up(Part::Ear);
            tokio::select! {
                () = self.table.changed.notified() => {}
                () = self.doubts.moved.notified() => return "the master has moved".to_owned(),
                () = voice.gone.cancelled() => return "connection closed".to_owned(),
                () = self.doubts.ear.notified() => ping.reset_immediately(),
                _ = ping.tick() => {
                    if let Err(cause) = self.answered(voice.mouth.ping()).await {
                        return cause;
                    }
                }
            }
        }
    }

    /// Subscribes what is missing, unsubscribes what is not wanted, confirms what is there.
    async fn reconcile(
        &self,
        mouth: &mut Mouth,
        subscribed: &mut BTreeSet<Arc<str>>,
    ) -> Result<(), String> {
        let wanted = self.table.wanted();
        let missing: Vec<Arc<str>> = wanted.difference(subscribed).cloned().collect();
        for batch in missing.chunks(BATCH) {
            let names: Vec<&str> = batch.iter().map(|name| &**name).collect();
            self.answered(mouth.subscribe(&names)).await?;
            subscribed.extend(batch.iter().cloned());
            self.table.confirm(subscribed);
        }
        let unwanted: Vec<Arc<str>> = subscribed.difference(&wanted).cloned().collect();
        for batch in unwanted.chunks(BATCH) {
            let names: Vec<&str> = batch.iter().map(|name| &**name).collect();
            self.answered(mouth.unsubscribe(&names)).await?;
            for name in batch {
                subscribed.remove(name);
            }
        }
        // Includes channels that were dropped and wanted again before we noticed.
        self.table.confirm(subscribed);
        Ok(())
    }

    async fn answered(&self, work: impl Future<Output = RedisResult<()>>) -> Result<(), String> {
        match timeout(self.dialer.answer(), work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(explain(&error)),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        }
    }
}
