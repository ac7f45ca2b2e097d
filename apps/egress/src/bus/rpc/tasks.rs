//! What the actor does not wait for: each is a task that publishes, locks or handles, and reports back.
//!
//! Knows the bus and handlers; not what state a request is in.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use psrpc::client::Delivery;
use psrpc::envelope::Publication;
use psrpc::server::{self, Incoming, RegistrationId, Verdict};
use psrpc::{Code, Error, RequestId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant as Wake, sleep, timeout_at};

use super::{Bidder, Handler};
use crate::bus::link::{Audience, Bus};

/// The longest a bid, grant or answer is tried to be published.
const INSIST: Duration = Duration::from_secs(15);

/// What a task has to say when it is done. Each task reports once, and tasks are bounded by the cores' limits.
pub(super) enum Report {
    Published {
        service: String,
        id: RequestId,
        delivery: Delivery,
    },
    Locked {
        service: String,
        id: RequestId,
        taken: bool,
    },
    Answered {
        service: String,
        id: RequestId,
        result: Result<Bytes, Error>,
    },
    Decided {
        service: String,
        registration: RegistrationId,
        id: RequestId,
        verdict: Verdict,
    },
}

/// Starts tasks.
pub(super) struct Tasks {
    bus: Bus,
    reporter: mpsc::UnboundedSender<Report>,
    unpublished: Arc<AtomicU64>,
}

impl Tasks {
    pub(super) fn new(bus: Bus, reporter: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            bus,
            reporter,
            unpublished: Arc::default(),
        }
    }

    /// The way back for whoever decides on a bid later.
    pub(super) fn bidder(
        &self,
        service: &str,
        registration: RegistrationId,
        id: RequestId,
    ) -> Bidder {
        let (reporter, service) = (self.reporter.clone(), service.to_owned());
        Bidder::new(move |verdict| {
            let decided = Report::Decided {
                service,
                registration,
                id,
                verdict,
            };
            // A bus that was left needs no bids.
            drop(reporter.send(decided));
        })
    }

    /// Publications given up.
    pub(super) fn unpublished(&self) -> u64 {
        self.unpublished.load(Ordering::Relaxed)
    }

    /// Publishes a request, once.
    pub(super) fn ask(&self, service: &str, id: RequestId, publication: &Publication) {
        let (bus, reporter, service) =
            (self.bus.clone(), self.reporter.clone(), service.to_owned());
        let (channel, payload) = (publication.channel().clone(), publication.payload().clone());
        tokio::spawn(async move {
            let delivery = match bus.publish(channel.as_str(), payload).await {
                Ok(Audience::Of(receivers)) => Delivery::To(receivers),
                Ok(Audience::Unknown) => Delivery::Uncounted,
                Err(error) => Delivery::Failed(error.to_string()),
            };
            // The actor may have ended.
            drop(reporter.send(Report::Published {
                service,
                id,
                delivery,
            }));
        });
    }

    /// Publishes what may arrive twice but should arrive: tried again until it is of no use any more.
    pub(super) fn insist(&self, publication: Publication, deadline: Instant) {
        let (bus, unpublished) = (self.bus.clone(), Arc::clone(&self.unpublished));
        tokio::spawn(async move {
            let until = deadline.min(Instant::now() + INSIST);
            let mut wait = Duration::from_millis(50);
            loop {
                match bus
                    .publish(
                        publication.channel().as_str(),
                        publication.payload().clone(),
                    )
                    .await
                {
                    Ok(_) => return,
                    Err(error) if Instant::now() + wait >= until => {
                        unpublished.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(channel = %publication.channel(), %error, "could not publish");
                        return;
                    }
                    Err(_again) => sleep(wait.mul_f64(rand::random_range(0.5..=1.0))).await,
                }
                wait = (wait * 2).min(Duration::from_secs(1));
            }
        });
    }

    pub(super) fn lock(&self, service: &str, id: RequestId, key: String, lifetime: Duration) {
        let (bus, reporter, service) =
            (self.bus.clone(), self.reporter.clone(), service.to_owned());
        tokio::spawn(async move {
            let taken = bus.lock(&key, lifetime).await.unwrap_or_else(|error| {
                tracing::warn!(%service, %error, "queue lock failed, request dropped");
                false
            });
            // The actor may have ended.
            drop(reporter.send(Report::Locked { service, id, taken }));
        });
    }

    pub(super) fn handle(
        &self,
        service: &str,
        handler: Handler,
        limit: Arc<Semaphore>,
        request: Incoming,
    ) {
        let (reporter, service) = (self.reporter.clone(), service.to_owned());
        tokio::spawn(async move {
            let id = request.request_id.clone();
            let result = match timeout_at(Wake::from_std(request.deadline), limit.acquire()).await {
                Ok(Ok(_permit)) => {
                    let method = request.method.clone();
                    // The closure may panic before it returns a future.
                    let work = AssertUnwindSafe(async { (handler.run)(request).await });
                    work.catch_unwind().await.unwrap_or_else(|_panic| {
                        tracing::error!(%service, %method, request_id = %id, "handler panicked");
                        Err(server::handler_failed())
                    })
                }
                Ok(Err(_)) | Err(_) => Err(Error::new(
                    Code::Unavailable,
                    "too many requests in progress",
                )),
            };
            // The actor may have ended.
            drop(reporter.send(Report::Answered {
                service,
                id,
                result,
            }));
        });
    }
}
