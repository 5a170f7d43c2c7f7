//! Several servers on one folder, paused, killed, rotated and frozen under load: no writer is told a lie.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use tests::commits::{Plan, run};
use tests::skip::campaign;

use crate::Done;

#[test]
fn committers_under_abuse_tell_no_lie() -> Done {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let report = run(&Plan {
        writers: 12,
        servers: 3,
        duration: Duration::from_secs(campaign("TESTS_ABUSE", 10)),
        store_delay: Duration::from_millis(2),
        seed: campaign("TESTS_ABUSE_SEED", now.as_secs()),
    })?;
    ensure!(report.checked.acknowledged > 50, "{report:?}");
    ensure!(!report.trouble.is_empty(), "{report:?}");
    if report.trouble.contains_key("frozen and opened") && report.operations.is_empty() {
        ensure!(report.checked.refused.contains_key("frozen"), "{report:?}");
    }
    Ok(())
}
