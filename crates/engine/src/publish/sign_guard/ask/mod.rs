//! Asks frontends, secondaries and witnesses what they hold of the shards that may still be signed. All are asked at once, and one
//! that does not answer in time delays nothing.

mod compare;
mod peers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use self::compare::compare;
use self::peers::{empties, frontend, manifest, secondary, witness};
use crate::backoff::Backoff;
use crate::publish::sign_guard::SignGuard;
use crate::publish::sign_guard::judge::{Found, FoundAt, Order};
use crate::shard::{Shard, SignError};
use mirror::Settled;
use order::state::Phase;
use store::StoreError;

/// How long all of them together may take.
const PEERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Pauses before the stores are asked again for what the answers are compared with.
const STORE_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(2),
};
/// How often they are asked: for two minutes, which a store takes to fail over.
const TRIES: u32 = 60;

enum Said {
    Shard(Arc<Shard>, Found),
    Order(Order),
}

type SignerAnswer = (FoundAt, Result<Vec<Said>, String>);

/// What the life has settled whose manifest a secondary has.
pub(crate) async fn settled_there(guard: &SignGuard, url: &str) -> Result<Settled, SignError> {
    let replication = guard.keyring.replication().await?.verifier();
    match manifest(guard, url, replication).await {
        Ok(Some(Said::Order(order))) => Ok(order.settled),
        Ok(_) => Ok(Settled::default()),
        Err(why) => Err(StoreError::Io(format!("its manifest: {why}")).into()),
    }
}

/// Asks all frontends, secondaries and witnesses about these shards, and the oldest planned one; then writes are taken and checkpoints signed.
pub(crate) async fn ask(guard: Arc<SignGuard>, open: Vec<String>) {
    if guard.health.halt.is_halted() {
        return;
    }
    let (mut pause, mut tries, mut answers) = (STORE_BACKOFF.first, 0, None);
    while let Err(e) = look(&guard, &open, &mut answers).await {
        tries += 1;
        if guard.health.halt.is_halted() {
            return;
        }
        // A key that can't be opened stays so, and until this log is compared or halted no other log of the store takes a write.
        if tries == TRIES || !matches!(e, SignError::Store(_)) {
            let remedy = match &e {
                SignError::Store(_) => "restart the server when the store answers",
                _ => "then restart the server",
            };
            guard.health.halt.halt(format!(
                "what others hold cannot be compared with the coordination store: {e}; {remedy}"
            ));
            return;
        }
        tracing::warn!(log = guard.ledger.name, error = %e, "cannot compare what others hold; trying again");
        tokio::time::sleep(pause).await;
        pause = STORE_BACKOFF.after(pause);
    }
    guard.compared.pass();
}

/// Asks all of them once, and compares their answers. A failure of this replica's stores is an error; a missing answer is not.
async fn look(
    guard: &SignGuard,
    open: &[String],
    answers: &mut Option<Vec<SignerAnswer>>,
) -> Result<(), SignError> {
    if answers.is_none() {
        // Under another key-encryption key nothing can be signed, so nothing is taken.
        if let Err(why) = guard.keyring.has_own_kek().await {
            if matches!(why, SignError::Sealed { .. }) {
                guard.health.halt.halt(why.to_string());
            }
            return Err(why);
        }
        *answers = Some(gather(guard, open).await?);
    }
    compare(guard, answers.as_deref().unwrap_or_default()).await
}

/// The answers that came in time.
async fn gather(guard: &SignGuard, open: &[String]) -> Result<Vec<SignerAnswer>, SignError> {
    let (state, config) = (guard.ledger.state(), guard.running.config());
    let planned = state.shards.iter().find(|at| at.phase == Phase::Planned);
    let names = open
        .iter()
        .map(String::as_str)
        .chain(planned.map(|at| &*at.identity.name));
    let shards: Vec<Arc<Shard>> = names
        .filter_map(|name| guard.shards.get(&state, name))
        .collect();
    if shards.is_empty() {
        return Ok(Vec::new());
    }
    let shards: Arc<[Arc<Shard>]> = shards.into();
    // Until a change is handed over, the earlier ones as well.
    let binding = guard.running.eras.load().secondaries();
    // It was validated.
    let policy = config.witnesses.policy().ok();
    // Without it nothing of what a secondary says could be checked.
    let replication = match &*binding {
        [] => None,
        _ => Some(guard.keyring.replication().await?.verifier()),
    };
    let witnesses = policy.iter().flat_map(|policy| &policy.witnesses);
    let witnesses: Vec<_> = witnesses.filter(|one| one.url.is_some()).collect();
    let empty: Arc<[_]> = match &*witnesses {
        [] => Arc::default(),
        _ => empties(guard, &shards).await?.into(),
    };
    let until = Instant::now() + PEERS_TIMEOUT;
    let mut asked: FuturesUnordered<BoxFuture<'_, SignerAnswer>> = FuturesUnordered::new();
    let mut silent = BTreeMap::new();
    for one in &config.merge.frontends {
        let source = FoundAt::Frontend(one.name.to_string());
        silent.insert(source.to_string(), ());
        let answer = frontend(&guard.running, one.clone(), Arc::clone(&shards), until);
        asked.push(Box::pin(async move { (source, answer.await) }));
    }
    for (one, key) in binding.iter().zip(replication.into_iter().cycle()) {
        let source = FoundAt::Secondary(one.name.to_string());
        silent.insert(source.to_string(), ());
        let answer = secondary(guard, one, key, Arc::clone(&shards), until);
        asked.push(Box::pin(async move { (source, answer.await) }));
    }
    for one in witnesses {
        let source = FoundAt::Witness(one.name.clone());
        silent.insert(source.to_string(), ());
        let answer = witness(guard, one, Arc::clone(&empty), until);
        asked.push(Box::pin(async move { (source, answer.await) }));
    }
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, asked.next()).await {
        silent.remove(&answer.0.to_string());
        if let Err(why) = &answer.1 {
            tracing::warn!(log = guard.ledger.name, source = %answer.0, why, "cannot be asked what it holds; starting without");
        }
        answers.push(answer);
    }
    for (source, ()) in silent {
        tracing::warn!(
            log = guard.ledger.name,
            source,
            "did not say in time what it holds; starting without"
        );
    }
    Ok(answers)
}

/// Compares with the order the manifest of a secondary that no longer takes this log's manifests.
pub(crate) async fn outdated(guard: &SignGuard, name: &str, url: &str) -> Result<(), SignError> {
    let replication = guard.keyring.replication().await?.verifier();
    let said = manifest(guard, url, replication).await;
    let said = said.inspect_err(|why| {
        tracing::warn!(
            log = guard.ledger.name,
            secondary = name,
            why,
            "its manifest is not looked at"
        );
    });
    let order = said.ok().flatten().map(|order| vec![order]);
    let source = FoundAt::Secondary(name.to_owned());
    compare(guard, &[(source, Ok(order.unwrap_or_default()))]).await
}
