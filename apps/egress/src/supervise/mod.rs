//! Child processes.

pub(crate) mod process;
