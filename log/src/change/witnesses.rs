//! Whether the witnesses of the policy know a shard that is about to open: one that they do not know could not be published.
//!
//! What is asked is C2SP tlog-witness `add-checkpoint` with the shard's empty checkpoint, which anybody may read while it is
//! planned. A witness checks origin and key first, so it says whether it knows them; it learns nothing that binds it or the log.

use config::{Finding, LogConfig, ShardName};

use super::ChangeError;
use crate::log::Log;
use crate::merge::witness;

/// The witnesses that would not cosign a shard now.
pub(super) struct Strangers {
    /// Whether the others satisfy the policy.
    pub(super) enough: bool,
    /// One for each, with why.
    pub(super) findings: Vec<Finding>,
    names: Vec<String>,
    shard: String,
}

impl Strangers {
    fn none(shard: &ShardName) -> Self {
        Self {
            enough: true,
            findings: Vec::new(),
            names: Vec::new(),
            shard: shard.to_string(),
        }
    }

    /// Why it was done all the same, for the history.
    pub(super) fn forced(&self) -> String {
        let names = self.names.join(", ");
        format!("forced: witness {names} did not know shard {}", self.shard)
    }
}

impl Log {
    /// The witnesses of the next configuration's policy that do not know the shard that it opens.
    pub(super) async fn strangers(
        &self,
        next: &LogConfig,
        open: &ShardName,
    ) -> Result<Strangers, ChangeError> {
        let core = &self.core;
        // It was validated.
        let Ok(policy) = next.witnesses.policy() else {
            return Ok(Strangers::none(open));
        };
        if policy.is_none() {
            return Ok(Strangers::none(open));
        }
        let state = core.order.state();
        let answers = match core.shards.get(&state, open.as_str()) {
            Some(shard) => {
                let timeout = next.witnesses.timeout.duration();
                let asked = witness::know(core, &shard, &policy.witnesses, timeout).await;
                asked.map_err(|e| ChangeError::Conflict(e.to_string()))?
            }
            None => vec![
                Some("it has no key yet that a witness could know".to_owned());
                policy.witnesses.len()
            ],
        };
        let planned = state
            .shards
            .iter()
            .any(|at| at.identity.name == open.as_str());
        let hint = if planned {
            format!(
                "give its operator the key (`logctl shard show {open}`); `logctl shard rotate --force` opens the shard all the same, and it is not published until enough witnesses know it"
            )
        } else {
            format!(
                "plan the shard first (`logctl shard plan {open}`), give its key to the witnesses' operators, then rotate; `logctl shard rotate --force` does not wait for that"
            )
        };
        let mut found = Strangers {
            enough: policy.satisfied(|at| answers[at].is_none()),
            ..Strangers::none(open)
        };
        for (witness, why) in policy.witnesses.iter().zip(&answers) {
            let Some(why) = why else { continue };
            found.findings.push(Finding::new(
                "witness-does-not-know",
                format!(
                    "witness {} would not cosign shard {open}: {why}",
                    witness.name
                ),
                "/witnesses/policy",
                hint.clone(),
            ));
            found.names.push(witness.name.clone());
        }
        Ok(found)
    }
}
