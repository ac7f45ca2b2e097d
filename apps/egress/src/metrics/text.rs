//! Prometheus' text format 0.0.4.

use std::fmt::Write as _;

/// Kinds of family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// A page under construction.
#[derive(Default, Debug)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples must follow at once.
    pub(crate) fn family<'p>(&'p mut self, name: &'p str, help: &str, kind: Kind) -> Family<'p> {
        if !help.is_empty() {
            let help = help.replace('\\', r"\\").replace('\n', r"\n");
            self.line(format_args!("# HELP {name} {help}"));
        }
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        Family { page: self, name }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0
            .write_fmt(line)
            .expect("writing to a String does not fail");
        self.0.push('\n');
    }
}

/// The family being written.
pub(crate) struct Family<'p> {
    page: &'p mut Exposition,
    name: &'p str,
}

impl Family<'_> {
    /// One value.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.suffixed("", labels, value)
    }

    /// One value of `<name><suffix>`, for histograms.
    pub(crate) fn suffixed(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) -> &mut Self {
        let mut text = String::new();
        for (name, value) in labels {
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            text += &format!(
                "{}{name}=\"{value}\"",
                if text.is_empty() { "{" } else { "," }
            );
        }
        if !text.is_empty() {
            text.push('}');
        }
        self.page.line(format_args!(
            "{}{suffix}{text} {}",
            self.name,
            number(value)
        ));
        self
    }
}

/// A float in Go's spelling where Rust's differs.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}
