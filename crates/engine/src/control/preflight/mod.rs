//! Checks a change, before it is decided, against `logd.toml` and the other servers. A change that this server could never carry out is
//! refused; a fault that may be temporary is a warning.
//!
//! What must never happen: a refusal of the running configuration, or of a reversal.

pub(crate) mod probe;
mod unrecognised;
mod unseen;

use order::SlotNumber;

use logconfig::{Finding, LOCAL, LogConfig, MergeConfig, QosConfig, ShardConfig, ShardState};

use crate::control::{ChangeError, Request};
use crate::heart::replicas;
use crate::leaving::taken_out;
use crate::log::Log;
use crate::program::{MergeOptions, Program};
use crate::progress::view::MergeView;
use crate::running::eras::Membership;
use order::state::State;
use store::{Coordination, StoreError};
use tlog::TreeSize;

/// The next step where keys have to be announced that `logctl` cannot announce.
const REPORTED_BY_OTHERS: &str = "remove `rotate.requireAnnounced`, unless a job of your own reports the keys (`POST logs/NAME/announcements`); for Sigstore's clients, create a log with `originForm: host`";

impl Log {
    /// Warnings about `next`, which is otherwise sound; an error when it cannot work.
    pub(crate) async fn warnings(
        &self,
        request: &Request,
        next: &LogConfig,
    ) -> Result<Vec<Finding>, ChangeError> {
        let running = &self.running.now.load().document.merge;
        let not_permitted = not_permitted(&self.running.merge, Some(running), &next.merge).await;
        let mut warnings = match request {
            Request::Revert { .. } => not_permitted.findings,
            _ => not_permitted.judged(&*self.ledger.store).await?,
        };
        warnings.extend(quorums(running, &next.merge, &self.merge_now().await?));
        let nodes = taken_out(&self.running.config(), next);
        if !nodes.is_empty() {
            let promised = self
                .ledger
                .waits_on_nodes(SlotNumber::new(u64::MAX))
                .await?;
            warnings.extend(needed(&nodes, self.progress.pending.on_nodes(), promised));
        }
        warnings.extend(self.joint(next).await?);
        warnings.extend(unreachable(
            &self.running.now.load().document.qos,
            &next.qos,
        ));
        warnings.extend(empty(&self.ledger.state(), next));
        warnings.extend(unseen::unannounced(&self.ledger.state(), next));
        let document = &self.running.now.load().document;
        if !two_fronts(document) {
            warnings.extend(mixed(next));
        }
        if !document.requires_unusable_keys() {
            warnings.extend(unusable_keys(next));
        }
        if next.rekor.is_open() && !document.rekor.is_open() {
            warnings.extend(unverified(&self.ledger.state(), next));
        }
        Ok(warnings)
    }
}

/// Warns if a front opens on a shard that already has entries, which nobody has verified. Pure.
fn unverified(state: &State, next: &LogConfig) -> Option<Finding> {
    let active = state.active()?;
    let name = active.identity.name.as_str();
    let has = state.length(active).unwrap_or_default() > TreeSize::ZERO;
    let stays = next
        .active()
        .is_some_and(|shard| shard.name.as_str() == name);
    (has && stays).then(|| {
        let message = format!(
            "shard {name} has entries that did not come through a front: no signature of theirs was verified, and readers can't tell"
        );
        let hint = "rotate in the same change, or right after it, so that the front begins with a shard of its own";
        Finding::new("front-on-entries", message, "/rekor", hint)
    })
}

fn two_fronts(config: &LogConfig) -> bool {
    config.rekor.v1 && config.rekor.v2
}

/// Warns if both of Rekor's APIs are open on one log: a client that reads the whole log finds entries of the other API. Pure.
pub(crate) fn mixed(next: &LogConfig) -> Option<Finding> {
    two_fronts(next).then(|| {
        let message = "clients that read through one of Rekor's APIs fail on entries of the other: `rekor-cli get` and rekor-monitor do";
        Finding::new(
            "two-fronts",
            message,
            "/rekor",
            "signing and verifying works with both; if anybody reads the whole log, make one log for each API",
        )
    })
}

/// Warns of rotations that wait for keys which `logctl` cannot announce. Pure.
pub(crate) fn unusable_keys(next: &LogConfig) -> Option<Finding> {
    next.requires_unusable_keys().then(|| {
        let message = "a rotation will wait until the next key is reported as seen, but `logctl` cannot report it: the origins of this log have a path (`originForm: path`), and Sigstore's clients accept only host names";
        Finding::new(
            "unusable-keys",
            message,
            "/rotate/requireAnnounced",
            REPORTED_BY_OTHERS,
        )
    })
}

/// Warns if a shard is closed before any entry was written into it: usually the same rotation was requested twice. Pure.
fn empty(state: &State, next: &LogConfig) -> Option<Finding> {
    let active = state.active()?;
    let name = active.identity.name.as_str();
    let closes =
        |shard: &ShardConfig| shard.name.as_str() == name && shard.state == ShardState::Frozen;
    let at = next.shards.iter().position(closes)?;
    (state.length(active) == Some(TreeSize::ZERO)).then(|| {
        Finding::new(
            "empty-shard-closed",
            format!("shard {name}, which this closes for good, has no entries"),
            format!("/shards/{at}"),
            "if it was opened a moment ago by the same command, this rotation is not needed: `logctl config history` shows it",
        )
    })
}

/// Tiers that no writer would get any more, or new tiers that no writer gets. Pure.
fn unreachable(running: &QosConfig, next: &QosConfig) -> Vec<Finding> {
    let before = running.unreachable();
    let new = next.unreachable().into_iter();
    new.filter(|name| !before.contains(name))
        .map(|name| {
            let at = next.tiers.iter().position(|tier| tier.name == *name);
            Finding::new(
                "tier-without-writers",
                format!("no writer gets tier {name}: it has no `priority` to ask for it by, and is no tenant's first tier"),
                format!("/qos/tiers/{}", at.unwrap_or(0)),
                format!("give it one with `logctl qos set tier {name} --priority N`, or put it first in a tenant's `tiers`"),
            )
        })
        .collect()
}

/// Storage nodes that are taken out while they may have unpublished batches. Pure.
fn needed(leaving: &[String], batches: usize, promised: bool) -> Option<Finding> {
    // The server's own store stays where it is.
    let names = leaving.iter().map(String::as_str);
    let names: Vec<_> = names.filter(|name| *name != LOCAL).collect();
    if names.is_empty() || (batches == 0 && !promised) {
        return None;
    }
    let names = names.join(", ");
    let promised = if promised { ", and promised work" } else { "" };
    Some(Finding::new(
        "storage-node-needed",
        format!(
            "storage node {names} may have batches that are not published yet and that no other node has ({batches} are ordered{promised}): it is read from until they are published"
        ),
        "/merge/storage/nodes",
        format!(
            "leave {names} running, and in [nodes] of logd.toml, until `logctl merge status` does not list it any more"
        ),
    ))
}

impl Log {
    /// Warns if a change of the secondaries or of their quorum would wait for the old ones.
    async fn joint(&self, next: &LogConfig) -> Result<Option<Finding>, StoreError> {
        let eras = self.running.eras.load_full();
        let Some(now) = eras.members().last() else {
            return Ok(None);
        };
        let changed = Membership {
            quorum: next.merge.backup_quorum,
            secondaries: next.merge.secondaries.clone(),
            ..now.clone()
        };
        if changed.same(now) || now.quorum == 0 {
            return Ok(None);
        }
        let view = self.merge_now().await?;
        let mut away = Vec::new();
        for secondary in &now.secondaries {
            let name = secondary.name.as_str();
            let replaced = next.merge.secondaries.iter();
            let mut replaced = replaced.filter(|one| one.name == secondary.name);
            let why = if replaced.any(|one| one.vkey != secondary.vkey) {
                Some("gets another key, so it is another one".to_owned())
            } else {
                let seen = view.secondaries.iter().find(|peer| peer.name == name);
                seen.and_then(|peer| peer.away(view.settled))
            };
            away.extend(why.map(|why| format!("{name}: {why}")));
        }
        let (quorum, live) = (now.quorum as usize, now.secondaries.len() - away.len());
        Ok((live < quorum).then(|| {
            Finding::new(
                "change-not-handed-over",
                format!(
                    "entries that are ordered after this change are published only once {quorum} of the previous secondaries have a manifest that names it, but only {live} of {} are live ({}); without that, a restore from them alone would not notice missing entries",
                    now.secondaries.len(),
                    away.join("; ")
                ),
                "/merge/secondaries",
                "bring them back first (an empty one under the same name and key will do: it copies everything again), then make this change; if they are lost for good, make it and run `logd hand-over`",
            )
        }))
    }
}

/// The nodes and frontends that a configuration newly names but this process may not use.
pub(crate) struct NotPermitted {
    findings: Vec<Finding>,
    /// Whether this process would have to use them.
    ours: bool,
}

impl NotPermitted {
    /// Refuses if no other process could use them; with several processes, another one may be allowed to.
    pub(crate) async fn judged(
        self,
        store: &dyn Coordination,
    ) -> Result<Vec<Finding>, ChangeError> {
        if self.ours && replicas(store, None).await?.len() < 2 {
            return Err(ChangeError::Invalid(self.findings));
        }
        Ok(self.findings)
    }
}

/// Looks up the places that `next` names and `running` does not; opens and creates nothing.
pub(crate) async fn not_permitted(
    merge: &MergeOptions,
    running: Option<&MergeConfig>,
    next: &MergeConfig,
) -> NotPermitted {
    let mut findings = Vec::new();
    let mut ours = false;
    let known = |name: &str| {
        let mut nodes = running.iter().flat_map(|merge| &merge.storage.nodes);
        name == LOCAL || nodes.any(|node| node.name.as_str() == name)
    };
    for (at, node) in next.storage.nodes.iter().enumerate() {
        let name = node.name.as_str();
        if !known(name)
            && let Some(why) = merge.places.refuses_node(name)
        {
            findings.push(node_not_permitted(at, name, &why));
            ours |= merge.writes || merge.programs.has(Program::Integrate);
        }
    }
    let known = |frontend| running.is_some_and(|merge| merge.frontends.contains(frontend));
    for (at, frontend) in next.frontends.iter().enumerate() {
        if !known(frontend)
            && let Some(why) = merge.places.refuses_frontend(frontend).await
        {
            findings.push(frontend_not_permitted(at, frontend.name.as_str(), &why));
            ours |= merge.programs.has(Program::Distribute);
        }
    }
    NotPermitted { findings, ours }
}

fn node_not_permitted(at: usize, name: &str, why: &str) -> Finding {
    Finding::new(
        "storage-node-not-allowed",
        format!("storage node {name}: {why}"),
        format!("/merge/storage/nodes/{at}/name"),
        format!(
            "add [nodes.{name}] to logd.toml of every server of this log and restart it, then make this change"
        ),
    )
}

fn frontend_not_permitted(at: usize, name: &str, why: &str) -> Finding {
    Finding::new(
        "frontend-not-allowed",
        format!("frontend {name}: {why}"),
        format!("/merge/frontends/{at}/url"),
        "allow it in logd.toml of a server that runs `distribute` and restart that, then make this change",
    )
}

/// Quorums that the available nodes and secondaries do not reach now. Pure.
fn quorums(running: &MergeConfig, next: &MergeConfig, view: &MergeView) -> Vec<Finding> {
    let mut warnings = Vec::new();
    let mut away = Vec::new();
    for secondary in &next.secondaries {
        let name = secondary.name.as_str();
        let why = if running.secondaries.contains(secondary) {
            let seen = view.secondaries.iter().find(|peer| peer.name == name);
            seen.map_or(Some("not looked at yet".to_owned()), |peer| {
                peer.away(view.settled)
            })
        } else {
            Some("is new, and has verified nothing yet".to_owned())
        };
        away.extend(why.map(|why| format!("{name}: {why}")));
    }
    let (quorum, live) = (
        next.backup_quorum as usize,
        next.secondaries.len() - away.len(),
    );
    if live < quorum {
        let message = format!(
            "merge.backupQuorum is {quorum} and {live} of {} secondaries are live: nothing more is published until {} more are ({})",
            next.secondaries.len(),
            quorum - live,
            away.join("; ")
        );
        let hint = match live {
            0 => "wait until `logctl merge status` shows that they have everything, then raise the quorum".to_owned(),
            live => format!("wait until `logctl merge status` shows that they have everything, or choose at most {live}"),
        };
        warnings.push(Finding::new(
            "backup-quorum-not-live",
            message,
            "/merge/backupQuorum",
            hint,
        ));
    }
    let down = |name: &str| {
        let state = view.nodes.get(name)?;
        state.trouble.as_ref().map(|why| format!("{name}: {why}"))
    };
    let nodes = &next.storage.nodes;
    let down: Vec<_> = nodes
        .iter()
        .filter_map(|node| down(node.name.as_str()))
        .collect();
    let (quorum, up) = (next.storage.quorum as usize, nodes.len() - down.len());
    if up < quorum {
        let message = format!(
            "merge.storage.quorum is {quorum} and {up} of {} storage nodes are up: large batches are refused meanwhile ({})",
            nodes.len(),
            down.join("; ")
        );
        let hint = "bring them back, or choose a smaller quorum";
        warnings.push(Finding::new(
            "storage-quorum-not-up",
            message,
            "/merge/storage/quorum",
            hint,
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::NodeState;
    use crate::progress::view::PeerView;
    use tlog::GlobalIndex;

    fn merge(text: &str) -> MergeConfig {
        let text = format!(
            "apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: example.org/argon\nmerge: {text}\n"
        );
        logconfig::parse(&text).unwrap().merge
    }

    fn key(name: &str) -> String {
        let signer = tlog::Cosigner::from_seed(name, &[name.len() as u8; 32]).unwrap();
        signer.verifier().to_string()
    }

    #[test]
    fn a_tier_that_no_writer_gets_is_worth_a_word() {
        let qos = |text: &str| {
            let text = format!(
                "apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: example.org/argon\nqos: {text}\n"
            );
            logconfig::parse(&text).unwrap().qos
        };
        let of = |tier: &str, tiers: &str| {
            qos(&format!(
                "{{tiers: [{{name: live, priority: '0'}}, {tier}], tenants: [{{name: t, tiers: [{tiers}]}}]}}"
            ))
        };
        let running = of("{name: bulk, priority: '6'}", "live, bulk");
        let silent = of("{name: nightly}", "live, nightly");
        let [found] = &unreachable(&running, &silent)[..] else {
            panic!("one finding")
        };
        assert_eq!(
            (found.code, found.pointer.as_str()),
            ("tier-without-writers", "/qos/tiers/1")
        );
        for fine in [
            of("{name: nightly, priority: '5'}", "live, nightly"),
            of("{name: nightly}", "nightly, live"),
        ] {
            assert!(unreachable(&running, &fine).is_empty());
        }
        // Warnings about the running configuration were given when it began.
        assert!(unreachable(&silent, &silent).is_empty());
    }

    #[test]
    fn only_a_quorum_that_the_live_ones_do_not_reach_is_worth_a_word() {
        let two = |quorum: u32| {
            merge(&format!(
                "{{backupQuorum: {quorum}, secondaries: [{{name: ams, url: 'http://ams', vkey: '{}'}}, {{name: frankfurt, url: 'http://fra', vkey: '{}'}}]}}",
                key("ams"),
                key("frankfurt")
            ))
        };
        let peer = |name: &str, trouble: Option<&str>| PeerView {
            name: name.to_owned(),
            incarnation: Some("1".to_owned()),
            position: Some(GlobalIndex::new(9)),
            trouble: trouble.map(str::to_owned),
            ..PeerView::default()
        };
        let mut view = MergeView {
            settled: GlobalIndex::new(9),
            secondaries: vec![peer("ams", None), peer("frankfurt", Some("refused"))],
            ..MergeView::default()
        };
        let running = two(0);
        let words = |next: &MergeConfig, view: &MergeView| quorums(&running, next, view);
        assert_eq!(words(&two(1), &view), []);
        let found = words(&two(2), &view);
        assert_eq!((found.len(), found[0].code), (1, "backup-quorum-not-live"));
        assert_eq!(found[0].pointer, "/merge/backupQuorum");
        assert!(found[0].message.contains("1 of 2"), "{}", found[0].message);
        assert!(
            found[0].message.contains("frankfurt: refused"),
            "{}",
            found[0].message
        );
        assert!(!found[0].message.contains("ams"), "{}", found[0].message);
        view.secondaries[1].trouble = None;
        assert_eq!(words(&two(2), &view), []);
        // A secondary that this change adds has verified nothing, even if another one has the same name.
        let mut other = two(2);
        other.secondaries[0].vkey = key("another");
        assert!(words(&other, &view)[0].message.contains("ams: is new"));
        // The same for storage nodes.
        let nodes = merge("{storage: {quorum: 2, nodes: [{name: local}, {name: b}]}}");
        assert_eq!(words(&nodes, &view), []);
        let down = NodeState {
            trouble: Some("gone".to_owned()),
            ..NodeState::default()
        };
        view.nodes.insert("b".to_owned(), down);
        assert_eq!(words(&nodes, &view)[0].code, "storage-quorum-not-up");
    }
}
