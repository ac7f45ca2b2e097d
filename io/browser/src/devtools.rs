//! The DevTools protocol over one WebSocket: numbered requests, answers, events.
//!
//! Deliberately thin: a dozen methods are used, JSON is taken as it comes, and what is not known is passed on or ignored; a
//! newer browser with more to say breaks nothing. Flat sessions: one connection to the browser, pages by session id.
//!
//! Knows nothing of what the messages mean; see [`crate::session`].

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
#[error("connection to the browser lost: {0}")]
pub(crate) struct Lost(String);

/// One message from the browser.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// To the request of that number.
    Answer {
        id: u64,
        result: Result<Value, String>,
    },
    /// Something happened.
    Event(Happened),
}

/// An event.
#[derive(Debug)]
pub(crate) struct Happened {
    /// Of a page; `None`: of the browser.
    pub(crate) session: Option<String>,
    pub(crate) method: String,
    pub(crate) params: Value,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    last: u64,
}

impl Client {
    /// Connects to `ws://127.0.0.1:<port>/devtools/browser/<id>`.
    ///
    /// # Errors
    /// When nobody listens or it is not a WebSocket.
    pub(crate) async fn connect(url: &str) -> Result<Self, Lost> {
        let authority = url
            .strip_prefix("ws://")
            .and_then(|rest| rest.split('/').next())
            .ok_or_else(|| Lost(format!("{url} is no ws:// address")))?;
        let stream = TcpStream::connect(authority).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        // A page may log strings of any length, and each arrives as one message; refusing it would blind us.
        let unlimited = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let (socket, _response) = client_async_with_config(url, stream, Some(unlimited))
            .await
            .map_err(lost)?;
        Ok(Self { socket, last: 0 })
    }

    /// Sends a request to a page (or the browser itself) and returns its number.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) async fn send(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<u64, Lost> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .map_err(lost)?;
        Ok(self.last)
    }

    /// The next message. May be dropped while waiting.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Lost> {
        loop {
            let message = match self.socket.next().await {
                None => return Err(Lost("closed".to_owned())),
                Some(Err(error)) => return Err(lost(error)),
                Some(Ok(message)) => message,
            };
            if let Message::Text(text) = &message
                && let Some(incoming) = parse(text.as_str())
            {
                return Ok(incoming);
            }
        }
    }
}

fn lost(error: impl std::fmt::Display) -> Lost {
    Lost(error.to_string())
}

fn parse(text: &str) -> Option<Incoming> {
    let mut message: Value = match serde_json::from_str(text) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%error, "a message of the browser is no JSON");
            return None;
        }
    };
    if let Some(id) = message["id"].as_u64() {
        let result = match message["error"]["message"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(message["result"].take()),
        };
        return Some(Incoming::Answer { id, result });
    }
    Some(Incoming::Event(Happened {
        session: message["sessionId"].as_str().map(str::to_owned),
        method: message["method"].as_str()?.to_owned(),
        params: message["params"].take(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_nobody_knows_do_no_harm() {
        assert!(parse("nonsense").is_none());
        assert!(parse("[1]").is_none());
        assert!(parse("{}").is_none());
        assert!(matches!(
            parse(r#"{"method":"Brand.new","params":{"x":1},"sessionId":"s"}"#),
            Some(Incoming::Event(Happened { session: Some(s), .. })) if s == "s"
        ));
        assert!(matches!(
            parse(r#"{"id":3,"error":{"code":-32000,"message":"no"}}"#),
            Some(Incoming::Answer { id: 3, result: Err(text) }) if text == "no"
        ));
    }
}
