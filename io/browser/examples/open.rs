//! Opens a page, says where it can be looked at and what it costs, and closes it.
//!
//! `cargo run -p browser --example open -- <url> [seconds] [<width>x<height>] [sandbox]`

use browser::{Config, Event, Stage};
use recording::Secret;
use std::error::Error;
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("which url?")?;
    let seconds: u64 = args.next().map_or(Ok(10), |text| text.parse())?;
    let size = args.next().unwrap_or_else(|| "1280x720".to_owned());
    let (width, height) = size.split_once('x').ok_or("a size is <width>x<height>")?;

    let dir = tempfile::tempdir()?;
    let mut config = Config::new(Secret::new(url), dir.path().to_owned());
    (config.width, config.height) = (width.parse()?, height.parse()?);
    config.sandbox = args.next().as_deref() == Some("sandbox");
    let began = Instant::now();
    let (mut stage, mut events) = Stage::launch(config).await?;
    let staged = began.elapsed();
    let page = stage.navigate().await?;
    let loaded = began.elapsed();
    writeln!(
        stderr(),
        "display {} sound {:?}: staged after {staged:?}, loaded after {loaded:?}",
        stage.display(),
        stage.pulse(),
    )?;
    let end = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = events.recv() => match event {
                Some(Event::EndRecording) | None => break,
                Some(event) => writeln!(stderr(), "{event:?} at {:?}", began.elapsed())?,
            },
        }
    }
    let closing = Instant::now();
    page.close().await;
    stage.close().await;
    writeln!(stderr(), "closed within {:?}", closing.elapsed())?;
    Ok(())
}
