//! A thin client of the DevTools protocol: commands with answers, events in order.
//!
//! Ten messages are used; unknown ones are passed over, so a newer browser does not matter. Source: the browser's own
//! protocol description (`/json/protocol`).

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

/// An event of the browser.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) method: String,
    pub(crate) params: Value,
}

/// Why a command has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the browser is gone")]
    Gone,
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug)]
struct Request {
    method: &'static str,
    params: Value,
    session: Option<String>,
    answer: oneshot::Sender<Result<Value, Error>>,
}

/// One connection. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    requests: mpsc::Sender<Request>,
    session: Option<String>,
}

impl Client {
    /// Connects to `ws://127.0.0.1:…/devtools/browser/…`. The events end when the browser does.
    pub(crate) async fn connect(url: &str) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .map_err(|e| Error::Refused(format!("DevTools: {e}")))?;
        let (requests, mut inbox) = mpsc::channel::<Request>(64);
        let (tell, events) = mpsc::channel(1024);
        tokio::spawn(async move {
            let (mut out, mut input) = socket.split();
            let mut waiting: HashMap<u64, oneshot::Sender<Result<Value, Error>>> = HashMap::new();
            let mut last = 0_u64;
            loop {
                tokio::select! {
                    request = inbox.recv() => {
                        let Some(Request { method, params, session, answer }) = request else { break };
                        last += 1;
                        let mut message = json!({"id": last, "method": method, "params": params});
                        if let Some(session) = session {
                            message["sessionId"] = Value::String(session);
                        }
                        waiting.insert(last, answer);
                        if out.send(Message::text(message.to_string())).await.is_err() {
                            break;
                        }
                    }
                    message = input.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                                hear(value, &mut waiting, &tell);
                            }
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    },
                }
            }
        });
        Ok((
            Self {
                requests,
                session: None,
            },
            events,
        ))
    }

    /// The same connection, speaking to one target.
    pub(crate) fn in_session(&self, session: String) -> Self {
        Self {
            requests: self.requests.clone(),
            session: Some(session),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, method: &'static str, params: Value) -> Result<Value, Error> {
        let (answer, result) = oneshot::channel();
        let request = Request {
            method,
            params,
            session: self.session.clone(),
            answer,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_lost| Error::Gone)?;
        result.await.map_err(|_lost| Error::Gone)?
    }
}

fn hear(
    mut value: Value,
    waiting: &mut HashMap<u64, oneshot::Sender<Result<Value, Error>>>,
    events: &mpsc::Sender<Event>,
) {
    if let Some(answer) = value["id"].as_u64().and_then(|id| waiting.remove(&id)) {
        let result = match value.get("error") {
            Some(error) => Err(Error::Refused(
                error["message"].as_str().unwrap_or("refused").to_owned(),
            )),
            None => Ok(value["result"].take()),
        };
        // Whoever asked may have stopped waiting.
        drop(answer.send(result));
    } else if let Some(method) = value["method"].as_str() {
        let event = Event {
            method: method.to_owned(),
            params: value["params"].take(),
        };
        // A page that floods us loses its own messages, nobody else's.
        if events.try_send(event).is_err() {
            tracing::debug!("the page says more than can be heard");
        }
    }
}
