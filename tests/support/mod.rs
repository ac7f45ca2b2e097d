//! What black-box tests and benchmarks stand on: a real Redis, the real binary, a page server, an IOInfo server, and
//! ffprobe/ffmpeg as judges. Everything is started on free ports of 127.0.0.1 and ended when dropped.

#![expect(dead_code, reason = "each test binary uses its part")]

pub(crate) mod client;
pub(crate) mod page;
pub(crate) mod probe;
pub(crate) mod processes;
pub(crate) mod redis;
pub(crate) mod worker;

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

/// A port nobody listens on right now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("a bound address").port()
}

/// Waits until `what` gives something; panics with its name after `limit`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut poll: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
