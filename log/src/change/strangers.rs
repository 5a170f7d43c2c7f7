//! Whether those without whom a shard can't be published know it: the witnesses of the policy, and a quorum of the secondaries.

use config::{Finding, LogConfig, ShardName};

use super::ChangeError;
use crate::log::Log;
use crate::merge::{Program, know};
use crate::order::state::State;
use crate::shard::SignError;

/// Those that would not take a shard now.
#[derive(Default)]
pub(super) struct Strangers {
    /// There are too many of them: it would not be published.
    pub(super) stop: bool,
    /// One for each, with why.
    pub(super) findings: Vec<Finding>,
    names: Vec<String>,
}

impl Strangers {
    /// Why it was done all the same, for the history.
    pub(super) fn forced(&self, shard: &ShardName) -> String {
        let names = self.names.join(", ");
        format!("forced: {names} did not know shard {shard}")
    }

    fn push(&mut self, name: String, code: &'static str, what: &str, at: &str, hint: String) {
        let message = format!("{name} would not {what}");
        self.findings.push(Finding::new(code, message, at, hint));
        self.names.push(name);
    }
}

impl Log {
    /// Those of the next configuration that do not know the shard that it opens.
    pub(super) async fn strangers(
        &self,
        next: &LogConfig,
        open: &ShardName,
    ) -> Result<Strangers, ChangeError> {
        let state = self.core.order.state();
        let (by_key, by_origin) = futures_util::future::join(
            self.strange_witnesses(next, open, &state),
            self.strange_secondaries(next, open),
        )
        .await;
        let (mut all, others) = (by_key?, by_origin?);
        all.stop |= others.stop;
        all.findings.extend(others.findings);
        all.names.extend(others.names);
        Ok(all)
    }

    /// Witnesses know a shard by its own key, so it has to be planned first.
    pub(super) async fn strange_witnesses(
        &self,
        next: &LogConfig,
        shard: &ShardName,
        state: &State,
    ) -> Result<Strangers, ChangeError> {
        let core = &self.core;
        let mut found = Strangers::default();
        // It was validated.
        let Ok(policy) = next.witnesses.policy() else {
            return Ok(found);
        };
        if policy.is_none() {
            return Ok(found);
        }
        let answers = match core.shards.get(state, shard.as_str()) {
            Some(shard) => {
                let timeout = next.witnesses.timeout.duration();
                let asked = know::witnesses(core, &shard, &policy.witnesses, timeout).await;
                asked.map_err(unasked)?
            }
            None => vec![
                Some("it has no key yet that a witness could know".to_owned());
                policy.witnesses.len()
            ],
        };
        found.stop = !policy.satisfied(|at| answers[at].is_none());
        let mut shards = state.shards.iter();
        let hint = match shards.find(|at| at.identity.name == shard.as_str()) {
            Some(at) if at.start().is_some() => format!(
                "give its operator the key (`logctl shard show {shard}`); nothing more is published until enough witnesses know it"
            ),
            Some(_) => format!(
                "give its operator the key (`logctl shard show {shard}`); `logctl shard rotate --force` opens the shard all the same, and it is not published until enough witnesses know it"
            ),
            None => format!(
                "plan the shard first (`logctl shard plan {shard}`), give its key to the witnesses' operators, then rotate; `logctl shard rotate --force` does not wait for that"
            ),
        };
        for (witness, why) in policy.witnesses.iter().zip(answers) {
            let Some(why) = why else { continue };
            found.push(
                format!("witness {}", witness.name),
                "witness-does-not-know",
                &format!("cosign shard {shard}: {why}"),
                "/witnesses/policy",
                hint.clone(),
            );
        }
        Ok(found)
    }

    /// Secondaries know the log by its replication key, and somebody else's mirror perhaps each shard by its origin.
    async fn strange_secondaries(
        &self,
        next: &LogConfig,
        shard: &ShardName,
    ) -> Result<Strangers, ChangeError> {
        let (merge, mut found) = (&next.merge, Strangers::default());
        // Who does not copy to them need not reach them.
        if merge.backup_quorum == 0 || !self.core.merge.programs.has(Program::Backup) {
            return Ok(found);
        }
        let origin = format!("{}/{shard}", next.origin);
        let asked = know::secondaries(&self.core, &origin, &merge.secondaries).await;
        let answers = asked.map_err(unasked)?;
        let known = answers.iter().filter(|why| why.is_none()).count();
        found.stop = known < merge.backup_quorum as usize;
        for (secondary, why) in merge.secondaries.iter().zip(answers) {
            let Some(why) = why else { continue };
            found.push(
                format!("secondary {}", secondary.name),
                "secondary-does-not-know",
                &format!("copy shard {shard}: {why}"),
                "/merge/secondaries",
                format!(
                    "start it, or give its operator the origin {origin} and the replication key (`logctl merge status`); `logctl shard rotate --force` opens the shard all the same, and it is not published until {} of {} secondaries have it",
                    merge.backup_quorum,
                    merge.secondaries.len()
                ),
            );
        }
        Ok(found)
    }
}

fn unasked(error: SignError) -> ChangeError {
    ChangeError::Conflict(error.to_string())
}
