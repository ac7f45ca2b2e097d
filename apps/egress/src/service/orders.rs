//! What LiveKit's server asks of workers: StartEgress, ListActiveEgress, StopEgress, UpdateStream.

use super::desk::{self, Fact};
use crate::bus::rpc::{Handler, Node, Registration};
use bytes::Bytes;
use psrpc::{Error, Method, RequestId, Topic, server::Incoming};
use recording::{EgressId, Secret, cost, lifecycle::StreamChange, stream_url};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wire::{
    livekit::{StopEgressRequest, UpdateStreamRequest},
    prost::Message,
    rpc::{ListActiveEgressResponse, StartEgressRequest},
};
use worker::Input;

pub(super) use crate::bus::rpc::Bidder;

/// Largest request taken, bytes: credentials and all it is some kilobytes.
const MAX_REQUEST: usize = 1 << 20;
/// How long a bid reserves without a grant.
const HOLD: Duration = Duration::from_millis(1500);
const INTERNAL: &str = "EgressInternal";
const HANDLER: &str = "EgressHandler";

/// The way back to a caller; dropping it says `internal`.
#[derive(Debug)]
pub(super) struct Reply(oneshot::Sender<Result<Bytes, Error>>);

impl Reply {
    pub(super) fn send(self, answer: Result<Bytes, Error>) {
        // The caller may have stopped waiting.
        drop(self.0.send(answer));
    }
}

/// A request to start, and what it is expected to need.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: StartEgressRequest,
    pub(super) need: cost::Cost,
}

/// StartEgress and ListActiveEgress, while they are served.
#[derive(Debug)]
pub(super) struct Orders {
    start: Registration,
    list: Registration,
}

impl Orders {
    pub(super) async fn close(self) {
        self.start.close().await;
        // Whoever asks may still know what runs until the process ends.
        self.list.keep();
    }
}

/// StopEgress and UpdateStream of one recording.
#[derive(Debug)]
pub(super) struct Topics {
    stop: Registration,
    update: Registration,
}

impl Topics {
    pub(super) async fn close(self) {
        self.stop.close().await;
        self.update.close().await;
    }
}

/// Serves StartEgress and ListActiveEgress; says [`Fact::Open`] when the bus has confirmed both.
pub(super) fn open(node: Node, cluster: &str, costs: cost::Table, facts: mpsc::Sender<Fact>) {
    let topic = if cluster.is_empty() {
        Topic::none()
    } else {
        Topic::of(&[cluster])
    };
    tokio::spawn(async move {
        let result = serve(&node, topic, costs, &facts)
            .await
            .map_err(|e| e.to_string());
        drop(facts.send(Fact::Open(result)).await);
    });
}

async fn serve(
    node: &Node,
    topic: Topic,
    costs: cost::Table,
    facts: &mpsc::Sender<Fact>,
) -> Result<Orders, crate::bus::rpc::ServeError> {
    let listing = facts.clone();
    let list =
        Handler::new(move |incoming: Incoming| list_active(incoming.request_id, listing.clone()));
    let list = node
        .serve(
            INTERNAL,
            Method::multi("ListActiveEgress"),
            Topic::none(),
            list,
        )
        .await?;
    let (asking, losing, granted) = (facts.clone(), facts.clone(), facts.clone());
    let start = Handler::new(move |incoming| start_egress(incoming, costs, granted.clone()))
        .limit(256)
        .bidder(move |incoming, bidder| bid(incoming, bidder, &costs, &asking))
        .lost(move |request, _| {
            let request = worker::RequestId::from(request.as_str());
            // A full desk only means that the reservation lasts until it expires.
            drop(losing.try_send(Fact::Worker(Input::BidLost { request })));
        });
    let start = node
        .serve(
            INTERNAL,
            Method::affinity("StartEgress").hold(HOLD),
            topic,
            start,
        )
        .await?;
    list.confirmed().await;
    start.confirmed().await;
    Ok(Orders { start, list })
}

fn asked(raw: Bytes, costs: &cost::Table) -> Result<Asked, Error> {
    if raw.len() > MAX_REQUEST {
        let text = format!(
            "request of {} bytes is larger than {MAX_REQUEST}",
            raw.len()
        );
        return Err(Error::new(psrpc::Code::InvalidArgument, text));
    }
    let request = StartEgressRequest::decode(raw).map_err(|e| desk::malformed(&e))?;
    let need = cost::of(&request, costs);
    Ok(Asked { request, need })
}

fn bid(incoming: &Incoming, bidder: Bidder, costs: &cost::Table, facts: &mpsc::Sender<Fact>) {
    match asked(incoming.raw_request.clone(), costs) {
        Ok(asked) => match EgressId::new(asked.request.egress_id.clone()) {
            Some(egress) => {
                let request = incoming.request_id.clone();
                // A full desk is an overloaded worker: dropping the bidder is silence.
                drop(facts.try_send(Fact::BidAsked {
                    request,
                    egress,
                    asked: Box::new(asked),
                    bidder,
                }));
            }
            // To be told what is wrong, somebody must win it.
            None => bidder.bid(1.0),
        },
        Err(error) => bidder.refuse(error),
    }
}

async fn start_egress(
    incoming: Incoming,
    costs: cost::Table,
    facts: mpsc::Sender<Fact>,
) -> Result<Bytes, Error> {
    let asked = Box::new(asked(incoming.raw_request, &costs)?);
    let (reply, answer) = oneshot::channel();
    let (request, expires, reply) = (incoming.request_id, incoming.deadline, Reply(reply));
    ask(
        &facts,
        Fact::Start {
            request,
            expires,
            asked,
            reply,
        },
        answer,
    )
    .await
}

async fn list_active(request: RequestId, facts: mpsc::Sender<Fact>) -> Result<Bytes, Error> {
    let (reply, answer) = oneshot::channel();
    let egresses = ask(&facts, Fact::List { request, reply }, async {
        answer.await.map(Ok)
    })
    .await?;
    let egress_ids = egresses.into_iter().map(|e| e.to_string()).collect();
    Ok(ListActiveEgressResponse { egress_ids }
        .encode_to_vec()
        .into())
}

async fn ask<T>(
    facts: &mpsc::Sender<Fact>,
    fact: Fact,
    answer: impl Future<Output = Result<Result<T, Error>, oneshot::error::RecvError>>,
) -> Result<T, Error> {
    let gone = || Error::new(psrpc::Code::Unavailable, "server is shutting down");
    facts.send(fact).await.map_err(|_gone| gone())?;
    answer.await.map_err(|_gone| gone())?
}

/// Serves StopEgress and UpdateStream of a recording; says [`Fact::Serving`] when the bus has confirmed them.
pub(super) fn register(node: Node, egress: EgressId, facts: mpsc::Sender<Fact>) {
    tokio::spawn(async move {
        let result = topics(&node, &egress, &facts)
            .await
            .map_err(|e| e.to_string());
        drop(facts.send(Fact::Serving { egress, result }).await);
    });
}

async fn topics(
    node: &Node,
    egress: &EgressId,
    facts: &mpsc::Sender<Fact>,
) -> Result<Topics, crate::bus::rpc::ServeError> {
    let topic = || Topic::of(&[egress.as_str()]);
    let (to, id) = (facts.clone(), egress.clone());
    let stop = Handler::new(move |incoming| stop_egress(incoming, id.clone(), to.clone()));
    let stop = node
        .serve(HANDLER, Method::own_queue("StopEgress"), topic(), stop)
        .await?;
    let (to, id) = (facts.clone(), egress.clone());
    let update = Handler::new(move |incoming| update_stream(incoming, id.clone(), to.clone()));
    let update = node
        .serve(HANDLER, Method::own_queue("UpdateStream"), topic(), update)
        .await?;
    stop.confirmed().await;
    update.confirmed().await;
    Ok(Topics { stop, update })
}

async fn stop_egress(
    incoming: Incoming,
    egress: EgressId,
    facts: mpsc::Sender<Fact>,
) -> Result<Bytes, Error> {
    StopEgressRequest::decode(incoming.raw_request).map_err(|e| desk::malformed(&e))?;
    let (reply, answer) = oneshot::channel();
    let fact = Fact::Stop {
        request: incoming.request_id,
        egress,
        reply: Reply(reply),
    };
    ask(&facts, fact, answer).await
}

async fn update_stream(
    incoming: Incoming,
    egress: EgressId,
    facts: mpsc::Sender<Fact>,
) -> Result<Bytes, Error> {
    let request =
        UpdateStreamRequest::decode(incoming.raw_request).map_err(|e| desk::malformed(&e))?;
    let mut change = StreamChange::default();
    let parse = |url: &str| match stream_url::kind(url)? {
        Some(kind) => stream_url::parse(url, kind),
        None => Err(stream_url::invalid(url, "invalid scheme")),
    };
    for url in &request.add_output_urls {
        match parse(url) {
            Ok(url) => change.add.push(url),
            Err(refusal) => change.refused.push(refusal),
        }
    }
    change.remove = request
        .remove_output_urls
        .iter()
        .map(|url| parse(url).map_or_else(|_| Secret::new(url.clone()), |parsed| parsed.url))
        .collect();
    let (reply, answer) = oneshot::channel();
    ask(
        &facts,
        Fact::Update {
            egress,
            change,
            reply: Reply(reply),
        },
        answer,
    )
    .await
}
