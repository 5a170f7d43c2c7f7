//! The status of the merge: positions of every program and peer, lags, and what is missing.
//!
//! Computed once a second by [`watch`] for metrics, and on request. Shards that are whole everywhere do not change, so
//! only the last few are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::now_ms;
use crate::log::Log;
use crate::nodes::NodeState;
use crate::position;
use crate::program::{Program, Trouble};
use crate::publish::signing::Signing;
use store::StoreError;

/// Shards that are looked at, from the newest on.
const SHARDS: usize = 3;
/// Time between looks for the metrics.
const LOOK: Duration = Duration::from_secs(1);
/// A secondary that is behind and did not move for longer does not count as live, milliseconds.
const STALLED: u64 = 60_000;

/// The positions of one shard, in entries of that shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPositions {
    /// The shard's name in the configuration.
    pub shard: String,
    /// Global index of its first entry.
    pub start: u64,
    /// Entries that are decided and durable.
    pub ordered: u64,
    /// Entries in the last cut.
    pub integrated: u64,
    /// Under a signed checkpoint.
    pub published: u64,
    /// Entries that each secondary has verified, by name.
    pub verified: BTreeMap<String, u64>,
    /// Entries that each frontend has, by name.
    pub pushed: BTreeMap<String, u64>,
}

/// A secondary or a frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Its name in the configuration.
    pub name: String,
    /// The address in the configuration.
    pub url: String,
    /// Of a secondary: the storage whose rows count.
    pub incarnation: Option<String>,
    /// Global index up to which it has everything; none while it has nothing of the shards that are looked at.
    pub position: Option<u64>,
    /// Milliseconds since it last moved, while it is behind; 0 when it is not.
    pub lag_ms: u64,
    /// Why it is not reached from here.
    pub trouble: Option<String>,
    /// Of a secondary: it saw, or showed, another root.
    pub alarm: Option<String>,
}

/// The merge as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeView {
    /// The newest shards, oldest first.
    pub shards: Vec<ShardPositions>,
    /// Positions as global indexes: ordered, integrated, published.
    pub positions: [u64; 3],
    /// Global index up to which entries were published a second or two before: a live secondary has these.
    pub settled: u64,
    /// Milliseconds since the publication last moved, while it is behind the order; 0 when it is not.
    pub lag_ms: u64,
    /// Secondaries that must have verified a size before it is published.
    pub quorum: u32,
    /// Storage nodes that must have a batch before it is announced.
    pub storage_quorum: u32,
    /// Verifier key of the replication key; only on request.
    pub replication_key: Option<String>,
    /// The programs that this process runs.
    pub programs: Vec<Program>,
    /// What holds up which.
    pub troubles: Vec<(Program, Trouble)>,
    /// In the order of the configuration.
    pub secondaries: Vec<PeerView>,
    /// In the order of the configuration.
    pub frontends: Vec<PeerView>,
    /// Storage nodes, as this process finds them.
    pub nodes: BTreeMap<String, NodeState>,
    /// Witnesses that did not cosign the last time they were asked, and why.
    pub witnesses: Vec<(String, Option<String>)>,
}

impl PeerView {
    /// Why a secondary does not count for the quorum now; `None` when it is live. `settled` is what it must have.
    pub fn away(&self, settled: u64) -> Option<String> {
        if let Some(alarm) = &self.alarm {
            return Some(format!("alarm: {alarm}"));
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        if self.incarnation.is_none() {
            return Some("has not been heard of under its key yet".to_owned());
        }
        let has = self.position.unwrap_or(0);
        if has < settled {
            return Some(format!("still copies, {has} of {settled} entries"));
        }
        let seconds = self.lag_ms / 1000;
        (self.lag_ms > STALLED).then(|| format!("behind, and did not move for {seconds} s"))
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

    /// What publication waits for where fewer secondaries are live than `merge.backupQuorum` asks for, whether or not there is
    /// something to publish just now.
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

    /// Whether nothing in it changes by itself: everything is published, and was a look before; no peer, no trouble.
    fn is_at_rest(&self) -> bool {
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

/// Reads the positions of all programs and peers.
pub(crate) async fn look(signing: &Signing) -> Result<MergeView, StoreError> {
    let (store, keys, state) = (
        &*signing.ledger.store,
        &signing.ledger.keys,
        signing.ledger.state(),
    );
    let config = signing.running.config();
    let merge = &config.merge;
    let now = now_ms();
    let opened: Vec<_> = state
        .shards
        .iter()
        .filter(|at| at.start().is_some())
        .collect();
    let newest = &opened[opened.len().saturating_sub(SHARDS)..];
    let mut view = MergeView {
        quorum: merge.backup_quorum,
        storage_quorum: merge.storage.quorum,
        nodes: signing.objects.nodes.states(),
        ..MergeView::default()
    };
    let secondaries = signing.replicas.secondaries();
    for secondary in &merge.secondaries {
        let name = secondary.name.to_string();
        let known = secondaries.get(&name).cloned().unwrap_or_default();
        let live = position::live(store, keys, &name).await?;
        view.secondaries.push(PeerView {
            name,
            url: secondary.url.clone(),
            incarnation: live
                .filter(|l| l.vkey == secondary.vkey)
                .map(|l| l.incarnation),
            trouble: known.trouble,
            alarm: known.alarm,
            ..PeerView::default()
        });
    }
    let unreached: BTreeMap<_, _> = signing.unreached(Program::Distribute).into_iter().collect();
    for frontend in &merge.frontends {
        view.frontends.push(PeerView {
            name: frontend.name.to_string(),
            url: frontend.url.clone(),
            trouble: unreached.get(frontend.name.as_str()).cloned(),
            ..PeerView::default()
        });
    }
    let mut published_time = None;
    for at in newest {
        let shard = at.identity.name.clone();
        let start = at.start().unwrap_or_default();
        let published = position::published(store, keys, &shard).await?;
        let mut of = ShardPositions {
            start,
            ordered: state.length(at).unwrap_or_default(),
            published: published.as_ref().map_or(0, |row| row.size),
            ..ShardPositions::default()
        };
        published_time = published.map(|row| row.time).or(published_time);
        let cut = position::integrated(store, keys, &shard).await?;
        of.integrated = cut.map_or(0, |cut| cut.size);
        for peer in &mut view.secondaries {
            let Some(incarnation) = &peer.incarnation else {
                continue;
            };
            let row = position::verified(store, keys, &peer.name, incarnation, &shard).await?;
            if let Some(row) = row {
                of.verified.insert(peer.name.clone(), row.size);
                let behind = row.size < of.integrated;
                peer.position = Some(start + row.size);
                peer.lag_ms = if behind {
                    now.saturating_sub(row.time)
                } else {
                    0
                };
            }
        }
        for peer in &mut view.frontends {
            if let Some(row) = position::pushed(store, keys, &peer.name, &shard).await? {
                of.pushed.insert(peer.name.clone(), row.size);
                let behind = row.size < of.published;
                peer.position = Some(start + row.size);
                peer.lag_ms = if behind {
                    now.saturating_sub(row.time)
                } else {
                    0
                };
            }
        }
        let reached = |size| start + size;
        view.positions[0] = state.size;
        view.positions[1] = view.positions[1].max(reached(of.integrated));
        view.positions[2] = view.positions[2].max(reached(of.published));
        of.shard = shard;
        view.shards.push(of);
    }
    if view.positions[2] < view.positions[0] {
        view.lag_ms = published_time.map_or(0, |time| now.saturating_sub(time));
    }
    let has = |program: &Program| signing.progress.merge.programs.has(*program);
    view.programs = Program::ALL.into_iter().filter(has).collect();
    let trouble = |program| Some((program, signing.health.trouble_of(program)?));
    view.troubles = Program::ALL.into_iter().filter_map(trouble).collect();
    // A witness that the policy no longer names does not matter.
    let policy = signing.running.config().witnesses.policy();
    let named = |name: &str| {
        let policy = policy.as_ref();
        policy.is_ok_and(|policy| policy.witnesses.iter().any(|w| w.name == name))
    };
    view.witnesses = signing.replicas.witnesses(|all| {
        let all = all.iter().filter(|(name, _)| named(name));
        all.map(|(name, counts)| (name.clone(), counts.trouble.clone()))
            .collect()
    });
    Ok(view)
}

/// Keeps a view for the metrics, as long as the log lives. A log that has nothing to do, and nobody to do it with, is not looked at
/// again until a slot is decided: there may be thousands of them.
pub(crate) async fn watch(signing: Arc<Signing>) {
    let mut at_rest = None;
    loop {
        let now = (
            signing.ledger.state().len,
            signing.running.now.load().generation,
        );
        let troubled = || {
            Program::ALL
                .iter()
                .any(|p| signing.health.trouble_of(*p).is_some())
        };
        if at_rest == Some(now) && !troubled() {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match look(&signing).await {
            Ok(mut view) => {
                view.settled = signing.progress.view.load().positions[2];
                at_rest = view.is_at_rest().then_some(now);
                signing.progress.view.store(Arc::new(view));
            }
            Err(e) => {
                tracing::debug!(log = signing.ledger.name, error = %e, "cannot look at the merge")
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Log {
    /// The merge as it stands.
    pub async fn merge(&self) -> Result<MergeView, StoreError> {
        let mut view = self.merge_now().await?;
        match self.signing.replication().await {
            Ok(signer) => view.replication_key = Some(signer.verifier().to_string()),
            Err(e) => tracing::warn!(log = self.ledger.name, error = %e, "no replication key"),
        }
        Ok(view)
    }

    /// The merge as it stands, without what only people need.
    pub(crate) async fn merge_now(&self) -> Result<MergeView, StoreError> {
        let mut view = look(&self.signing).await?;
        view.settled = self.progress.view.load().settled;
        Ok(view)
    }

    /// The merge as it stood within the last seconds; no I/O.
    pub fn merge_seen(&self) -> Arc<MergeView> {
        self.progress.view.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promise::tests::Rig;
    use store::fault::Faults;

    /// What a witness failed with is remembered; one that the policy does not name any more is not shown.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_witness_that_was_taken_out_is_not_listed() {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        let failed = |name: &str| {
            log.signing.replicas.witness(name, |counts| {
                counts.trouble = Some("connection refused".to_owned());
            });
        };
        failed("gone");
        failed("here");
        let key = tlog::Cosigner::from_seed("here.example.org", &[7; 32]).unwrap();
        let mut document = log.config();
        document.witnesses.policy = format!("witness here {}\nquorum here\n", key.verifier());
        let running = crate::running::Current {
            generation: 9,
            document: Arc::new(document),
            etag: "g9-00000000".to_owned(),
        };
        log.running.now.store(Arc::new(running));
        let listed = log.merge_now().await.unwrap().witnesses;
        let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["here"]);
        engine.shutdown().await;
    }

    #[test]
    fn a_secondary_counts_while_it_is_known_reached_and_up_to_date() {
        let live = PeerView {
            name: "ams".to_owned(),
            incarnation: Some("6f1e".to_owned()),
            position: Some(90),
            ..PeerView::default()
        };
        assert_eq!(live.away(90), None);
        let other = |change: fn(&mut PeerView)| {
            let mut peer = live.clone();
            change(&mut peer);
            peer
        };
        let away = [
            other(|peer| peer.incarnation = None),
            other(|peer| peer.trouble = Some("connection refused".to_owned())),
            other(|peer| peer.alarm = Some("two roots at 7".to_owned())),
            other(|peer| peer.position = Some(89)),
            other(|peer| peer.position = None),
            other(|peer| peer.lag_ms = STALLED + 1),
        ];
        for peer in &away {
            assert!(peer.away(90).is_some(), "{peer:?}");
        }
        // Behind what was published just now, and on its way.
        assert_eq!(other(|peer| peer.lag_ms = 500).away(80), None);
        // A log that is empty.
        assert_eq!(other(|peer| peer.position = None).away(0), None);
        let mut view = MergeView {
            quorum: 1,
            settled: 90,
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
