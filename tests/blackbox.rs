//! The real binary over a real Redis, recording real pages with a real Chromium, judged from outside.
//!
//! Names in brackets are rows of the public acceptance matrix.

mod bad;
mod crash;
mod life;
mod support;
mod surfaces;
mod web;
