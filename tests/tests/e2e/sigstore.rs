//! Sigstore's own clients sign against a log and verify each other's bundles, before, during and after rotations.

use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tests::process::{Logd, Start, logctl};
use tests::sigstore::{Client, Sigstore};
use tests::skip::skip;
use tests::wait;

use crate::{Done, folder, run};

/// A log whose fronts are these.
fn document(rekor: &str) -> String {
    format!(
        "apiVersion: logctl/v1\nkind: LogConfig\nlog: argon\norigin: log.example.org\noriginForm: host\nkey: {{algorithm: ecdsa-p256}}\nshards: [{{name: 2026a, state: active}}]\nrekor: {rekor}\n"
    )
}

/// Writes the files that clients are configured with, as an operator would; `flag` is the one for the address of an API.
fn export(sigstore: &Sigstore, at: &Path, (flag, url): (&str, &str)) -> Done {
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
    let url = [flag, url];
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
    across_rotations("{v2: true}", &["--write-url"; 3])
}

/// One shard, both APIs, one trust root.
#[test]
fn real_clients_sign_and_verify_across_rotations_with_both_apis() -> Done {
    across_rotations(
        "{v1: true, v2: true}",
        &["--v1-url", "--write-url", "--v1-url"],
    )
}

/// In each round every client signs. Five times the shard changes: in the middle of a round, between two, and at last before each client
/// verifies all.
fn across_rotations(rekor: &str, rounds: &[&str]) -> Done {
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
    std::fs::write(at.join("argon.yaml"), document(rekor))?;
    let document = at.join("argon.yaml").display().to_string();
    run(at, &format!("log create {document} --yes"), 0)?;
    let url = format!("http://{}/argon", logd.address);
    std::fs::write(sigstore.file("art.txt"), "an artifact\n")?;

    // Without a pause; clients have the next key beforehand.
    let rotate = |flag: &str| -> Done {
        run(at, "--log argon shard plan --yes", 0)?;
        export(&sigstore, at, (flag, &url))?;
        run(at, "--log argon shard rotate --yes", 0)?;
        Ok(())
    };
    let mut bundles = Vec::new();
    for (round, flag) in rounds.iter().enumerate() {
        export(&sigstore, at, (flag, &url))?;
        for client in Client::ALL {
            let bundle = format!("{client:?}-{round}.json");
            sigstore
                .sign(client, "art.txt", &bundle)
                .with_context(|| format!("{client:?} signs in round {round} ({flag})"))?;
            bundles.push(bundle);
            if client == Client::Go && round + 1 < rounds.len() {
                rotate(flag)?;
            }
        }
        rotate(flag)?;
    }
    for bundle in &bundles {
        for client in Client::ALL {
            sigstore
                .verify(client, "art.txt", bundle)
                .with_context(|| format!("{client:?} verifies {bundle}"))?;
        }
    }
    let attestation = sigstore.attest("art.txt", "attestation.json");
    attestation.context("cosign attests, and verifies that")?;
    // The check can fail.
    std::fs::write(sigstore.file("other.txt"), "another artifact\n")?;
    for client in Client::ALL {
        let forged = sigstore.verify(client, "other.txt", &bundles[0]);
        ensure!(forged.is_err(), "{client:?} verifies anything");
    }
    Ok(())
}

/// The steps of Rekor's own test of its shards, with its own program, without a restart.
#[test]
fn rekor_cli_reads_and_writes_across_rotations() -> Done {
    let Some(sigstore) = Sigstore::start()? else {
        skip(
            "rekor-cli against a log across rotations",
            "it is not installed",
        );
        return Ok(());
    };
    let folder = folder()?;
    let at = folder.path();
    // At the root, where Rekor answers.
    let logd = Logd::start_as(
        at,
        &Start {
            arguments: vec!["--rekor".to_owned()],
            ..Start::default()
        },
    )?;
    let server = format!("http://{}", logd.address);
    let cli = |words: &str| sigstore.rekor_cli(&server, words);
    let log = "--log rekor-v1";
    sigstore.key()?;
    let mut uuids = Vec::new();
    for round in 0..5u64 {
        let said = cli("loginfo").with_context(|| format!("loginfo in round {round}"))?;
        ensure!(said.contains("Verification Successful"), "{said}");
        let artifact = format!("artifact-{round}");
        let upload = sigstore.upload(&artifact, &format!("the artifact of round {round}\n"))?;
        let said = cli(&upload)?;
        // Each shard begins with its statement.
        let index = 2 * round + 1;
        ensure!(
            said.contains(&format!("Created entry at index {index}, ")),
            "{said}"
        );
        let uuid = said.trim().rsplit_once('/').context("the entry's name")?.1;
        uuids.push(uuid.to_owned());
        let again = cli(&upload)?;
        ensure!(again.contains(uuid), "it is there once: {again}");
        let said = cli("loginfo")?;
        ensure!(said.contains("Verification Successful"), "{said}");
        run(at, &format!("{log} shard rotate --yes"), 0)?;
    }
    for (round, uuid) in (0..).zip(&uuids) {
        let index = 2 * round + 1;
        for words in [
            format!("get --uuid {uuid}"),
            format!("get --log-index {index}"),
        ] {
            let said = cli(&words)?;
            ensure!(said.contains(&format!("Index: {index}")), "{words}: {said}");
            ensure!(said.contains(uuid), "{words}: {said}");
        }
        for words in [
            format!("verify --uuid {uuid}"),
            format!("verify --log-index {index}"),
        ] {
            let said = cli(&words)?;
            ensure!(said.contains("Inclusion Proof"), "{words}: {said}");
        }
    }
    for (round, uuid) in uuids.iter().enumerate() {
        for words in [
            format!("search --artifact artifact-{round}"),
            "search --public-key public.pem --pki-format x509".to_owned(),
        ] {
            // The index follows the log.
            wait::until("the entry is found", || {
                Ok(cli(&words)?.contains(uuid).then_some(()))
            })
            .with_context(|| words.clone())?;
        }
    }
    let said = cli("loginfo --format json")?;
    let info: serde_json::Value = serde_json::from_str(&said)?;
    let sizes = [&info["ActiveTreeSize"], &info["TotalTreeSize"]].map(serde_json::Value::as_u64);
    ensure!(sizes == [Some(0), Some(10)], "{said}");
    Ok(())
}

/// Keys and signatures of GnuPG, in armor and as bytes, with Rekor's own program.
#[test]
fn rekor_cli_writes_and_finds_what_was_signed_with_openpgp() -> Done {
    let Some(sigstore) = Sigstore::start()? else {
        skip(
            "rekor-cli with OpenPGP against a log",
            "it is not installed",
        );
        return Ok(());
    };
    let folder = folder()?;
    let logd = Logd::start_as(
        folder.path(),
        &Start {
            arguments: vec!["--rekor".to_owned()],
            ..Start::default()
        },
    )?;
    let server = format!("http://{}", logd.address);
    let cli = |words: &str| sigstore.rekor_cli(&server, words);
    let made = include_str!("../../../crates/rekor/tests/data/pgp.json");
    let made: serde_json::Value = serde_json::from_str(made)?;
    let file = |name: &str, value: &serde_json::Value| -> Done {
        let bytes = STANDARD.decode(value.as_str().context("base64")?)?;
        Ok(std::fs::write(sigstore.file(name), bytes)?)
    };
    file("artifact", &made["artifact"])?;
    let mut uuids = Vec::new();
    for (key, signature) in [("rsa.key", "rsa.asc"), ("rsa.bin", "rsa.sig")] {
        file(key, &made["keys"][key]["sent"])?;
        file(signature, &made["signatures"][signature]["sent"])?;
        let entry = format!(
            "--type rekord --artifact artifact --signature {signature} --public-key {key} --pki-format pgp"
        );
        let said = cli(&format!("upload {entry}"))?;
        ensure!(said.contains("Created entry at index"), "{said}");
        let uuid = said.trim().rsplit_once('/').context("the entry's name")?.1;
        let again = cli(&format!("upload {entry}"))?;
        ensure!(again.contains(uuid), "it is there once: {again}");
        let said = cli(&format!("get --uuid {uuid}"))?;
        ensure!(said.contains("\"format\": \"pgp\""), "{said}");
        for words in [format!("verify --uuid {uuid}"), format!("verify {entry}")] {
            let said = cli(&words)?;
            ensure!(said.contains("Inclusion Proof"), "{words}: {said}");
            // Without the number of its tree.
            let leaf = uuid.get(16..).context("a full name")?;
            ensure!(said.contains(leaf), "{words}: {said}");
        }
        uuids.push(uuid.to_owned());
    }
    ensure!(uuids[0] != uuids[1], "these are two signatures");
    // The key is the same one in both forms.
    for words in [
        "--artifact artifact",
        "--public-key rsa.key --pki-format pgp",
        "--public-key rsa.bin --pki-format pgp",
        "--email RSA@example.org",
    ] {
        wait::until("both entries are found", || {
            let said = cli(&format!("search {words}"))?;
            Ok(uuids.iter().all(|uuid| said.contains(uuid)).then_some(()))
        })
        .with_context(|| words.to_owned())?;
    }
    Ok(())
}

/// A server with a log of the first version goes away, and another one answers for its shards: old bundles verify against the trusted root of the
/// new one, rekor-cli reads and verifies old entries there, and new ones continue the indexes.
#[test]
fn what_an_imported_rekor_signed_verifies_with_real_clients() -> Done {
    let Some(sigstore) = Sigstore::start()? else {
        skip(
            "Sigstore's clients against an imported Rekor",
            "cosign, sigstore-go, sigstore-python, sigstore-js and rekor-cli are not installed",
        );
        return Ok(());
    };
    let (old_folder, folder) = (folder()?, folder()?);
    let (before, at) = (old_folder.path(), folder.path());
    let old = Logd::start(before)?;
    std::fs::write(before.join("argon.yaml"), document("{v1: true}"))?;
    let file = before.join("argon.yaml").display().to_string();
    run(before, &format!("log create {file} --yes"), 0)?;
    let url = format!("http://{}/argon", old.address);
    std::fs::write(sigstore.file("art.txt"), "an artifact\n")?;
    sigstore.key()?;
    let (mut bundles, mut uuids) = (Vec::new(), Vec::new());
    for round in 0..2 {
        export(&sigstore, before, ("--v1-url", &url))?;
        for client in Client::ALL {
            let bundle = format!("{client:?}-{round}.json");
            let signed = sigstore.sign(client, "art.txt", &bundle);
            signed.with_context(|| format!("{client:?} signs in round {round}"))?;
            bundles.push(bundle);
        }
        let upload = sigstore.upload(&format!("old-{round}"), "an old artifact\n")?;
        let said = sigstore.rekor_cli(&url, &upload)?;
        let uuid = said.trim().rsplit_once('/').context("the entry's name")?.1;
        uuids.push(uuid.to_owned());
        if round == 0 {
            run(before, "--log argon shard rotate --yes", 0)?;
        }
    }
    run(before, "--log argon log freeze --yes", 0)?;

    let logd = Logd::start(at)?;
    let fresh = document("{v1: true}").replace("log.example.org", "new.example.org");
    std::fs::write(at.join("argon.yaml"), fresh)?;
    let file = at.join("argon.yaml").display().to_string();
    run(at, &format!("import rekor {file} --from {url} --yes"), 0)?;
    old.kill()?;
    let url = format!("http://{}/argon", logd.address);
    export(&sigstore, at, ("--v1-url", &url))?;
    for bundle in &bundles {
        for client in Client::ALL {
            let verified = sigstore.verify(client, "art.txt", bundle);
            verified.with_context(|| format!("{client:?} verifies {bundle}"))?;
        }
    }
    let cli = |words: &str| {
        sigstore
            .rekor_cli(&url, words)
            .with_context(|| words.to_owned())
    };
    wait::until("the imported shards are shown", || {
        Ok(cli("loginfo").is_ok().then_some(()))
    })?;
    for (round, uuid) in uuids.iter().enumerate() {
        // The index follows the log.
        wait::until("the entry is found", || {
            Ok(cli(&format!("get --uuid {uuid}")).is_ok().then_some(()))
        })?;
        let said = cli(&format!("verify --uuid {uuid}"))?;
        ensure!(said.contains("Inclusion Proof"), "{said}");
        let said = cli(&format!("search --artifact old-{round}"))?;
        ensure!(said.contains(uuid), "{said}");
    }
    // Statements, bundles and uploads: the old log's indexes end here, and the new shard begins with its statement.
    let count = bundles.len() + uuids.len() + 2;
    let upload = sigstore.upload("new", "a new artifact\n")?;
    let said = cli(&upload)?;
    let index = format!("Created entry at index {}, ", count + 1);
    ensure!(said.contains(&index), "{said}");
    for client in Client::ALL {
        let signed = sigstore.sign(client, "art.txt", "new.json");
        signed.with_context(|| format!("{client:?} signs against the new server"))?;
        let verified = sigstore.verify(client, "art.txt", "new.json");
        verified.with_context(|| format!("{client:?} verifies what it signed there"))?;
    }
    Ok(())
}
