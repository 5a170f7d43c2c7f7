//! Changes of the configuration document: computed from the running one, checked, prepared, and decided.

use logconfig::{Difference, Finding, LogConfig, ShardName, ShardState};
use order::Generation;
use order::mutant::{Mutant, left_out};
use order::slot::{Action, Control, Decision};
use order::state::{Intake, Refusal, Shard};
use order::token::Token;
use tlog::Hash;

use crate::control::{Applied, Author, ChangeError, ChangeOutcome, Request, fits, intake, prepare};
use crate::leaving::taken_out;
use crate::ledger::CommitError;
use crate::log::Log;

/// How often a request without a base is tried again when the configuration moves under it.
const TRIES: usize = 8;

impl Log {
    /// The document that a request makes of the `running` one, and how they differ. `None`: it already runs. `before` is the
    /// document that a revert goes back to.
    fn plan(
        &self,
        request: &Request,
        running: &LogConfig,
        before: Option<&LogConfig>,
    ) -> Result<Option<(LogConfig, logconfig::DocumentChange)>, ChangeError> {
        let seconds = self.ledger.clock.now_seconds();
        let one = |finding: Finding| ChangeError::Invalid(vec![finding]);
        let next = match request {
            // A record of a key is no setting: a document that leaves it out does not take it back.
            Request::Configure { next, .. } | Request::OnProbation { next, .. } => {
                (**next).clone().keeping_announced(running)
            }
            // A job that is run again finds that its shard already exists.
            Request::Rotate {
                name: Some(name), ..
            }
            | Request::RotateAnnounced {
                name: Some(name), ..
            } if running.active().is_some_and(|shard| shard.name == *name) => {
                return Ok(None);
            }
            Request::PlanShard {
                name: Some(name), ..
            } if running
                .shard(name)
                .is_some_and(|shard| shard.state == ShardState::Planned) =>
            {
                return Ok(None);
            }
            Request::Announce {
                shard,
                key,
                seen_at,
                gone,
            } => return self.plan_announced(running, (shard, key), seen_at, *gone),
            Request::Rotate { name, .. } | Request::RotateAnnounced { name, .. } => {
                logconfig::with_rotation(running, name.clone(), seconds).map_err(one)?
            }
            Request::RotateOut { shard, .. } => {
                if running.active().is_none_or(|active| active.name != *shard) {
                    return Ok(None);
                }
                logconfig::with_rotation(running, None, seconds).map_err(one)?
            }
            Request::PlanShard { name, .. } => {
                logconfig::with_planned(running, name.clone(), seconds).map_err(one)?
            }
            Request::Revert { .. } => match before {
                Some(before) => logconfig::rolled_back(running, before),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if next.same_settings(running) && next.same_shards(running) {
            return Ok(None);
        }
        if request
            .base()
            .is_some_and(|base| base != generation(running))
        {
            return Err(self.stale(Vec::new()));
        }
        let change = logconfig::change(running, &next).map_err(ChangeError::Invalid)?;
        Ok((!change.differences.is_empty()).then_some((next, change)))
    }

    pub(super) fn stale(&self, differences: Vec<Difference>) -> ChangeError {
        let state = self.ledger.state();
        let last = state
            .operations
            .iter()
            .rev()
            .find(|o| o.generation == state.generation && o.base != o.generation);
        ChangeError::Stale {
            current_etag: self.running_etag(),
            changed_by: last.map(|o| o.actor.clone()),
            changed_at_ms: last.map(|o| o.time),
            differences,
        }
    }

    pub(super) async fn reconfigure(
        &self,
        request: &Request,
        operation: Token,
        digest: Hash,
        caller: &Author,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let base = request.base();
        let before = match request {
            Request::Revert { base, .. } => self.config_at(*base).await?.map(|(then, _)| then),
            _ => None,
        };
        let mut ended = false;
        for _ in 0..TRIES {
            let running = match request {
                // The shards in the document are compared with the known ones.
                Request::Configure { .. } | Request::OnProbation { .. } => self.config(),
                _ => self.document(),
            };
            let planned = match self.plan(request, &running, before.as_ref()) {
                Err(ChangeError::Stale { .. }) => {
                    return Err(self.stale(self.moved_since(base).await?));
                }
                other => other?,
            };
            let Some((next, change)) = planned else {
                return Ok(self.unchanged(operation, request.action()));
            };
            if let Request::Revert { operation: of, .. } = request
                && !self.is_to_be_reversed(*of).await?
            {
                return Ok(self.unchanged(operation, request.action()));
            }
            // Checked after the base was read: a reader that sees a change on probation also sees its row.
            let ends = self.probation_allows(request, &running, &next).await?;
            let (written, current) = (next.written(), generation(&running));
            let generation = current.next();
            let mut applied = Applied {
                operation: operation.to_string(),
                action: match request.action() {
                    Action::Configure if change.open.is_some() => Action::Rotate,
                    action => action,
                },
                outcome: ChangeOutcome::Planned,
                base_generation: current,
                generation,
                etag: written.etag(generation.get()),
                time_ms: None,
                at_index: None,
                differences: change.differences,
                checkpoint: None,
                warnings: Vec::new(),
            };
            let state = self.ledger.state();
            if state.deleted {
                return Err(ChangeError::Conflict(intake::deleted(&self.ledger.name)));
            }
            if matches!(state.intake, Intake::Frozen { .. }) {
                return Err(ChangeError::Conflict(intake::frozen(&self.ledger.name)));
            }
            if change.open.is_some() && !self.guard.life.may_sign().await? {
                return Err(ChangeError::Conflict(intake::restored(&self.ledger.name)));
            }
            let too_large = fits::document(&next, &written, &change.plan);
            if !too_large.is_empty() {
                return Err(ChangeError::Invalid(too_large));
            }
            let known = state.shards.iter().any(|s| s.identity.ecdsa.is_some());
            let before = self.running.config();
            let formats = &self.ingest.formats;
            if let Some(why) = formats.refuses(&next, Some(&before), known) {
                return Err(ChangeError::Conflict(why));
            }
            applied.warnings = self.warnings(request, &next).await?;
            let mut reason = both(caller.reason.clone(), request.reason());
            // A reversal needs no checks of other servers.
            if !matches!(request, Request::Revert { .. }) {
                let open = change.open.as_ref();
                let forced = matches!(request, Request::Rotate { force: true, .. });
                let unrecognised = self.unrecognised(&next, open, forced).await?;
                if unrecognised.stop && !forced {
                    return Err(ChangeError::Invalid(unrecognised.findings));
                }
                if let Some(open) = open.filter(|_| unrecognised.stop) {
                    reason = both(reason, Some(unrecognised.forced(open)));
                }
                applied.warnings.extend(unrecognised.findings);
                let unseen = open.and_then(|open| self.unseen(request, &running, &next, open));
                if let Some(finding) = unseen {
                    if !forced {
                        return Err(ChangeError::Invalid(vec![finding]));
                    }
                    reason = both(reason, Some(format!("forced: {}", finding.message)));
                    applied.warnings.push(finding);
                }
            }
            if dry {
                return Ok(applied);
            }
            let fresh = unknown(&change.plan, &state.shards);
            let identities =
                prepare(&self.running, &self.guard.keyring, &next, &written, &fresh).await?;
            let leaving = taken_out(&self.running.config(), &next);
            self.ledger.note_leaving(&leaving, current).await?;
            if let Some(probation) = ends.as_ref().filter(|_| !ended) {
                self.begin_early_end(probation, operation, digest).await?;
                ended = true;
            }
            if let Request::OnProbation {
                within_ms, from, ..
            } = request
            {
                let put = self.put_on_probation(operation, current, *within_ms, from);
                let put = put.await;
                if !left_out(Mutant::ProbationIsNotDurable) {
                    put?;
                }
            }
            let control = Control::Reconfigure {
                base: current,
                document: Hash(written.digest),
                plan: identities,
                open: change.open.map(|name| name.to_string()),
            };
            let decision = Decision {
                operation,
                request: digest,
                action: applied.action,
                actor: caller.actor.clone(),
                control,
                reason: reason.map(fits::reason),
            };
            match self.ingest.batcher.control(decision).await {
                Ok(placed) => {
                    if let Some(probation) = &ends {
                        self.end_early(probation, &applied.operation).await;
                    }
                    self.running
                        .update_running()
                        .await
                        .map_err(|_| ChangeError::Unknown {
                            operation: operation.to_string(),
                        })?;
                    applied.outcome = ChangeOutcome::Decided;
                    applied.time_ms = Some(placed.slot.time);
                    applied.at_index = Some(placed.start);
                    return Ok(applied);
                }
                Err(CommitError::Refused(Refusal::Stale { .. })) if base.is_none() => {
                    self.running.update_running().await?
                }
                Err(CommitError::Refused(Refusal::Stale { .. })) => {
                    self.running.update_running().await?;
                    return Err(self.stale(self.moved_since(base).await?));
                }
                Err(e) => return self.refused(e, operation).await,
            }
        }
        Err(self.stale(Vec::new()))
    }
}

fn generation(running: &LogConfig) -> Generation {
    Generation::new(running.generation.unwrap_or(0))
}

/// The shards that the order does not know. A shard that was planned before and taken back already has its origin and key.
fn unknown(plan: &[ShardName], shards: &[Shard]) -> Vec<ShardName> {
    let known = |name: &&ShardName| shards.iter().any(|s| s.identity.name == name.as_str());
    plan.iter().filter(|name| !known(name)).cloned().collect()
}

/// Joins the caller's reason and the engine's note.
pub(super) fn both(said: Option<String>, own: Option<String>) -> Option<String> {
    match (said, own) {
        (Some(said), Some(own)) => Some(format!("{said}; {own}")),
        (said, own) => said.or(own),
    }
}
