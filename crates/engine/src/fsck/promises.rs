//! Promised work and places: every promise is in at least one place, and every place agrees with its slot.

use order::keys::announced_under;
use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::fsck::large::{Found, Large};
use crate::fsck::rows::{all, batch_fault};
use crate::fsck::slots::Order;
use crate::fsck::{Findings, LogReport, remedy};
use order::location::{Location, LocationRow};
use order::slot::BatchRef;
use order::token::Token;
use order::work::{Promised, Work};
use order::{Limits, SlotNumber};
use store::record;
use store::{Coordination, StoreError};
use tlog::{GlobalIndex, UnixMillis};

/// Rows read at a time, with values that may be large.
const SCAN_PAGE: usize = 64;

/// Waiting work, in the bag and in the queue.
#[derive(Debug, Default)]
pub(crate) struct UnorderedWork {
    /// Announcements that count, and promised work wherever it is.
    pub(crate) tokens: HashSet<Token>,
    promised: BTreeMap<Token, (String, Promised)>,
}

/// Reads bag and queue. Announcements that no longer count may be deleted, unless their work is promised; then it goes back to the queue.
pub(crate) async fn waiting(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
) -> Result<UnorderedWork, StoreError> {
    let ordered: HashSet<Token> = order
        .slots
        .values()
        .flat_map(|slot| slot.tokens().collect::<Vec<_>>())
        .collect();
    let mut waiting = UnorderedWork::default();
    // The queue twice: work that is moved meanwhile is seen in one of the places.
    queue(store, order, &ordered, &mut waiting, findings, report).await?;
    for (key, bytes) in all(store, &order.keys.bag()).await? {
        match (announced_under(&key), record::decode::<Work>(&bytes)) {
            (Some(seen), Ok(work)) if order.keys.announcement(seen, work.token()) == key => {
                let frozen = order.state.last_freeze.is_some_and(|freeze| seen <= freeze);
                let dead = frozen || seen + Limits::default().window < order.state.len;
                match work {
                    work if ordered.contains(&work.token()) => report.leftovers.announcements += 1,
                    Work::Promised(promised) => waiting.take(key, promised),
                    _ if dead => report.leftovers.announcements += 1,
                    work => drop(waiting.tokens.insert(work.token())),
                }
            }
            (_, Err(error)) => findings.row(key, error, remedy::BAG),
            _ => findings.row(key, "does not belong under this key", remedy::BAG),
        }
    }
    let mut again = LogReport::default();
    queue(store, order, &ordered, &mut waiting, findings, &mut again).await?;
    Ok(waiting)
}

async fn queue(
    store: &dyn Coordination,
    order: &Order,
    ordered: &HashSet<Token>,
    waiting: &mut UnorderedWork,
    findings: &mut Findings<'_>,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    for (key, bytes) in all(store, &order.keys.queue()).await? {
        match record::decode::<Promised>(&bytes) {
            Ok(promised) if order.keys.queued(&promised) != key => {
                findings.row(key, "does not belong under this key", remedy::ROW);
            }
            Ok(promised) if ordered.contains(&promised.batch.token) => {
                report.leftovers.announcements += 1;
            }
            Ok(promised) => waiting.take(key, promised),
            Err(error) => findings.row(key, error, remedy::ROW),
        }
    }
    Ok(())
}

impl UnorderedWork {
    fn take(&mut self, key: String, promised: Promised) {
        self.tokens.insert(promised.batch.token);
        self.promised.insert(promised.batch.token, (key, promised));
    }
}

/// Checks waiting work, and the places of ordered work.
pub(crate) async fn check(
    store: &dyn Coordination,
    large: &mut Large<'_>,
    order: &Order,
    waiting: &UnorderedWork,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    places(store, order, findings).await?;
    // The bytes of promised work are as durable as its row.
    for (token, (row, promised)) in &waiting.promised {
        if promised.batch.location != Some(Location::Promise) || !token.is_promised() {
            findings.row(row, "holds work that was never promised", remedy::ROW);
            continue;
        }
        let key = order.keys.batch(*token);
        let why = "its entries are promised";
        if promised.batch.object {
            if let Found::Nowhere(unread) = large.find(&key, &promised.batch, findings).await
                && !is_placed(store, order, *token).await?
            {
                findings.object(key, large.missing(&unread, why), remedy::ENTRIES);
            }
            continue;
        }
        let what = match store.get(&key).await {
            Ok(Some(bytes)) => batch_fault(&promised.batch, &bytes),
            // A running server has ordered, published and deleted it since.
            Ok(None) if is_placed(store, order, *token).await? => None,
            Ok(None) => Some(format!("missing, although {why}")),
            Err(error) => Some(error.to_string()),
        };
        if let Some(what) = what {
            findings.row(key, what, remedy::ENTRIES);
        }
    }
    nowhere(store, order, waiting, findings).await
}

async fn is_placed(
    store: &dyn Coordination,
    order: &Order,
    token: Token,
) -> Result<bool, StoreError> {
    let key = order.keys.placed_promise(token);
    Ok(store.get(&key).await?.is_some())
}

/// Promised batches that are neither in the queue nor in the bag nor ordered.
async fn nowhere(
    store: &dyn Coordination,
    order: &Order,
    waiting: &UnorderedWork,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let (prefix, mut from) = (order.keys.batches(), order.keys.batches());
    loop {
        let page = store.scan(&prefix, &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        for (key, _) in page {
            from = format!("{key}\0");
            let Some(token) = key[prefix.len()..].parse::<Token>().ok() else {
                continue;
            };
            if !token.is_promised() || waiting.tokens.contains(&token) {
                continue;
            }
            // Work that was promised since, or that moved during this check.
            let lost = !is_placed(store, order, token).await?
                && !holds(all(store, &order.keys.queue()).await?, token)
                && !holds(all(store, &order.keys.bag()).await?, token)
                && !holds(all(store, &order.keys.queue()).await?, token)
                && store.get(&key).await?.is_some()
                && !is_placed(store, order, token).await?;
            if lost {
                findings.row(
                    key,
                    "its entries were promised, but it is neither in the queue nor in the bag nor ordered",
                    remedy::ROW,
                );
            }
        }
        if !full {
            return Ok(());
        }
    }
}

fn holds(rows: Vec<(String, Bytes)>, token: Token) -> bool {
    let name = token.to_string();
    rows.iter().any(|(key, _)| key.ends_with(&name))
}

/// Each place in a kept slot must have its row, and each row must agree with its slot.
async fn places(
    store: &dyn Coordination,
    order: &Order,
    findings: &mut Findings<'_>,
) -> Result<(), StoreError> {
    let mut due: BTreeMap<String, LocationRow> = BTreeMap::new();
    for slot in order.slots.values() {
        for (index, batch) in slot.placed() {
            if let Some(place) = &batch.location {
                due.insert(
                    order.keys.placed(place, batch.token),
                    said(slot.number, slot.time, index, batch),
                );
            }
        }
    }
    let prefix = order.keys.all_placed();
    let mut from = prefix.clone();
    loop {
        let page = store.scan(&prefix, &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        for (key, bytes) in page {
            from = format!("{key}\0");
            let expected = due.remove(&key);
            match (record::decode::<LocationRow>(&bytes), expected) {
                (Err(error), _) => findings.row(key, error, remedy::ROW),
                (Ok(row), Some(expected)) if row != expected => findings.row(
                    key,
                    format!("is not what slot {} says", expected.slot),
                    remedy::CONFLICT,
                ),
                // The end of an upload, which no slot orders.
                (Ok(row), None) if row.is_end() && row.index <= order.state.size => {}
                (Ok(row), None) if order.slots.contains_key(&row.slot) => findings.row(
                    key,
                    format!("names slot {}, which has no such batch", row.slot),
                    remedy::CONFLICT,
                ),
                // Its slot is collected, or was decided a moment ago.
                (Ok(row), None)
                    if row.slot < order.state.len && row.index + row.entries > order.state.size =>
                {
                    findings.row(key, "is beyond the end of the log", remedy::CONFLICT);
                }
                (Ok(_), _) => {}
            }
        }
        if !full {
            break;
        }
    }
    for (key, row) in due {
        findings.row(
            key,
            format!("missing, although slot {} orders its batch", row.slot),
            remedy::ROW,
        );
    }
    Ok(())
}

fn said(slot: SlotNumber, time: UnixMillis, index: GlobalIndex, batch: &BatchRef) -> LocationRow {
    LocationRow {
        slot,
        index,
        entries: batch.entries,
        time,
        digest: batch.digest,
    }
}
