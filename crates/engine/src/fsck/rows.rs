//! Everything beside the slots in the coordination store: history, documents, sealed keys, announcements, batches.

use crate::fsck::large::{Found, Large, OpenNode};
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use tlog::{Hash, TreeSize};

use crate::control::Probation;
use crate::document;
use crate::fsck::positions::Positions;
use crate::fsck::slots::Order;
use crate::fsck::{Findings, LogReport, promises, remedy};
use crate::life::Life;
use crate::position::Storage;
use crate::running::eras::Membership;
use crate::shard::keys::LEN;
use crate::shard::signers::WITH_ECDSA;
use order::keys::{Keys, trailing_number};
use order::slot::{BatchRef, Control, ShardIdentity, Slot};
use order::state::{Phase, Shard};
use order::token::Token;
use order::{Generation, SlotNumber, batch};
use store::record;
use store::{Coordination, Key, Objects, StoreError};

/// Rows read at a time.
const SCAN_PAGE: usize = 512;

/// Version byte, nonce and tag of sealed secrets.
const SEALED: usize = 1 + 12 + 16;

/// All rows under a prefix; for prefixes that hold few.
pub(crate) async fn all(
    store: &dyn Coordination,
    prefix: &str,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let (mut rows, mut from) = (Vec::new(), prefix.to_owned());
    loop {
        let page = store.scan(prefix, &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        if let Some((last, _)) = page.last() {
            from = format!("{last}\0");
        }
        rows.extend(page);
        if !full {
            return Ok(rows);
        }
    }
}

pub(crate) async fn check(
    store: &dyn Coordination,
    (objects, nodes): (&dyn Objects, OpenNode<'_>),
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    history(store, order, findings).await?;
    secondaries(store, order, findings).await?;
    ages(store, order, findings).await?;
    sealed(store, order, findings).await?;
    documents(store, order, findings, report).await?;
    signing_keys(store, order, findings, report).await?;
    let waiting = promises::waiting(store, order, findings, report).await?;
    let mut large = Large::open(store, order, objects, nodes).await?;
    promises::check(store, &mut large, order, &waiting, findings).await?;
    let needed = batches(store, &mut large, order, positions, findings).await?;
    large.report(report);
    leftovers(store, objects, order, &waiting.tokens, &needed, report).await
}

/// Checks the rows that hold numbers: ages of slots and places, of batches, of changes on probation.
async fn ages(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let keys = &order.keys;
    let mut rows = all(store, &keys.marks()).await?;
    rows.extend(all(store, &keys.all_noted()).await?);
    rows.extend(all(store, &keys.probation_bases()).await?);
    let forgotten = keys.forgotten();
    if let Some(row) = store.get(&forgotten).await? {
        rows.push((forgotten, row));
    }
    for (key, row) in rows {
        if let Err(error) = record::decode_counted(&row) {
            findings.row(key, error, remedy::AGE);
        }
    }
    Ok(())
}

/// Checks the number of the oldest shards that a start skips: there are at least as many frozen ones.
async fn sealed(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let key = order.keys.sealed();
    let Some(row) = store.get(&key).await? else {
        return Ok(());
    };
    let frozen = |shard: &&Shard| matches!(shard.phase, Phase::Frozen { .. });
    let frozen = order.state.shards.iter().take_while(frozen).count() as u64;
    match record::decode_counted(&row) {
        // A running server may have sealed some since.
        Ok(sealed) if sealed <= frozen || !order.whole => {}
        Ok(sealed) => {
            let why = format!("says {sealed} shards are sealed, and {frozen} are frozen");
            findings.row(key, why, remedy::SEALED);
        }
        Err(error) => findings.row(key, error, remedy::SEALED),
    }
    Ok(())
}

/// Checks the history: decided controls outlive their slots.
async fn history(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let keys = &order.keys;
    for (key, bytes) in all(store, &keys.history()).await? {
        let slot = match record::decode::<Slot>(&bytes) {
            Ok(slot) => slot,
            Err(error) => {
                findings.row(key, error, remedy::ROW);
                continue;
            }
        };
        let Some(decision) = slot
            .control
            .as_ref()
            .filter(|_| keys.history_item(slot.number) == key)
        else {
            findings.row(
                key,
                format!("holds slot {}, which decided no control here", slot.number),
                remedy::ROW,
            );
            continue;
        };
        if order
            .slots
            .get(&slot.number)
            .is_some_and(|kept| **kept != slot)
        {
            findings.row(
                key,
                format!("is not what slot {} says", slot.number),
                remedy::CONFLICT,
            );
        }
        let operation = keys.operation(decision.operation);
        match store
            .get(&operation)
            .await?
            .as_deref()
            .map(record::decode_number)
        {
            Some(Ok(number)) if SlotNumber::new(number) == slot.number => {}
            Some(_) => findings.row(
                operation,
                format!("does not name slot {}, which decided it", slot.number),
                remedy::ROW,
            ),
            None => findings.row(operation, "missing", remedy::ROW),
        }
        if let Control::Reconfigure { base, .. } = &decision.control {
            // An older version did not keep this index; it is only read.
            let generation = keys.generation(base.next());
            let row = store.get(&generation).await?;
            if row.is_some_and(|row| record::decode_number(&row) != Ok(slot.number.get())) {
                findings.row(
                    generation,
                    format!("does not name slot {}, which decided it", slot.number),
                    remedy::ROW,
                );
            }
        }
    }
    for (key, bytes) in all(store, &keys.probations()).await? {
        if let Err(error) = record::decode_numbered::<Probation>(&bytes) {
            findings.row(key, error, remedy::ROW);
        }
    }
    for slot in order.slots.values().filter(|slot| slot.control.is_some()) {
        let key = keys.history_item(slot.number);
        if store.get(&key).await?.is_none() {
            findings.row(key, "missing", remedy::ROW);
        }
    }
    Ok(())
}

/// Checks the memberships that must hold the published entries, and the life of the log.
async fn secondaries(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let keys = &order.keys;
    for (key, most) in [
        (keys.handover(), order.state.generation.get()),
        (keys.announced(), u64::MAX),
    ] {
        let Some(row) = store.get(&key).await? else {
            continue;
        };
        match record::decode_numbered::<u64>(&row) {
            Ok((number, said)) if number == said && (1..=most).contains(&said) => {}
            Ok((_, said)) => findings.row(key, format!("says {said}"), remedy::ROW),
            Err(error) => findings.row(key, error, remedy::ROW),
        }
    }
    let (inherited, life) = (keys.inherited_together(), keys.life());
    let prefix = keys.inherited();
    for (key, row) in all(store, &prefix).await? {
        if let Err(error) = record::decode::<Membership>(&row) {
            findings.row(key, error, remedy::ROW);
        }
    }
    let prefix = keys.storages();
    for (key, row) in all(store, &prefix).await? {
        if let Err(error) = record::decode_numbered::<Storage>(&row) {
            findings.row(key, error, remedy::ROW);
        }
    }
    if let Some(row) = store.get(&inherited).await?
        && let Err(error) = record::decode::<Vec<Membership>>(&row)
    {
        findings.row(inherited, error, remedy::ROW);
    }
    if let Some(row) = store.get(&life).await?
        && let Err(error) = record::decode::<Life>(&row)
    {
        findings.row(life, error, remedy::ROW);
    }
    Ok(())
}

async fn documents(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    let keys = &order.keys;
    // With whether the state is no older: a running server may have frozen a shard since.
    let mut named: BTreeMap<Hash, bool> = BTreeMap::new();
    if order.state.generation > Generation::ZERO {
        named.insert(order.state.document, order.whole);
    }
    for (_, bytes) in all(store, &keys.history()).await? {
        let Ok(slot) = record::decode::<Slot>(&bytes) else {
            continue;
        };
        let covered = order.whole && slot.number < order.state.len;
        if let Some(Control::Reconfigure { document, .. }) = slot.control.map(|d| d.control) {
            *named.entry(document).or_default() |= covered;
        }
    }
    for (digest, covered) in &named {
        // The finding names the row, whichever part of it is wrong.
        let wrong = match document::read(store, keys, digest).await {
            // Its shards are not known for certain where the order could not be followed that far.
            Ok(stored) if *covered => document::whole(&stored, digest, &order.state).err(),
            Ok(_) => None,
            Err(StoreError::Corrupt(why)) => Some(why),
            Err(error) => return Err(error),
        };
        if let Some(wrong) = wrong {
            findings.row(keys.document(digest), wrong, remedy::ROW);
        }
    }
    let named: HashSet<String> = named.keys().map(Hash::to_string).collect();
    for prefix in [document_prefix(keys), keys.document_parts()] {
        let unnamed = |(key, _): &&(Key, Bytes)| {
            let digest = key[prefix.len()..].split('/').next();
            digest.is_none_or(|digest| !named.contains(digest))
        };
        let rows = all(store, &prefix).await?;
        report.leftovers.rows += rows.iter().filter(unnamed).count() as u64;
    }
    Ok(())
}

fn document_prefix(keys: &Keys) -> String {
    let any = keys.document(&Hash([0; 32]));
    any.rsplit_once('/')
        .map_or(any.clone(), |(folder, _)| format!("{folder}/"))
}

async fn signing_keys(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    let keys = &order.keys;
    let any = keys.signing_key(0);
    let prefix = any
        .rsplit_once('/')
        .map_or(any.clone(), |(folder, _)| format!("{folder}/"));
    let rows = all(store, &prefix).await?;
    let mut rows: HashMap<Key, Bytes> = rows.into_iter().collect();
    let of = |identity: &ShardIdentity| match identity.ecdsa {
        None => SEALED + LEN,
        Some(_) => SEALED + WITH_ECDSA,
    };
    for shard in order.state.shards.iter() {
        let key = keys.signing_key(shard.identity.tree_id);
        match rows.remove(&key) {
            Some(sealed) if sealed.len() == of(&shard.identity) && sealed[0] == 1 => {}
            Some(_) => findings.row(key, "is not a sealed key", remedy::KEY),
            // A closed shard needs only its public key.
            None if matches!(shard.phase, Phase::Frozen { .. }) => {}
            None => findings.row(
                key,
                format!("missing: shard {} cannot sign", shard.identity.name),
                remedy::KEY,
            ),
        }
    }
    report.leftovers.rows += rows.len() as u64;
    Ok(())
}

/// Checks that every ordered batch whose entries are not published yet exists and has the digest in its slot. Returns their tokens.
async fn batches(
    store: &dyn Coordination,
    large: &mut Large<'_>,
    order: &Order,
    positions: &Positions,
    findings: &mut Findings<'_>,
) -> Result<HashSet<Token>, StoreError> {
    let mut needed = HashSet::new();
    for slot in order.slots.values() {
        for (start, batch) in slot.placed() {
            let Some(shard) = order.state.shard_at(start) else {
                continue;
            };
            let end = (start + batch.entries).tree(shard.start().unwrap_or(start));
            if end <= positions.published(&shard.identity.name) {
                continue;
            }
            needed.insert(batch.token);
            let key = order.keys.batch(batch.token);
            let why = format!("slot {} orders it and it is not published", slot.number);
            if batch.object {
                if let Found::Nowhere(unread) = large.find(&key, batch, findings).await
                    && positions.now(store, order, &shard.identity.name).await? < end
                {
                    findings.object(key, large.missing(&unread, &why), remedy::ENTRIES);
                }
                continue;
            }
            let what = match store.get(&key).await {
                Ok(Some(bytes)) => batch_fault(batch, &bytes),
                // A running server may have published it and let it go since.
                Ok(None) if positions.now(store, order, &shard.identity.name).await? >= end => None,
                Ok(None) => Some(format!("missing, although {why}")),
                Err(error) => Some(error.to_string()),
            };
            if let Some(what) = what {
                findings.row(key, what, remedy::ENTRIES);
            }
        }
    }
    Ok(needed)
}

/// The fault in a batch's bytes, if any.
pub(crate) fn batch_fault(named: &BatchRef, bytes: &[u8]) -> Option<String> {
    if record::digest(bytes) != named.digest {
        return Some("its bytes are not those that were ordered".into());
    }
    let entries = match batch::entries(bytes) {
        Ok(entries) => entries.len() as u64,
        Err(torn) => return Some(torn.to_string()),
    };
    let whole = entries == named.entries;
    (!whole).then(|| format!("holds {entries} entries; its slot says {}", named.entries))
}

async fn leftovers(
    store: &dyn Coordination,
    objects: &dyn Objects,
    order: &Order,
    announced: &HashSet<Token>,
    needed: &HashSet<Token>,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    let used = |key: &str| {
        let token = key
            .rsplit('/')
            .next()
            .and_then(|token| token.parse::<Token>().ok());
        token.is_some_and(|token| announced.contains(&token) || needed.contains(&token))
    };
    // Values may be large, and there may be many: only the keys are kept.
    let (prefix, mut from) = (order.keys.batches(), order.keys.batches());
    loop {
        let page = store.scan(&prefix, &from, 64).await?;
        report.leftovers.batches += page.iter().filter(|(key, _)| !used(key)).count() as u64;
        match page.last() {
            Some((last, _)) if page.len() == 64 => from = format!("{last}\0"),
            _ => break,
        }
    }
    // An object that cannot be listed is reported when it is read.
    let large = objects
        .list(order.keys.batches().trim_end_matches('/'))
        .await
        .unwrap_or_default();
    report.leftovers.batches += large.iter().filter(|path| !used(path)).count() as u64;
    // Operations whose slot decided nothing of the kind.
    let any = order.keys.operation(Token::from_bytes([0; 16]));
    let prefix = any
        .rsplit_once('/')
        .map_or(any.clone(), |(folder, _)| format!("{folder}/"));
    for (_, bytes) in all(store, &prefix).await? {
        let number = record::decode_number(&bytes).ok();
        let named = match number {
            Some(number) => store
                .get(&order.keys.history_item(SlotNumber::new(number)))
                .await?
                .is_some(),
            None => false,
        };
        report.leftovers.rows += u64::from(!named);
    }
    Ok(())
}

/// The size in the key of a root.
pub(crate) fn root_size(key: &str) -> Option<TreeSize> {
    trailing_number(key).map(TreeSize::new)
}
