//! Makes everything that a slot names durable before the slot: the document, and a sealed key for each new shard.

use std::collections::HashSet;

use ambient::Random;
use bytes::Bytes;
use logconfig::{Algorithm, LogConfig, ShardName, Written};
use tlog::Hash;

use crate::control::ChangeError;
use crate::document;
use crate::keyring::KeyRing;
use crate::ledger::Ledger;
use crate::objects::LogObjects;
use crate::orphans;
use crate::running::Running;
use crate::shard::keys::Kek;
use crate::shard::signers::{Signers, secrets};
use order::slot::ShardIdentity;
use store::{Outcome, StoreError, Transaction};

/// Whether a shard may be planned: nothing was ever signed under that name.
async fn vacant(
    ledger: &Ledger,
    objects: &LogObjects,
    name: &ShardName,
) -> Result<(), ChangeError> {
    let Some(orphan) = orphans::of_shard(&*objects.store, &ledger.name, name.as_str()).await?
    else {
        return Ok(());
    };
    // Another process may have opened it meanwhile; then this change comes too late, which its decision finds.
    ledger.refresh().await?;
    let state = ledger.state();
    let mut shards = state.shards.iter().map(|s| &s.identity);
    match (
        shards.clone().next(),
        shards.any(|s| s.name == name.as_str()),
    ) {
        (Some(first), false) => Err(ChangeError::Conflict(orphans::shard_occupied(
            &orphan, first,
        ))),
        _ => Ok(()),
    }
}

/// Makes the document and a sealed key for each new shard durable, before any slot names them. If the proposal loses, they are not shards
/// and may be deleted.
pub(crate) async fn prepare(
    running: &Running,
    keyring: &KeyRing,
    next: &LogConfig,
    written: &Written,
    plan: &[ShardName],
) -> Result<Vec<ShardIdentity>, ChangeError> {
    let keys = &running.ledger.keys;
    let random = &running.ledger.random;
    let mut taken: HashSet<u64> = running
        .ledger
        .state()
        .shards
        .iter()
        .map(|s| s.identity.tree_id)
        .collect();
    let (digest, stored) = (Hash(written.digest), written.stored.clone());
    // If it listed other frozen shards than the log has, it could not be put together again.
    document::check(&stored, &digest, &running.ledger.state())
        .map_err(|e| ChangeError::Conflict(format!("the document does not fit the log: {e}")))?;
    let mut puts = document::rows(keys, running.ledger.store.value_limit(), &digest, stored);
    if !plan.is_empty() {
        // A key that is sealed with another key-encryption key could not be opened anywhere.
        let own = keyring.has_own_kek().await;
        own.map_err(|reason| ChangeError::Halted {
            reason: reason.to_string(),
        })?;
    }
    let mut identities = Vec::with_capacity(plan.len());
    for name in plan {
        vacant(&running.ledger, &running.objects, name).await?;
        let kind = next.shard(name).map_or(next.key, |shard| shard.key);
        let tree_id = loop {
            let id = random.number().map_err(StoreError::from)? >> 1;
            if id > 0 && taken.insert(id) {
                break id;
            }
        };
        let (identity, sealed) =
            planned(next, name, kind.algorithm, tree_id, &keyring.kek, random)?;
        puts.push((keys.signing_key(tree_id), sealed));
        identities.push(identity);
    }
    match running
        .ledger
        .store
        .transact(Transaction {
            puts,
            ..Transaction::default()
        })
        .await
    {
        Outcome::Committed => Ok(identities),
        Outcome::Refused => Err(ChangeError::Store(StoreError::Io(
            "the store refused an unguarded write".into(),
        ))),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
    }
}

/// A new shard of a log, with its keys, and the sealed secrets of these.
pub(super) fn planned(
    next: &LogConfig,
    name: &ShardName,
    algorithm: Algorithm,
    tree_id: u64,
    kek: &Kek,
    random: &Random,
) -> Result<(ShardIdentity, Bytes), ChangeError> {
    let failed = |e: &dyn std::fmt::Display| ChangeError::Conflict(e.to_string());
    let ecdsa = algorithm == Algorithm::EcdsaP256;
    let secrets = secrets(ecdsa, |bytes| random.fill(bytes)).map_err(StoreError::from)?;
    let origin = next.shard_origin(name.as_str());
    let signers = Signers::open(&origin, &secrets).map_err(|e| failed(&e))?;
    let sealed = kek.seal_bytes(&secrets, &origin, random);
    let sealed = sealed.map_err(|e| failed(&e))?;
    let (vkey, ecdsa) = signers.vkeys();
    let identity = ShardIdentity {
        name: name.to_string(),
        origin,
        tree_id,
        vkey,
        ecdsa,
        imported: None,
    };
    Ok((identity, Bytes::from(sealed)))
}
