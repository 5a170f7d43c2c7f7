//! The status of the merge: positions of every program and peer, lags, and what is missing.
//!
//! Computed once a second by [`watch`] for metrics, and on request. Shards that are whole everywhere do not change, so
//! only the last few are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::log::Log;
use crate::position;
use crate::program::Program;
use crate::progress::view::{MergeView, PeerView, ShardPositions};
use crate::publish::sign_guard::SignGuard;
use store::StoreError;
use tlog::TreeSize;

/// How many shards are read, from the newest on.
const SHARDS: usize = 3;
/// Time between updates for the metrics.
const VIEW_POLL: Duration = Duration::from_secs(1);

/// Reads the positions of all programs and peers.
pub(crate) async fn look(guard: &SignGuard) -> Result<MergeView, StoreError> {
    let (store, keys, state) = (
        &*guard.ledger.store,
        &guard.ledger.keys,
        guard.ledger.state(),
    );
    let config = guard.running.config();
    let merge = &config.merge;
    let now = guard.ledger.clock.now();
    let opened: Vec<_> = state
        .shards
        .iter()
        .filter(|at| at.start().is_some())
        .collect();
    let newest = &opened[opened.len().saturating_sub(SHARDS)..];
    let mut view = MergeView {
        quorum: merge.backup_quorum,
        storage_quorum: merge.storage.quorum,
        nodes: guard.objects.nodes.states(),
        ..MergeView::default()
    };
    let secondaries = guard.peers.secondaries();
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
    let unreached: BTreeMap<_, _> = guard
        .health
        .unreached(Program::Distribute)
        .into_iter()
        .collect();
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
            published: published.as_ref().map_or(TreeSize::ZERO, |row| row.size),
            ..ShardPositions::default()
        };
        published_time = published.map(|row| row.time).or(published_time);
        let cut = position::integrated(store, keys, &shard).await?;
        of.integrated = cut.map_or(TreeSize::ZERO, |cut| cut.size);
        for peer in &mut view.secondaries {
            let Some(incarnation) = &peer.incarnation else {
                continue;
            };
            let row = position::verified(store, keys, &peer.name, incarnation, &shard).await?;
            if let Some(row) = row {
                of.verified.insert(peer.name.clone(), row.size);
                let behind = row.size < of.integrated;
                peer.position = Some(start + row.size);
                peer.lag = if behind {
                    now.since(row.time)
                } else {
                    Duration::ZERO
                };
            }
        }
        for peer in &mut view.frontends {
            if let Some(row) = position::pushed(store, keys, &peer.name, &shard).await? {
                of.pushed.insert(peer.name.clone(), row.size);
                let behind = row.size < of.published;
                peer.position = Some(start + row.size);
                peer.lag = if behind {
                    now.since(row.time)
                } else {
                    Duration::ZERO
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
        view.lag = published_time.map_or(Duration::ZERO, |time| now.since(time));
    }
    let has = |program: &Program| guard.running.merge.programs.has(*program);
    view.programs = Program::ALL.into_iter().filter(has).collect();
    let trouble = |program| Some((program, guard.health.trouble_of(program)?));
    view.troubles = Program::ALL.into_iter().filter_map(trouble).collect();
    // A witness that the policy no longer names does not matter.
    let policy = guard.running.config().witnesses.policy();
    let named = |name: &str| {
        let policy = policy.as_ref();
        policy.is_ok_and(|policy| policy.witnesses.iter().any(|w| w.name == name))
    };
    view.witnesses = guard.peers.witnesses(|all| {
        let all = all.iter().filter(|(name, _)| named(name));
        all.map(|(name, counts)| (name.clone(), counts.trouble.clone()))
            .collect()
    });
    Ok(view)
}

/// Keeps a view for the metrics up to date, for as long as the log runs. An idle log without peers is not read again until a slot is
/// decided, because there may be thousands of them.
pub(crate) async fn watch(guard: Arc<SignGuard>) {
    let mut at_rest = None;
    loop {
        let now = (
            guard.ledger.state().len,
            guard.running.now.load().generation,
        );
        let troubled = || {
            Program::ALL
                .iter()
                .any(|p| guard.health.trouble_of(*p).is_some())
        };
        if at_rest == Some(now) && !troubled() {
            tokio::time::sleep(VIEW_POLL).await;
            continue;
        }
        match look(&guard).await {
            Ok(mut view) => {
                view.settled = guard.running.progress.view.load().positions[2];
                at_rest = view.is_at_rest().then_some(now);
                guard.running.progress.view.store(Arc::new(view));
            }
            Err(e) => {
                tracing::debug!(log = guard.ledger.name, error = %e, "cannot look at the merge")
            }
        }
        tokio::time::sleep(VIEW_POLL).await;
    }
}

impl Log {
    /// Reads the state of the merge.
    pub async fn merge(&self) -> Result<MergeView, StoreError> {
        let mut view = self.merge_now().await?;
        match self.guard.keyring.replication().await {
            Ok(signer) => view.replication_key = Some(signer.verifier().to_string()),
            Err(e) => tracing::warn!(log = self.ledger.name, error = %e, "no replication key"),
        }
        Ok(view)
    }

    /// The merge as it stands, without what only people need.
    pub(crate) async fn merge_now(&self) -> Result<MergeView, StoreError> {
        let mut view = look(&self.guard).await?;
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
    use crate::tests::rig::Rig;
    use order::Generation;
    use store::fault::Faults;

    /// The last failure of a witness is remembered; a witness that the policy no longer names is not shown.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_witness_that_was_taken_out_is_not_listed() {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        let failed = |name: &str| {
            log.guard.peers.witness(name, |counts| {
                counts.trouble = Some("connection refused".to_owned());
            });
        };
        failed("gone");
        failed("here");
        let key = tlog::Cosigner::from_seed("here.example.org", &[7; 32]).unwrap();
        let mut document = log.config();
        document.witnesses.policy = format!("witness here {}\nquorum here\n", key.verifier());
        let running = crate::running::Current {
            generation: Generation::new(9),
            document: Arc::new(document),
            etag: "g9-00000000".to_owned(),
        };
        log.running.now.store(Arc::new(running));
        let listed = log.merge_now().await.unwrap().witnesses;
        let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["here"]);
        engine.shutdown().await;
    }
}
