//! `kill -9` under load, again and again: after each, `fsck` is clean and every acknowledged entry is at its index.

use anyhow::{Context as _, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, logctl};

use crate::{Done, folder};

#[test]
fn kill_under_load() -> Done {
    let folder = folder()?;
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    let kills = tests::skip::campaign("TESTS_KILLS", 3);
    let mut logd = Logd::start(folder.path())?;
    for round in 0..kills {
        let load = Load::start(Plan::synthetic(logd.address, 24, &format!("k{round}")));
        // Somewhere else each time: before the first publication, in the middle, around a rotation.
        load.reach(round * 7919 % 600)?;
        let rotation = (round % 3 == 1).then(|| {
            let at = folder.path().to_owned();
            std::thread::spawn(move || {
                logctl(&at, &["shard", "rotate", "--yes", "--timeout", "5s"])
            })
        });
        load.reach(load.acknowledged() + round * 131 % 40)?;
        logd.kill()?;
        let report = load.finish()?;
        if let Some(rotation) = rotation {
            let ran = rotation
                .join()
                .map_err(|_| anyhow::anyhow!("the rotation's thread panicked"))??;
            // Done, or unreachable, or unknown: never a bug, and never a claim that it failed for another reason.
            ensure!(matches!(ran.code, 0 | 7 | 8 | 9 | 11), "{ran:?}");
        }
        ledger.add(report)?;
        let context = || format!("after kill {round}");
        tests::verify::clean(folder.path()).with_context(context)?;
        logd = Logd::start(folder.path()).with_context(context)?;
        tests::verify::whole(&logd, &mut auditor, &mut ledger).with_context(context)?;
    }
    ensure!(ledger.acknowledged() > 0, "the load wrote something");
    logctl(folder.path(), &["shard", "verify"])?.expect_code(0)?;
    Ok(())
}
