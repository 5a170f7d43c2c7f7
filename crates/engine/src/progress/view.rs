//! A recent view of the merge: positions of every program and peer, lags, and what is missing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::nodes::NodeState;
use crate::program::{Program, Trouble};
use tlog::{GlobalIndex, TreeSize};

/// A secondary that is behind and did not move for longer does not count as live.
const STALLED: Duration = Duration::from_secs(60);

/// The positions of one shard, in entries of that shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPositions {
    /// The shard's name in the configuration.
    pub shard: String,
    /// Global index of its first entry.
    pub start: GlobalIndex,
    /// Entries that are decided and durable.
    pub ordered: TreeSize,
    /// Entries in the last cut.
    pub integrated: TreeSize,
    /// Entries under a signed checkpoint.
    pub published: TreeSize,
    /// Entries that each secondary has verified, by name.
    pub verified: BTreeMap<String, TreeSize>,
    /// Entries that each frontend has, by name.
    pub pushed: BTreeMap<String, TreeSize>,
}

/// A secondary or a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Its name in the configuration.
    pub name: String,
    /// The address in the configuration.
    pub url: String,
    /// For a secondary: the storage whose rows count.
    pub incarnation: Option<String>,
    /// Global index up to which it has everything; `None` while it has nothing of the shards that are read.
    pub position: Option<GlobalIndex>,
    /// Milliseconds since it last moved, while it is behind; 0 when it is not.
    pub lag: Duration,
    /// Why it is not reached from here.
    pub trouble: Option<String>,
    /// For a secondary: it saw, or showed, another root.
    pub alarm: Option<String>,
}

/// The state of the merge, as seen by this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeView {
    /// The newest shards, oldest first.
    pub shards: Vec<ShardPositions>,
    /// Positions as global indexes: ordered, integrated, published.
    pub positions: [GlobalIndex; 3],
    /// Global index up to which entries were published a second or two before: a live secondary has these.
    pub settled: GlobalIndex,
    /// Milliseconds since the publication last moved, while it is behind the order; 0 when it is not.
    pub lag: Duration,
    /// Secondaries that must have verified a size before it is published.
    pub quorum: u32,
    /// Storage nodes that must have a batch before it is announced.
    pub storage_quorum: u32,
    /// Verifier key of the replication key; only on request.
    pub replication_key: Option<String>,
    /// The programs that this process runs.
    pub programs: Vec<Program>,
    /// The programs that cannot continue, with their trouble.
    pub troubles: Vec<(Program, Trouble)>,
    /// The secondaries, in the order of the configuration.
    pub secondaries: Vec<PeerView>,
    /// The frontends, in the order of the configuration.
    pub frontends: Vec<PeerView>,
    /// Storage nodes, as this process finds them.
    pub nodes: BTreeMap<String, NodeState>,
    /// Witnesses that did not cosign the last time they were asked, and why.
    pub witnesses: Vec<(String, Option<String>)>,
}

impl PeerView {
    /// Why a secondary does not count for the quorum now; `None` when it is live. `settled` is what it must have.
    pub fn away(&self, settled: GlobalIndex) -> Option<String> {
        if let Some(alarm) = &self.alarm {
            return Some(format!("alarm: {alarm}"));
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        if self.incarnation.is_none() {
            return Some("has not been heard of under its key yet".to_owned());
        }
        let has = self.position.unwrap_or(GlobalIndex::ZERO);
        if has < settled {
            return Some(format!("still copies, {has} of {settled} entries"));
        }
        let seconds = self.lag.as_secs();
        (self.lag > STALLED).then(|| format!("behind, and did not move for {seconds} s"))
    }
}

impl MergeView {
    /// The secondaries that do not count for the quorum now, and why.
    pub fn away(&self) -> Vec<(&str, String)> {
        let away = |peer| -> Option<(&str, String)> {
            let peer: &PeerView = peer;
            Some((&peer.name, peer.away(self.settled)?))
        };
        self.secondaries.iter().filter_map(away).collect()
    }

    /// How many secondaries are live: known by their key, without an alarm, reached, and with all that was published a moment ago.
    pub fn live(&self) -> usize {
        self.secondaries.len() - self.away().len()
    }

    /// The reason why publication waits, if fewer secondaries are live than `merge.backupQuorum` requires, whether or not there is
    /// something to publish now.
    pub fn lacking(&self) -> Option<String> {
        let (quorum, away) = (self.quorum as usize, self.away());
        let live = self.secondaries.len() - away.len();
        (live < quorum).then(|| {
            let away: Vec<_> = away.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            format!(
                "publication waits for secondaries: {live} of the {quorum} that backupQuorum asks for are live ({})",
                away.join("; ")
            )
        })
    }

    /// Whether the view stays the same without new work: everything is published, now and at the previous update, and there are no peers
    /// and no trouble.
    pub(crate) fn is_at_rest(&self) -> bool {
        let published = self.positions[2];
        self.positions == [published; 3]
            && self.settled == published
            && self.secondaries.is_empty()
            && self.frontends.is_empty()
            && self.nodes.len() <= 1
            && self.witnesses.is_empty()
            && self.troubles.is_empty()
    }

    /// How many secondaries hold everything that is published.
    pub fn holding(&self) -> usize {
        let published = self.positions[2];
        let held = |peer: &&PeerView| peer.position.is_some_and(|at| at >= published);
        self.secondaries.iter().filter(held).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secondary_counts_while_it_is_known_reached_and_up_to_date() {
        let live = PeerView {
            name: "ams".to_owned(),
            incarnation: Some("6f1e".to_owned()),
            position: Some(GlobalIndex::new(90)),
            ..PeerView::default()
        };
        assert_eq!(live.away(GlobalIndex::new(90)), None);
        let other = |change: fn(&mut PeerView)| {
            let mut peer = live.clone();
            change(&mut peer);
            peer
        };
        let away = [
            other(|peer| peer.incarnation = None),
            other(|peer| peer.trouble = Some("connection refused".to_owned())),
            other(|peer| peer.alarm = Some("two roots at 7".to_owned())),
            other(|peer| peer.position = Some(GlobalIndex::new(89))),
            other(|peer| peer.position = None),
            other(|peer| peer.lag = STALLED + Duration::from_millis(1)),
        ];
        for peer in &away {
            assert!(peer.away(GlobalIndex::new(90)).is_some(), "{peer:?}");
        }
        // Behind the newest publication, but being copied.
        assert_eq!(
            other(|peer| peer.lag = Duration::from_millis(500)).away(GlobalIndex::new(80)),
            None
        );
        // A log that is empty.
        assert_eq!(
            other(|peer| peer.position = None).away(GlobalIndex::ZERO),
            None
        );
        let mut view = MergeView {
            quorum: 1,
            settled: GlobalIndex::new(90),
            secondaries: vec![live, away[1].clone()],
            ..MergeView::default()
        };
        assert_eq!((view.live(), view.lacking()), (1, None));
        view.quorum = 2;
        let lacking = view.lacking().unwrap();
        assert!(lacking.contains("1 of the 2"), "{lacking}");
        assert!(lacking.contains("ams: connection refused"), "{lacking}");
    }
}
