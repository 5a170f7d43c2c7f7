//! Compares the peers' answers with the coordination store.

use tlog::{Checkpoint, CosignerKey, GlobalIndex, Note, TreeSize, UnixMillis};

use super::{Said, SignerAnswer};
use crate::position;
use crate::publish::sign_guard::SignGuard;
use crate::publish::sign_guard::judge::{
    Found, FoundAt, Known, Lives, Order, Verdict, judge, judge_order,
};
use crate::running::Running;
use crate::shard::{Shard, SignError};
use mirror::Settled;
use order::state::State;

impl SignGuard {
    /// What this life has settled for certain, because enough secondaries know of it. What only this server knows does not bind anybody yet.
    async fn settled(&self, state: &State) -> Result<Settled, SignError> {
        let eras = self.running.eras.load_full();
        let told = match eras.members().first() {
            Some(base) => self.running.told_up_to(base).await?.max(base.generation),
            None => state.generation,
        };
        Ok(self.life.stamp(state, told, 0).await?.settled)
    }
}

/// Compares the answers with what the coordination store says now.
pub(super) async fn compare(guard: &SignGuard, answers: &[SignerAnswer]) -> Result<(), SignError> {
    if answers
        .iter()
        .all(|(_, said)| said.as_ref().is_ok_and(Vec::is_empty))
    {
        return Ok(());
    }
    guard.ledger.refresh().await?;
    let (store, keys, state) = (
        &*guard.ledger.store,
        &guard.ledger.keys,
        guard.ledger.state(),
    );
    let life = guard.life.known().await?;
    let id = life.map_or(0, |life| life.id);
    let here = Order {
        life: id,
        settled: guard.settled(&state).await?,
        slots: state.len,
    };
    // Check first whether the log was restored elsewhere: otherwise entries of that life would look like more of this one.
    for (source, said) in answers {
        for said in said.iter().flatten() {
            if let Said::Order(found) = said {
                guard.enforce(judge_order(source, found, &here))?;
            }
        }
    }
    let mut later = Vec::new();
    for (source, said) in answers {
        let all = || said.iter().flatten();
        let heard = all().find_map(|said| match said {
            Said::Order(found) => Some(found.life),
            Said::Shard(..) => None,
        });
        for said in all() {
            let Said::Shard(shard, found) = said else {
                continue;
            };
            let at = guard.compared.listed(&state, &shard.name);
            let lives = match (life, source) {
                (Some(life), FoundAt::Secondary(name)) => {
                    // One that is planned would begin where the order ends.
                    let start = at.and_then(|at| at.start()).unwrap_or(state.size);
                    let entries = life.entries.tree(start);
                    Some(Lives {
                        id,
                        entries: (life.entries < GlobalIndex::new(u64::MAX)).then_some(entries),
                        heard,
                        verified: cosigned_at(&guard.running, name, shard).await?,
                    })
                }
                _ => None,
            };
            let published = position::published(store, keys, &shard.name).await?;
            let cut = position::integrated(store, keys, &shard.name).await?;
            // At the published size the row says it.
            let open = |size: &TreeSize| published.as_ref().is_none_or(|row| row.size != *size);
            let here = match (found.size().filter(open), cut) {
                (Some(size), Some(cut)) => {
                    let cut = (cut.size, cut.root);
                    guard.root_here(&shard.name, size, cut).await
                }
                _ => Ok(None),
            };
            let here = here.inspect_err(|error| {
                tracing::warn!(log = guard.ledger.name, %source, %error, "cannot be compared yet");
            });
            let unread = here.is_err();
            let known = Known {
                ordered: at.and_then(|at| state.length(at)).unwrap_or(TreeSize::ZERO),
                published: published.map(|row| (row.size, row.root)),
                here: here.unwrap_or(None),
                lives,
                whole: false,
            };
            let verdict = guard.enforce(judge(&shard.name, source, found, &known))?;
            let earlier = verdict == Verdict::Fits && matches!(found, Found::Copied { .. });
            if verdict == Verdict::Later || (unread && !earlier) {
                later.push((shard, source, found));
            }
        }
    }
    for (shard, source, found) in later {
        guard
            .compared
            .keep(&shard.name, source.clone(), found.clone());
    }
    Ok(())
}

/// When a secondary cosigned the newest checkpoint that this life of the log knows of, milliseconds since the Unix epoch, by its clock.
async fn cosigned_at(
    running: &Running,
    name: &str,
    shard: &Shard,
) -> Result<Option<UnixMillis>, SignError> {
    let held = running.held(&shard.name).await?;
    let held = held.into_iter().find(|held| held.secondary == name);
    let Some((vkey, verified)) = held.and_then(|held| Some((held.vkey, held.verified?))) else {
        return Ok(None);
    };
    let text = Checkpoint {
        origin: shard.identity.origin.clone(),
        size: verified.size.get(),
        root: verified.root,
        extensions: Vec::new(),
    }
    .to_text();
    let time = verified.cosignature.and_then(|line| {
        let note = format!("{text}\n{line}\n");
        let (note, key) = (Note::parse(&note).ok()?, vkey.parse::<CosignerKey>().ok()?);
        key.find(&note).ok()?
    });
    Ok(time
        .map(|at| at.time.saturating_mul(1000))
        .map(UnixMillis::new))
}
