//! A real Redis, started by the test on a free port in a directory of its own, and waiting with a limit.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use egress::bus::State;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Long enough for a loaded machine; no test waits for it when all is well.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A process that dies with the test.
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    arguments: Vec<String>,
    child: Child,
}

impl Redis {
    /// Starts one that answers.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_on(free_port(), arguments).await
    }

    pub(crate) async fn start_on(port: u16, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let child = spawn(port, dir.path(), &arguments);
        let redis = Self {
            port,
            dir,
            arguments,
            child,
        };
        redis.listening().await;
        redis
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// The same port again.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.port, self.dir.path(), &self.arguments);
        self.listening().await;
    }

    /// Runs one command through the library, outside of what is tested.
    pub(crate) async fn command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut words_of = self.arguments.iter().skip_while(|a| *a != "--requirepass");
        let login = match words_of.nth(1) {
            Some(password) => format!(":{password}@"),
            None => String::new(),
        };
        let url = format!("redis://{login}127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    async fn listening(&self) {
        eventually("redis listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port))
                .await
                .is_ok()
        })
        .await;
    }
}

fn spawn(port: u16, dir: &std::path::Path, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    // A configuration file (Sentinel) comes first.
    let (file, rest): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.ends_with(".conf"));
    command.args(file).arg("--dir").arg(dir);
    if !rest.iter().any(|a| *a == "--tls-port") {
        command.arg("--port").arg(port.to_string());
    }
    if !rest.iter().any(|a| *a == "--sentinel") {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server is installed")
}

/// A port nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits for a condition by looking at it.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for something that ends by itself.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done,
        Err(_elapsed) => panic!("waited in vain: {what}"),
    }
}

/// Waits until the bus is up.
pub(crate) async fn connected(state: &mut watch::Receiver<State>) {
    let up = state.wait_for(|state| matches!(state, State::Connected { .. }));
    drop(within("connected", up).await.unwrap());
}

/// Waits until the bus is down; says why.
pub(crate) async fn disconnected(state: &mut watch::Receiver<State>) -> String {
    let down = state.wait_for(|state| matches!(state, State::Disconnected { .. }));
    match &*within("disconnected", down).await.unwrap() {
        State::Disconnected { cause, .. } => cause.clone(),
        State::Connected { .. } => String::new(),
    }
}
