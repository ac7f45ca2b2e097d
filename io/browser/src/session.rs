//! The conversation with one page: attach, load, listen.
//!
//! ```text
//! open ──► prepare (Runtime before anything else: no signal is missed) ──► navigate ──► load event ──► checks ──► watched
//! ```
//!
//! One owner, no locks: requests are awaited in place while every event that comes meanwhile is taken in, in order.
//! What a page can do to us is bounded: signals are told once, dialogs are answered (an `alert` would stop page and
//! recording), everything else is ignored or logged.

use crate::devtools::{Client, Happened, Incoming, Lost};
use crate::log::ConsoleLog;
use crate::outcome::LoadError;
use crate::{Config, Event, flags};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Text of the first `div.error`, the way templates report errors of theirs.
const PAGE_ERROR: &str = "(() => { const e = document.querySelector('div.error'); \
    return e ? (e.innerText || e.textContent || '').trim() : ''; })()";

/// Why a request got no answer that helps.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("{method}: {text}")]
    Refused { method: String, text: String },
    #[error("{0} while loading")]
    Ended(&'static str),
}

impl From<CallError> for LoadError {
    fn from(error: CallError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<Lost> for LoadError {
    fn from(error: Lost) -> Self {
        Self::Other(error.to_string())
    }
}

/// One document of the main frame.
#[derive(Debug)]
struct Document {
    loader: String,
    status: Option<(u64, String)>,
    loaded: bool,
}

/// How a page can end by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Its process is gone.
    Crashed,
    /// Its window is closed, by itself.
    Closed,
}

impl End {
    const fn text(self) -> &'static str {
        match self {
            Self::Crashed => "the renderer crashed",
            Self::Closed => "the page closed itself",
        }
    }
}

/// What the recorder is told, at most once each.
#[derive(Debug)]
struct Signals {
    events: mpsc::Sender<Event>,
    start: bool,
    end: bool,
}

/// A page being talked to.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    /// Session id of the page.
    page: String,
    /// Target id, which is the id of the main frame, too.
    target: String,
    signals: Signals,
    log: Option<ConsoleLog>,
    documents: Vec<Document>,
    ended: Option<End>,
}

impl Session {
    /// Connects to the browser and attaches to its page.
    ///
    /// # Errors
    /// When the browser does not play along.
    pub(crate) async fn open(
        config: &Config,
        address: &str,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, LoadError> {
        let log = match config
            .console_log
            .then(|| ConsoleLog::open(&config.workdir))
        {
            Some(Err(error)) => {
                tracing::warn!(%error, "chrome.log is not written");
                None
            }
            Some(Ok(log)) => Some(log),
            None => None,
        };
        let mut session = Self {
            client: Client::connect(address).await?,
            page: String::new(),
            target: String::new(),
            signals: Signals {
                events,
                start: false,
                end: false,
            },
            log,
            documents: Vec::new(),
            ended: None,
        };
        session.attach().await?;
        session.prepare(config).await?;
        Ok(session)
    }

    async fn attach(&mut self) -> Result<(), CallError> {
        // The window may appear after the address: existing targets are announced, later ones, too.
        self.client
            .send(
                None,
                "Target.setDiscoverTargets",
                json!({ "discover": true }),
            )
            .await?;
        while self.target.is_empty() {
            if let Incoming::Event(event) = self.client.next().await? {
                self.observe(event).await?;
            }
        }
        self.call("Target.setDiscoverTargets", json!({ "discover": false }))
            .await?;
        let attached = self
            .call(
                "Target.attachToTarget",
                json!({ "targetId": self.target, "flatten": true }),
            )
            .await?;
        self.page = attached["sessionId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(())
    }

    /// One round trip for everything: the browser handles requests in order.
    async fn prepare(&mut self, config: &Config) -> Result<(), CallError> {
        let page = self.page.clone();
        let mut requests = vec![
            ("Runtime.enable", json!({})),
            ("Inspector.enable", json!({})),
            (
                "Network.enable",
                json!({ "maxTotalBufferSize": 0, "maxResourceBufferSize": 0 }),
            ),
            ("Page.enable", json!({})),
        ];
        if flags::exact_size(config) {
            requests.push((
                "Emulation.setDeviceMetricsOverride",
                json!({ "width": config.width, "height": config.height,
                    "deviceScaleFactor": 0, "mobile": false }),
            ));
        }
        for (method, params) in requests {
            self.client.send(Some(&page), method, params).await?;
        }
        self.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }))
            .await?;
        Ok(())
    }

    /// Navigates, waits for the load event and looks at what was loaded.
    ///
    /// # Errors
    /// As upstream's table has them; the caller sets the time limit.
    pub(crate) async fn load(&mut self, config: &Config) -> Result<(), LoadError> {
        let answer = self
            .call("Page.navigate", json!({ "url": config.url.reveal() }))
            .await?;
        let loader = answer["loaderId"].as_str().unwrap_or_default().to_owned();
        if let Some(error) = answer["errorText"].as_str().filter(|text| !text.is_empty()) {
            // An error status without a body ends here; the status says more than "ERR_HTTP_RESPONSE_CODE_FAILURE".
            self.check_status(&loader)?;
            return Err(LoadError::Network(error.to_owned()));
        }
        // A fragment of the blank page, or the like: nothing was loaded, so nothing will say so.
        if !loader.is_empty() {
            while !self.loaded(&loader) {
                self.step().await?;
            }
            self.check_status(&loader)?;
        }
        let text = self.evaluate(PAGE_ERROR).await?;
        match text["result"]["value"].as_str() {
            Some(text) if !text.is_empty() => Err(LoadError::Template(text.to_owned())),
            Some(_) | None => self.settle(config).await,
        }
    }

    /// From now on only the console, crashes and dialogs are of interest.
    async fn settle(&mut self, config: &Config) -> Result<(), LoadError> {
        let page = self.page.clone();
        for (method, params) in [
            ("Network.disable", json!({})),
            (
                "Page.setLifecycleEventsEnabled",
                json!({ "enabled": false }),
            ),
        ] {
            self.client.send(Some(&page), method, params).await?;
        }
        self.documents.clear();
        if !config.await_start_signal {
            self.signals.start();
        }
        Ok(())
    }

    /// The document of that loader has loaded, or one that replaced it.
    fn loaded(&self, loader: &str) -> bool {
        self.since(loader).any(|document| document.loaded)
    }

    fn check_status(&self, loader: &str) -> Result<(), LoadError> {
        let last = self.since(loader).filter_map(|d| d.status.as_ref()).last();
        match last {
            Some((code, text)) if *code >= 400 => Err(LoadError::Status {
                code: *code,
                text: text.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn since(&self, loader: &str) -> impl Iterator<Item = &Document> {
        self.documents
            .iter()
            .skip_while(move |document| document.loader != loader)
    }

    /// Takes in one message.
    ///
    /// # Errors
    /// When the page or the connection is gone.
    async fn step(&mut self) -> Result<(), CallError> {
        self.next().await?;
        match self.ended {
            Some(end) => Err(CallError::Ended(end.text())),
            None => Ok(()),
        }
    }

    /// Takes in one message; the number of the request it answers. May be dropped while waiting.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<u64>, Lost> {
        match self.client.next().await? {
            Incoming::Answer { id, .. } => Ok(Some(id)),
            Incoming::Event(event) => {
                self.observe(event).await?;
                Ok(None)
            }
        }
    }

    /// How the page ended, if it did.
    pub(crate) const fn ended(&self) -> Option<End> {
        self.ended
    }

    /// Asks the page for a sign of life; the number of the answer to wait for.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn ping(&mut self) -> Result<u64, Lost> {
        let page = self.page.clone();
        self.client
            .send(
                Some(&page),
                "Runtime.evaluate",
                json!({ "expression": "1", "silent": true, "returnByValue": true }),
            )
            .await
    }

    /// Asks the browser to end itself.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn say_goodbye(&mut self) -> Result<(), Lost> {
        self.client.send(None, "Browser.close", json!({})).await?;
        Ok(())
    }

    async fn evaluate(&mut self, expression: &str) -> Result<Value, CallError> {
        self.call(
            "Runtime.evaluate",
            json!({ "expression": expression, "silent": true, "returnByValue": true }),
        )
        .await
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, CallError> {
        let page = self.page.clone();
        let session = (!page.is_empty()).then_some(page.as_str());
        let id = self.client.send(session, method, params).await?;
        loop {
            match self.client.next().await? {
                Incoming::Answer { id: other, result } if other == id => {
                    return result.map_err(|text| CallError::Refused {
                        method: method.to_owned(),
                        text,
                    });
                }
                Incoming::Answer { id, result } => {
                    if let Err(error) = result {
                        tracing::debug!(id, error, "request refused");
                    }
                }
                Incoming::Event(event) => self.observe(event).await?,
            }
            if let Some(end) = self.ended {
                return Err(CallError::Ended(end.text()));
            }
        }
    }

    async fn observe(&mut self, event: Happened) -> Result<(), Lost> {
        let Happened {
            session,
            method,
            params,
        } = event;
        if session.is_some() && session.as_deref() != Some(self.page.as_str()) {
            return Ok(());
        }
        match method.as_str() {
            "Runtime.consoleAPICalled" => {
                self.signals.read(&params);
                self.record(&method, &params);
            }
            "Runtime.exceptionThrown" => {
                tracing::debug!("uncaught exception in the page");
                self.record(&method, &params);
            }
            "Network.responseReceived" => self.response(&params),
            "Page.lifecycleEvent" => self.lifecycle(&params),
            "Page.javascriptDialogOpening" => self.dialog(&params).await?,
            "Inspector.targetCrashed" => self.ended = self.ended.or(Some(End::Crashed)),
            "Target.detachedFromTarget" if params["sessionId"] == self.page.as_str() => {
                self.ended = self.ended.or(Some(End::Closed));
            }
            "Target.targetCreated" if self.target.is_empty() => {
                let info = &params["targetInfo"];
                if info["type"] == "page" {
                    self.target = info["targetId"].as_str().unwrap_or_default().to_owned();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&mut self, method: &str, params: &Value) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.add(method, params)
        {
            tracing::warn!(%error, "chrome.log is written no further");
            self.log = None;
        }
    }

    fn response(&mut self, params: &Value) {
        if params["type"] != "Document" || params["frameId"] != self.target.as_str() {
            return;
        }
        let response = &params["response"];
        let text = response["statusText"].as_str().unwrap_or_default();
        let status = response["status"]
            .as_u64()
            .map(|code| (code, text.to_owned()));
        if let Some(document) = self.document(&params["loaderId"]) {
            document.status = status;
        }
    }

    fn lifecycle(&mut self, params: &Value) {
        if params["frameId"] != self.target.as_str() {
            return;
        }
        if let Some(document) = self.document(&params["loaderId"])
            && params["name"] == "load"
        {
            document.loaded = true;
        }
    }

    fn document(&mut self, loader: &Value) -> Option<&mut Document> {
        let loader = loader.as_str()?;
        let place = match self.documents.iter().position(|d| d.loader == loader) {
            Some(place) => place,
            None => {
                self.documents.push(Document {
                    loader: loader.to_owned(),
                    status: None,
                    loaded: false,
                });
                self.documents.len() - 1
            }
        };
        self.documents.get_mut(place)
    }

    /// Nobody can click here: alerts are accepted, leaving is allowed, questions are declined.
    async fn dialog(&mut self, params: &Value) -> Result<(), Lost> {
        let accept = matches!(params["type"].as_str(), Some("alert" | "beforeunload"));
        let page = self.page.clone();
        self.client
            .send(
                Some(&page),
                "Page.handleJavaScriptDialog",
                json!({ "accept": accept }),
            )
            .await?;
        Ok(())
    }
}

impl Signals {
    fn start(&mut self) {
        if !std::mem::replace(&mut self.start, true) {
            tell(&self.events, Event::StartRecording);
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.end, true) {
            tell(&self.events, Event::EndRecording);
        }
    }

    /// Any console call, any argument, exactly this text (egress-behaviour.md §10.6).
    fn read(&mut self, params: &Value) {
        for argument in params["args"].as_array().into_iter().flatten() {
            match argument["value"].as_str() {
                Some("START_RECORDING") => self.start(),
                Some("END_RECORDING") => self.end(),
                Some(_) | None => {}
            }
        }
    }
}

/// The channel holds more than a page can cause; when nobody reads it, nobody misses this.
pub(crate) fn tell(events: &mpsc::Sender<Event>, event: Event) {
    if let Err(error) = events.try_send(event) {
        tracing::debug!(%error, "event of the page not delivered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(calls: &[Value]) -> Vec<Event> {
        let (events, mut told) = mpsc::channel(8);
        let mut signals = Signals {
            events,
            start: false,
            end: false,
        };
        for call in calls {
            signals.read(call);
        }
        std::iter::from_fn(|| told.try_recv().ok()).collect()
    }

    #[test]
    fn a_signal_is_any_argument_that_is_exactly_the_word() {
        let call = |args: Value| json!({ "type": "info", "args": args });
        let word = |text: &str| json!({ "type": "string", "value": text });
        assert_eq!(
            read(&[call(json!([word("x"), word("START_RECORDING")]))]),
            [Event::StartRecording]
        );
        assert_eq!(
            read(&[
                call(json!([word(" START_RECORDING")])),
                call(json!([word("END_RECORDING!"), { "type": "number", "value": 1 }])),
                call(json!(null)),
                json!({}),
            ]),
            []
        );
    }

    #[test]
    fn signals_are_told_once_and_in_order() {
        let call = |text: &str| json!({ "args": [{ "type": "string", "value": text }] });
        assert_eq!(
            read(&[
                call("END_RECORDING"),
                call("START_RECORDING"),
                call("END_RECORDING"),
                call("START_RECORDING"),
            ]),
            [Event::EndRecording, Event::StartRecording]
        );
    }
}
