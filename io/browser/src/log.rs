//! Words of others: what children print, what pages log.
//!
//! Children's stderr is always drained (a full pipe would stop them) into the log at debug and, its last part, into a
//! [`Tail`] for error texts. The page's console goes to `chrome.log`, JSON lines, bounded by size with one backup.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

/// Longest line of a child that is kept; the rest of it is dropped.
const LINE: u64 = 4096;
/// Lines kept for an error text.
const LINES: usize = 20;
/// `chrome.log` is moved aside at this size, as upstream does.
const CHROME_LOG: u64 = 100 << 20;

/// The last lines of a child's stderr.
#[derive(Debug)]
pub(crate) struct Tail(JoinHandle<VecDeque<String>>);

impl Tail {
    /// Everything kept; call it when the child has ended.
    pub(crate) async fn text(self) -> String {
        match self.0.await {
            Ok(lines) => Vec::from(lines).join("\n"),
            Err(error) => error.to_string(),
        }
    }
}

/// Reads stderr to its end.
pub(crate) fn drain(name: &'static str, stderr: Option<ChildStderr>) -> Tail {
    Tail(tokio::spawn(async move {
        match stderr {
            Some(stderr) => rest(name, BufReader::new(stderr), VecDeque::new()).await,
            None => VecDeque::new(),
        }
    }))
}

/// Reads on to the end, keeping the last lines.
pub(crate) async fn rest<R: AsyncRead + Unpin>(
    name: &'static str,
    mut reader: BufReader<R>,
    mut kept: VecDeque<String>,
) -> VecDeque<String> {
    while let Some(line) = next_line(&mut reader).await {
        tracing::debug!(name, line, "stderr");
        keep(&mut kept, line);
    }
    kept
}

/// Adds a line, forgetting the oldest.
pub(crate) fn keep(kept: &mut VecDeque<String>, line: String) {
    if line.trim().is_empty() {
        return;
    }
    if kept.len() == LINES {
        kept.pop_front();
    }
    kept.push_back(line);
}

/// One line without its end, cut at [`LINE`] bytes; `None` at the end.
pub(crate) async fn next_line<R: AsyncRead + Unpin>(reader: &mut BufReader<R>) -> Option<String> {
    let mut line = Vec::new();
    let read = (&mut *reader).take(LINE).read_until(b'\n', &mut line).await;
    match read {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
    }
}

/// `chrome.log`.
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl ConsoleLog {
    /// Creates or continues `<workdir>/chrome.log`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(workdir: &Path) -> io::Result<Self> {
        Self::with_limit(workdir.join("chrome.log"), CHROME_LOG)
    }

    fn with_limit(path: PathBuf, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            limit,
        })
    }

    /// Adds one DevTools event.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn add(&mut self, event: &str, params: &Value) -> io::Result<()> {
        let mut line = json!({ "event": event, "params": params }).to_string();
        line.push('\n');
        let length = line.len() as u64;
        if self.size > 0 && self.size.saturating_add(length) > self.limit {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = File::create(&self.path)?;
            self.size = 0;
        }
        // One event can be longer than the whole log may be; it is dropped then.
        if length <= self.limit {
            self.file.write_all(line.as_bytes())?;
            self.size += length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_log_is_bounded_with_one_backup() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chrome.log");
        let mut log = ConsoleLog::with_limit(path.clone(), 200).unwrap();
        for n in 0..50 {
            log.add("Runtime.consoleAPICalled", &json!({ "n": n }))
                .unwrap();
        }
        log.add("Runtime.consoleAPICalled", &json!("x".repeat(1000)))
            .unwrap();
        let backup = fs::metadata(dir.path().join("chrome.log.1")).unwrap().len();
        assert!(backup <= 200);
        assert!(fs::metadata(path).unwrap().len() <= 200);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn endless_lines_are_read_in_pieces() {
        let bytes = [vec![b'a'; 10_000], b"\nend\n".to_vec()].concat();
        let kept = rest("test", BufReader::new(bytes.as_slice()), VecDeque::new()).await;
        assert_eq!(kept.back().map(String::as_str), Some("end"));
        assert!(kept.iter().all(|line| line.len() <= 4096));
    }
}
