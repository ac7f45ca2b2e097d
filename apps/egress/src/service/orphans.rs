//! Recordings that an earlier worker left behind: their stories are finished and reported.

use super::{desk::Fact, story};
use crate::journal::{self, Open, Orphan};
use recording::{EgressId, Now, crash, info::EgressInfo};
use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::mpsc;
use wire::prost::Message;

/// How often a recorder that outlived its worker is looked after.
const LOOK: Duration = Duration::from_millis(250);

/// One whose end is known now.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) open: Open,
    pub(super) egress: EgressId,
    pub(super) info: EgressInfo,
}

/// Looks for them; each comes as a fact when its recorder has ended and its file is in its place.
pub(super) fn adopt(tmp: &Path, facts: &mpsc::Sender<Fact>) {
    for orphan in journal::orphans(tmp) {
        tracing::info!(egressID = %orphan.entry.egress_id, "an earlier worker left a recording behind");
        let facts = facts.clone();
        tokio::spawn(async move {
            while !orphan.open.recorder_has_ended() {
                tokio::time::sleep(LOOK).await;
            }
            let found = tokio::task::spawn_blocking(move || finish(orphan)).await;
            match found {
                Ok(found) => drop(facts.send(Fact::Orphan(Box::new(found))).await),
                Err(error) => tracing::error!(%error, "could not finish a left recording"),
            }
        });
    }
}

fn finish(orphan: Orphan) -> Found {
    let Orphan { open, entry } = orphan;
    let last = open
        .last_info()
        .and_then(|bytes| EgressInfo::decode(&*bytes).ok())
        .unwrap_or_default();
    let last = EgressInfo {
        egress_id: entry.egress_id.to_string(),
        ..last
    };
    let partial = entry.file.as_ref().and_then(story::save);
    let now = Now {
        mono: Instant::now(),
        wall: SystemTime::now(),
    };
    // What the recorder itself said last stays true: `orphaned` leaves terminal infos alone.
    let info = crash::orphaned(&last, now, partial.as_ref());
    open.keep_info(&info.encode_to_vec());
    Found {
        open,
        egress: entry.egress_id,
        info,
    }
}
