//! Strangers at the admin endpoint: writers do not notice, and operators are answered.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::attack::Attack;
use tests::http::Http;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start};

use crate::{Done, audit, folder};

/// A server whose admin endpoint takes plain HTTP, so that an attack gets past TLS.
fn without_tls(folder: &Path) -> Result<Logd> {
    ensure!(Logd::start(folder)?.terminate()?.success());
    let settings = folder.join("logd.toml");
    let text = std::fs::read_to_string(&settings)?;
    let plain: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("tls = "))
        .collect();
    ensure!(plain.len() + 1 == text.lines().count(), "{text}");
    std::fs::write(&settings, plain.join("\n"))?;
    let how = Start {
        settings: Some(settings),
        ..Start::default()
    };
    Logd::start_as(folder, &how)
}

#[test]
fn an_attack_on_the_admin_endpoint_fails_no_write() -> Done {
    let folder = folder()?;
    let logd = without_tls(folder.path())?;
    let endpoint: SocketAddr = logd
        .admin
        .strip_prefix("http://")
        .context("plain HTTP")?
        .parse()?;
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
        // Operators, with a token and over the socket, while it goes on.
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
