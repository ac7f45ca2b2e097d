//! The asking end: one per service and process, with any number of calls in flight.
//!
//! ```text
//! call ──► Selecting ──(bid wins)──► Granted ──(answer)──► Done
//!   │          │  └─(early success)────────────────────────► Done
//!   │          └─(nobody, or time is up)───────────────────► Done(error)
//!   ├────► Waiting   (Direct: no claim) ───(answer)────────► Done
//!   └────► Collecting (Multi) ──(answers, each an Answer)──► Collected at the timeout
//! ```
//!
//! Knows request ids, bids and answers; not what the bytes mean, whether a publish went out (the driver tells it with
//! [`Client::published`]), nor who retries.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::internal::{ClaimRequest, ClaimResponse, Request, Response};

use crate::channel::Channel;
use crate::envelope::{Message, Publication};
use crate::error::{Code, Error};
use crate::id::RequestId;
use crate::method::{Flow, Locking, Method, Topic};
use crate::now::{Now, later, nanos};
use crate::selection::{Selection, Selector};
use crate::timers::Timers;

/// Most answers one multi call passes on.
const MOST_ANSWERS: usize = 4096;

/// What to do when the bus knows that nobody received the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nobody {
    /// Fail now: nothing is stored, so nobody ever will.
    Fail,
    /// Wait as upstream does.
    Wait,
}

/// How to call.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How long the whole call may take.
    pub timeout: Duration,
    /// The caller's own deadline, if it is nearer.
    pub deadline: Option<Instant>,
    /// How the server is selected; ignored by methods without a claim.
    pub selection: Selection,
    /// Sent along (`traceparent`, …).
    pub metadata: BTreeMap<String, String>,
    /// What an empty audience means.
    pub nobody: Nobody,
}

impl Options {
    /// The defaults for a method: 3 s, first bid (queue) or best bid (affinity).
    #[must_use]
    pub fn of(method: &Method) -> Self {
        Self {
            timeout: Duration::from_secs(3),
            deadline: None,
            selection: match method.flow {
                Flow::Affinity => Selection::best(),
                Flow::Queue(Locking::Take | Locking::Skip) | Flow::Multi | Flow::Direct => {
                    Selection::first()
                }
            },
            metadata: BTreeMap::new(),
            nobody: Nobody::Fail,
        }
    }
}

/// What the bus reported of a request's publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The bus cannot tell how many received it.
    Uncounted,
    /// This many.
    To(u64),
    /// It did not go out.
    Failed(String),
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publish the request of this call and report with [`Client::published`].
    Ask {
        /// The call.
        request_id: RequestId,
        /// What.
        publication: Publication,
    },
    /// Publish this grant; a duplicate is harmless, so it may be retried until the deadline.
    Grant {
        /// What.
        publication: Publication,
        /// When it is no longer of use.
        deadline: Instant,
    },
    /// A call ended.
    Done {
        /// The call.
        request_id: RequestId,
        /// How.
        result: Result<Bytes, Error>,
    },
    /// One of a multi call's answers.
    Answer {
        /// The call.
        request_id: RequestId,
        /// Who answers.
        server_id: String,
        /// What.
        result: Result<Bytes, Error>,
    },
    /// A multi call ended: no more answers.
    Collected {
        /// The call.
        request_id: RequestId,
    },
}

/// What was ignored, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Undecodable, of an unknown type, or not for this channel.
    pub garbage: u64,
    /// Bids and answers nobody waits for: late, duplicate or foreign.
    pub stray: u64,
    /// Calls refused because too many were in flight.
    pub overloaded: u64,
}

/// The asking end of a service.
#[derive(Debug)]
pub struct Client {
    service: String,
    client_id: String,
    most_calls: usize,
    claims: Channel,
    responses: Channel,
    calls: BTreeMap<RequestId, Call>,
    timers: Timers,
    effects: VecDeque<Effect>,
    stats: Stats,
    closed: bool,
}

#[derive(Debug)]
struct Call {
    method: String,
    topic: Topic,
    deadline: Instant,
    nobody: Nobody,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Selecting(Selector),
    Granted { server: String },
    Waiting,
    Collecting { seen: BTreeSet<String> },
}

impl Client {
    /// A client of `service` named `client_id` ([`crate::id::client`]) with at most `most_calls` in flight.
    #[must_use]
    pub fn new(service: &str, client_id: &str, most_calls: usize) -> Self {
        Self {
            service: service.to_owned(),
            client_id: client_id.to_owned(),
            most_calls,
            claims: Channel::claim_request(service, client_id),
            responses: Channel::response(service, client_id),
            calls: BTreeMap::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
            stats: Stats::default(),
            closed: false,
        }
    }

    /// What must be subscribed, and confirmed, before the first call.
    #[must_use]
    pub fn channels(&self) -> [Channel; 2] {
        [self.claims.clone(), self.responses.clone()]
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Starts a call. It ends in [`Effect::Done`], or [`Effect::Collected`] for multi methods, in any case.
    pub fn call(
        &mut self,
        now: Now,
        request_id: RequestId,
        method: &Method,
        topic: &Topic,
        request: Bytes,
        options: Options,
    ) {
        let refusal = if self.closed {
            Some(Error::client_closed())
        } else if self.calls.len() >= self.most_calls || self.calls.contains_key(&request_id) {
            self.stats.overloaded += 1;
            Some(Error::new(
                Code::ResourceExhausted,
                "too many calls in flight",
            ))
        } else {
            None
        };
        let multi = method.flow == Flow::Multi;
        if let Some(error) = refusal {
            self.effects.push_back(if multi {
                Effect::Collected { request_id }
            } else {
                Effect::Done {
                    request_id,
                    result: Err(error),
                }
            });
            return;
        }

        let by_timeout = later(now.mono, options.timeout);
        let deadline = options
            .deadline
            .map_or(by_timeout, |theirs| theirs.min(by_timeout));
        let lives = deadline.saturating_duration_since(now.mono);
        let sent_at = now.unix_nanos();
        let message = Request {
            request_id: request_id.as_str().to_owned(),
            client_id: self.client_id.clone(),
            sent_at,
            expiry: sent_at.saturating_add(nanos(lives)),
            multi,
            request: None,
            metadata: options.metadata.into_iter().collect(),
            raw_request: request,
            skip_claim: false,
        };
        let publication = Publication::request(&self.service, &method.name, topic, message);
        let stage = match method.flow {
            Flow::Affinity | Flow::Queue(Locking::Take | Locking::Skip) => {
                Stage::Selecting(Selector::new(options.selection, now.mono))
            }
            Flow::Direct => Stage::Waiting,
            Flow::Multi => Stage::Collecting {
                seen: BTreeSet::new(),
            },
        };
        let call = Call {
            method: method.name.clone(),
            topic: topic.clone(),
            deadline,
            nobody: options.nobody,
            stage,
        };
        self.timers.set(&request_id, call.wakes());
        self.calls.insert(request_id.clone(), call);
        self.effects.push_back(Effect::Ask {
            request_id,
            publication,
        });
    }

    /// The request of a call was published, or not.
    pub fn published(&mut self, request_id: &RequestId, delivery: &Delivery) {
        let Some(call) = self.calls.get(request_id) else {
            return;
        };
        let result = match (delivery, call.nobody) {
            (Delivery::Failed(cause), Nobody::Fail | Nobody::Wait) => Err(Error::new(
                Code::Unavailable,
                format!("could not publish the request: {cause}"),
            )),
            (Delivery::To(0), Nobody::Fail) => match &call.stage {
                Stage::Selecting(_) | Stage::Waiting | Stage::Collecting { .. } => {
                    Err(Error::no_response())
                }
                Stage::Granted { .. } => return,
            },
            (Delivery::Uncounted | Delivery::To(_), Nobody::Fail | Nobody::Wait) => return,
        };
        self.finish(request_id, result);
    }

    /// A payload arrived.
    pub fn receive(&mut self, now: Now, channel: &str, payload: Bytes) {
        let on_claims = channel == self.claims.as_str();
        let on_responses = channel == self.responses.as_str();
        match Message::decode(payload) {
            Ok(Message::ClaimRequest(claim)) if on_claims => self.claim(now, &claim),
            Ok(Message::Response(response)) if on_responses => self.response(response),
            Ok(
                Message::ClaimRequest(_)
                | Message::Response(_)
                | Message::Request(_)
                | Message::ClaimResponse(_)
                | Message::Stream(_),
            )
            | Err(_) => self.stats.garbage += 1,
        }
    }

    /// The caller is gone.
    pub fn cancel(&mut self, request_id: &RequestId) {
        self.finish(request_id, Err(Error::canceled()));
    }

    /// Ends every call; later ones fail at once.
    pub fn close(&mut self) {
        self.closed = true;
        let ids: Vec<RequestId> = self.calls.keys().cloned().collect();
        for id in ids {
            self.finish(&id, Err(Error::client_closed()));
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Now) {
        while let Some(id) = self.timers.pop_due(now.mono) {
            let Some(call) = self.calls.get(&id) else {
                continue;
            };
            let over = call.deadline <= now.mono;
            match &call.stage {
                Stage::Granted { .. } | Stage::Waiting => self.finish(&id, Err(Error::timed_out())),
                Stage::Collecting { .. } => self.finish(&id, Err(Error::timed_out())),
                // Too late to grant anything.
                Stage::Selecting(selector) if over && selector.has_candidate() => {
                    self.finish(&id, Err(Error::timed_out()));
                }
                Stage::Selecting(_) => self.conclude(&id),
            }
        }
    }

    /// When [`Client::timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What to do next. Drain before the next input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn claim(&mut self, now: Now, claim: &ClaimRequest) {
        let id = RequestId::from(claim.request_id.as_str());
        let winner = match self.calls.get_mut(&id) {
            Some(Call {
                stage: Stage::Selecting(selector),
                deadline,
                ..
            }) if now.mono < *deadline => selector.bid(now.mono, &claim.server_id, claim.affinity),
            Some(_) | None => {
                self.stats.stray += 1;
                return;
            }
        };
        match winner {
            Some(server) => self.grant(&id, server),
            None => self.rearm(&id),
        }
    }

    fn response(&mut self, response: Response) {
        let id = RequestId::from(response.request_id.as_str());
        let Some(call) = self.calls.get_mut(&id) else {
            self.stats.stray += 1;
            return;
        };
        let server_id = response.server_id.clone();
        let result = Error::of(response);
        match &mut call.stage {
            Stage::Selecting(selector) => match result {
                // Ran without a grant (psrpc ≥ 0.7.4 may): it is the answer all the same.
                Ok(body) => self.finish(&id, Ok(body)),
                Err(error) => selector.refuse(error),
            },
            // An error of somebody else is not about our grant; its sender refused before.
            Stage::Granted { server }
                if result.is_err() && !server_id.is_empty() && *server != server_id =>
            {
                self.stats.stray += 1;
            }
            Stage::Granted { .. } | Stage::Waiting => self.finish(&id, result),
            Stage::Collecting { seen } => {
                if seen.len() >= MOST_ANSWERS || !seen.insert(server_id.clone()) {
                    self.stats.stray += 1;
                    return;
                }
                self.effects.push_back(Effect::Answer {
                    request_id: id,
                    server_id,
                    result,
                });
            }
        }
    }

    fn conclude(&mut self, id: &RequestId) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let Stage::Selecting(selector) = std::mem::replace(&mut call.stage, Stage::Waiting) else {
            return;
        };
        match selector.conclude() {
            Ok(server) => self.grant(id, server),
            Err(error) => self.finish(id, Err(error)),
        }
    }

    fn grant(&mut self, id: &RequestId, server: String) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let message = ClaimResponse {
            request_id: id.as_str().to_owned(),
            server_id: server.clone(),
        };
        call.stage = Stage::Granted { server };
        let publication =
            Publication::claim_response(&self.service, &call.method, &call.topic, message);
        let deadline = call.deadline;
        self.effects.push_back(Effect::Grant {
            publication,
            deadline,
        });
        self.rearm(id);
    }

    fn rearm(&mut self, id: &RequestId) {
        if let Some(call) = self.calls.get(id) {
            self.timers.set(id, call.wakes());
        }
    }

    fn finish(&mut self, id: &RequestId, result: Result<Bytes, Error>) {
        self.timers.clear(id);
        if let Some(call) = self.calls.remove(id) {
            let request_id = id.clone();
            self.effects.push_back(match call.stage {
                Stage::Collecting { .. } => Effect::Collected { request_id },
                Stage::Selecting(_) | Stage::Granted { .. } | Stage::Waiting => {
                    Effect::Done { request_id, result }
                }
            });
        }
    }
}

impl Call {
    fn wakes(&self) -> Instant {
        match &self.stage {
            Stage::Selecting(selector) => selector
                .deadline()
                .map_or(self.deadline, |at| at.min(self.deadline)),
            Stage::Granted { .. } | Stage::Waiting | Stage::Collecting { .. } => self.deadline,
        }
    }
}
