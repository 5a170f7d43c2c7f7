//! Arrivals of the last seven days by second, tier and tenant, for simulations. Entries that were refused count as well.
//!
//! Each replica writes one row per minute in which entries arrived. Rows are bounded: a minute with very many tenants is kept as a whole
//! instead of by second, and if that is still too much, only the largest parts are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ingest::Ingest;
use crate::ledger::Ledger;
use qos::simulate::Arrival;
use qos::{Policy, TenantId, TierId};
use store::record;
use store::{Outcome, StoreError, Transaction};

/// How long arrivals are kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Parts of one row, and bytes, at most: it must fit into the store's value limit, also where a thousand tenants have long names.
const PARTS: usize = 1_000;
const BYTES: usize = 60 << 10;
/// Rows read or deleted at a time.
const SCAN_PAGE: usize = 256;

/// A row: names once, then parts of second in the minute, tier, tenant, entries, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Minute {
    names: Vec<String>,
    parts: Vec<(u8, u16, u16, u64, u64)>,
}

/// Second in its minute, tier, tenant.
type Class = (u8, TierId, TenantId);
/// Entries and bytes of each.
type Seen = BTreeMap<Class, (u64, u64)>;

/// Arrivals of the current minute, and of earlier ones that are not stored yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    minute: u64,
    /// The class of the last arrivals, and their sum: most arrivals have the same class as the one before.
    last: Option<(Class, (u64, u64))>,
    seen: Seen,
    /// Minutes that have ended.
    over: Vec<(u64, Seen)>,
}

impl Recorder {
    /// Counts an arrival, at this second since the Unix epoch.
    pub(crate) fn arrived(
        &mut self,
        second: u64,
        class: (TierId, TenantId),
        entries: u64,
        bytes: u64,
    ) {
        let minute = second / 60;
        if minute != self.minute {
            self.turn();
            self.minute = minute;
        }
        let key = ((second % 60) as u8, class.0, class.1);
        match &mut self.last {
            Some((last, sum)) if *last == key => *sum = (sum.0 + entries, sum.1 + bytes),
            last => {
                let before = last.replace((key, (entries, bytes)));
                self.note(before);
            }
        }
    }

    fn note(&mut self, seen: Option<(Class, (u64, u64))>) {
        if let Some((key, (entries, bytes))) = seen {
            let sum = self.seen.entry(key).or_default();
            *sum = (sum.0 + entries, sum.1 + bytes);
        }
    }

    /// Ends the minute. Minutes that nobody takes are bounded: the oldest are dropped.
    fn turn(&mut self) {
        let last = self.last.take();
        self.note(last);
        let seen = std::mem::take(&mut self.seen);
        if !seen.is_empty() {
            if self.over.len() >= 60 {
                self.over.remove(0);
            }
            self.over.push((self.minute, seen));
        }
    }

    /// Takes the minutes that ended before this one.
    fn take(&mut self, minute: u64) -> Vec<(u64, Seen)> {
        if self.minute < minute {
            self.turn();
        }
        std::mem::take(&mut self.over)
    }
}

/// A minute as its row, within its bounds: by second; else the whole minute; else the largest parts of that.
fn row(policy: &Policy, seen: Seen) -> Minute {
    let fits = |minute: &Minute| minute.parts.len() <= PARTS && record::json_size(minute) <= BYTES;
    let minute = in_names(policy, seen.iter());
    if fits(&minute) {
        return minute;
    }
    let mut whole = Seen::new();
    for ((_, tier, tenant), (entries, bytes)) in seen {
        let sum = whole.entry((0, tier, tenant)).or_default();
        *sum = (sum.0 + entries, sum.1 + bytes);
    }
    let mut parts: Vec<_> = whole.iter().collect();
    parts.sort_by_key(|(_, (entries, _))| std::cmp::Reverse(*entries));
    loop {
        let minute = in_names(policy, parts.iter().copied());
        if fits(&minute) {
            return minute;
        }
        parts.truncate(PARTS.min(parts.len() * 7 / 8));
    }
}

fn in_names<'a>(
    policy: &Policy,
    parts: impl Iterator<Item = (&'a Class, &'a (u64, u64))>,
) -> Minute {
    let mut minute = Minute::default();
    let mut numbers: HashMap<Arc<str>, u16> = HashMap::new();
    for ((second, tier, tenant), (entries, bytes)) in parts {
        let mut number = |name: &Arc<str>| {
            *numbers.entry(Arc::clone(name)).or_insert_with(|| {
                minute.names.push(name.to_string());
                u16::try_from(minute.names.len() - 1).unwrap_or(u16::MAX)
            })
        };
        let tier = number(&policy.tier(*tier).name);
        let tenant = number(&policy.tenants()[tenant.index()].name);
        minute.parts.push((*second, tier, tenant, *entries, *bytes));
    }
    minute
}

/// The arrivals of a row.
fn arrivals(number: u64, minute: &Minute) -> impl Iterator<Item = Arrival> + '_ {
    let names: Vec<Arc<str>> = minute.names.iter().map(|n| n.as_str().into()).collect();
    minute.parts.iter().filter_map(move |part| {
        let (second, tier, tenant, entries, bytes) = *part;
        Some(Arrival {
            second: number * 60 + u64::from(second),
            tier: Arc::clone(names.get(usize::from(tier))?),
            tenant: Arc::clone(names.get(usize::from(tenant))?),
            entries,
            bytes,
        })
    })
}

/// Writes the minutes that have ended and deletes rows that are too old, until the log ends.
pub(crate) async fn keep(ingest: Arc<Ingest>, replica: String) {
    loop {
        let left = 60_000 - ingest.ledger.clock.now().get() % 60_000;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(left)) => {}
            _ = ingest.ledger.halt.halted() => return,
        }
        if let Err(e) = write(&ingest, &replica).await {
            tracing::warn!(error = %e, log = ingest.ledger.name, "cannot keep the arrivals of the last minute");
        }
    }
}

pub(crate) async fn write(ingest: &Ingest, replica: &str) -> Result<(), StoreError> {
    let now = ingest.ledger.clock.now().get() / 60_000;
    let over = ingest.batcher.arrivals(|recorder| recorder.take(now));
    let (policy, keys) = (ingest.running.policy.load_full(), &ingest.ledger.keys);
    let mut transaction = Transaction::default();
    for (minute, seen) in over {
        transaction.puts.push((
            keys.arrivals_of(minute, replica),
            record::encode(&row(&policy, seen)),
        ));
    }
    // By a clock that is wrong, everything would be old.
    if ingest.ledger.clock.sound().is_ok() {
        let oldest = keys.arrivals_from(now.saturating_sub(KEPT.as_secs() / 60));
        let all = keys.arrivals();
        let old = ingest.ledger.store.scan(&all, &all, SCAN_PAGE).await?;
        let old = old.into_iter().map(|(key, _)| key);
        transaction.deletes = old.take_while(|key| *key < oldest).collect();
    }
    if transaction.puts.is_empty() && transaction.deletes.is_empty() {
        return Ok(());
    }
    match ingest.ledger.store.transact(transaction).await {
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        Outcome::Committed | Outcome::Refused => Ok(()),
    }
}

/// Arrivals since this duration ago, of all replicas, by second. Ends with the last full minute.
pub(crate) async fn read(ledger: &Ledger, since: Duration) -> Result<Vec<Arrival>, StoreError> {
    let keys = &ledger.keys;
    let first = (ledger.clock.now().get() / 1_000).saturating_sub(since.min(KEPT).as_secs());
    let (all, mut from) = (keys.arrivals(), keys.arrivals_from(first / 60));
    let mut found = Vec::new();
    loop {
        let page = ledger.store.scan(&all, &from, SCAN_PAGE).await?;
        let full = page.len() == SCAN_PAGE;
        for (key, bytes) in page {
            let number = key[all.len()..].split('/').next();
            let number = number.and_then(|n| n.parse::<u64>().ok());
            match (number, record::decode::<Minute>(&bytes)) {
                (Some(number), Ok(minute)) => found.extend(arrivals(number, &minute)),
                _ => tracing::warn!(key, "a row of arrivals is not understood; it is left out"),
            }
            from = format!("{key}\0");
        }
        if !full {
            found.retain(|a| a.second >= first);
            found.sort_by_key(|a| a.second);
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qos::Names;

    #[test]
    fn what_came_comes_back_from_its_row_and_rows_are_bounded() {
        let policy = Policy::new(
            &logconfig::QosConfig::default(),
            Duration::ZERO,
            &mut Names::default(),
        );
        let mut recorder = Recorder::default();
        for second in 600..660 {
            for _ in 0..3 {
                recorder.arrived(second, (TierId(1), TenantId(0)), 1, 100);
                recorder.arrived(second, (TierId(3), TenantId(1)), 500, 50_000);
            }
        }
        assert!(recorder.take(10).is_empty(), "the minute runs");
        let mut over = recorder.take(11);
        let (number, seen) = over.pop().unwrap();
        assert!(over.is_empty() && recorder.take(12).is_empty());
        let bytes = record::encode(&row(&policy, seen));
        assert!(bytes.len() < 64 << 10);
        let minute: Minute = record::decode(&bytes).unwrap();
        let back: Vec<_> = arrivals(number, &minute).collect();
        assert_eq!(back.len(), 120);
        assert!(back.iter().all(|a| (600..660).contains(&a.second)));
        let bulk: u64 = back
            .iter()
            .filter(|a| &*a.tier == "bulk" && &*a.tenant == "operator")
            .map(|a| a.entries)
            .sum();
        assert_eq!(bulk, 60 * 3 * 500);
        // A minute with very many parts is kept as a whole, with its largest parts.
        let many: Seen = (0..60u8)
            .flat_map(|s| (0..2u16).map(move |t| ((s, TierId(t % 5), TenantId(t)), (1, 1 << 40))))
            .chain((0..2_000u16).map(|t| ((t as u8, TierId(t % 5), TenantId(t % 2)), (9, 9))))
            .collect();
        assert!(row(&policy, many).parts.len() <= PARTS);
        // So is one of a thousand tenants with long names.
        let mut qos = logconfig::QosConfig::default();
        let one = qos.tenants[0].clone();
        qos.tenants
            .extend((0..999).map(|n| logconfig::TenantConfig {
                name: format!("{n:a>63}").parse().unwrap(),
                anonymous: false,
                ..one.clone()
            }));
        let policy = Policy::new(&qos, Duration::ZERO, &mut Names::default());
        let many: Seen = (0..1_000u16)
            .map(|t| {
                (
                    (0, TierId(0), TenantId(t)),
                    (u64::MAX >> 12, u64::MAX >> 12),
                )
            })
            .collect();
        let row = row(&policy, many);
        assert!(row.parts.len() > 300, "{}", row.parts.len());
        assert!(record::encode(&row).len() <= 64 << 10);
    }
}
