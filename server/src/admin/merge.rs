//! The merge of a log, in the words of the wire.

use std::time::Duration;

use engine::{MergeView, PeerView, Program, TroubleKind};
use server_admin::HostError;
use wire::{
    Diagnosis, MergeStatus, NodeStatus, PeerStatus, ProgramStatus, Severity, WitnessStatus,
};

use super::EngineHost;
use super::diagnose::found;
use logconfig::text::count;

/// A peer that is behind for longer is a finding.
const SLOW: Duration = Duration::from_secs(60);

/// The findings of `logctl doctor` about the merge: one line if all is well, else one for each fault.
pub(super) fn checks(view: &MergeView) -> Vec<Diagnosis> {
    let mut checks = Vec::new();
    let lacking = view.lacking();
    if let Some(why) = &lacking {
        let remedy = "bring the missing secondaries back (an empty one under the same name and key is enough); writes are accepted until max_pending is full. New secondaries, or a lower merge.backupQuorum, take effect once the old quorum has accepted the change; if the old ones are lost for good, run `logd hand-over`";
        checks.push(found("quorum", Severity::Critical, why.clone(), remedy));
    }
    for (program, trouble) in &view.troubles {
        let remedy = match (program, trouble.kind) {
            // Said above, in more words.
            (Program::Publish, TroubleKind::Waits) if lacking.is_some() => continue,
            (Program::Publish, TroubleKind::Waits) => {
                "see that the missing secondaries keep up: meanwhile writes are ordered until max_pending is full. New secondaries, or a lower merge.backupQuorum, take effect once the old quorum has accepted the change; if the old ones are lost for good, run `logd hand-over`"
            }
            _ => "look at the server's log; nothing that is ordered is lost meanwhile",
        };
        let measured = format!("{program}: {}", trouble.why);
        // Nothing waits for a secondary that the quorum does not need.
        let severity = match program {
            Program::Replicate if lacking.is_none() => Severity::Warning,
            _ => Severity::Critical,
        };
        checks.push(found("merge", severity, measured, remedy));
    }
    let up = view.nodes.values();
    let up = up.filter(|node| node.trouble.is_none() && !node.leaving);
    let up = up.count();
    for (name, node) in &view.nodes {
        let Some(why) = &node.trouble else { continue };
        let enough = up >= view.storage_quorum as usize;
        let severity = if enough {
            Severity::Warning
        } else {
            Severity::Critical
        };
        let measured = format!("{name}: {why}; {} objects missed", node.missed);
        let remedy = match node.leaving {
            true => {
                "bring it back until `logctl merge status` does not list it any more: it may have batches that are not published yet"
            }
            false => {
                "bring it back (it is repaired by itself), or take it out of merge.storage.nodes; below the quorum, large batches are refused"
            }
        };
        checks.push(found("storage-node", severity, measured, remedy));
    }
    for peer in &view.secondaries {
        if let Some(alarm) = &peer.alarm {
            let measured = format!("{}: {alarm}", peer.name);
            let remedy = "two roots for one size: keep both copies, run `logd fsck`, and find out which one differs from the order";
            checks.push(found("secondary", Severity::Critical, measured, remedy));
        } else if let Some(why) = behind(peer) {
            let remedy =
                "see that `logd secondary` runs there and is reachable; it catches up by itself";
            checks.push(found("secondary", Severity::Warning, why, remedy));
        }
    }
    for peer in &view.frontends {
        if let Some(why) = behind(peer) {
            let remedy = "see that the folder is there, allowed by logd.toml and not full; it catches up by itself";
            checks.push(found("frontend", Severity::Warning, why, remedy));
        }
    }
    if checks.is_empty() {
        let measured = format!(
            "all as it should be: {}, {}, {}",
            count(view.nodes.len() as u64, "storage node"),
            count(view.secondaries.len() as u64, "secondary"),
            count(view.frontends.len() as u64, "frontend")
        );
        checks.push(found("merge", Severity::Ok, measured, ""));
    }
    checks
}

fn behind(peer: &PeerView) -> Option<String> {
    if let Some(why) = &peer.trouble {
        return Some(format!("{}: {why}", peer.name));
    }
    let seconds = peer.lag.as_secs();
    (peer.lag > SLOW).then(|| format!("{}: behind, and did not move for {seconds} s", peer.name))
}

impl EngineHost {
    /// The merge of a log as it stands.
    pub(super) async fn merging(&self, log: &str) -> Result<MergeStatus, HostError> {
        let log = self.find(log)?;
        let view = log.merge().await;
        let view = view.map_err(|e| HostError::Unavailable(e.to_string()))?;
        let status = self.describe(&log);
        let (document, _) = log.configuration();
        let programs = Program::ALL.map(|program| ProgramStatus {
            program: program.to_string(),
            here: view.programs.contains(&program),
            trouble: view
                .troubles
                .iter()
                .find(|(of, _)| *of == program)
                .map(|(_, trouble)| trouble.why.clone()),
        });
        let named = document.merge.storage.nodes.iter();
        let leaving = view.nodes.iter().filter(|(_, state)| state.leaving);
        let names = named.map(|node| node.name.as_str());
        let names = names.chain(leaving.map(|(name, _)| name.as_str()));
        let nodes = names.map(|name| {
            let state = view.nodes.get(name).cloned().unwrap_or_default();
            NodeStatus {
                name: name.to_owned(),
                leaving: state.leaving,
                up: state.trouble.is_none(),
                missed: state.missed as u64,
                repaired: state.repaired,
                trouble: state.trouble,
            }
        });
        let now = jiff::Timestamp::now();
        Ok(MergeStatus {
            log: status.log,
            generation: status.generation,
            time: format!("{now:.3}"),
            watermarks: status.watermarks,
            lag_millis: millis(view.lag),
            backup_quorum: view.quorum,
            holding: u32::try_from(view.holding()).unwrap_or(u32::MAX),
            live: u32::try_from(view.live()).unwrap_or(u32::MAX),
            storage_quorum: view.storage_quorum,
            replication_key: view.replication_key,
            programs: programs.to_vec(),
            nodes: nodes.collect(),
            secondaries: view
                .secondaries
                .iter()
                .map(|of| PeerStatus {
                    away: of.away(view.settled),
                    ..peer(of)
                })
                .collect(),
            frontends: view.frontends.iter().map(peer).collect(),
            witnesses: view
                .witnesses
                .into_iter()
                .map(|(name, trouble)| WitnessStatus { name, trouble })
                .collect(),
        })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn peer(view: &PeerView) -> PeerStatus {
    PeerStatus {
        name: view.name.clone(),
        url: view.url.clone(),
        incarnation: view.incarnation.clone(),
        position: view.position,
        lag_millis: millis(view.lag),
        trouble: view.trouble.clone(),
        alarm: view.alarm.clone(),
        away: None,
    }
}

#[cfg(test)]
mod tests {
    use engine::{NodeState, Trouble};

    use super::*;

    #[test]
    fn each_thing_that_is_wrong_has_its_remedy() {
        let mut view = MergeView {
            storage_quorum: 2,
            ..MergeView::default()
        };
        for name in ["local", "b", "c"] {
            view.nodes.insert(name.to_owned(), NodeState::default());
        }
        assert_eq!(checks(&view).len(), 1);
        assert_eq!(checks(&view)[0].severity, Severity::Ok);
        let peer = |name: &str| PeerView {
            name: name.to_owned(),
            ..PeerView::default()
        };
        let alarmed = PeerView {
            alarm: Some("two roots".to_owned()),
            ..peer("ams")
        };
        let away = PeerView {
            trouble: Some("refused".to_owned()),
            ..peer("fra")
        };
        let slow = PeerView {
            lag: SLOW + Duration::from_millis(1),
            ..peer("lon")
        };
        view.secondaries = vec![alarmed, away.clone(), slow, peer("par")];
        view.frontends = vec![away];
        view.troubles = vec![
            (Program::Replicate, Trouble::new("secondary fra: refused")),
            (Program::Publish, Trouble::waits("1 of the 2")),
        ];
        let down = NodeState {
            trouble: Some("gone".to_owned()),
            ..NodeState::default()
        };
        view.nodes.insert("b".to_owned(), down.clone());
        let found = checks(&view);
        let grades: Vec<_> = found
            .iter()
            .map(|c| (c.check.as_str(), c.severity))
            .collect();
        use Severity::{Critical, Warning};
        let expected = [
            ("merge", Warning),
            ("merge", Critical),
            ("storage-node", Warning),
            ("secondary", Critical),
            ("secondary", Warning),
            ("secondary", Warning),
            ("frontend", Warning),
        ];
        assert_eq!(grades, expected);
        assert!(found.iter().all(|check| check.remedy.is_some()));
        view.nodes.insert("c".to_owned(), down);
        assert_eq!(checks(&view)[2].severity, Critical, "below the quorum");
        view.quorum = 3;
        let found = checks(&view);
        let grades: Vec<_> = found.iter().map(|c| (&*c.check, c.severity)).collect();
        assert_eq!(grades[..2], [("quorum", Critical), ("merge", Critical)]);
    }
}
