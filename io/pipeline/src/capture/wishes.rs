//! Key frames asked for and not yet captured. Cheap to clone: one end asks, the bridge grants.
//!
//! Why not the encoder's own bookkeeping (`GstForceKeyUnit` upstream with a running time): x264enc of GStreamer 1.22
//! moves its times by 1000 hours and compares them with ours, so that every wish comes true at the first frame.

use media::MediaTime;
use std::sync::{Arc, Mutex, PoisonError};

/// Media times at which, or as soon as possible after which, a key frame is wanted.
#[derive(Clone, Default, Debug)]
pub(super) struct Wishes(Arc<Mutex<Vec<MediaTime>>>);

impl Wishes {
    pub(super) fn add(&self, at: MediaTime) {
        let mut wishes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !wishes.contains(&at) {
            wishes.push(at);
        }
    }

    /// Whether the picture at `pts` has to be a key frame; all wishes it grants are done with.
    pub(super) fn grant(&self, pts: MediaTime) -> bool {
        let mut wishes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = wishes.len();
        wishes.retain(|at| *at > pts);
        wishes.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted_once_by_the_first_picture_not_before_it() {
        let wishes = Wishes::default();
        let at = MediaTime::from_nanos;
        wishes.add(at(100));
        wishes.add(at(100));
        wishes.add(at(250));
        assert!(!wishes.grant(at(99)));
        assert!(wishes.grant(at(133)));
        assert!(!wishes.grant(at(166)));
        wishes.add(at(0));
        assert!(wishes.grant(at(400)), "one picture grants all that are due");
        assert!(!wishes.grant(at(433)));
    }
}
