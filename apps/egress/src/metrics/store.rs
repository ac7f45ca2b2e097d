//! Counters and histograms by label values. Any thread may count.

use super::text::{Exposition, Kind, number};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

type Rows<const N: usize, T> = Mutex<BTreeMap<[String; N], T>>;

/// A counter for every set of label values seen.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    rows: Rows<N, f64>,
}

impl<const N: usize> Counters<N> {
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Self {
        Self {
            name,
            help,
            labels,
            rows: Mutex::new(BTreeMap::new()),
        }
    }

    /// Counts; a negative or odd amount is not counted.
    pub(crate) fn add(&self, values: [&str; N], amount: f64) {
        if amount >= 0.0 && amount.is_finite() {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            *rows.entry(values.map(str::to_owned)).or_default() += amount;
        }
    }

    /// Writes the family; nothing when nothing was counted.
    pub(crate) fn render(&self, page: &mut Exposition, constant: &[(&str, &str)]) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            return;
        }
        let mut family = page.family(self.name, self.help, Kind::Counter);
        for (values, count) in &*rows {
            family.sample(&joined(constant, &self.labels, values), *count);
        }
    }
}

/// A histogram for every set of label values seen.
#[derive(Debug)]
pub(crate) struct Histograms<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    bounds: &'static [f64],
    rows: Rows<N, Row>,
}

#[derive(Debug, Default)]
struct Row {
    /// By bucket, not cumulative; the last is above every bound.
    counts: Vec<u64>,
    sum: f64,
}

impl<const N: usize> Histograms<N> {
    pub(crate) const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &'static [f64],
    ) -> Self {
        Self {
            name,
            help,
            labels,
            bounds,
            rows: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn observe(&self, values: [&str; N], value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry(values.map(str::to_owned)).or_default();
        row.counts.resize(self.bounds.len() + 1, 0);
        if let Some(count) = row.counts.get_mut(bucket) {
            *count += 1;
        }
        row.sum += value;
    }

    /// Writes the family; nothing when nothing was observed.
    #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in f64")]
    pub(crate) fn render(&self, page: &mut Exposition, constant: &[(&str, &str)]) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            return;
        }
        let mut family = page.family(self.name, self.help, Kind::Histogram);
        for (values, row) in &*rows {
            let labels = joined(constant, &self.labels, values);
            let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
            let mut below = 0;
            for (bound, count) in bounds.zip(&row.counts) {
                below += count;
                let bound = number(bound);
                let mut labels = labels.clone();
                labels.push(("le", &bound));
                family.suffixed("_bucket", &labels, below as f64);
            }
            family.suffixed("_sum", &labels, row.sum);
            family.suffixed("_count", &labels, below as f64);
        }
    }
}

fn joined<'l, const N: usize>(
    constant: &[(&'l str, &'l str)],
    names: &'l [&'static str; N],
    values: &'l [String; N],
) -> Vec<(&'l str, &'l str)> {
    constant
        .iter()
        .copied()
        .chain(names.iter().copied().zip(values.iter().map(String::as_str)))
        .collect()
}
