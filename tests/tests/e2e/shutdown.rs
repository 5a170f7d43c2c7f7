//! A stop that was asked for: what was acknowledged is there, and writers got an answer or a closed connection.

use anyhow::ensure;
use tests::load::{Load, Outcome, Plan};
use tests::process::Logd;

use crate::{Done, audit, folder};

#[test]
fn a_graceful_stop_under_load_loses_nothing() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let load = Load::start(Plan::synthetic(logd.address, 32, "stop"));
    load.reach(500)?;
    ensure!(
        logd.terminate()?.success(),
        "a stop that was asked for is no failure"
    );
    let report = load.finish()?;
    let bad: Vec<_> = report
        .all()
        .filter(|w| matches!(w.outcome, Outcome::Refused(status) if status != 503))
        .collect();
    ensure!(bad.is_empty(), "{bad:?} {:?}", report.complaints);
    tests::verify::clean(folder.path())?;
    let logd = Logd::start(folder.path())?;
    // A graceful stop answers what it has accepted: nothing is ordered whose writer was not told.
    let (total, acknowledged) = (logd.settled()?, report.acknowledged());
    ensure!(
        total == acknowledged,
        "{total} entries, {acknowledged} acknowledged"
    );
    audit(&logd, [report])?;
    Ok(())
}
