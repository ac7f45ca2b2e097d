//! A page server: `/` is the demo page (`?start=S&end=S&sound=0`), the rest misbehaves on demand.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

/// Serves until the process ends.
pub(crate) struct Pages {
    port: u16,
}

impl Pages {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || drop(serve(stream)));
            }
        });
        Self { port }
    }

    /// `path` begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
    }
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = target.split('?').next().unwrap_or("/");
    let (status, body) = match path {
        "/" => (
            "200 OK",
            include_str!("../../apps/egress/assets/demo.html").to_owned(),
        ),
        "/error" => (
            "200 OK",
            r#"<!doctype html><div class="error">the room does not exist</div>"#.to_owned(),
        ),
        "/busy" => (
            "200 OK",
            "<!doctype html><script>setTimeout(() => { for (;;); }, 3000)</script>busy".to_owned(),
        ),
        "/hang" => {
            // Never answered; the browser's time-out or its end closes the connection.
            let mut end = String::new();
            reader.read_line(&mut end)?;
            return Ok(());
        }
        _ => ("404 Not Found", "nothing here".to_owned()),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
