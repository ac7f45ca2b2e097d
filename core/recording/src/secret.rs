//! Values that must not be printed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Prints `***` wherever it is shown. Serialized in clear: only the private link between worker and recorder
/// serializes plans.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value in clear. Every call is a place to look at in a review.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
