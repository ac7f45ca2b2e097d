//! Identifiers: a three-letter prefix and twelve random symbols. Opaque to peers; only uniqueness matters.
//!
//! Randomness is an argument: any `FnMut() -> u64` whose results are uniform.

use std::fmt;
use std::sync::Arc;

const SYMBOLS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Without the look-alikes `0 1 I O l`… exactly the 57 symbols LiveKit uses for its own ids.
const READABLE: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const LENGTH: usize = 12;

/// `REQ_…`: one attempt of one call. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new one.
    pub fn random(random: &mut dyn FnMut() -> u64) -> Self {
        Self(with_prefix("REQ_", random).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `CLI_…`: one client object, of one service of one process.
pub fn client(random: &mut dyn FnMut() -> u64) -> String {
    with_prefix("CLI_", random)
}

/// `SRV_…`: one server object, of one service of one process.
pub fn server(random: &mut dyn FnMut() -> u64) -> String {
    with_prefix("SRV_", random)
}

/// `prefix` and twelve of the 57 readable symbols (`NE_…`, `EG_…`).
pub fn readable(prefix: &str, random: &mut dyn FnMut() -> u64) -> String {
    symbols(prefix, READABLE, random)
}

fn with_prefix(prefix: &str, random: &mut dyn FnMut() -> u64) -> String {
    symbols(prefix, SYMBOLS, random)
}

fn symbols(prefix: &str, alphabet: &[u8], random: &mut dyn FnMut() -> u64) -> String {
    let mut text = String::with_capacity(prefix.len() + LENGTH);
    text.push_str(prefix);
    for _ in 0..LENGTH {
        // The high half of the product is uniform over the alphabet up to 2^-58.
        let scaled = u128::from(random()) * alphabet.len() as u128;
        let index = usize::try_from(scaled >> 64).unwrap_or(0);
        text.push(alphabet.get(index).copied().map_or('0', char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_prefix_and_twelve_symbols_whatever_the_source_gives() {
        for value in [0, 1, u64::MAX, 0x8000_0000_0000_0000] {
            let id = client(&mut || value);
            assert_eq!(id.len(), 16);
            assert!(id.starts_with("CLI_"));
            assert!(id.bytes().skip(4).all(|b| SYMBOLS.contains(&b)));
        }
        let mut state = 7_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state
        };
        let node = readable("NE_", &mut next);
        assert!(node.bytes().skip(3).all(|b| READABLE.contains(&b)));
        assert_ne!(server(&mut next), server(&mut next));
        assert_ne!(RequestId::random(&mut next), RequestId::random(&mut next));
    }
}
