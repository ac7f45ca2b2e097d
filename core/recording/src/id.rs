//! Identifiers that cannot be confused with other strings.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `EG_…`: names one recording everywhere (bus topics, room identity, working directory).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EgressId(String);

impl EgressId {
    /// `None` when empty, longer than 128 bytes, or not usable as a file name and bus topic
    /// (control characters, `/`, or the names `.` and `..`).
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let usable = !id.is_empty()
            && id.len() <= 128
            && id != "."
            && id != ".."
            && !id.chars().any(|c| c.is_control() || c == '/' || c == '\\');
        usable.then_some(Self(id))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EgressId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
