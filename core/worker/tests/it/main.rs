//! The worker from outside: step by step, against upstream's vectors, and as a fleet under fire.

mod common;
mod fleet;
mod steps;
mod vectors;
