//! The durable queue: promised work on its way between `queue/…` and `bag/…`.
//!
//! What must never happen: promised work in no place, or ordered twice. So it moves in one transaction, which demands that it
//! still is where it was and that nobody has ordered it, and the slot's own transaction consumes it. That nobody has ordered it
//! is the absence of its placed row, which that transaction writes; the row stays for as long as a late copy of anything here
//! could still land, so no slot has to be read again.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::commit::Order;
use super::propose::alive;
use super::slot::{Announcement, Promised, Token, Work};
use crate::record;
use crate::store::{Guard, Outcome, StoreError, Transaction};

/// Rows read at a time.
const PAGE: usize = 256;

/// Promised work of one tenant in one tier that is not ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The earliest deadline, milliseconds since the Unix epoch.
    pub deadline: u64,
}

/// Promised announcements in the bag.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Those that count for the next slot.
    pub(crate) live: Vec<Promised>,
    /// Those that go back to the queue, with their rows.
    pub(crate) dead: Vec<(String, Promised)>,
}

impl Order {
    /// Puts promised work, with its batches, into the queue: it is durable when this is committed. Refused when the log is
    /// closing, or when slots since its birth were collected.
    pub(crate) async fn enqueue(&self, works: &[(Promised, Bytes)]) -> Outcome {
        let mut transaction = Transaction {
            guards: vec![Guard::Absent(self.keys.closing())],
            ..Transaction::default()
        };
        let mut objects = Vec::new();
        for (promised, bytes) in works {
            let token = promised.batch.token;
            transaction
                .guards
                .push(Guard::AtMost(self.keys.floor(), promised.birth));
            transaction
                .guards
                .push(Guard::Absent(self.keys.placed_promise(token)));
            let batch = (self.keys.batch(token), bytes.clone());
            if promised.batch.object {
                objects.push(batch);
            } else {
                transaction.puts.push(batch);
            }
            let row = record::encode(promised);
            transaction.puts.push((self.keys.queued(promised), row));
        }
        if !objects.is_empty()
            && let Err(e) = self.objects().put(objects).await
        {
            return Outcome::Failed(e);
        }
        self.store().transact(transaction).await
    }

    /// Moves work from the queue into the bag. Refused when any of it is no longer there.
    pub(crate) async fn release(&self, works: &[Promised]) -> Outcome {
        let seen = self.state().len;
        let mut transaction = Transaction {
            guards: vec![Guard::AtMost(self.keys.floor(), seen)],
            ..Transaction::default()
        };
        for promised in works {
            let (queued, token) = (self.keys.queued(promised), promised.batch.token);
            transaction.guards.push(Guard::Present(queued.clone()));
            transaction
                .guards
                .push(Guard::Absent(self.keys.placed_promise(token)));
            transaction.deletes.push(queued);
            let work = record::encode(&Work::Promised(promised.clone()));
            transaction
                .puts
                .push((self.keys.announcement(seen, token), work));
        }
        self.store().transact(transaction).await
    }

    /// A row of promised work, in the queue or in the bag: ordered, it goes; else, from the bag, it goes back to the queue.
    pub(crate) async fn settle_row(
        &self,
        key: &str,
        promised: &Promised,
    ) -> Result<(), StoreError> {
        let placed = self.keys.placed_promise(promised.batch.token);
        let queued = self.keys.queued(promised);
        let mut transaction = Transaction {
            guards: vec![Guard::Present(key.to_owned())],
            puts: Vec::new(),
            deletes: vec![key.to_owned()],
        };
        if self.store().get(&placed).await?.is_some() {
            transaction.guards.push(Guard::Present(placed));
        } else if key == queued {
            return Ok(());
        } else {
            transaction.guards.push(Guard::Absent(placed));
            transaction.puts.push((queued, record::encode(promised)));
        }
        match self.store().transact(transaction).await {
            // Refused: somebody else was first.
            Outcome::Committed | Outcome::Refused => Ok(()),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// The promised work in the bag.
    pub(crate) async fn announced(&self) -> Result<Announced, StoreError> {
        let mut found = Announced::default();
        let mut from = self.keys.bag();
        loop {
            let page = self.store().scan(&self.keys.bag(), &from, PAGE).await?;
            let full = page.len() == PAGE;
            for (key, bytes) in page {
                from = format!("{key}\0");
                let seen = key.rsplit('/').nth(1).and_then(|n| n.parse().ok());
                if let (Some(seen), Ok(Work::Promised(promised))) = (seen, record::decode(&bytes)) {
                    let work = Work::Promised(promised.clone());
                    let announcement = Announcement { seen, work };
                    // One that is ahead of what was read here is not dead.
                    if seen > self.state().len || self.look(|view| alive(view, &announcement)) {
                        found.live.push(promised);
                    } else {
                        found.dead.push((key, promised));
                    }
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }

    /// The rows of one tier, earliest deadline first, at most `limit`; and the name of the tier. `after`: the tier before.
    pub(crate) async fn next_tier(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<(String, Vec<Promised>)>, StoreError> {
        let prefix = self.keys.queue();
        // '0' is the character after '/': what follows all rows of that tier.
        let from = after.map_or(prefix.clone(), |tier| format!("{prefix}{tier}0"));
        let first = self.store().scan(&prefix, &from, 1).await?;
        let Some((key, _)) = first.first() else {
            return Ok(None);
        };
        let tier = key[prefix.len()..].split('/').next().unwrap_or_default();
        let rows = self
            .queued_from(&self.keys.queue_tier(tier), None, limit)
            .await?;
        Ok(Some((
            tier.to_owned(),
            rows.into_iter().map(|(_, p)| p).collect(),
        )))
    }

    /// Rows of the queue under a prefix, from a key on. Damaged ones are passed over, and named by `fsck`.
    async fn queued_from(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Promised)>, StoreError> {
        let rows = self
            .store()
            .scan(prefix, from.unwrap_or(prefix), limit)
            .await?;
        let mut works = Vec::with_capacity(rows.len());
        for (key, bytes) in rows {
            match record::decode::<Promised>(&bytes) {
                Ok(promised) if self.keys.queued(&promised) == key => works.push((key, promised)),
                _ => tracing::error!(key, "promised work is not understood; run `logd fsck`"),
            }
        }
        Ok(works)
    }

    /// All promised work that is not ordered, in the queue and in the bag, by tier and tenant.
    pub(crate) async fn waiting(&self) -> Result<BTreeMap<(String, String), Waiting>, StoreError> {
        let mut all: BTreeMap<(String, String), Waiting> = BTreeMap::new();
        let mut counted = std::collections::HashSet::new();
        let mut count = |p: &Promised| {
            // Work may move while this looks, and be seen in both places.
            if counted.insert(p.batch.token) {
                let sum = all.entry((p.tier.clone(), p.tenant.clone())).or_default();
                sum.deadline = if sum.entries == 0 {
                    p.deadline
                } else {
                    sum.deadline.min(p.deadline)
                };
                sum.entries += p.batch.entries;
                sum.bytes += p.bytes;
            }
        };
        let bag = self.announced().await?;
        bag.live
            .iter()
            .chain(bag.dead.iter().map(|(_, p)| p))
            .for_each(&mut count);
        let (prefix, mut from) = (self.keys.queue(), self.keys.queue());
        loop {
            let page = self.store().scan(&prefix, &from, PAGE).await?;
            let full = page.len() == PAGE;
            if let Some((last, _)) = page.last() {
                from = format!("{last}\0");
            }
            page.iter()
                .filter_map(|(_, bytes)| record::decode::<Promised>(bytes).ok())
                .for_each(|p| count(&p));
            if !full {
                break;
            }
        }
        // What was released after the look into the bag.
        let bag = self.announced().await?;
        bag.live
            .iter()
            .chain(bag.dead.iter().map(|(_, p)| p))
            .for_each(&mut count);
        Ok(all)
    }

    /// Decides the next slot with what is in the bag, so that released work needs no other writer. Committed or not: the
    /// slots tell.
    pub(crate) async fn help(&self) -> Result<(), StoreError> {
        self.refresh().await?;
        match self.propose_bag().await {
            Outcome::Committed | Outcome::Refused => self.refresh().await.map(drop),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }

    /// Whether one of the last slots ordered a token.
    pub(crate) fn has(&self, token: Token) -> bool {
        self.look(|view| view.find(token).is_some())
    }
}
