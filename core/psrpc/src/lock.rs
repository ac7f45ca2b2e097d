//! The lock that makes one of many receivers handle a queue request: `SET <key> <random> EX 5 NX`.
//!
//! Knows how the key is named and how long it lives; the driver asks Redis.

use std::time::Duration;

use base64::Engine as _;
use sha2::Digest as _;

/// How long the key lives. It is never deleted.
pub const LIFETIME: Duration = Duration::from_secs(5);

/// Padded standard base64 of SHA-256 over the whole payload as received, envelope included.
#[must_use]
pub fn key(payload: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(payload))
}
