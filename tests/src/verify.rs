//! The check that ends almost every test: the whole log, from outside, against everything it has ever promised.

use anyhow::{Context as _, Result, ensure};

use crate::auditor::{Audited, Auditor};
use crate::ledger::Ledger;
use crate::process::{Logd, fsck};

/// Waits until all is published, audits every shard, and checks each acknowledgement in `ledger`. `auditor` remembers
/// the checkpoints of earlier audits of the same log.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn whole(logd: &Logd, auditor: &mut Auditor, ledger: &mut Ledger) -> Result<Audited> {
    let ordered = logd.settled()?;
    ledger.rewind();
    let audited = auditor.audit(&mut logd.served(), &logd.shards()?, |found| {
        ledger.see(found)
    })?;
    ledger.close()?;
    ensure!(
        audited.entries == ordered,
        "{} entries audited, {ordered} ordered",
        audited.entries
    );
    ensure!(
        audited.entries >= ledger.acknowledged(),
        "fewer entries than acknowledgements"
    );
    Ok(audited)
}

/// `logd fsck` finds nothing.
///
/// # Errors
/// When it does, with its report.
pub fn clean(directory: &std::path::Path) -> Result<()> {
    fsck(directory)?
        .expect_code(0)
        .context("logd fsck must be clean")?;
    Ok(())
}
