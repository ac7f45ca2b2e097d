//! The one connection for commands: kept up by a task, lent to whoever has something to say.
//!
//! ```text
//! up(n) ──(a command found it broken, or a PING did, or the master moved)──► down ──(dialled)──► up(n + 1)
//! ```
//!
//! Knows commands as the crate makes them; not what they are for.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, FromRedisValue, RedisError, cmd};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::dial::{Commands, Dialer, Mode};
use super::ear::{Doubts, PING};
use super::explain;
use super::gauge::{Gauge, Part};
use crate::bus::link::{Error, State};

/// How long a command waits for a connection that is being made again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection and its number: a report about an old one is void.
type Current = Option<(u64, Commands)>;

pub(super) struct Keeper {
    current: watch::Receiver<Current>,
    broken: mpsc::Sender<u64>,
    state: watch::Receiver<State>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    pub(super) fn spawn(
        dialer: Arc<Dialer>,
        first: Commands,
        gauge: Arc<Gauge>,
        doubts: Arc<Doubts>,
        stop: CancellationToken,
    ) -> Self {
        let (publish, current) = watch::channel(Some((0, first)));
        let (broken, reports) = mpsc::channel(16);
        let state = gauge.watch();
        let task = Task {
            dialer,
            gauge,
            doubts,
            publish,
            reports,
        };
        tokio::spawn(async move { stop.run_until_cancelled(task.run()).await });
        Self {
            current,
            broken,
            state,
        }
    }

    /// Runs one command on the current connection.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let mut current = self.current.clone();
        let (number, mut connection) = match timeout(PATIENCE, current.wait_for(Option::is_some))
            .await
        {
            Ok(Ok(lent)) => lent.clone().ok_or_else(|| self.disconnected())?,
            Ok(Err(_closed)) => return Err(Error::Disconnected("the bus is closed".to_owned())),
            Err(_elapsed) => return Err(self.disconnected()),
        };
        command.query_async(&mut connection).await.map_err(|error| {
            if useless(&error) {
                // A full queue holds reports enough.
                self.broken.try_send(number).ok();
            }
            Error::Failed(explain(&error))
        })
    }

    fn disconnected(&self) -> Error {
        match &*self.state.borrow() {
            State::Disconnected { cause, .. } => Error::Disconnected(cause.clone()),
            State::Connected { .. } => Error::Disconnected("connecting".to_owned()),
        }
    }
}

struct Task {
    dialer: Arc<Dialer>,
    gauge: Arc<Gauge>,
    doubts: Arc<Doubts>,
    publish: watch::Sender<Current>,
    reports: mpsc::Receiver<u64>,
}

impl Task {
    async fn run(mut self) {
        let mut number = 0_u64;
        let mut backoff = Backoff::new();
        loop {
            let cause = self.watch(number).await;
            tracing::warn!(%cause, "redis connection lost, connecting again");
            self.gauge.down(Part::Commands, &cause);
            self.publish.send_replace(None);
            self.doubts.ear.notify_one();
            loop {
                sleep(backoff.wait()).await;
                match self.dialer.commands().await {
                    Ok(commands) => {
                        number += 1;
                        self.publish.send_replace(Some((number, commands)));
                        break;
                    }
                    Err(error) => self.gauge.down(Part::Commands, &explain(&error)),
                }
            }
            backoff.reset();
            self.gauge.up(Part::Commands);
            tracing::info!("connected to redis");
        }
    }

    /// Until the connection is no good; says why.
    async fn watch(&mut self, number: u64) -> String {
        let Some((_, mut commands)) = self.publish.borrow().clone() else {
            return "no connection".to_owned();
        };
        let mut tick = interval(PING);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        loop {
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(reported) if reported == number => return "a command failed".to_owned(),
                    Some(_) => {}
                    // Nobody will ever use it again; the stop follows.
                    None => std::future::pending().await,
                },
                () = self.doubts.commands.notified() => tick.reset_immediately(),
                _ = tick.tick() => {
                    if let Err(cause) = self.check(&mut commands).await {
                        return cause;
                    }
                }
            }
        }
    }

    async fn check(&self, commands: &mut Commands) -> Result<(), String> {
        let address = match commands {
            // A cluster connection mends itself node by node.
            Commands::Cluster(_) => return Ok(()),
            Commands::Node(_, address) => address.clone(),
        };
        match timeout(self.dialer.answer(), cmd("PING").exec_async(commands)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if useless(&error) => return Err(explain(&error)),
            Ok(Err(_refused)) => {}
            Err(_elapsed) => return Err("no answer in time".to_owned()),
        }
        match self.dialer.mode() {
            Mode::Single | Mode::Cluster => Ok(()),
            // No answer from the sentinels is no reason to leave a master that works.
            Mode::Sentinel => match self.dialer.master().await {
                Ok(master) if master != address => {
                    self.doubts.moved.notify_one();
                    Err("the master has moved".to_owned())
                }
                Ok(_) | Err(_) => Ok(()),
            },
        }
    }
}

/// Whether the connection has to be replaced: it broke, it is silent, or it leads to a node that is no master.
fn useless(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.is_timeout()
        || error.code() == Some("READONLY")
}
