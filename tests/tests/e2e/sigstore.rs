//! Sigstore's own clients sign against a log and verify each other's bundles, before, during and after rotations.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tests::process::{Logd, logctl};
use tests::sigstore::{Client, Sigstore};
use tests::skip::skip;

use crate::{Done, folder, run};

const DOCUMENT: &str = "\
apiVersion: logctl/v1
kind: LogConfig
log: argon
origin: log.example.org
originForm: host
key: {algorithm: ecdsa-p256}
shards: [{name: 2026a, state: active}]
rekor: {v2: true}
";

/// Writes the files that clients are configured with, as an operator would.
fn export(sigstore: &Sigstore, at: &Path, url: &str) -> Done {
    let file = |name: &str| sigstore.file(name).display().to_string();
    let write = |format: &str, words: &[&str], out: &str| -> Done {
        let words = [
            &["--log", "argon", "shard", "export", "--format", format][..],
            words,
        ]
        .concat();
        let ran = logctl(at, &words)?.expect_code(0)?;
        std::fs::write(file(out), ran.stdout)?;
        Ok(())
    };
    let (root, config) = (
        file("trusted_root.base.json"),
        file("signing_config.base.json"),
    );
    write("trusted-root", &["--merge", &root], "trusted_root.json")?;
    let url = ["--write-url", url];
    write(
        "signing-config",
        &[&url[..], &["--merge", &config]].concat(),
        "signing_config.json",
    )?;
    let both = std::fs::read_to_string(file("trusted_root.json"))?;
    let both = format!(
        "{{\"mediaType\": \"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json\", \"trustedRoot\": {both}, \"signingConfig\": {}}}",
        std::fs::read_to_string(file("signing_config.json"))?
    );
    std::fs::write(file("both.json"), both)?;
    let both = file("both.json");
    write(
        "client-trust-config",
        &[&url[..], &["--merge", &both]].concat(),
        "client_trust_config.json",
    )
}

#[test]
fn real_clients_sign_and_verify_across_rotations() -> Done {
    let Some(sigstore) = Sigstore::start()? else {
        skip(
            "Sigstore's clients against a log across rotations",
            "cosign, sigstore-go, sigstore-python and sigstore-js are not installed",
        );
        return Ok(());
    };
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let at = folder.path();
    std::fs::write(at.join("argon.yaml"), DOCUMENT)?;
    let document = at.join("argon.yaml").display().to_string();
    run(at, &format!("log create {document} --yes"), 0)?;
    let url = format!("http://{}/argon", logd.address);
    export(&sigstore, at, &url)?;
    std::fs::write(sigstore.file("art.txt"), "an artifact\n")?;

    let mut bundles = Vec::new();
    for round in 0..3 {
        for client in Client::ALL {
            let bundle = format!("{client:?}-{round}.json");
            sigstore
                .sign(client, "art.txt", &bundle)
                .with_context(|| format!("{client:?} signs in round {round}"))?;
            bundles.push(bundle);
            // In the middle of a round, without a pause; clients have the next key beforehand.
            if client == Client::Go && round < 2 {
                run(at, "--log argon shard plan --yes", 0)?;
                export(&sigstore, at, &url)?;
                run(at, "--log argon shard rotate --yes", 0)?;
            }
        }
    }
    for bundle in &bundles {
        for client in Client::ALL {
            sigstore
                .verify(client, "art.txt", bundle)
                .with_context(|| format!("{client:?} verifies {bundle}"))?;
        }
    }
    // The check can fail.
    std::fs::write(sigstore.file("other.txt"), "another artifact\n")?;
    for client in Client::ALL {
        let forged = sigstore.verify(client, "other.txt", &bundles[0]);
        ensure!(forged.is_err(), "{client:?} verifies anything");
    }
    Ok(())
}
