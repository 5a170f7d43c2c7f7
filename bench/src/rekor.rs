//! Rekor's APIs at full speed: writes with a valid signature each, answered with proof and published checkpoint; reads with proof. The
//! generator runs on the same cores.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tests::process::{Logd, Start};

use crate::figures::{Figure, Options};
use crate::proc::cpu_us;
use crate::writes::{Run, wrk_with};

const SCRIPT: &str = include_str!("rekor.lua");

/// Requests that are signed beforehand for each second of a run: more than are answered.
const SIGNED: u64 = 20_000;
/// Milliseconds between two checkpoints of the logs that `logd dev --rekor` makes.
const INTERVAL_MS: f64 = 200.0;

/// Measures both APIs, each on a log of its own.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let start = Start {
        arguments: vec!["--rekor".to_owned()],
        ..Start::default()
    };
    let logd = Logd::start_as(&folder.path().join("log"), &start)?;
    let bench = Bench {
        logd,
        folder: folder.path(),
        seconds: options.seconds,
    };
    let mut figures = Vec::new();
    let v2 = "/rekor/api/v2/log/entries";
    let v1 = "/rekor-v1/api/v1/log/entries";
    for (what, path, connections, least) in [
        ("v2", v2, 64, None),
        ("v2", v2, 4096, Some(8000.0)),
        ("v1", v1, 64, None),
        ("v1", v1, 4096, Some(5000.0)),
    ] {
        let (run, cpu) = bench.writes(what, path, connections)?;
        let what = format!("{what} writes over {connections} connections");
        match least {
            Some(least) => {
                figures.push(Figure::least(&*what, run.per_second, "/s", least));
                figures.push(Figure::plain(format!("{what}: p50"), run.p50_ms, "ms"));
                let each = format!("{what}: server CPU per entry");
                figures.push(Figure::plain(each, cpu, "µs"));
            }
            None => {
                let most = INTERVAL_MS + 50.0;
                figures.push(Figure::plain(&*what, run.per_second, "/s"));
                figures.push(Figure::most(format!("{what}: p50"), run.p50_ms, "ms", most));
            }
        }
    }
    let entries = bench.entries("rekor-v1")?;
    let read = bench.run("-", entries, v1, 64)?;
    figures.push(Figure::least(
        "v1 entries by index, with proof and signed timestamp, 64 connections",
        read.per_second,
        "/s",
        20_000.0,
    ));
    figures.push(Figure::plain("v1 reads: p99", read.p99_ms, "ms"));
    ensure!(bench.logd.terminate()?.success(), "logd did not stop well");
    Ok(figures)
}

struct Bench<'a> {
    logd: Logd,
    folder: &'a Path,
    seconds: u64,
}

impl Bench<'_> {
    /// Writes for a while; CPU time of the server for each entry, microseconds.
    fn writes(&self, api: &str, path: &str, connections: u32) -> Result<(Run, f64)> {
        let log = path.split('/').nth(1).unwrap_or_default();
        let bodies = self.signed(api)?;
        let bodies = bodies.display().to_string();
        let (cpu, before) = (cpu_us(self.logd.pid(), "")?, self.entries(log)?);
        let run = self.run(&bodies, 0, path, connections)?;
        let written = self.entries(log)? - before;
        ensure!(
            written as f64 >= run.requests,
            "{written} entries for {} answers: were the requests used up?",
            run.requests
        );
        let cpu = cpu_us(self.logd.pid(), "")? - cpu;
        Ok((run, cpu as f64 / written as f64))
    }

    fn run(&self, file: &str, entries: u64, path: &str, connections: u32) -> Result<Run> {
        let url = format!("http://{}{path}", self.logd.address);
        let entries = entries.to_string();
        let seconds = self.seconds;
        wrk_with(
            SCRIPT,
            self.folder,
            connections,
            seconds,
            &url,
            &[file, &entries],
        )
    }

    fn entries(&self, log: &str) -> Result<u64> {
        let marks = self.logd.http().get(&format!("/{log}/watermarks"), &[])?;
        let marks: serde_json::Value = serde_json::from_str(&marks.expect_status(200)?.text())?;
        Ok(marks["published"].as_u64().unwrap_or_default())
    }

    /// A file of requests over artifacts that no other request is over.
    fn signed(&self, api: &str) -> Result<PathBuf> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let der = key.public_key().as_der()?.as_ref().to_vec();
        let pem = STANDARD.encode(rekor::v1::public_key(&der));
        let (der, random) = (STANDARD.encode(der), aws_lc_rs::rand::SystemRandom::new());
        let path = self.folder.join("bodies");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path)?);
        for number in 0..SIGNED * self.seconds {
            let artifact = number.to_be_bytes();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &artifact);
            let signature = STANDARD.encode(key.sign(&random, &artifact)?);
            let body = match api {
                "v1" => json!({
                    "apiVersion": "0.0.1",
                    "kind": "hashedrekord",
                    "spec": {
                        "data": {"hash": {"algorithm": "sha256", "value": tlog::hex(digest.as_ref())}},
                        "signature": {"content": signature, "publicKey": {"content": pem}},
                    },
                }),
                _ => json!({"hashedRekordRequestV002": {
                    "digest": STANDARD.encode(digest),
                    "signature": {
                        "content": signature,
                        "verifier": {
                            "publicKey": {"rawBytes": der},
                            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        },
                    },
                }}),
            };
            writeln!(out, "{body}")?;
        }
        out.flush()?;
        Ok(path)
    }
}
