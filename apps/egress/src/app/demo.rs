//! `egress demo`: ten seconds of a page of our own, and what came out.

use super::{
    record::{self, Finished},
    runtime,
};
use crate::{cli::Demo, config::Loaded};
use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wire::livekit;

const PAGE: &str = include_str!("../../assets/demo.html");

/// Records the page.
///
/// # Errors
/// What kept it from starting.
pub fn run(loaded: Loaded, demo: &Demo) -> anyhow::Result<Finished> {
    record::quiet(&loaded)?;
    let path = std::env::current_dir()
        .context("the current directory")?
        .join(&demo.output)
        .display()
        .to_string();
    runtime()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/", listener.local_addr()?);
        tokio::spawn(serve(listener));
        let request = livekit::WebEgressRequest {
            url,
            file_outputs: vec![livekit::EncodedFileOutput {
                file_type: livekit::EncodedFileType::Mp4 as i32,
                filepath: path,
                disable_manifest: true,
                ..Default::default()
            }],
            ..Default::default()
        };
        record::record(loaded, request, Some(demo.duration)).await
    })
}

/// What it is made of: the default preset.
#[must_use]
pub fn codecs() -> &'static str {
    "H.264 Main 1280×720 at 30 frames/s, AAC-LC stereo at 44.1 kHz"
}

async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{PAGE}",
                PAGE.len()
            );
            // A browser that hangs up gets no page.
            if stream.read(&mut request).await.is_ok() {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
    }
}
