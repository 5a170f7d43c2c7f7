//! Checks that the servers needed to publish a new shard know it: the witnesses of the policy, and a quorum of the
//! secondaries.

use logconfig::{Finding, LogConfig, ShardName};

use crate::control::ChangeError;
use crate::control::preflight::probe;
use crate::log::Log;
use crate::program::Program;
use crate::shard::SignError;
use order::state::State;

/// The servers that would not accept a shard now.
#[derive(Default)]
pub(crate) struct Unrecognised {
    /// Whether too many do not know it, so that it would not be published.
    pub(crate) stop: bool,
    /// One finding for each server, with the reason.
    pub(crate) findings: Vec<Finding>,
    names: Vec<String>,
}

impl Unrecognised {
    /// The note for the history, that the change was made anyway.
    pub(crate) fn forced(&self, shard: &ShardName) -> String {
        let names = self.names.join(", ");
        format!("forced: {names} did not know shard {shard}")
    }

    /// The servers that refused, with their reasons.
    fn of<'a>(
        asked: impl Iterator<Item = (&'a str, Option<String>)>,
        (who, would, shard): (&str, &str, &ShardName),
        (code, at, hint): (&'static str, &str, &str),
    ) -> Self {
        let mut found = Self::default();
        for (name, why) in asked {
            let Some(why) = why else { continue };
            let name = format!("{who} {name}");
            let message = format!("{name} would not {would} shard {shard}: {why}");
            found.findings.push(Finding::new(code, message, at, hint));
            found.names.push(name);
        }
        found
    }
}

impl Log {
    /// Servers of the next configuration that do not know the shard that it opens, `forced` or not. For a new policy, those that do not
    /// know the active shard, which is only a warning.
    pub(crate) async fn unrecognised(
        &self,
        next: &LogConfig,
        open: Option<&ShardName>,
        forced: bool,
    ) -> Result<Unrecognised, ChangeError> {
        let state = self.ledger.state();
        let Some(open) = open else {
            let active = state.active();
            let changed = next.witnesses.policy != self.running.config().witnesses.policy;
            let Some(active) = active.filter(|_| changed) else {
                return Ok(Unrecognised::default());
            };
            let name = ShardName::try_from(active.identity.name.clone());
            let name = name.map_err(|e| ChangeError::Conflict(e.to_string()))?;
            let found = self
                .unrecognised_witnesses(next, &name, &state, forced)
                .await?;
            let stop = false;
            return Ok(Unrecognised { stop, ..found });
        };
        let (by_key, by_origin) = futures_util::future::join(
            self.unrecognised_witnesses(next, open, &state, forced),
            self.unrecognised_secondaries(next, open, forced),
        )
        .await;
        let (mut all, others) = (by_key?, by_origin?);
        all.stop |= others.stop;
        all.findings.extend(others.findings);
        all.names.extend(others.names);
        Ok(all)
    }

    /// Witnesses know a shard by its own key, so it has to be planned first.
    async fn unrecognised_witnesses(
        &self,
        next: &LogConfig,
        shard: &ShardName,
        state: &State,
        forced: bool,
    ) -> Result<Unrecognised, ChangeError> {
        // The policy was validated before.
        let policy = next.witnesses.policy().ok();
        let Some(policy) = policy.filter(|policy| !policy.is_none()) else {
            return Ok(Unrecognised::default());
        };
        let answers = match self.shards.get(state, shard.as_str()) {
            Some(shard) => {
                let timeout = next.witnesses.timeout.duration();
                let asked = probe::witnesses(&self.guard, &shard, &policy.witnesses, timeout).await;
                asked.map_err(unasked)?
            }
            None => vec![
                Some("it has no key yet that a witness could know".to_owned());
                policy.witnesses.len()
            ],
        };
        let stop = !policy.satisfied(|at| answers[at].is_none());
        let mut shards = state.shards.iter();
        let hint = match shards.find(|at| at.identity.name == shard.as_str()) {
            Some(at) if at.start().is_some() => format!(
                "give its operator the key (`logctl shard show {shard}`); nothing more is published until enough witnesses know it"
            ),
            _ if forced => format!(
                "give its operator the key (`logctl shard show {shard}`); the shard is not published until enough witnesses know it"
            ),
            Some(_) => format!(
                "give its operator the key (`logctl shard show {shard}`); `logctl shard rotate --force` opens the shard anyway, and it is not published until enough witnesses know it"
            ),
            None => format!(
                "plan the shard first (`logctl shard plan {shard}`), give its key to the witnesses' operators, then rotate; `logctl shard rotate --force` does not wait for that"
            ),
        };
        let names = policy.witnesses.iter().map(|witness| &*witness.name);
        let found = Unrecognised::of(
            names.zip(answers),
            ("witness", "cosign", shard),
            ("witness-does-not-know", "/witnesses/policy", &hint),
        );
        Ok(Unrecognised { stop, ..found })
    }

    /// Secondaries know the log by its replication key, and a third-party mirror perhaps knows each shard by its origin.
    async fn unrecognised_secondaries(
        &self,
        next: &LogConfig,
        shard: &ShardName,
        forced: bool,
    ) -> Result<Unrecognised, ChangeError> {
        let merge = &next.merge;
        // A server that does not copy to them need not reach them.
        if merge.backup_quorum == 0 || !self.running.merge.programs.has(Program::Replicate) {
            return Ok(Unrecognised::default());
        }
        let origin = next.shard_origin(shard.as_str());
        let asked = probe::secondaries(&self.guard, &origin, &merge.secondaries).await;
        let answers = asked.map_err(unasked)?;
        let known = answers.iter().filter(|why| why.is_none()).count();
        let (quorum, all) = (merge.backup_quorum, merge.secondaries.len());
        let anyway = match forced {
            true => "the shard is",
            false => "`logctl shard rotate --force` opens the shard anyway, and it is",
        };
        let hint = format!(
            "start it, or give its operator the origin {origin} and the replication key (`logctl merge status`); {anyway} not published until {quorum} of {all} secondaries have it"
        );
        let names = merge.secondaries.iter().map(|one| one.name.as_str());
        let found = Unrecognised::of(
            names.zip(answers),
            ("secondary", "copy", shard),
            ("secondary-does-not-know", "/merge/secondaries", &hint),
        );
        let stop = known < quorum as usize;
        Ok(Unrecognised { stop, ..found })
    }
}

fn unasked(error: SignError) -> ChangeError {
    ChangeError::Conflict(error.to_string())
}
