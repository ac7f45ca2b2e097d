//! From requests to plans, seen from outside: upstream's tables, prose rules, arbitrary and broken requests.
//!
//! One binary: linking is what takes time.

mod common;
mod integration;
mod plans;
mod properties;
mod tables;
mod validation;
