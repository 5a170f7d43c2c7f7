//! The requirements for every driver, as tests that take a driver.
//!
//! `make` gives a fresh, empty store each time; `open` gives another handle on the same data each time. What must never happen: a check
//! holds only for the driver that it was written with.

mod coordination;
mod objects;

#[cfg(test)]
mod model;

use std::sync::Arc;

use bytes::Bytes;

use super::{Coordination, Guard, Outcome, StoreError, Transaction};

pub use coordination::{coordination, coordination_shared};
pub use objects::{objects, objects_shared};

/// A transaction in one expression.
fn transaction(guards: &[Guard], puts: &[(&str, &[u8])], deletes: &[&str]) -> Transaction {
    Transaction {
        guards: guards.to_vec(),
        puts: puts
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Bytes::copy_from_slice(value)))
            .collect(),
        deletes: deletes.iter().map(|key| (*key).to_owned()).collect(),
    }
}

async fn commit(
    store: &Arc<dyn Coordination>,
    guards: &[Guard],
    puts: &[(&str, &[u8])],
    deletes: &[&str],
) -> bool {
    match store.transact(transaction(guards, puts, deletes)).await {
        Outcome::Committed => true,
        Outcome::Refused => false,
        other => failed(&other),
    }
}

fn must<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| failed(&error))
}

#[expect(clippy::panic, reason = "this is a test suite")]
fn failed<T>(what: &dyn std::fmt::Debug) -> T {
    panic!("a healthy store answered {what:?}")
}
