//! The only crate that names GStreamer: capture and encode into `media::Sample`s.
