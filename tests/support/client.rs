//! What a LiveKit server says to workers, and the IOInfo service they report to. Speaks through the project's own bus:
//! the wire format itself is judged by the vectors in `core/psrpc`.

use super::until;
use bytes::Bytes;
use egress::bus::{self, rpc};
use psrpc::{Method, Selection, Topic, client::Options};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use wire::{
    livekit::{self, EgressInfo, EgressStatus},
    prost::Message,
    rpc::{
        ListActiveEgressRequest, ListActiveEgressResponse, StartEgressRequest,
        start_egress_request::Request,
    },
};

/// One call of IOInfo.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) at: Instant,
    pub(crate) info: EgressInfo,
}

/// A server: orders, and takes reports.
pub(crate) struct Server {
    node: rpc::Node,
    calls: Arc<Mutex<Vec<Call>>>,
    registrations: Vec<rpc::Registration>,
}

impl Server {
    /// One that takes reports.
    pub(crate) async fn connect(redis: &str) -> Self {
        let mut server = Self::deaf(redis).await;
        server.listen().await;
        server
    }

    /// One without IOInfo.
    pub(crate) async fn deaf(redis: &str) -> Self {
        let settings = bus::redis::Settings {
            address: redis.to_owned(),
            ..Default::default()
        };
        let bus = bus::redis::connect(&settings).await.expect("redis answers");
        let node = rpc::Node::spawn(bus);
        node.prepare("EgressInternal").await;
        node.prepare("EgressHandler").await;
        Self {
            node,
            calls: Arc::default(),
            registrations: Vec::new(),
        }
    }

    /// Begins to take reports.
    pub(crate) async fn listen(&mut self) {
        for name in ["CreateEgress", "UpdateEgress"] {
            let calls = Arc::clone(&self.calls);
            let handler = rpc::Handler::new(move |incoming| {
                let calls = Arc::clone(&calls);
                async move {
                    let info = EgressInfo::decode(incoming.raw_request).expect("an EgressInfo");
                    calls.lock().expect("calls").push(Call {
                        method: name,
                        at: Instant::now(),
                        info,
                    });
                    Ok(Bytes::new())
                }
            });
            let registration = self
                .node
                .serve("IOInfo", Method::queue(name), Topic::none(), handler)
                .await
                .expect("free");
            registration.confirmed().await;
            self.registrations.push(registration);
        }
        // Workers ask for anything at all to find out whether somebody is there.
        let nothing = rpc::Handler::new(|_| async {
            Err(psrpc::Error::new(
                psrpc::Code::NotFound,
                "egress does not exist",
            ))
        });
        let get = self
            .node
            .serve("IOInfo", Method::queue("GetEgress"), Topic::none(), nothing)
            .await
            .expect("free");
        get.confirmed().await;
        self.registrations.push(get);
    }

    /// StartEgress as livekit-server calls it, one attempt.
    pub(crate) async fn start(
        &self,
        request: &StartEgressRequest,
    ) -> Result<EgressInfo, psrpc::Error> {
        let bytes = Bytes::from(request.encode_to_vec());
        let answer = self.start_raw(bytes).await?;
        Ok(EgressInfo::decode(answer).expect("an EgressInfo"))
    }

    /// Bytes as they are, to the method that takes orders.
    pub(crate) async fn start_raw(&self, bytes: Bytes) -> Result<Bytes, psrpc::Error> {
        let method = Method::affinity("StartEgress");
        let mut options = Options::of(&method);
        options.timeout = Duration::from_secs(10);
        options.selection = Selection {
            affinity_timeout: Some(Duration::from_secs(1)),
            ..Selection::start_egress()
        };
        self.node
            .call("EgressInternal", &method, &Topic::none(), bytes, options)
            .await
    }

    async fn handler(
        &self,
        method: &str,
        id: &str,
        bytes: Vec<u8>,
    ) -> Result<EgressInfo, psrpc::Error> {
        let method = Method::queue(method);
        let options = Options::of(&method);
        let answer = self
            .node
            .call(
                "EgressHandler",
                &method,
                &Topic::of(&[id]),
                bytes.into(),
                options,
            )
            .await?;
        Ok(EgressInfo::decode(answer).expect("an EgressInfo"))
    }

    pub(crate) async fn stop(&self, id: &str) -> Result<EgressInfo, psrpc::Error> {
        let request = livekit::StopEgressRequest {
            egress_id: id.to_owned(),
        };
        self.handler("StopEgress", id, request.encode_to_vec())
            .await
    }

    pub(crate) async fn add_stream(&self, id: &str, url: &str) -> Result<EgressInfo, psrpc::Error> {
        let request = livekit::UpdateStreamRequest {
            egress_id: id.to_owned(),
            add_output_urls: vec![url.to_owned()],
            remove_output_urls: Vec::new(),
        };
        self.handler("UpdateStream", id, request.encode_to_vec())
            .await
    }

    /// Ids of all workers, sorted.
    pub(crate) async fn list(&self) -> Vec<String> {
        let method = Method::multi("ListActiveEgress");
        let mut options = Options::of(&method);
        options.timeout = Duration::from_millis(500);
        let bytes = ListActiveEgressRequest {}.encode_to_vec().into();
        let answers = self
            .node
            .call_multi("EgressInternal", &method, &Topic::none(), bytes, options)
            .await
            .expect("asked");
        let mut ids: Vec<String> = answers
            .into_iter()
            .flat_map(|(_, answer)| {
                ListActiveEgressResponse::decode(answer.expect("an answer"))
                    .expect("a list")
                    .egress_ids
            })
            .collect();
        ids.sort();
        ids
    }

    /// Everything reported about an egress so far.
    pub(crate) fn calls(&self, id: &str) -> Vec<Call> {
        let all = self.calls.lock().expect("calls");
        all.iter()
            .filter(|c| c.info.egress_id == id)
            .cloned()
            .collect()
    }

    /// Waits until a status is reported.
    pub(crate) async fn reported(&self, id: &str, status: EgressStatus, limit: Duration) -> Call {
        until(&format!("{} of {id}", status.as_str_name()), limit, || {
            let calls = self.calls(id);
            let found = calls
                .iter()
                .find(|c| c.method == "UpdateEgress" && c.info.status() == status)
                .cloned();
            let other = calls
                .iter()
                .find(|c| is_terminal(c.info.status()))
                .filter(|_| found.is_none());
            assert!(
                other.is_none(),
                "waiting for {}, but it ended: {:?}",
                status.as_str_name(),
                other
            );
            found
        })
        .await
    }

    /// Waits for the end, whatever it is.
    pub(crate) async fn ended(&self, id: &str, limit: Duration) -> EgressInfo {
        until(&format!("the end of {id}"), limit, || {
            self.calls(id)
                .into_iter()
                .find(|c| is_terminal(c.info.status()))
                .map(|c| c.info)
        })
        .await
    }
}

/// COMPLETE, FAILED, ABORTED, LIMIT_REACHED.
pub(crate) fn is_terminal(status: EgressStatus) -> bool {
    match status {
        EgressStatus::EgressStarting | EgressStatus::EgressActive | EgressStatus::EgressEnding => {
            false
        }
        EgressStatus::EgressComplete
        | EgressStatus::EgressFailed
        | EgressStatus::EgressAborted
        | EgressStatus::EgressLimitReached => true,
    }
}

/// A new egress id.
pub(crate) fn new_id() -> String {
    let n: u64 = rand::random();
    format!("EG_{n:016x}")
}

/// A v1 web request for an MP4 at `path`.
pub(crate) fn web(url: &str, path: &str) -> livekit::WebEgressRequest {
    livekit::WebEgressRequest {
        url: url.to_owned(),
        file_outputs: vec![livekit::EncodedFileOutput {
            file_type: livekit::EncodedFileType::Mp4 as i32,
            filepath: path.to_owned(),
            disable_manifest: true,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// In an envelope with a new id.
pub(crate) fn order(request: livekit::WebEgressRequest) -> StartEgressRequest {
    StartEgressRequest {
        egress_id: new_id(),
        request: Some(Request::Web(request)),
        ..Default::default()
    }
}
