//! The one owner of the psrpc cores: a turn is one input, then every effect it asks for.
//!
//! Inputs: commands of handles, payloads, what tasks report, time. What waits (publishing, locking, handlers) is a task
//! that reports back. Knows no message, no handler's meaning, no connection.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use psrpc::client::{self, Client, Options};
use psrpc::server::{self, Incoming, Limits, RegistrationId, Server, Verdict};
use psrpc::{Error, Method, Now, RequestId, Topic, id};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant as Wake, sleep_until};

use super::tasks::{Report, Tasks};
use super::{Confirmations, Handler, ServeError, Stats, names};
use crate::bus::link::Bus;
use crate::bus::table::{Delivery as Payload, Inbox, Outlet, Subscription, inbox};

/// Payloads waiting for a turn.
const INBOX: usize = 8192;
/// Calls in flight per service.
const CALLS: usize = 1024;
/// Clocks further apart than this are worth a warning.
const SKEW: Duration = Duration::from_secs(1);
/// At most one such warning in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

pub(super) enum Command {
    Serve {
        service: String,
        method: Method,
        topic: Topic,
        handler: Handler,
        reply: oneshot::Sender<Result<(RegistrationId, Confirmations), ServeError>>,
    },
    Leave {
        service: String,
        id: RegistrationId,
    },
    Client {
        service: String,
        reply: oneshot::Sender<Confirmations>,
    },
    Call {
        service: String,
        id: RequestId,
        method: Method,
        topic: Topic,
        request: Bytes,
        options: Box<Options>,
        caller: Caller,
    },
    Cancel {
        service: String,
        id: RequestId,
    },
    Stats {
        reply: oneshot::Sender<Stats>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Who waits for a call.
pub(super) enum Caller {
    One(oneshot::Sender<Result<Bytes, Error>>),
    Many(mpsc::UnboundedSender<(String, Result<Bytes, Error>)>),
}

pub(super) struct Actor {
    bus: Bus,
    outlet: Outlet,
    inbox: Inbox,
    tasks: Tasks,
    reports: mpsc::UnboundedReceiver<Report>,
    servers: BTreeMap<String, Serving>,
    clients: BTreeMap<String, Calling>,
    /// Which service a channel belongs to.
    routes: BTreeMap<Arc<str>, Route>,
    warned: Option<Instant>,
}

struct Serving {
    core: Server,
    methods: BTreeMap<RegistrationId, (Handler, Arc<Semaphore>)>,
    subscriptions: BTreeMap<String, Subscription>,
}

struct Calling {
    core: Client,
    subscriptions: Vec<Subscription>,
    callers: BTreeMap<RequestId, Caller>,
}

#[derive(Clone)]
enum Route {
    Server(String),
    Client(String),
}

enum Turn {
    Command(Command),
    Payload(Payload),
    Report(Report),
    Time,
    End,
}

impl Actor {
    pub(super) fn new(bus: Bus) -> Self {
        let (outlet, inbox) = inbox(INBOX);
        let (reporter, reports) = mpsc::unbounded_channel();
        Self {
            tasks: Tasks::new(bus.clone(), reporter),
            bus,
            outlet,
            inbox,
            reports,
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            routes: BTreeMap::new(),
            warned: None,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut closing = None;
        while closing.is_none() {
            let turn = self.next(&mut commands).await;
            let now = now();
            match turn {
                Turn::Command(Command::Close { reply }) => closing = Some(Some(reply)),
                Turn::End => closing = Some(None),
                Turn::Command(command) => self.command(now, command),
                Turn::Payload(payload) => self.payload(now, &payload),
                Turn::Report(report) => self.report(now, report),
                Turn::Time => self.time(now),
            }
            self.effects();
        }
        for serving in self.servers.values_mut() {
            serving.core.close();
        }
        for calling in self.clients.values_mut() {
            calling.core.close();
        }
        self.effects();
        drop(commands);
        if let Some(Some(reply)) = closing {
            // Who asked may be gone.
            reply.send(()).ok();
        }
    }

    async fn next(&mut self, commands: &mut mpsc::Receiver<Command>) -> Turn {
        let servers = self
            .servers
            .values()
            .map(|serving| serving.core.poll_timeout());
        let clients = self
            .clients
            .values()
            .map(|calling| calling.core.poll_timeout());
        let wakes = servers.chain(clients).flatten().min();
        let alarm = async {
            match wakes {
                Some(at) => sleep_until(Wake::from_std(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => command.map_or(Turn::End, Turn::Command),
            Some(payload) = self.inbox.recv() => Turn::Payload(payload),
            Some(report) = self.reports.recv() => Turn::Report(report),
            () = alarm => Turn::Time,
        }
    }

    fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Serve {
                service,
                method,
                topic,
                handler,
                reply,
            } => {
                let answer = self.serve(&service, method, topic, handler);
                if let Err(Ok((id, _))) = reply.send(answer) {
                    // Nobody holds the registration.
                    self.leave(&service, id);
                }
            }
            Command::Leave { service, id } => self.leave(&service, id),
            Command::Client { service, reply } => {
                let confirmations = self
                    .client(&service)
                    .subscriptions
                    .iter()
                    .map(Subscription::confirmation)
                    .collect();
                // Who asked may be gone.
                drop(reply.send(confirmations));
            }
            Command::Call {
                service,
                id,
                method,
                topic,
                request,
                options,
                caller,
            } => {
                let calling = self.client(&service);
                calling.callers.insert(id.clone(), caller);
                calling
                    .core
                    .call(now, id, &method, &topic, request, *options);
            }
            Command::Cancel { service, id } => {
                if let Some(calling) = self.clients.get_mut(&service) {
                    calling.core.cancel(&id);
                }
            }
            // Who asked may be gone.
            Command::Stats { reply } => drop(reply.send(self.stats())),
            // Handled where the loop ends.
            Command::Close { reply } => drop(reply),
        }
    }

    fn serve(
        &mut self,
        service: &str,
        method: Method,
        topic: Topic,
        handler: Handler,
    ) -> Result<(RegistrationId, Confirmations), ServeError> {
        let serving = self
            .servers
            .entry(service.to_owned())
            .or_insert_with(|| Serving {
                core: Server::new(
                    service,
                    &id::server(&mut rand::random::<u64>),
                    Limits::default(),
                ),
                methods: BTreeMap::new(),
                subscriptions: BTreeMap::new(),
            });
        let id = serving.core.register(method, topic)?;
        let limit = Arc::new(Semaphore::new(
            handler.limit.clamp(1, Semaphore::MAX_PERMITS),
        ));
        serving.methods.insert(id, (handler, limit));
        // The subscriptions are effects; do them before telling who waits for them.
        let channels = serving.core.channels(id).to_vec();
        self.server_effects(service);
        let serving = self.servers.get(service).into_iter();
        let confirmations = serving
            .flat_map(|serving| names(&channels).filter_map(|name| serving.subscriptions.get(name)))
            .map(Subscription::confirmation)
            .collect();
        Ok((id, confirmations))
    }

    fn leave(&mut self, service: &str, id: RegistrationId) {
        if let Some(serving) = self.servers.get_mut(service) {
            serving.core.deregister(id);
            self.server_effects(service);
            if let Some(serving) = self.servers.get_mut(service) {
                serving.methods.remove(&id);
            }
        }
    }

    fn client(&mut self, service: &str) -> &mut Calling {
        let (bus, outlet, routes) = (&self.bus, &self.outlet, &mut self.routes);
        self.clients.entry(service.to_owned()).or_insert_with(|| {
            let core = Client::new(service, &id::client(&mut rand::random::<u64>), CALLS);
            let channels = core.channels();
            for channel in &channels {
                routes.insert(channel.as_str().into(), Route::Client(service.to_owned()));
            }
            let subscriptions = names(&channels)
                .map(|name| bus.subscribe(name, outlet))
                .collect();
            Calling {
                core,
                subscriptions,
                callers: BTreeMap::new(),
            }
        })
    }

    fn payload(&mut self, now: Now, payload: &Payload) {
        match self.routes.get(&payload.channel) {
            Some(Route::Server(service)) => {
                if let Some(serving) = self.servers.get_mut(service) {
                    serving
                        .core
                        .receive(now, &payload.channel, payload.payload.clone());
                    let skew = serving.core.stats().skew;
                    self.warn_of_skew(now, skew);
                }
            }
            Some(Route::Client(service)) => {
                if let Some(calling) = self.clients.get_mut(service) {
                    calling
                        .core
                        .receive(now, &payload.channel, payload.payload.clone());
                }
            }
            // Unsubscribed meanwhile.
            None => {}
        }
    }

    fn report(&mut self, now: Now, report: Report) {
        match report {
            Report::Published {
                service,
                id,
                delivery,
            } => {
                if let Some(calling) = self.clients.get_mut(&service) {
                    calling.core.published(&id, &delivery);
                }
            }
            Report::Locked { service, id, taken } => {
                if let Some(serving) = self.servers.get_mut(&service) {
                    serving.core.locked(&id, taken);
                }
            }
            Report::Answered {
                service,
                id,
                result,
            } => {
                if let Some(serving) = self.servers.get_mut(&service) {
                    serving.core.reply(now, &id, result);
                }
            }
            Report::Decided {
                service,
                registration,
                id,
                verdict,
            } => {
                if let Some(serving) = self.servers.get_mut(&service) {
                    serving.core.bid(now, registration, &id, verdict);
                }
            }
        }
    }

    fn time(&mut self, now: Now) {
        for serving in self.servers.values_mut() {
            serving.core.timeout(now);
        }
        for calling in self.clients.values_mut() {
            calling.core.timeout(now);
        }
    }

    fn effects(&mut self) {
        let services: Vec<String> = self.servers.keys().cloned().collect();
        for service in services {
            self.server_effects(&service);
        }
        let services: Vec<String> = self.clients.keys().cloned().collect();
        for service in services {
            self.client_effects(&service);
        }
    }

    fn server_effects(&mut self, service: &str) {
        while let Some(serving) = self.servers.get_mut(service)
            && let Some(effect) = serving.core.poll_effect()
        {
            match effect {
                server::Effect::Subscribe(channel) => {
                    let subscription = self.bus.subscribe(channel.as_str(), &self.outlet);
                    self.routes
                        .insert(channel.as_str().into(), Route::Server(service.to_owned()));
                    serving
                        .subscriptions
                        .insert(channel.to_string(), subscription);
                }
                server::Effect::Unsubscribe(channel) => {
                    self.routes.remove(channel.as_str());
                    serving.subscriptions.remove(channel.as_str());
                }
                server::Effect::Lock {
                    request_id,
                    key,
                    lifetime,
                } => self.tasks.lock(service, request_id, key, lifetime),
                server::Effect::Ask {
                    registration,
                    request,
                } => {
                    let verdict = match serving.methods.get(&registration) {
                        Some((handler, _)) => match &handler.bidder {
                            Some(ask) => {
                                let bidder = self.tasks.bidder(
                                    service,
                                    registration,
                                    request.request_id.clone(),
                                );
                                // A panic drops the bidder, which is silence.
                                let asked = std::panic::catch_unwind(AssertUnwindSafe(|| {
                                    ask(&request, bidder)
                                }));
                                if asked.is_err() {
                                    tracing::error!(%service, request_id = %request.request_id, "asking for a bid panicked");
                                }
                                continue;
                            }
                            None => decide(handler, &request),
                        },
                        None => Verdict::Silent,
                    };
                    serving
                        .core
                        .bid(now(), registration, &request.request_id, verdict);
                }
                server::Effect::Run {
                    registration,
                    request,
                } => match serving.methods.get(&registration).cloned() {
                    Some((handler, limit)) => self.tasks.handle(service, handler, limit, request),
                    None => serving.core.reply(
                        now(),
                        &request.request_id,
                        Err(server::handler_failed()),
                    ),
                },
                server::Effect::Lost {
                    registration,
                    request_id,
                    cause,
                } => {
                    tracing::debug!(%service, %request_id, ?cause, "bid lost");
                    if let Some((handler, _)) = serving.methods.get(&registration) {
                        let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
                            (handler.lost)(&request_id, cause)
                        }));
                        if told.is_err() {
                            tracing::error!(%service, %request_id, "the hook of lost bids panicked");
                        }
                    }
                }
                server::Effect::Publish {
                    publication,
                    deadline,
                } => self.tasks.insist(publication, deadline),
            }
        }
    }

    fn client_effects(&mut self, service: &str) {
        while let Some(calling) = self.clients.get_mut(service)
            && let Some(effect) = calling.core.poll_effect()
        {
            match effect {
                client::Effect::Ask {
                    request_id,
                    publication,
                } => self.tasks.ask(service, request_id, &publication),
                client::Effect::Grant {
                    publication,
                    deadline,
                } => self.tasks.insist(publication, deadline),
                client::Effect::Done { request_id, result } => {
                    match calling.callers.remove(&request_id) {
                        // Who asked may be gone.
                        Some(Caller::One(reply)) => drop(reply.send(result)),
                        Some(Caller::Many(_)) | None => {}
                    }
                }
                client::Effect::Answer {
                    request_id,
                    server_id,
                    result,
                } => {
                    if let Some(Caller::Many(answers)) = calling.callers.get(&request_id) {
                        // Who asked may be gone.
                        drop(answers.send((server_id, result)));
                    }
                }
                // Dropping the sender ends the collection.
                client::Effect::Collected { request_id } => {
                    drop(calling.callers.remove(&request_id))
                }
            }
        }
    }

    fn stats(&self) -> Stats {
        Stats {
            servers: self
                .servers
                .iter()
                .map(|(name, s)| (name.clone(), s.core.stats()))
                .collect(),
            clients: self
                .clients
                .iter()
                .map(|(name, c)| (name.clone(), c.core.stats()))
                .collect(),
            dropped: self.inbox.dropped(),
            unpublished: self.tasks.unpublished(),
        }
    }

    fn warn_of_skew(&mut self, now: Now, skew: i64) {
        let limit = i64::try_from(SKEW.as_nanos()).unwrap_or(i64::MAX);
        let due = self
            .warned
            .is_none_or(|at| now.mono.saturating_duration_since(at) >= WARN_EVERY);
        if due && skew.saturating_abs() > limit {
            self.warned = Some(now.mono);
            let skew_ms = skew / 1_000_000;
            tracing::warn!(
                skew_ms,
                "our clock and a caller's differ: requests may expire before they are read"
            );
        }
    }
}

fn decide(handler: &Handler, request: &Incoming) -> Verdict {
    std::panic::catch_unwind(AssertUnwindSafe(|| (handler.affinity)(request))).unwrap_or_else(|_panic| {
        tracing::error!(method = %request.method, request_id = %request.request_id, "affinity panicked");
        Verdict::Silent
    })
}

/// Both clocks.
fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    }
}
