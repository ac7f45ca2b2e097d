//! What the pipeline says about itself: bus messages → events; and who has arrived.
//!
//! The bus is heard in the thread that speaks: no thread, no main loop, nothing polled.

use super::Event;
use crate::{Error, handover::Sender};
use gstreamer as gst;
use gstreamer::prelude::*;
use media::Kind;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

/// Hears a bus; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    sender: Sender,
    first: Arc<Mutex<Option<Error>>>,
}

impl Watch {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            first: Arc::default(),
        }
    }

    /// The first error heard: the cause, where a state change fails.
    pub(super) fn first(&self) -> Option<Error> {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One message. Never waits.
    pub(super) fn hear(&self, message: &gst::Message) -> gst::BusSyncReply {
        let element = || {
            message
                .src()
                .map(|s| s.name().to_string())
                .unwrap_or_default()
        };
        if let gst::MessageView::Error(error) = message.view() {
            let detail = error.debug();
            tracing::debug!(element = element(), error = %error.error(), detail = detail.as_deref(), "pipeline error");
            self.fail(element(), error.error().to_string());
        } else if let gst::MessageView::Warning(warning) = message.view() {
            let text = warning.error().to_string();
            // The one warning that no pipeline survives (egress-behaviour.md §12.9).
            if text.contains("clock problem") {
                self.fail(element(), text);
            } else {
                let detail = warning.debug();
                tracing::warn!(
                    element = element(),
                    text,
                    detail = detail.as_deref(),
                    "pipeline warning"
                );
            }
        } else if message.type_() == gst::MessageType::Eos {
            self.sender.fact(Event::End);
        }
        gst::BusSyncReply::Drop
    }

    fn fail(&self, element: String, text: String) {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(Error::Element {
                element: element.clone(),
                text: text.clone(),
            });
        self.sender.fact(Event::Error { element, text });
    }
}

/// Which streams have not given their first buffer yet; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    sender: Sender,
    missing: Arc<AtomicU8>,
}

impl Arrivals {
    pub(super) fn new(sender: Sender, pictures: bool, sound: bool) -> Self {
        let bits = (bit(Kind::Video) * u8::from(pictures)) | (bit(Kind::Audio) * u8::from(sound));
        Self {
            sender,
            missing: Arc::new(AtomicU8::new(bits)),
        }
    }

    /// A stream's first buffer is there; says [`Event::Playing`] when it was the last to be missed.
    pub(super) fn arrived(&self, kind: Kind) {
        let before = self.missing.fetch_and(!bit(kind), Ordering::Relaxed);
        if before == bit(kind) {
            self.sender.fact(Event::Playing);
        }
    }
}

fn bit(kind: Kind) -> u8 {
    match kind {
        Kind::Audio => 1,
        Kind::Video => 2,
    }
}
