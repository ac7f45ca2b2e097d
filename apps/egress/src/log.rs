//! Log lines on standard error: JSON in the shape upstream's readers know, or text for people.
//!
//! ```text
//! {"level":"info","ts":1760000000.123,"logger":"egress","msg":"…","nodeID":"NE_…","egressID":"EG_…", …}
//! ```
//!
//! Fields of the spans around a line are part of it. Secrets never come here: types that hold them print `***`.

use crate::config::{Level, Logging};
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Who writes the lines; empty parts are left out. Only JSON lines repeat it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// `NE_…`.
    pub node_id: String,
    /// `cluster_id`.
    pub cluster_id: String,
    /// Of a recorder process.
    pub handler_id: String,
}

/// Logging has been set up before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("logging is set up already")]
pub struct AlreadySet;

/// Sets logging up for the process.
///
/// # Errors
/// It was set up before.
pub fn init(settings: &Logging, identity: &Identity) -> Result<(), AlreadySet> {
    tracing::subscriber::set_global_default(subscriber(settings, identity, io::stderr))
        .map_err(|_already| AlreadySet)
}

/// The same for any writer.
pub fn subscriber<W>(
    settings: &Logging,
    identity: &Identity,
    writer: W,
) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (json, text) = if settings.json {
        (Some(Json::new(identity, writer)), None)
    } else {
        (
            None,
            Some(
                tracing_subscriber::fmt::layer()
                    .compact()
                    .with_ansi(false)
                    .with_writer(writer),
            ),
        )
    };
    tracing_subscriber::registry()
        .with(filter(settings))
        .with(json)
        .with(text)
}

/// Crates that are chatty below INFO about things nobody debugs egress by, unless asked for by name.
const FOREIGN: [&str; 12] = [
    "aws_config",
    "aws_smithy_runtime",
    "chromiumoxide",
    "h2",
    "hyper",
    "hyper_util",
    "object_store",
    "redis",
    "reqwest",
    "rustls",
    "tokio_tungstenite",
    "tungstenite",
];

/// `component_levels` name crates or modules, with `.` or `::` between.
fn filter(settings: &Logging) -> Targets {
    let level = level_filter(settings.level);
    Targets::new()
        .with_default(level)
        .with_targets(FOREIGN.map(|name| (name, level.min(LevelFilter::INFO))))
        .with_targets(
            settings
                .component_levels
                .iter()
                .map(|(name, level)| (name.replace('.', "::"), level_filter(*level))),
        )
}

const fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

/// One JSON object a line.
struct Json<W> {
    identity: Map<String, Value>,
    writer: W,
}

impl<W> Json<W> {
    fn new(identity: &Identity, writer: W) -> Self {
        let identity = [
            ("nodeID", &identity.node_id),
            ("clusterID", &identity.cluster_id),
            ("handlerID", &identity.handler_id),
        ]
        .into_iter()
        .filter(|(_, id)| !id.is_empty())
        .map(|(name, id)| (name.to_owned(), Value::from(id.as_str())))
        .collect();
        Self { identity, writer }
    }
}

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields(self.identity.clone());
        for span in context
            .event_scope(event)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        // Upstream's order; people read these lines too.
        let mut line = format!(
            "{{\"level\":\"{level}\",\"ts\":{}.{:06},\"logger\":{},\"msg\":{}",
            since.as_secs(),
            since.subsec_micros(),
            Value::from(event.metadata().target().replace("::", ".")),
            match message {
                Value::Null => Value::from(""),
                message @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => message,
            },
        );
        for (name, value) in fields.0 {
            line += &format!(",{}:{value}", Value::from(name));
        }
        line += "}\n";
        // A log that cannot be written cannot be complained about either.
        self.writer
            .make_writer_for(event.metadata())
            .write_all(line.as_bytes())
            .unwrap_or_default();
    }
}

/// Field values of a span or line.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = match field.name() {
            "node_id" => "nodeID",
            "cluster_id" => "clusterID",
            "handler_id" => "handlerID",
            "egress_id" => "egressID",
            // Upstream's own keys of the line.
            "level" => "level_",
            "ts" => "ts_",
            "msg" => "msg_",
            "logger" => "logger_",
            name => name.strip_prefix("r#").unwrap_or(name),
        };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::Secret;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(settings: &Logging, say: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let identity = Identity {
            node_id: "NE_1".to_owned(),
            ..Identity::default()
        };
        tracing::subscriber::with_default(
            subscriber(settings, &identity, move || writer.clone()),
            say,
        );
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn settings(json: bool, level: Level) -> Logging {
        Logging {
            json,
            level,
            component_levels: Vec::new(),
            sample: false,
        }
    }

    #[test]
    fn json_lines_carry_span_fields_under_upstreams_names() {
        let text = logged(&settings(true, Level::Info), || {
            let span = tracing::info_span!(
                "recording",
                egress_id = "EG_1",
                state = tracing::field::Empty
            );
            span.record("state", "active");
            let _inside = span.entered();
            tracing::info!(
                bytes = 7,
                ok = true,
                msg = "x",
                ratio = 0.5,
                "file \"closed\""
            );
        });
        assert!(text.starts_with("{\"level\":\"info\",\"ts\":"), "{text}");
        assert!(text.ends_with("}\n"));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["msg"], "file \"closed\"");
        assert_eq!(line["nodeID"], "NE_1");
        assert_eq!(line["egressID"], "EG_1");
        assert_eq!(line["state"], "active");
        assert_eq!(line["bytes"], 7);
        assert_eq!(line["ok"], true);
        assert_eq!(line["ratio"], 0.5);
        assert_eq!(line["msg_"], "x");
        assert_eq!(line["logger"], "egress.log.tests");
        assert!(line.get("clusterID").is_none());
        assert!(line["ts"].as_f64().is_some_and(|ts| ts > 1.6e9));
    }

    #[test]
    fn levels_hold_for_all_and_by_component() {
        for (level, lines) in [
            (Level::Debug, 4),
            (Level::Info, 3),
            (Level::Warn, 2),
            (Level::Error, 1),
        ] {
            let text = logged(&settings(true, level), || {
                tracing::error!("e");
                tracing::warn!("w");
                tracing::info!("i");
                tracing::debug!("d");
            });
            assert_eq!(text.lines().count(), lines, "{level:?}");
        }
        let mut by_name = settings(true, Level::Warn);
        by_name.component_levels = vec![("psrpc.core".to_owned(), Level::Debug)];
        let text = logged(&by_name, || {
            tracing::debug!(target: "psrpc::core::claim", "seen");
            tracing::debug!(target: "psrpc::other", "not seen");
        });
        assert!(text.contains("\"seen\"") && !text.contains("not seen"));
        let text = logged(&settings(true, Level::Debug), || {
            tracing::debug!(target: "hyper::proto", "not seen");
        });
        assert_eq!(text, "");
    }

    #[test]
    fn text_is_for_people_and_secrets_are_for_nobody() {
        let secret = Secret::new("MARKER".to_owned());
        for json in [true, false] {
            let text = logged(&settings(json, Level::Info), || {
                tracing::info!(key = %secret, other = ?secret, "with a secret");
            });
            assert!(
                text.contains("with a secret") && text.contains("***"),
                "{text}"
            );
            assert!(!text.contains("MARKER"), "{text}");
        }
    }
}
