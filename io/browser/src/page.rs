//! One page: navigation with its retries, then what happens on it.
//!
//! ```text
//! open ── attempt (browser, navigate, load, div.error) ──► Page ── watch task ──► Event
//!            └── timed out, connection closed: again, at most 3, each with a new browser
//! ```

use crate::{
    cdp::{self, Client},
    child::Helper,
    chrome::{self, load_fault},
    flags::{Flag, Wishes},
    stage::Stage,
};
use recording::{Code, Fault, Secret};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, interval_at, timeout},
};

/// What to open, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to navigate.
    pub url: Secret<String>,
    /// Window width, pixels.
    pub width: u32,
    /// Window height, pixels.
    pub height: u32,
    /// The page may be heard.
    pub sound: bool,
    /// Chromium's sandbox.
    pub sandbox: bool,
    /// No web security, mixed content allowed.
    pub insecure: bool,
    /// The operator's, merged last.
    pub flags: BTreeMap<String, Flag>,
    /// Exists; profile and temporary files go here.
    pub workdir: PathBuf,
    /// From the ready browser to the load event.
    pub load_limit: Duration,
    /// Attempts, each with a new browser.
    pub attempts: u32,
    /// A page that does not answer for so long is [`Event::Unresponsive`].
    pub patience: Duration,
    /// Console messages become [`Event::Console`].
    pub console: bool,
}

/// What happens on a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `START_RECORDING` on the console.
    StartRecording,
    /// `END_RECORDING` on the console.
    EndRecording,
    /// The page's process crashed or was killed.
    Crashed(String),
    /// The browser ended.
    Exited(String),
    /// The page closed itself.
    Closed,
    /// It has not answered for this long.
    Unresponsive(Duration),
    /// Something was logged on the console.
    Console(String),
}

/// An open page. Dropping it kills the browser.
#[derive(Debug)]
pub struct Page {
    close: oneshot::Sender<()>,
    watch: JoinHandle<()>,
}

struct Attempt {
    fault: Fault,
    again: bool,
}

impl From<Fault> for Attempt {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            again: false,
        }
    }
}

impl Page {
    /// Starts a browser on the stage and navigates. Signals that the page gives while it loads are kept.
    ///
    /// # Errors
    /// As upstream says them (egress-behaviour.md §10.5).
    pub async fn open(
        config: &Config,
        stage: &Stage,
    ) -> Result<(Self, mpsc::Receiver<Event>), Fault> {
        let program = chrome::find(std::env::var_os("PATH").as_deref())?;
        let mut left = config.attempts.max(1);
        loop {
            left -= 1;
            match attempt(config, &program, stage, left).await {
                Ok(open) => return Ok(open),
                Err(Attempt { fault, again }) if again && left > 0 => {
                    tracing::warn!(%fault, "trying again with a new browser");
                }
                Err(Attempt { fault, .. }) => return Err(fault),
            }
        }
    }

    /// Ends the browser and waits until it is gone.
    pub async fn close(self) {
        if self.close.send(()).is_err() {
            tracing::debug!("the browser has ended already");
        }
        if let Err(error) = self.watch.await {
            tracing::error!(%error, "the page's watch ended abnormally");
        }
    }
}

async fn attempt(
    config: &Config,
    program: &str,
    stage: &Stage,
    left: u32,
) -> Result<(Page, mpsc::Receiver<Event>), Attempt> {
    let profile = config.workdir.join(format!("profile-{left}"));
    let wishes = Wishes {
        width: config.width,
        height: config.height,
        sound: config.sound,
        sandbox: config.sandbox,
        insecure: config.insecure,
        profile: &profile.to_string_lossy(),
        flags: &config.flags,
    };
    let (browser, url) = chrome::start(program, stage, &wishes, &config.workdir).await?;
    let opened = timeout(config.load_limit, navigate(config, &url)).await;
    let (client, events, said) = match opened {
        Ok(Ok(open)) => open,
        Ok(Err(attempt)) => {
            browser.stop(Duration::ZERO).await;
            return Err(attempt);
        }
        Err(_) => {
            browser.stop(Duration::ZERO).await;
            return Err(Attempt {
                fault: load_fault("timed out"),
                again: true,
            });
        }
    };
    let (tell, receiver) = mpsc::channel(256);
    for event in said {
        // Room for everything a sane page says while loading; more is only console text.
        drop(tell.try_send(event));
    }
    let (close, closing) = oneshot::channel();
    let watch = tokio::spawn(watch(
        browser,
        client,
        events,
        tell,
        closing,
        config.patience,
        config.console,
    ));
    Ok((Page { close, watch }, receiver))
}

type Opened = (Client, mpsc::Receiver<cdp::Event>, Vec<Event>);

fn gone(error: &cdp::Error) -> Attempt {
    load_fault(error).into()
}

async fn navigate(config: &Config, url: &str) -> Result<Opened, Attempt> {
    let (browser, mut events) = Client::connect(url).await.map_err(|e| gone(&e))?;
    let target = first_page(&browser).await.map_err(|e| gone(&e))?;
    let attached = browser
        .call(
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        )
        .await
        .map_err(|e| gone(&e))?;
    let session = attached["sessionId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let page = browser.in_session(session);
    // All at once: the browser answers in order.
    let (enabled, _, _, _) = tokio::join!(
        page.call("Page.enable", json!({})),
        page.call("Runtime.enable", json!({})),
        page.call(
            "Network.enable",
            json!({"maxTotalBufferSize": 0, "maxResourceBufferSize": 0})
        ),
        page.call("Inspector.enable", json!({})),
    );
    enabled.map_err(|e| gone(&e))?;
    let navigated = page
        .call("Page.navigate", json!({"url": config.url.reveal()}))
        .await
        .map_err(|e| gone(&e))?;
    if let Some(text) = navigated["errorText"].as_str().filter(|t| !t.is_empty()) {
        // An error page without a body: the status says more than Chromium's own error.
        while let Ok(Some(event)) = timeout(Duration::from_millis(100), events.recv()).await {
            if event.method == "Network.responseReceived" && event.params["type"] == "Document" {
                refused(&event.params["response"])?;
            }
        }
        let again = text.contains("net::ERR_CERT_VERIFIER_CHANGED")
            || text.contains("net::ERR_CONNECTION_CLOSED");
        return Err(Attempt {
            fault: load_fault(text),
            again,
        });
    }
    let loader = navigated["loaderId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut said = Vec::new();
    let mut loaded = false;
    while !loaded {
        let Some(event) = events.recv().await else {
            return Err(load_fault("the browser ended while loading").into());
        };
        match event.method.as_str() {
            "Page.loadEventFired" => loaded = true,
            "Network.responseReceived" if event.params["loaderId"] == loader.as_str() => {
                if event.params["type"] == "Document" {
                    refused(&event.params["response"])?;
                }
            }
            "Inspector.targetCrashed" => {
                return Err(load_fault("the page crashed while loading").into());
            }
            _ => said.extend(heard(&event, config.console)),
        }
    }
    // Only the document's status was wanted; every later request would cost a message.
    drop(page.call("Network.disable", json!({})).await);
    let expression = "(document.querySelector('div.error')||{}).innerText||''";
    let error = page
        .call("Runtime.evaluate", json!({"expression": expression}))
        .await
        .map_err(|e| gone(&e))?;
    match error["result"]["value"].as_str().map(str::trim) {
        Some(text) if !text.is_empty() => {
            Err(Fault::new(Code::InvalidArgument, format!("template error: {text}")).into())
        }
        _ => Ok((page, events, said)),
    }
}

fn refused(response: &Value) -> Result<(), Attempt> {
    let status = response["status"].as_i64().unwrap_or(0);
    if status < 400 {
        return Ok(());
    }
    // HTTP/2 has no status text.
    let text = response["statusText"].as_str().filter(|t| !t.is_empty());
    Err(load_fault(text.map_or_else(|| format!("HTTP status {status}"), str::to_owned)).into())
}

async fn first_page(browser: &Client) -> Result<String, cdp::Error> {
    let targets = browser.call("Target.getTargets", json!({})).await?;
    let page = targets["targetInfos"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|t| t["type"] == "page");
    if let Some(id) = page.and_then(|t| t["targetId"].as_str()) {
        return Ok(id.to_owned());
    }
    let made = browser
        .call("Target.createTarget", json!({"url": "about:blank"}))
        .await?;
    Ok(made["targetId"].as_str().unwrap_or_default().to_owned())
}

/// What an event means to the recording.
fn heard(event: &cdp::Event, console: bool) -> Vec<Event> {
    match event.method.as_str() {
        "Runtime.consoleAPICalled" => {
            let arguments = event.params["args"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let texts: Vec<String> = arguments.iter().map(text).collect();
            let mut events: Vec<Event> = texts
                .iter()
                .filter_map(|t| match t.as_str() {
                    "START_RECORDING" => Some(Event::StartRecording),
                    "END_RECORDING" => Some(Event::EndRecording),
                    _ => None,
                })
                .collect();
            if console {
                events.push(Event::Console(texts.join(" ")));
            }
            events
        }
        "Runtime.exceptionThrown" if console => {
            let details = &event.params["exceptionDetails"];
            let text = details["exception"]["description"]
                .as_str()
                .or_else(|| details["text"].as_str());
            vec![Event::Console(text.unwrap_or("exception").to_owned())]
        }
        "Inspector.targetCrashed" | "Target.targetCrashed" => {
            vec![Event::Crashed("the page's process ended".to_owned())]
        }
        "Inspector.detached" | "Target.detachedFromTarget" => vec![Event::Closed],
        _ => Vec::new(),
    }
}

fn text(argument: &Value) -> String {
    match &argument["value"] {
        Value::String(text) => text.clone(),
        Value::Null => argument["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

async fn watch(
    mut browser: Helper,
    client: Client,
    mut events: mpsc::Receiver<cdp::Event>,
    tell: mpsc::Sender<Event>,
    mut closing: oneshot::Receiver<()>,
    patience: Duration,
    console: bool,
) {
    let beat = (patience / 6).max(Duration::from_millis(100));
    let mut beats = interval_at(Instant::now() + beat, beat);
    let mut answered = Instant::now();
    let mut asked: Option<JoinHandle<bool>> = None;
    let mut complained = false;
    loop {
        let said = tokio::select! {
            biased;
            _ = &mut closing => break,
            how = browser.ended() => {
                drop(tell.send(Event::Exited(how)).await);
                return;
            }
            event = events.recv() => match event {
                Some(event) => heard(&event, console),
                // The process end follows at once, with its reason.
                None => {
                    let how = timeout(Duration::from_secs(2), browser.ended()).await;
                    let how = how.unwrap_or_else(|_| "its connection closed".to_owned());
                    drop(tell.send(Event::Exited(how)).await);
                    break;
                }
            },
            _ = beats.tick() => {
                if asked.as_ref().is_none_or(JoinHandle::is_finished) {
                    if let Some(asked) = asked.take()
                        && asked.await.unwrap_or(false) {
                            answered = Instant::now();
                            complained = false;
                        }
                    let client = client.clone();
                    asked = Some(tokio::spawn(async move {
                        client.call("Runtime.evaluate", json!({"expression": "1"})).await.is_ok()
                    }));
                }
                if answered.elapsed() > patience && !complained {
                    complained = true;
                    vec![Event::Unresponsive(answered.elapsed())]
                } else {
                    Vec::new()
                }
            }
        };
        for event in said {
            if tell.send(event).await.is_err() {
                break;
            }
        }
    }
    if let Some(asked) = asked {
        asked.abort();
    }
    browser.stop(Duration::ZERO).await;
}
