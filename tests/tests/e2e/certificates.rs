//! Operators with client certificates: `logctl` and `logd` with an authority between them, which is replaced while both run.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::process::{Logd, Start};
use tests::wait;

use crate::authority::Authority;
use crate::{Done, does, folder, run};

/// A server that asks for certificates of the authority in `clients-ca.pem`.
fn serve(at: &Path, authority: &Authority) -> Result<Logd> {
    ensure!(Logd::start(at)?.terminate()?.success(), "stops");
    authority.write(&at.join("clients-ca.pem"))?;
    let settings = at.join("logd.toml");
    let text = std::fs::read_to_string(&settings)?;
    let with = text.replace(
        "key = \"admin-key.pem\" }",
        "key = \"admin-key.pem\", client_ca = \"clients-ca.pem\" }",
    );
    ensure!(with != text, "the settings have TLS files: {text}");
    let rule = "\n[[admin.certificates]]\nclient = \"spiffe://example.org/operator\"\npermissions = [\"*:read:*\", \"shard:rotate:dev\"]\n";
    std::fs::write(&settings, with + rule)?;
    let how = Start {
        settings: Some(settings),
        ..Start::default()
    };
    Logd::start_as(at, &how)
}

#[test]
fn an_operator_rotates_with_a_certificate_and_its_authority_is_replaced() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let (first, second) = (Authority::new("first")?, Authority::new("second")?);
    first.client(at, "operator", "spiffe://example.org/operator")?;
    first.client(at, "guest", "spiffe://example.org/guest")?;
    second.client(at, "stranger", "spiffe://example.org/operator")?;
    let logd = serve(at, &first)?;
    logd.add(b"one")?;
    for name in ["operator", "guest", "stranger"] {
        let part = |file: &str| at.join(file).to_str().map(str::to_owned).context("UTF-8");
        let line = format!(
            "context set {name} log=dev admin={} ca={} client_cert={} client_key={}",
            logd.admin,
            part("admin-cert.pem")?,
            part(&format!("{name}.pem"))?,
            part(&format!("{name}-key.pem"))?
        );
        run(at, &line, 0)?;
    }
    let rotated = does(at, "--context operator shard rotate --yes")?;
    let actor = rotated["operation"]["actor"].as_str().unwrap_or_default();
    ensure!(
        actor.contains("spiffe://example.org/operator"),
        "the trail names the certificate: {rotated}"
    );
    // It may do what its rule says, and nobody else may do anything.
    run(at, "--context operator shard freeze --yes", 4)?;
    run(at, "--context guest shard list", 4)?;
    let refused = run(at, "--context stranger shard list", 4);
    // A connection that is refused in the handshake has no answer: both are a refusal.
    refused.or_else(|_| run(at, "--context stranger shard list", 11))?;

    // The next authority: whoever the old one certified is out, without a restart.
    second.write(&at.join("clients-ca.pem"))?;
    wait::until("the new authority is known", || {
        Ok(run(at, "--context stranger shard list", 0).ok())
    })?;
    let old = run(at, "--context operator shard list", 4);
    old.or_else(|_| run(at, "--context operator shard list", 11))?;
    Ok(())
}
