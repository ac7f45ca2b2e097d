//! Questions and answers for the rest of the app: serve a method, call a method.
//!
//! ```text
//! Node (handles) ──commands──► actor: psrpc servers and clients, one per service ──► Bus
//!                                 ▲ answers of tasks        │ tasks: publish, lock, handler
//!                                 └─────────────────────────┘
//! ```
//!
//! A handler runs in its own task, as many at once as its [`Handler::limit`] says; a panic is answered `internal`.
//! Subscriptions are confirmed before they are needed: a call waits for its own, a registration can be waited for.
//! Knows bytes; messages are encoded and decoded by who serves and calls.

mod actor;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use psrpc::client::{self, Options};
use psrpc::server::{self, Incoming, Loss, RegistrationId, Verdict};
use psrpc::{Channel, Code, Error, Method, RequestId, Topic};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant as Wake, timeout_at};

use super::link::{Bus, State};
use super::table::confirmed;
use actor::{Actor, Command};

/// Commands waiting for the actor; callers wait when it is full.
const COMMANDS: usize = 1024;

type Affinity = Arc<dyn Fn(&Incoming) -> Verdict + Send + Sync>;
type Ask = Arc<dyn Fn(&Incoming, Bidder) + Send + Sync>;
type OnLost = Arc<dyn Fn(&RequestId, Loss) + Send + Sync>;
type Run = Arc<dyn Fn(Incoming) -> BoxFuture<'static, Result<Bytes, Error>> + Send + Sync>;

/// What serves a method.
#[derive(Clone)]
pub struct Handler {
    affinity: Affinity,
    bidder: Option<Ask>,
    lost: OnLost,
    run: Run,
    limit: usize,
}

impl Handler {
    /// Bids 1 for everything and answers what `run` returns.
    pub fn new<F, R>(run: F) -> Self
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Bytes, Error>> + Send + 'static,
    {
        Self {
            affinity: Arc::new(|_| Verdict::Bid(1.0)),
            bidder: None,
            lost: Arc::new(|_, _| {}),
            run: Arc::new(move |request| Box::pin(run(request))),
            limit: 64,
        }
    }

    /// Decides on bids. Runs between two turns of the bus: it has to return at once. A panic is silence.
    #[must_use]
    pub fn affinity(self, affinity: impl Fn(&Incoming) -> Verdict + Send + Sync + 'static) -> Self {
        Self {
            affinity: Arc::new(affinity),
            ..self
        }
    }

    /// Decides on bids later, instead of [`Handler::affinity`]: the [`Bidder`] may be kept. Has to return at once.
    #[must_use]
    pub fn bidder(self, ask: impl Fn(&Incoming, Bidder) + Send + Sync + 'static) -> Self {
        Self {
            bidder: Some(Arc::new(ask)),
            ..self
        }
    }

    /// Told when a bid came to nothing, exactly once per bid that is not run; has to return at once.
    /// After [`Loss::Held`] the request may still be run.
    #[must_use]
    pub fn lost(self, lost: impl Fn(&RequestId, Loss) + Send + Sync + 'static) -> Self {
        Self {
            lost: Arc::new(lost),
            ..self
        }
    }

    /// How many requests run at once; others wait until their deadline.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }
}

/// One bid to be decided. Dropping it is silence.
pub struct Bidder(Option<Box<dyn FnOnce(Verdict) + Send>>);

impl Bidder {
    fn new(tell: impl FnOnce(Verdict) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// I can take it.
    pub fn bid(mut self, affinity: f32) {
        self.tell(Verdict::Bid(affinity));
    }

    /// Nobody can: the caller is told at once.
    pub fn refuse(mut self, error: Error) {
        self.tell(Verdict::Refuse(error));
    }

    fn tell(&mut self, verdict: Verdict) {
        if let Some(tell) = self.0.take() {
            tell(verdict);
        }
    }
}

impl Drop for Bidder {
    fn drop(&mut self) {
        self.tell(Verdict::Silent);
    }
}

impl std::fmt::Debug for Bidder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bidder")
    }
}

/// This process on the bus. Clones are the same.
#[derive(Debug, Clone)]
pub struct Node {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
}

/// What happened so far, by service.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Served services.
    pub servers: BTreeMap<String, server::Stats>,
    /// Called services.
    pub clients: BTreeMap<String, client::Stats>,
    /// Payloads dropped because they came faster than they could be looked at.
    pub dropped: u64,
    /// Publications given up.
    pub unpublished: u64,
}

/// Serving did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The same topic is served by this process.
    #[error(transparent)]
    AlreadyServed(#[from] psrpc::server::AlreadyServed),
    /// The node was closed.
    #[error("server is closed")]
    Closed,
}

/// A call's place on the bus: the confirmations to wait for before it is published.
type Confirmations = Vec<watch::Receiver<bool>>;

impl Node {
    /// Starts to speak psrpc over a bus.
    #[must_use]
    pub fn spawn(bus: Bus) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let state = bus.state();
        tokio::spawn(Actor::new(bus).run(receiver));
        Self { commands, state }
    }

    /// Serves `method` of `service` on `topic` until the registration is closed or dropped.
    ///
    /// # Errors
    /// The topic is served already, or the node is closed.
    pub async fn serve(
        &self,
        service: &str,
        method: Method,
        topic: Topic,
        handler: Handler,
    ) -> Result<Registration, ServeError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Serve {
            service: service.to_owned(),
            method,
            topic,
            handler,
            reply,
        };
        self.send(command).await.ok_or(ServeError::Closed)?;
        let (id, confirmations) = answer.await.unwrap_or(Err(ServeError::Closed))?;
        Ok(Registration {
            service: service.to_owned(),
            id: Some(id),
            confirmations,
            commands: self.commands.clone(),
        })
    }

    /// Asks one server.
    ///
    /// # Errors
    /// What the server answered, or our own `unavailable`, `deadline_exceeded` or `canceled`;
    /// [`Error::unanswered`] tells them apart.
    pub async fn call(
        &self,
        service: &str,
        method: &Method,
        topic: &Topic,
        request: Bytes,
        options: Options,
    ) -> Result<Bytes, Error> {
        let options = self.ready(service, options).await?;
        let (reply, answer) = oneshot::channel();
        let cancel = self
            .start(
                service,
                method,
                topic,
                request,
                options,
                actor::Caller::One(reply),
            )
            .await?;
        let result = answer
            .await
            .unwrap_or_else(|_closed| Err(Error::client_closed()));
        cancel.disarm();
        result
    }

    /// Asks every server and collects what they answer until the timeout: `(server id, answer)`.
    ///
    /// # Errors
    /// It could not be asked. Nobody answering is an empty list.
    pub async fn call_multi(
        &self,
        service: &str,
        method: &Method,
        topic: &Topic,
        request: Bytes,
        options: Options,
    ) -> Result<Vec<(String, Result<Bytes, Error>)>, Error> {
        let options = self.ready(service, options).await?;
        let (answers, mut receiver) = mpsc::unbounded_channel();
        let cancel = self
            .start(
                service,
                method,
                topic,
                request,
                options,
                actor::Caller::Many(answers),
            )
            .await?;
        let mut collected = Vec::new();
        while let Some(answer) = receiver.recv().await {
            collected.push(answer);
        }
        cancel.disarm();
        Ok(collected)
    }

    /// Whether the bus works, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Counters; empty once closed.
    pub async fn stats(&self) -> Stats {
        let (reply, answer) = oneshot::channel();
        if self.send(Command::Stats { reply }).await.is_none() {
            return Stats::default();
        }
        answer.await.unwrap_or_default()
    }

    /// Makes a service's client now, so that its subscriptions are confirmed before the first call. Returns when they
    /// are.
    pub async fn prepare(&self, service: &str) {
        for mut confirmation in self.client(service).await.unwrap_or_default() {
            confirmed(&mut confirmation).await;
        }
    }

    /// Leaves the bus: calls end with "client is closed", nothing is served, answers of running handlers are lost.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.send(Command::Close { reply }).await.is_some() {
            // Closed either way.
            drop(answer.await);
        }
    }

    /// Waits for the client's subscriptions, at most as long as the call may take, and takes that off its time.
    async fn ready(&self, service: &str, mut options: Options) -> Result<Options, Error> {
        let by_timeout = Instant::now().checked_add(options.timeout);
        let deadline = match (by_timeout, options.deadline) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a
                .or(b)
                .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600)),
        };
        let confirmations = self.client(service).await?;
        for mut confirmation in confirmations {
            if timeout_at(Wake::from_std(deadline), confirmed(&mut confirmation))
                .await
                .is_err()
            {
                let cause = match &*self.state.borrow() {
                    State::Connected { .. } => "subscriptions not confirmed".to_owned(),
                    State::Disconnected { cause, .. } => cause.clone(),
                };
                return Err(Error::new(
                    Code::Unavailable,
                    format!("not connected to the bus: {cause}"),
                ));
            }
        }
        options.deadline = Some(deadline);
        Ok(options)
    }

    async fn client(&self, service: &str) -> Result<Confirmations, Error> {
        let (reply, answer) = oneshot::channel();
        let service = service.to_owned();
        self.send(Command::Client { service, reply })
            .await
            .ok_or_else(Error::client_closed)?;
        answer.await.map_err(|_closed| Error::client_closed())
    }

    async fn start(
        &self,
        service: &str,
        method: &Method,
        topic: &Topic,
        request: Bytes,
        options: Options,
        caller: actor::Caller,
    ) -> Result<Cancel, Error> {
        let id = RequestId::random(&mut rand::random::<u64>);
        let command = Command::Call {
            service: service.to_owned(),
            id: id.clone(),
            method: method.clone(),
            topic: topic.clone(),
            request,
            options: Box::new(options),
            caller,
        };
        self.send(command).await.ok_or_else(Error::client_closed)?;
        Ok(Cancel {
            commands: self.commands.clone(),
            armed: Some((service.to_owned(), id)),
        })
    }

    async fn send(&self, command: Command) -> Option<()> {
        self.commands.send(command).await.ok()
    }
}

/// A method being served.
#[derive(Debug)]
pub struct Registration {
    service: String,
    id: Option<RegistrationId>,
    confirmations: Confirmations,
    commands: mpsc::Sender<Command>,
}

impl Registration {
    /// Waits until the bus has confirmed every subscription: from now on requests reach us.
    pub async fn confirmed(&self) {
        for confirmation in &self.confirmations {
            confirmed(&mut confirmation.clone()).await;
        }
    }

    /// Serves for as long as the node lives.
    pub fn keep(mut self) {
        self.id = None;
    }

    /// Stops serving. Open bids are lost; running handlers finish and answer.
    pub async fn close(mut self) {
        if let Some(id) = self.id.take() {
            let service = self.service.clone();
            // A closed node serves nothing.
            drop(self.commands.send(Command::Leave { service, id }).await);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else {
            return;
        };
        let command = Command::Leave {
            service: std::mem::take(&mut self.service),
            id,
        };
        later(&self.commands, command);
    }
}

/// Cancels a call whose caller is gone.
struct Cancel {
    commands: mpsc::Sender<Command>,
    armed: Option<(String, RequestId)>,
}

impl Cancel {
    fn disarm(mut self) {
        self.armed = None;
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if let Some((service, id)) = self.armed.take() {
            later(&self.commands, Command::Cancel { service, id });
        }
    }
}

/// Sends from where nothing can wait.
fn later(commands: &mpsc::Sender<Command>, command: Command) {
    if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(command)
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        let commands = commands.clone();
        runtime.spawn(async move { commands.send(command).await });
    }
}

/// The subscriptions of some channels.
fn names(channels: &[Channel]) -> impl Iterator<Item = &str> {
    channels.iter().map(Channel::as_str)
}
