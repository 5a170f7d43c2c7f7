//! The time in which a drop that was interrupted may still delete objects.
//!
//! It begins when another run continues the drop. Until it has passed, nothing else is made of what is stored for that log.
//!
//! What must never happen: a log that loses objects to such a drop, or one that can't be made for longer, because a clock was ahead once.

use std::time::Duration;

use store::{Coordination, Guard, Outcome, StoreError, Transaction, record};
use tlog::UnixMillis;

use super::{Importing, row};

/// How long a run of a drop may stand still before a delete, once another run has continued the drop.
pub(in crate::control) const DROP_STANDSTILL: Duration = Duration::from_secs(600);

/// The seconds until no run of a drop that was continued can delete anything any more. A time after `now` is that of a clock that was ahead: then the
/// drop counts as continued now, and the row says so.
pub(in crate::control) async fn left(
    store: &dyn Coordination,
    log: &str,
    importing: &Importing,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let Some(continued) = importing.continued else {
        return Ok(0);
    };
    if continued > now {
        count_from(store, log, importing, now).await?;
    }
    let passed = now.get().saturating_sub(continued.get());
    Ok(DROP_STANDSTILL.as_secs().saturating_sub(passed / 1000))
}

async fn count_from(
    store: &dyn Coordination,
    log: &str,
    importing: &Importing,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let key = row(log);
    let next = Importing {
        continued: Some(now),
        ..importing.clone()
    };
    let transaction = Transaction {
        guards: vec![
            Guard::Present(key.clone()),
            Guard::AtMost(key.clone(), importing.edition),
        ],
        puts: vec![(key, record::encode_numbered(importing.edition + 1, &next))],
        ..Transaction::default()
    };
    match store.transact(transaction).await {
        // If another process has written the row, the next request reads that one.
        Outcome::Committed | Outcome::Refused => Ok(()),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

/// Why a log can't be made now.
pub(in crate::control) fn refusal(log: &str, seconds: u64) -> String {
    format!(
        "a drop of an import into the log {log} was interrupted, and what was interrupted may still delete objects: the log can be created in {seconds} s"
    )
}
