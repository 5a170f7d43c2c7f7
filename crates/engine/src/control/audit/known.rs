//! This process's memory of its operations.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tlog::GlobalIndex;

/// Operations whose audit index is remembered.
const REMEMBERED: usize = 1024;

/// The audit indexes of the newest operations' intents.
#[derive(Debug, Default)]
pub(super) struct Known {
    index: HashMap<String, GlobalIndex>,
    order: VecDeque<String>,
}

impl Known {
    pub(super) fn index(&self, operation: &str) -> Option<GlobalIndex> {
        self.index.get(operation).copied()
    }

    pub(super) fn remember(&mut self, operation: &str, index: GlobalIndex) {
        // The first intent stays: a repeated request is the same operation.
        if self.index.contains_key(operation) {
            return;
        }
        self.index.insert(operation.to_owned(), index);
        self.order.push_back(operation.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.index.remove(&oldest);
        }
    }
}

/// Operations of this process whose outcome is still to come, and how often each was asked for.
#[derive(Debug, Default)]
pub(in crate::control) struct UnderWay(Mutex<HashMap<String, usize>>);

/// An operation whose outcome is still to come.
pub(in crate::control) struct Begun<'a> {
    all: &'a UnderWay,
    operation: String,
}

impl UnderWay {
    /// Held from before the intent until after the outcome: meanwhile no other task settles the operation.
    pub(in crate::control) fn begin(&self, operation: &str) -> Begun<'_> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry(operation.to_owned()).or_default() += 1;
        Begun {
            all: self,
            operation: operation.to_owned(),
        }
    }

    pub(super) fn has(&self, operation: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.contains_key(operation)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.operation) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.operation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_operations_is_bounded_and_keeps_the_first_intent() {
        let mut known = Known::default();
        for at in 0..3 * REMEMBERED as u64 {
            known.remember(&format!("{at}"), GlobalIndex::new(at));
            known.remember(&format!("{at}"), GlobalIndex::new(at + 1));
        }
        assert_eq!(
            (known.index.len(), known.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        let last = 3 * REMEMBERED as u64 - 1;
        assert_eq!(known.index[&last.to_string()], GlobalIndex::new(last));
    }
}
