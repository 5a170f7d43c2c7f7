//! Unauthenticated senders at the admin endpoint: writers do not notice, and operators are answered.

use anyhow::ensure;
use tests::attack::{Attack, target};
use tests::http::Http;
use tests::load::{Load, Plan};

use crate::{Done, audit, folder};

#[test]
fn an_attack_on_the_admin_endpoint_fails_no_write() -> Done {
    let folder = folder()?;
    let (logd, endpoint) = target(folder.path())?;
    let token = std::fs::read_to_string(folder.path().join("admin.token"))?;
    let login = format!("Bearer {}", token.trim());
    let load = Load::start(Plan::synthetic(logd.address, 16, "attack"));
    load.reach(200)?;
    let attack = Attack::start(endpoint, 8)?;
    for _ in 0..10 {
        let (written, attempts) = (load.acknowledged(), attack.attempts());
        load.reach(written + 100)?;
        tests::wait::until("the attack goes on", || {
            Ok((attack.attempts() > attempts + 8).then_some(()))
        })?;
        // Operators, with a token and over the socket, during the attack.
        Http::new(endpoint)
            .get("/admin/v1/logs/dev", &[("Authorization", &login)])?
            .expect_status(200)?;
        Http::unix(folder.path().join("admin.sock"))
            .get("/admin/v1/logs/dev", &[])?
            .expect_status(200)?;
    }
    attack.stop()?;
    let report = load.stop()?;
    ensure!(
        report.failed() == 0,
        "{} writes failed: {:?}",
        report.failed(),
        report.complaints
    );
    logd.settled()?;
    audit(&logd, [report])?;
    Ok(())
}
