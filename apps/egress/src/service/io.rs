//! Calls of `IOInfo`, which every livekit-server with Redis serves.

use super::{convert, desk::Fact};
use crate::bus::rpc::Node;
use bytes::Bytes;
use psrpc::{Method, Selection, Topic, client::Options};
use std::time::Duration;
use tokio::sync::mpsc;
use wire::{prost::Message, rpc::GetEgressRequest};
use worker::{Attempt, Input, Snapshot};

const SERVICE: &str = "IOInfo";

/// How to call.
#[derive(Clone, Debug)]
pub(super) struct Io {
    node: Node,
    selection: Option<Duration>,
    facts: mpsc::Sender<Fact>,
}

impl Io {
    /// `selection`: how long to wait for a server to claim the call; `None`: as long as the call may take.
    pub(super) fn new(node: Node, selection: Option<Duration>, facts: mpsc::Sender<Fact>) -> Self {
        Self {
            node,
            selection,
            facts,
        }
    }

    /// CreateEgress or UpdateEgress; the answer comes as a fact.
    pub(super) fn report(
        &self,
        method: &'static str,
        attempt: Attempt,
        snapshot: Snapshot,
        timeout: Duration,
    ) {
        let io = self.clone();
        tokio::spawn(async move {
            let request = Bytes::copy_from_slice(&snapshot.bytes);
            let result = io.call(method, request, timeout).await;
            if let Err(error) = &result {
                tracing::warn!(method, code = ?error.code, %error, "IOInfo did not take a report");
            }
            let result = result.map(drop).map_err(|e| convert::failure(&e));
            drop(
                io.facts
                    .send(Fact::Worker(Input::Reported { attempt, result }))
                    .await,
            );
        });
    }

    /// Asks for something that is not there: any answer means that somebody lives.
    pub(super) fn probe(&self) {
        let io = self.clone();
        tokio::spawn(async move {
            let request = GetEgressRequest {
                egress_id: "EG_probe".to_owned(),
            }
            .encode_to_vec();
            let result = io
                .call("GetEgress", request.into(), Duration::from_secs(5))
                .await;
            let answered = !result.is_err_and(|e| e.unanswered());
            drop(
                io.facts
                    .send(Fact::Worker(Input::Probed { answered }))
                    .await,
            );
        });
    }

    async fn call(
        &self,
        method: &str,
        request: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, psrpc::Error> {
        let method = Method::queue(method);
        let mut options = Options::of(&method);
        options.timeout = timeout;
        options.selection = Selection {
            affinity_timeout: self.selection,
            ..Selection::first()
        };
        self.node
            .call(SERVICE, &method, &Topic::none(), request, options)
            .await
    }
}
