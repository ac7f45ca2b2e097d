//! The real binary as a worker.

use super::{free_port, processes, until};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A running `egress`. Killed, with what it started, when dropped.
pub(crate) struct Worker {
    child: Child,
    pub(crate) health_port: u16,
    pub(crate) prometheus_port: u16,
    pub(crate) template_port: u16,
    pub(crate) tmp: PathBuf,
    log: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

/// How to start a worker.
pub(crate) struct Options {
    /// Redis `host:port`.
    pub(crate) redis: String,
    /// More YAML, appended.
    pub(crate) yaml: String,
    /// More environment.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory to keep between workers; `None`: one of its own.
    pub(crate) dir: Option<PathBuf>,
    /// Runs the binary through this command, e.g. `unshare …`.
    pub(crate) wrapper: Vec<String>,
}

impl Options {
    pub(crate) fn new(redis: impl Into<String>) -> Self {
        Self {
            redis: redis.into(),
            yaml: String::new(),
            env: Vec::new(),
            dir: None,
            wrapper: Vec::new(),
        }
    }
}

impl Worker {
    /// Starts one that accepts anything this machine can hold, and waits until it is ready.
    pub(crate) async fn start(redis: &str) -> Self {
        Self::with(Options::new(redis)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let mut worker = Self::spawn(options);
        let port = worker.health_port;
        let limit = Duration::from_secs(15);
        until("worker is ready", limit, || {
            if let Some(status) = worker.exited() {
                panic!("the worker ended with {status}:\n{}", worker.log());
            }
            (http_get(port, "/readyz")?.0 == 200).then_some(())
        })
        .await;
        worker
    }

    /// Starts one without waiting for anything.
    pub(crate) fn spawn(options: Options) -> Self {
        let own = options
            .dir
            .is_none()
            .then(|| tempfile::tempdir().expect("a temporary directory"));
        let dir = options
            .dir
            .unwrap_or_else(|| own.as_ref().expect("just made").path().to_owned());
        let tmp = dir.join("tmp");
        let [health_port, prometheus_port, template_port] = [free_port(), free_port(), free_port()];
        let mut yaml = format!(
            "api_key: devkey\napi_secret: a-secret-of-at-least-32-characters\nws_url: ws://127.0.0.1:7880\n\
             tmp_dir: {}\nhealth_port: {health_port}\nprometheus_port: {prometheus_port}\n\
             template_port: {template_port}\nlogging: {{level: debug, json: false}}\n\
             redis: {{address: '{}'}}\n",
            tmp.display(),
            options.redis
        );
        if !options.yaml.contains("cpu_cost:") {
            yaml.push_str("cpu_cost: {web_cpu_cost: 0.05, audio_web_cpu_cost: 0.05, max_cpu_utilization: 1.0}\n");
        }
        yaml.push_str(&options.yaml);
        let log = dir.join(format!("worker-{health_port}.log"));
        let out = std::fs::File::create(&log).expect("a log file");
        let binary = env!("CARGO_BIN_EXE_egress");
        let mut command = match options.wrapper.split_first() {
            Some((first, rest)) => {
                let mut c = Command::new(first);
                c.args(rest).arg(binary);
                c
            }
            None => Command::new(binary),
        };
        let child = command
            .env("EGRESS_CONFIG_BODY", &yaml)
            .env("TZ", "UTC")
            .envs(options.env)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("the binary starts");
        Self {
            child,
            health_port,
            prometheus_port,
            template_port,
            tmp,
            log,
            _dir: own,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the worker can be waited for")
    }

    /// `TERM`, `INT`, `KILL`, …
    pub(crate) fn signal(&self, name: &str) {
        kill(self.pid(), name);
    }

    /// Pids of the recorder children.
    pub(crate) fn recorders(&self) -> Vec<i32> {
        let mine = self.pid();
        processes::all()
            .into_values()
            .filter(|p| p.parent == mine && p.command.contains(" recorder"))
            .map(|p| p.pid)
            .collect()
    }

    pub(crate) async fn ends(&mut self, limit: Duration) -> ExitStatus {
        until("the worker ends", limit, || self.exited()).await
    }

    /// Everything that still names this worker's working directory on its command line.
    pub(crate) fn leftovers(&self) -> Vec<processes::Process> {
        processes::holding(&self.tmp.display().to_string())
    }

    pub(crate) fn get(&self, port: u16, path: &str) -> (u16, String) {
        http_get(port, path).expect("an HTTP answer")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for process in processes::tree(self.pid()).into_iter().rev() {
            kill(process.pid, "KILL");
        }
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the worker said:\n{}\n---", tail.join("\n"));
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub(crate) fn kill(pid: i32, name: &str) {
    drop(
        Command::new("kill")
            .args([&format!("-{name}"), &pid.to_string()])
            .stderr(Stdio::null())
            .status(),
    );
}

/// Status and body, or nothing when nobody answers.
pub(crate) fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Whether a directory is empty or absent.
pub(crate) fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut d| d.next().is_none())
}
