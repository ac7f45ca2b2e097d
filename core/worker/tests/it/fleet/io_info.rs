//! IOInfo: remembers who told what, has outages.

use recording::EgressId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use worker::Snapshot;

#[derive(Debug, Default)]
pub(super) struct IoInfo {
    /// From, to: nobody answers.
    pub(super) outages: Vec<(Duration, Duration)>,
    created: BTreeSet<EgressId>,
    /// Run (machine and child, in the snapshot's bytes) → what it told, in order.
    told: BTreeMap<Vec<u8>, Vec<Snapshot>>,
}

impl IoInfo {
    pub(super) fn is_down(&self, now: Duration) -> bool {
        self.outages
            .iter()
            .any(|(from, to)| *from <= now && now < *to)
    }

    pub(super) fn create(&mut self, egress: EgressId) {
        self.created.insert(egress);
    }

    pub(super) fn update(&mut self, egress: &EgressId, snapshot: Snapshot) {
        assert!(
            self.created.contains(egress),
            "{egress}: updated before created"
        );
        let told = self.told.entry(snapshot.bytes.to_vec()).or_default();
        if let Some(last) = told.last() {
            assert!(
                last.status <= snapshot.status,
                "{egress}: {last:?} → {snapshot:?}"
            );
            assert!(
                !last.terminal || *last == snapshot,
                "{egress}: something after the end: {last:?} → {snapshot:?}"
            );
            if *last == snapshot {
                return;
            }
        }
        told.push(snapshot);
    }

    /// Terminal states a run has told: repeated ones (lost answers) count once.
    pub(super) fn ends(&self, run: &[u8]) -> usize {
        self.told.get(run).map_or(0, |told| {
            told.iter().filter(|snapshot| snapshot.terminal).count()
        })
    }
}
