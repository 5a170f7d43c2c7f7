//! A coordination store as a value: rows, and transactions that apply in one step.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use store::record;
use store::{Guard, Transaction};

/// Rows by key; copied when written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rows(Arc<BTreeMap<Arc<str>, Bytes>>);

impl Rows {
    pub(super) fn get(&self, key: &str) -> Option<&Bytes> {
        self.0.get(key)
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.get(key)
            .map_or(0, |row| record::decode_number(row).unwrap())
    }

    /// Rows under a prefix, from a key on.
    pub(super) fn scan<'a>(
        &'a self,
        prefix: &str,
        from: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Bytes)> + use<'a> {
        let prefix = prefix.to_owned();
        let from = Bound::Included(prefix.as_str().max(from));
        self.0
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, row)| (&**key, row))
            .take_while(move |(key, _)| key.starts_with(&prefix))
    }

    pub(super) fn holds(&self, transaction: &Transaction) -> bool {
        transaction.guards.iter().all(|guard| match guard {
            Guard::Absent(key) => self.get(key).is_none(),
            Guard::Present(key) => self.get(key).is_some(),
            Guard::AtMost(key, most) => self.number(key) <= *most,
            Guard::NoneFrom(prefix, from) => self.scan(prefix, from).next().is_none(),
        })
    }

    /// Applies it, if its guards hold; says whether they did.
    pub(super) fn apply(&mut self, transaction: &Transaction) -> bool {
        let holds = self.holds(transaction);
        if holds {
            let rows = Arc::make_mut(&mut self.0);
            for key in &transaction.deletes {
                rows.remove(key.as_str());
            }
            // Looked up by people only.
            let kept = ["/history/", "/operation/", "/generation/"];
            for (key, row) in &transaction.puts {
                if !kept.iter().any(|part| key.contains(part)) {
                    rows.insert(key.as_str().into(), row.clone());
                }
            }
        }
        holds
    }
}
