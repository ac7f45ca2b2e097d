//! Reading typed values out of a [`Document`], collecting every problem instead of stopping at the first.
//!
//! ```text
//! Reader ── root() ──► Block ── section("redis") ──► Block …      each typed read notes the key as known
//!    ▲                   │ end of section: keys nobody asked for become warnings with a near miss
//!    └───── problems ────┘
//! ```
//!
//! Go's YAML library is the model for what is accepted: a missing key and `key:` with nothing after it both mean the
//! default; a number where text belongs is taken as the text it was written as; `yes` and `on` are booleans.

use super::document::{Document, Step, dotted};
use super::duration;
use super::problem::{Problem, Severity};
use recording::Secret;
use serde_yaml_ng::{Mapping, Value};
use std::cell::RefCell;
use std::time::Duration;

/// Holds the text and what is wrong with it.
pub(crate) struct Reader {
    document: Document,
    origin: String,
    problems: RefCell<Vec<Problem>>,
}

impl Reader {
    pub(crate) fn new(document: Document, origin: impl Into<String>) -> Self {
        Self {
            document,
            origin: origin.into(),
            problems: RefCell::new(Vec::new()),
        }
    }

    /// Reads the outermost mapping.
    pub(crate) fn root<T>(&self, read: impl FnOnce(&Block<'_>) -> T) -> T {
        let block = Block {
            reader: self,
            path: Vec::new(),
            mapping: self.document.root(),
            known: RefCell::new(Vec::new()),
        };
        let value = read(&block);
        block.finish();
        value
    }

    /// Everything found, in the order of the text.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        problems
    }

    fn report(&self, severity: Severity, path: &[Step], message: String) {
        self.problems.borrow_mut().push(Problem {
            severity,
            origin: self.origin.clone(),
            line: self.document.line(path),
            key: dotted(path),
            message,
        });
    }
}

/// One mapping of the configuration.
pub(crate) struct Block<'r> {
    reader: &'r Reader,
    path: Vec<Step>,
    mapping: &'r Mapping,
    known: RefCell<Vec<String>>,
}

impl<'r> Block<'r> {
    /// Is the key there with a value?
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// An error about a key of this block.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) {
        self.reader
            .report(Severity::Error, &self.at(key), message.into());
    }

    /// A warning about a key of this block.
    pub(crate) fn warn(&self, key: &str, message: impl Into<String>) {
        self.reader
            .report(Severity::Warning, &self.at(key), message.into());
    }

    /// Text; numbers and booleans are taken as written.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        let text = self.scalar(&self.at(key), value);
        if text.is_none() {
            self.error(key, "must be a text, not a list or mapping");
        }
        text
    }

    /// Text, or nothing.
    pub(crate) fn text_or_empty(&self, key: &str) -> String {
        self.text(key).unwrap_or_default()
    }

    /// Text that must not be shown.
    pub(crate) fn secret(&self, key: &str) -> Secret<String> {
        Secret::new(self.text_or_empty(key))
    }

    /// A boolean.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let flag = match untagged(value) {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.as_str() {
                "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
                "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
                _ => None,
            },
            Value::Null
            | Value::Number(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => None,
        };
        if flag.is_none() {
            self.error(key, "must be true or false");
        }
        flag
    }

    /// A whole number.
    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        let value = self.get(key)?;
        let number = match untagged(value) {
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => None,
        };
        if number.is_none() {
            self.error(key, not_a_number(value, "a whole number"));
        }
        number
    }

    /// A count: a whole number of 0 or more.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        let number = self.int(key)?;
        let count = u64::try_from(number).ok();
        if count.is_none() {
            self.error(key, format!("is {number}; must be 0 or more"));
        }
        count
    }

    /// A count that fits 32 bits.
    pub(crate) fn count32(&self, key: &str) -> Option<u32> {
        let count = self.count(key)?;
        let small = u32::try_from(count).ok();
        if small.is_none() {
            self.error(key, format!("is {count}; that is too large"));
        }
        small
    }

    /// A TCP port; 0 and no value are `None`.
    pub(crate) fn port(&self, key: &str) -> Option<u16> {
        let number = self.int(key)?;
        match u16::try_from(number) {
            Ok(port) => (port != 0).then_some(port),
            Err(_) => {
                self.error(
                    key,
                    format!("is {number}; a port is a number from 1 to 65535 (0 switches it off)"),
                );
                None
            }
        }
    }

    /// A number.
    pub(crate) fn float(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        let number = match untagged(value) {
            Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => None,
        };
        if number.is_none() {
            self.error(key, not_a_number(value, "a number"));
        }
        number
    }

    /// A number above 0; anything else means the default, as upstream.
    pub(crate) fn positive_or(&self, key: &str, default: f64) -> f64 {
        match self.float(key) {
            Some(number) if number > 0.0 => number,
            Some(number) => {
                self.warn(key, format!("is {number}; the default {default} is used"));
                default
            }
            None => default,
        }
    }

    /// A duration: Go notation, or a whole number of nanoseconds.
    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        let value = self.get(key)?;
        match untagged(value) {
            Value::String(text) => match duration::parse(text) {
                Ok(duration) => Some(duration),
                Err(error) => {
                    self.error(key, format!("`{text}` {error}"));
                    None
                }
            },
            Value::Number(_) => {
                let nanos = self.count(key)?;
                if (1..1_000_000).contains(&nanos) {
                    self.warn(
                        key,
                        format!(
                            "{nanos} without a unit means {nanos} nanoseconds; write a unit, as in 15s"
                        ),
                    );
                }
                Some(Duration::from_nanos(nanos))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => {
                self.error(key, "must be a duration, for example 90m, 1h30m or 500ms");
                None
            }
        }
    }

    /// A duration where 0 means the default.
    pub(crate) fn duration_or(&self, key: &str, default: Duration) -> Duration {
        self.duration(key)
            .filter(|duration| !duration.is_zero())
            .unwrap_or(default)
    }

    /// A list of texts; a single text is a list of one.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let at = self.at(key);
        match untagged(value) {
            Value::Sequence(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| {
                    let mut at = at.clone();
                    at.push(Step::Index(index));
                    let text = self.scalar(&at, item);
                    if text.is_none() {
                        self.reader
                            .report(Severity::Error, &at, "must be a text".to_owned());
                    }
                    text
                })
                .collect(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.text(key).into_iter().collect()
            }
            Value::Null | Value::Mapping(_) | Value::Tagged(_) => {
                self.error(key, "must be a list of texts");
                Vec::new()
            }
        }
    }

    /// A mapping of free keys: every key with its value, in the order of the text.
    pub(crate) fn entries(&self, key: &str) -> Vec<(String, &'r Value)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Value::Mapping(mapping) = untagged(value) else {
            self.error(key, "must be a mapping of names to values");
            return Vec::new();
        };
        mapping
            .iter()
            .filter_map(|(name, value)| {
                let name = name_of(name);
                if name.is_none() {
                    self.error(key, "holds a name that is not a text");
                }
                Some((name?, value))
            })
            .collect()
    }

    /// A mapping of free keys to texts.
    pub(crate) fn text_map(&self, key: &str) -> Vec<(String, String)> {
        let mut at = self.at(key);
        self.entries(key)
            .into_iter()
            .filter_map(|(name, value)| {
                at.truncate(self.path.len() + 1);
                at.push(Step::Key(name.clone()));
                let text = self.scalar(&at, value);
                if text.is_none() && !value.is_null() {
                    self.reader
                        .report(Severity::Error, &at, "must be a text".to_owned());
                }
                Some((name, text?))
            })
            .collect()
    }

    /// The scalar under a free key of a mapping as it was written.
    pub(crate) fn entry_text(&self, key: &str, name: &str, value: &Value) -> Option<String> {
        let mut at = self.at(key);
        at.push(Step::Key(name.to_owned()));
        self.scalar(&at, value)
    }

    /// An error about a free key.
    pub(crate) fn entry_error(&self, key: &str, name: &str, message: impl Into<String>) {
        let mut at = self.at(key);
        at.push(Step::Key(name.to_owned()));
        self.reader.report(Severity::Error, &at, message.into());
    }

    /// The raw value, noting the key as known.
    pub(crate) fn value(&self, key: &str) -> Option<&'r Value> {
        self.get(key).map(untagged)
    }

    /// A nested block, or `None` when it is absent or empty of value.
    pub(crate) fn section<T>(&self, key: &str, read: impl FnOnce(&Block<'_>) -> T) -> Option<T> {
        let value = self.get(key)?;
        let Value::Mapping(mapping) = untagged(value) else {
            self.error(key, "must be a block of keys, indented below it");
            return None;
        };
        let block = Block {
            reader: self.reader,
            path: self.at(key),
            mapping,
            known: RefCell::new(Vec::new()),
        };
        let value = read(&block);
        block.finish();
        Some(value)
    }

    fn at(&self, key: &str) -> Vec<Step> {
        let mut path = self.path.clone();
        if !key.is_empty() {
            path.push(Step::Key(key.to_owned()));
        }
        path
    }

    /// The value of a key; `None` when absent or null.
    fn get(&self, key: &str) -> Option<&'r Value> {
        if !self.known.borrow().iter().any(|known| known == key) {
            self.known.borrow_mut().push(key.to_owned());
        }
        self.mapping.get(key).filter(|value| !value.is_null())
    }

    fn scalar(&self, at: &[Step], value: &Value) -> Option<String> {
        match untagged(value) {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(
                self.reader
                    .document
                    .text(at)
                    .unwrap_or_else(|| number.to_string()),
            ),
            Value::Bool(flag) => Some(
                self.reader
                    .document
                    .text(at)
                    .unwrap_or_else(|| flag.to_string()),
            ),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
        }
    }

    /// Warns about every key nobody asked for.
    fn finish(self) {
        let known = self.known.borrow();
        for name in self.mapping.keys() {
            let Some(name) = name_of(name) else {
                self.warn("", "holds a key that is not a text; it is ignored");
                continue;
            };
            if known.contains(&name) {
                continue;
            }
            let message = match nearest(&name, &known) {
                Some(near) => format!("unknown key, ignored; did you mean `{near}`?"),
                None => "unknown key, ignored".to_owned(),
            };
            self.warn(&name, message);
        }
    }
}

/// The known name that `name` most likely was meant to be.
pub(crate) fn nearest<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(name);
    known
        .iter()
        .map(|candidate| {
            let other = plain(candidate);
            let squeezed = other.replace('_', "") == wanted.replace('_', "");
            let distance = if squeezed {
                0
            } else {
                strsim::damerau_levenshtein(&wanted, &other)
            };
            (distance, candidate.as_str())
        })
        .filter(|(distance, candidate)| {
            let length = candidate.len().min(name.len());
            *distance <= (length / 4).clamp(1, 3) && *distance < length
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// YAML tags (`!!str`, `!foo`) make no difference here.
fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tagged(tagged) => untagged(&tagged.value),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Sequence(_)
        | Value::Mapping(_) => value,
    }
}

fn name_of(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

fn not_a_number(value: &Value, what: &str) -> String {
    match untagged(value) {
        Value::String(text) if text.trim().parse::<f64>().is_ok() => {
            format!("must be {what}; remove the quotes")
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Sequence(_)
        | Value::Mapping(_)
        | Value::Tagged(_) => format!("must be {what}"),
    }
}

/// A float that is a whole number within i64.
fn whole(number: f64) -> Option<i64> {
    // 2^53: beyond it a float does not name one integer.
    let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    exact.then(|| format!("{number:.0}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let known: Vec<String> = ["address", "username", "db", "health_port", "use_tls"]
            .map(str::to_owned)
            .to_vec();
        for (name, near) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("health-port", Some("health_port")),
            ("healthPort", Some("health_port")),
            ("heatlh_port", Some("health_port")),
            ("user_name", Some("username")),
            ("DB", Some("db")),
            ("x", None),
            ("xy", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }
}
