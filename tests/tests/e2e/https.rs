//! Secondaries over HTTPS, with the operator's own authority: a secondary without its certificate gets no requests.

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::process::{Logd, Start};
use tests::secondary::{Secondary, StartSecondary};
use tests::{notes, wait};

use crate::authority::Authority;
use crate::copies::{checkpoint, replication_key};
use crate::stores::settings;
use crate::{Done, does, folder};

#[test]
fn a_secondary_with_a_wrong_certificate_is_not_talked_to() -> Done {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let folder = folder()?;
    let at = &folder.path().join("primary");
    ensure!(Logd::start(at)?.terminate()?.success());
    ours.write(&at.join("peers-ca.pem"))?;
    let peers = "[peers]\nca = \"peers-ca.pem\"\n";
    let how = Start {
        settings: Some(settings(at, "peers.toml", &[], peers)?),
        ..Start::default()
    };
    let logd = Logd::start_as(at, &how)?;
    let key = replication_key(&logd)?;
    let ams = folder.path().join("ams");
    Secondary::key(&ams, "ams.example.org")?;

    let start = || {
        let how = StartSecondary {
            tls: Some((ams.join("cert.pem"), ams.join("key.pem"))),
            ..StartSecondary::default()
        };
        Secondary::start(&ams, std::slice::from_ref(&key), &how)
    };
    let use_it = |one: &Secondary| {
        tests::secondary::configure(at, |document| {
            let url = format!("https://{}", one.address);
            let named = json!([{"name": "ams", "url": url, "vkey": one.vkey}]);
            document["merge"]["secondaries"] = named;
            document["merge"]["backupQuorum"] = json!(1);
        })
    };
    let refused = |why: &str| {
        wait::until(&format!("it is said: {why}"), || {
            let status = does(at, "merge status")?;
            let trouble = status["secondaries"][0]["trouble"].as_str();
            let said = trouble.is_some_and(|t| t.contains("certificate") && t.contains(why));
            Ok(said.then_some(()))
        })
    };
    // A certificate of another authority; then one for another host.
    other.server(&ams, "127.0.0.1")?;
    let one = start()?;
    use_it(&one)?;
    logd.add(b"one")?;
    refused("UnknownIssuer")?;
    one.kill()?;
    ours.server(&ams, "ams.example.org")?;
    let one = start()?;
    use_it(&one)?;
    refused("not valid for name")?;
    ensure!(
        logd.watermarks()?.published == 0,
        "{:?}",
        logd.watermarks()?
    );
    one.kill()?;

    ours.server(&ams, "127.0.0.1")?;
    let one = start()?;
    use_it(&one)?;
    ensure!(logd.add(b"two")? == 1);
    ensure!(logd.settled()? == 2);
    let shard = logd.shards()?.pop().context("a log has a shard")?;
    let note = checkpoint(&logd, &shard)?;
    ensure!(
        notes::cosigned(&note, &one.vkey)?.is_some(),
        "the secondary has cosigned it"
    );
    tests::verify::whole(&logd, &mut Auditor::default(), &mut Ledger::default())?;
    Ok(())
}
