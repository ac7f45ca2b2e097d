//! Encoded samples to the bytes of a file that survives a kill, and the repair of a torn one.
//!
//! Sans-IO: the writers hand out [`Write`](mp4::Write)s and never open a file.

pub mod mp4;
