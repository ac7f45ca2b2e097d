//! The life of a recording from outside: drivers are played by the tests, time is theirs, too.

mod crash;
mod ends;
mod link;
mod model;
mod sequences;
mod streams;
mod vectors;
mod world;
