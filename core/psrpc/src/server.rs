//! The answering end: one per service and process, with any number of methods and topics.
//!
//! ```text
//!  REQ ─► expired? known? ─► Locking ─► Asking ─► Bidding ─► Running ─► answered, remembered until the expiry
//!          (dropped,          │ not      │ silent   │ granted to another,
//!           counted)          │ ours     │ refused  │ or expired
//!                             ▼          ▼          ▼
//!                           forgotten             Lost     (ids stay remembered: a duplicate is never handled twice)
//! ```
//!
//! `Locking` only for queue methods that want it, `Asking` and `Bidding` only for claimed ones. Knows ids, channels and
//! deadlines; not what the bytes mean, how good a bid is, or how handlers run.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::internal::{ClaimRequest, ClaimResponse, Request, Response};

use crate::channel::Channel;
use crate::envelope::{Message, Publication};
use crate::error::{Code, Error};
use crate::id::RequestId;
use crate::lock;
use crate::method::{Flow, Locking, Method, Topic};
use crate::now::{Now, later};
use crate::timers::Timers;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests between arrival and answer; more are dropped.
    pub pending: usize,
    /// Finished ids kept against duplicates.
    pub remembered: usize,
    /// The longest any request is waited for, whatever its expiry says.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 1024,
            remembered: 16_384,
            longest: Duration::from_secs(600),
        }
    }
}

/// A method being served on a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(u64);

/// A request as the application sees it. Prints no content.
#[derive(Clone, PartialEq)]
pub struct Incoming {
    /// Which attempt.
    pub request_id: RequestId,
    /// Who asks.
    pub client_id: String,
    /// The method.
    pub method: String,
    /// The topic it is served on.
    pub topic: Topic,
    /// The user's message.
    pub raw_request: Bytes,
    /// What came along.
    pub metadata: BTreeMap<String, String>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("request_id", &self.request_id)
            .field("client_id", &self.client_id)
            .field("method", &self.method)
            .field("topic", &self.topic)
            .field("bytes", &self.raw_request.len())
            .finish_non_exhaustive()
    }
}

/// What the application says to a request it may bid for.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// I can take it. Negative or NaN is [`Verdict::Silent`].
    Bid(f32),
    /// Not me.
    Silent,
    /// Nobody can: answered at once, without a claim (`malformed_request`).
    Refuse(Error),
}

/// Why a bid came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Another server was granted it.
    Foreign,
    /// The request expired without a grant.
    Expired,
    /// The bid was held long enough ([`Method::hold`]). A grant may still come; then it runs after all.
    Held,
    /// The method was deregistered.
    Closed,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Listen to a channel.
    Subscribe(Channel),
    /// Stop listening.
    Unsubscribe(Channel),
    /// Try the queue lock and report with [`Server::locked`].
    Lock {
        /// For [`Server::locked`].
        request_id: RequestId,
        /// The key.
        key: String,
        /// Its lifetime.
        lifetime: Duration,
    },
    /// Ask the application and report with [`Server::bid`].
    Ask {
        /// Which method and topic.
        registration: RegistrationId,
        /// The request.
        request: Incoming,
    },
    /// Run the handler and report with [`Server::reply`].
    Run {
        /// Which method and topic.
        registration: RegistrationId,
        /// The request.
        request: Incoming,
    },
    /// A bid came to nothing: release what was reserved for it.
    Lost {
        /// Which method and topic.
        registration: RegistrationId,
        /// The request.
        request_id: RequestId,
        /// Why.
        cause: Loss,
    },
    /// Publish a bid or an answer; a duplicate is harmless, so it may be retried until the deadline.
    Publish {
        /// What.
        publication: Publication,
        /// When it is no longer of use.
        deadline: Instant,
    },
}

/// What happened, by count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Requests seen for the first time and in time.
    pub received: u64,
    /// Undecodable, of an unknown type, or not for this channel.
    pub garbage: u64,
    /// Requests that arrived at or after their expiry.
    pub expired: u64,
    /// Requests seen before.
    pub duplicate: u64,
    /// Requests dropped because too many were pending.
    pub overloaded: u64,
    /// Queue requests another process locked first.
    pub unlocked: u64,
    /// Requests not bid for.
    pub silent: u64,
    /// Bids made.
    pub bids: u64,
    /// Bids that came to nothing.
    pub lost: u64,
    /// Requests run.
    pub run: u64,
    /// Grants and reports about requests not known.
    pub stray: u64,
    /// Our wall clock minus the sender's `sent_at`, of the latest request, in nanoseconds. More than transit time
    /// in either direction is clock skew.
    pub skew: i64,
}

/// A topic is served already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is served already")]
pub struct AlreadyServed(pub Channel);

/// The answering end of a service.
#[derive(Debug)]
pub struct Server {
    service: String,
    server_id: String,
    limits: Limits,
    registrations: BTreeMap<RegistrationId, Registration>,
    routes: BTreeMap<Channel, (RegistrationId, Route)>,
    next_registration: u64,
    pending: BTreeMap<RequestId, Pending>,
    timers: Timers,
    remembered: Timers,
    effects: VecDeque<Effect>,
    stats: Stats,
}

#[derive(Debug)]
struct Registration {
    method: Method,
    topic: Topic,
    channels: Vec<Channel>,
}

#[derive(Debug, Clone, Copy)]
enum Route {
    Requests,
    Grants,
}

#[derive(Debug)]
struct Pending {
    registration: RegistrationId,
    request: Incoming,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Locking,
    Asking,
    Bidding(Reservation),
    Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reservation {
    Kept,
    Released,
}

impl Server {
    /// A server of `service` named `server_id` ([`crate::id::server`]).
    #[must_use]
    pub fn new(service: &str, server_id: &str, limits: Limits) -> Self {
        Self {
            service: service.to_owned(),
            server_id: server_id.to_owned(),
            limits,
            registrations: BTreeMap::new(),
            routes: BTreeMap::new(),
            next_registration: 0,
            pending: BTreeMap::new(),
            timers: Timers::default(),
            remembered: Timers::default(),
            effects: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Requests between arrival and answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Serves `method` on `topic`; asks for its subscriptions.
    ///
    /// # Errors
    /// The topic is served already.
    pub fn register(
        &mut self,
        method: Method,
        topic: Topic,
    ) -> Result<RegistrationId, AlreadyServed> {
        let requests = Channel::request(&self.service, &method.name, &topic);
        if self.routes.contains_key(&requests) {
            return Err(AlreadyServed(requests));
        }
        self.next_registration += 1;
        let id = RegistrationId(self.next_registration);
        let mut channels = vec![requests.clone()];
        self.routes.insert(requests, (id, Route::Requests));
        if method.claimed() {
            let grants = Channel::claim_response(&self.service, &method.name, &topic);
            self.routes.insert(grants.clone(), (id, Route::Grants));
            channels.push(grants);
        }
        self.effects
            .extend(channels.iter().cloned().map(Effect::Subscribe));
        self.registrations.insert(
            id,
            Registration {
                method,
                topic,
                channels,
            },
        );
        Ok(id)
    }

    /// The channels a registration listens to.
    #[must_use]
    pub fn channels(&self, id: RegistrationId) -> &[Channel] {
        self.registrations
            .get(&id)
            .map_or(&[], |registration| &registration.channels)
    }

    /// Stops serving. Open bids are lost; handlers that run may still answer.
    pub fn deregister(&mut self, id: RegistrationId) {
        let Some(registration) = self.registrations.remove(&id) else {
            return;
        };
        for channel in registration.channels {
            self.routes.remove(&channel);
            self.effects.push_back(Effect::Unsubscribe(channel));
        }
        let theirs: Vec<RequestId> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.registration == id && pending.stage != Stage::Running)
            .map(|(request_id, _)| request_id.clone())
            .collect();
        for request_id in theirs {
            self.give_up(&request_id, Loss::Closed);
        }
    }

    /// Stops serving everything.
    pub fn close(&mut self) {
        let ids: Vec<RegistrationId> = self.registrations.keys().copied().collect();
        for id in ids {
            self.deregister(id);
        }
    }

    /// A payload arrived.
    pub fn receive(&mut self, now: Now, channel: &str, payload: Bytes) {
        let Some((registration, route)) = self.routes.get(channel).copied() else {
            self.stats.stray += 1;
            return;
        };
        match (route, Message::decode(payload.clone())) {
            (Route::Requests, Ok(Message::Request(request))) => {
                self.request(now, registration, request, &payload)
            }
            (Route::Grants, Ok(Message::ClaimResponse(grant))) => {
                self.grant(now, registration, &grant)
            }
            (
                Route::Requests | Route::Grants,
                Ok(
                    Message::Request(_)
                    | Message::ClaimRequest(_)
                    | Message::ClaimResponse(_)
                    | Message::Response(_)
                    | Message::Stream(_),
                )
                | Err(_),
            ) => self.stats.garbage += 1,
        }
    }

    /// The queue lock was taken, or not.
    pub fn locked(&mut self, request_id: &RequestId, taken: bool) {
        match self.pending.get_mut(request_id) {
            Some(pending) if pending.stage == Stage::Locking => {
                if taken {
                    pending.stage = Stage::Asking;
                    self.effects.push_back(Effect::Ask {
                        registration: pending.registration,
                        request: pending.request.clone(),
                    });
                } else {
                    self.stats.unlocked += 1;
                    self.forget(request_id);
                }
            }
            Some(_) | None => self.stats.stray += 1,
        }
    }

    /// The application's verdict on an [`Effect::Ask`]. If the request is gone meanwhile, a bid is lost at once.
    pub fn bid(
        &mut self,
        now: Now,
        registration: RegistrationId,
        request_id: &RequestId,
        verdict: Verdict,
    ) {
        let affinity = match verdict {
            Verdict::Bid(affinity) if affinity >= 0.0 => affinity,
            Verdict::Bid(_) | Verdict::Silent => {
                self.stats.silent += 1;
                if self.stage(request_id) == Some(Stage::Asking) {
                    self.forget(request_id);
                }
                return;
            }
            Verdict::Refuse(error) => {
                if self.stage(request_id) == Some(Stage::Asking) {
                    self.answer(now, request_id, Err(error));
                }
                return;
            }
        };
        let (service, server_id) = (&self.service, &self.server_id);
        let hold = self
            .registrations
            .get(&registration)
            .and_then(|r| r.method.hold);
        match self.pending.get_mut(request_id) {
            Some(pending)
                if pending.stage == Stage::Asking && now.mono < pending.request.deadline =>
            {
                pending.stage = Stage::Bidding(Reservation::Kept);
                let deadline = pending.request.deadline;
                let message = ClaimRequest {
                    request_id: request_id.as_str().to_owned(),
                    server_id: server_id.clone(),
                    affinity,
                    handling: false,
                };
                self.effects.push_back(Effect::Publish {
                    publication: Publication::claim_request(
                        service,
                        &pending.request.client_id,
                        message,
                    ),
                    deadline,
                });
                let wakes = hold.map_or(deadline, |hold| later(now.mono, hold).min(deadline));
                self.timers.set(request_id, wakes);
                self.stats.bids += 1;
            }
            Some(pending) if pending.stage == Stage::Asking => {
                pending.stage = Stage::Bidding(Reservation::Kept);
                self.give_up(request_id, Loss::Expired);
            }
            Some(_) => self.stats.stray += 1,
            None => {
                self.stats.lost += 1;
                let cause = if self.registrations.contains_key(&registration) {
                    Loss::Foreign
                } else {
                    Loss::Closed
                };
                self.effects.push_back(Effect::Lost {
                    registration,
                    request_id: request_id.clone(),
                    cause,
                });
            }
        }
    }

    /// The handler's answer. It is published even if nobody waits any more.
    pub fn reply(&mut self, now: Now, request_id: &RequestId, result: Result<Bytes, Error>) {
        if self.stage(request_id) == Some(Stage::Running) {
            self.answer(now, request_id, result);
        } else {
            self.stats.stray += 1;
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Now) {
        self.purge(now);
        while let Some(id) = self.timers.pop_due(now.mono) {
            let Some(pending) = self.pending.get_mut(&id) else {
                continue;
            };
            let deadline = pending.request.deadline;
            match pending.stage {
                Stage::Bidding(Reservation::Kept) if now.mono < deadline => {
                    pending.stage = Stage::Bidding(Reservation::Released);
                    let registration = pending.registration;
                    self.timers.set(&id, deadline);
                    self.stats.lost += 1;
                    self.effects.push_back(Effect::Lost {
                        registration,
                        request_id: id,
                        cause: Loss::Held,
                    });
                }
                Stage::Locking | Stage::Asking | Stage::Bidding(_) => {
                    self.give_up(&id, Loss::Expired)
                }
                Stage::Running => {}
            }
        }
    }

    /// When [`Server::timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What to do next. Drain before the next input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn request(
        &mut self,
        now: Now,
        registration: RegistrationId,
        message: Request,
        payload: &[u8],
    ) {
        self.purge(now);
        self.stats.skew = now.unix_nanos().saturating_sub(message.sent_at);
        let lives = message.expiry.saturating_sub(now.unix_nanos());
        let Some(lives) = u64::try_from(lives).ok().filter(|lives| *lives > 0) else {
            self.stats.expired += 1;
            return;
        };
        let id = RequestId::from(message.request_id.as_str());
        if self.pending.contains_key(&id) || self.remembered.contains(&id) {
            self.stats.duplicate += 1;
            return;
        }
        let Some(Registration { method, topic, .. }) = self.registrations.get(&registration) else {
            self.stats.stray += 1;
            return;
        };
        if self.pending.len() >= self.limits.pending {
            self.stats.overloaded += 1;
            return;
        }
        self.stats.received += 1;
        let request = Incoming {
            request_id: id.clone(),
            client_id: message.client_id,
            method: method.name.clone(),
            topic: topic.clone(),
            raw_request: message.raw_request,
            metadata: message.metadata.into_iter().collect(),
            deadline: later(
                now.mono,
                Duration::from_nanos(lives).min(self.limits.longest),
            ),
        };
        self.timers.set(&id, request.deadline);
        let stage = match method.flow {
            Flow::Queue(Locking::Take) => {
                self.effects.push_back(Effect::Lock {
                    request_id: id.clone(),
                    key: lock::key(payload),
                    lifetime: lock::LIFETIME,
                });
                Stage::Locking
            }
            Flow::Affinity | Flow::Queue(Locking::Skip) => {
                self.effects.push_back(Effect::Ask {
                    registration,
                    request: request.clone(),
                });
                Stage::Asking
            }
            Flow::Multi | Flow::Direct => {
                self.effects.push_back(Effect::Run {
                    registration,
                    request: request.clone(),
                });
                self.timers.clear(&id);
                self.stats.run += 1;
                Stage::Running
            }
        };
        self.pending.insert(
            id,
            Pending {
                registration,
                request,
                stage,
            },
        );
    }

    fn grant(&mut self, now: Now, registration: RegistrationId, grant: &ClaimResponse) {
        let id = RequestId::from(grant.request_id.as_str());
        let ours = grant.server_id == self.server_id;
        match self.pending.get_mut(&id) {
            Some(pending) if pending.registration != registration => self.stats.stray += 1,
            Some(pending) => match (pending.stage, ours) {
                (Stage::Bidding(_), true) if now.mono < pending.request.deadline => {
                    pending.stage = Stage::Running;
                    self.effects.push_back(Effect::Run {
                        registration,
                        request: pending.request.clone(),
                    });
                    self.timers.clear(&id);
                    self.stats.run += 1;
                }
                (Stage::Bidding(_), true) => self.give_up(&id, Loss::Expired),
                (Stage::Locking | Stage::Asking | Stage::Bidding(_), false) => {
                    self.give_up(&id, Loss::Foreign)
                }
                // Granted what was never bid for, or granted twice.
                (Stage::Locking | Stage::Asking | Stage::Running, _) => self.stats.stray += 1,
            },
            None => self.stats.stray += 1,
        }
    }

    fn answer(&mut self, now: Now, id: &RequestId, result: Result<Bytes, Error>) {
        let Some(pending) = self.forget(id) else {
            return;
        };
        let mut response = Response {
            request_id: id.as_str().to_owned(),
            server_id: self.server_id.clone(),
            sent_at: now.unix_nanos(),
            ..Response::default()
        };
        match result {
            Ok(body) => response.raw_response = body,
            Err(Error {
                code,
                message,
                details,
                origin: _,
            }) => {
                // An empty text would be read as success.
                response.error = if message.is_empty() {
                    code.to_string()
                } else {
                    message
                };
                response.code = code.to_string();
                response.error_details = details;
            }
        }
        self.effects.push_back(Effect::Publish {
            publication: Publication::response(&self.service, &pending.request.client_id, response),
            deadline: pending.request.deadline,
        });
    }

    /// Forgets a request that will not run; tells if it was bid for and not told yet.
    fn give_up(&mut self, id: &RequestId, cause: Loss) {
        if let Some(Pending {
            registration,
            stage: Stage::Bidding(Reservation::Kept),
            ..
        }) = self.forget(id)
        {
            self.stats.lost += 1;
            self.effects.push_back(Effect::Lost {
                registration,
                request_id: id.clone(),
                cause,
            });
        }
    }

    /// From pending to remembered.
    fn forget(&mut self, id: &RequestId) -> Option<Pending> {
        self.timers.clear(id);
        let pending = self.pending.remove(id)?;
        self.remembered.set(id, pending.request.deadline);
        while self.remembered.len() > self.limits.remembered {
            self.remembered.pop_first();
        }
        Some(pending)
    }

    fn purge(&mut self, now: Now) {
        while self.remembered.pop_due(now.mono).is_some() {}
    }

    fn stage(&self, id: &RequestId) -> Option<Stage> {
        self.pending.get(id).map(|pending| pending.stage)
    }
}

/// What an application answers when its handler panicked or vanished.
#[must_use]
pub fn handler_failed() -> Error {
    Error::new(Code::Internal, "handler failed")
}
