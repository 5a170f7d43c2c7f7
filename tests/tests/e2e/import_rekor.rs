//! `logctl import rekor`: what an old Rekor said of its entries, a log says in its place, and nothing else.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tests::http::Http;
use tests::process::{Logd, Start, logctl};
use tests::{verify, wait};
use tlog_tiles::{Hash, RecordProof, check_record};

use crate::copies::secondary;
use crate::old_rekor::{HOST, OldEntry, OldRekor, OldShard};
use crate::{Done, does, folder, run};

const FIRST: u64 = 1_193_050_959_916_656_506;
const SECOND: u64 = 3_904_496_407_287_907_110;

const DOCUMENT: &str = "apiVersion: logctl/v1\nkind: LogConfig\nlog: neon\norigin: log.example.org\noriginForm: host\nkey: {algorithm: ecdsa-p256}\nshards: [{name: 2026a, state: active}]\nrekor: {v1: true}\n";

/// A server, and the words that import `rekor` into its log `neon`.
fn begin(at: &Path, rekor: &OldRekor) -> anyhow::Result<(Logd, String)> {
    let logd = Logd::start(at)?;
    let file = at.join("neon.yaml");
    std::fs::write(&file, DOCUMENT)?;
    let line = format!("import rekor {} --from {}", file.display(), rekor.url());
    Ok((logd, line))
}

fn two_shards() -> anyhow::Result<OldRekor> {
    OldRekor::start(vec![
        OldShard::new(FIRST, 0, 300)?,
        OldShard::new(SECOND, 300, 7)?,
    ])
}

/// The one entry of an answer, and its name.
fn only(answer: &Value) -> anyhow::Result<(String, Value)> {
    let all = answer.as_object().context("an object")?;
    ensure!(all.len() == 1, "{answer}");
    let (id, entry) = all.iter().next().context("an entry")?;
    Ok((id.clone(), entry.clone()))
}

/// An entry is answered as the old Rekor answered it, with a proof that leads to its tree head.
fn same(answer: &Value, entry: &OldEntry, index: u64, leaf: u64, shard: &OldShard) -> Done {
    let (id, said) = only(answer)?;
    let right = json!({
        "body": STANDARD.encode(&entry.leaf),
        "integratedTime": entry.time,
        "logID": entry.log_id,
        "logIndex": index,
    });
    ensure!(id == entry.id, "{id} where it was {}", entry.id);
    for (key, value) in right.as_object().context("an object")? {
        ensure!(
            said[key] == *value,
            "{key}: {} where it was {value}",
            said[key]
        );
    }
    let verification = &said["verification"];
    ensure!(
        verification["signedEntryTimestamp"] == entry.timestamp,
        "{verification}"
    );
    let proof = &verification["inclusionProof"];
    ensure!(proof["checkpoint"] == shard.note, "{proof}");
    ensure!(
        proof["logIndex"] == leaf && proof["rootHash"] == shard.root,
        "{proof}"
    );
    let hashes = proof["hashes"].as_array().context("hashes")?;
    let hashes = hashes
        .iter()
        .map(|hash| tests::proof::hex(hash.as_str().unwrap_or("")));
    let hashes: RecordProof = hashes.collect::<anyhow::Result<_>>()?;
    let (size, root) = (shard.entries.len() as u64, tests::proof::hex(&shard.root)?);
    let leaf_hash: Hash = tlog_tiles::record_hash(&entry.leaf);
    check_record(&hashes, size, root, leaf, leaf_hash)
        .context("the proof does not lead to the root")
}

/// Everything that the old Rekor had is there, as it was.
fn all_there(logd: &Logd, rekor: &OldRekor) -> Done {
    let mut http = logd.http();
    let base = "/neon/api/v1";
    let state = rekor
        .state
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let info = wait::until("the imported shards are published", || {
        let answer = http
            .get(&format!("{base}/log"), &[])?
            .expect_status(200)?
            .json()?;
        let inactive = answer["inactiveShards"].as_array().map_or(0, Vec::len);
        Ok((inactive >= state.shards.len()).then_some(answer))
    })?;
    let mut start = 0;
    for (n, shard) in state.shards.iter().enumerate() {
        let shown = &info["inactiveShards"][n];
        let tree = shard.tree.to_string();
        ensure!(shown["treeID"].as_str() == Some(&tree), "{info}");
        ensure!(
            shown["signedTreeHead"] == shard.note && shown["rootHash"] == shard.root,
            "{info}"
        );
        let path = format!("{base}/log/publicKey?treeID={}", shard.tree);
        let pem = http.get(&path, &[])?.expect_status(200)?.text();
        let bare = |pem: &str| pem.split_whitespace().collect::<String>();
        ensure!(
            bare(&pem) == bare(&shard.pem),
            "{pem} where it was {}",
            shard.pem
        );
        let size = shard.entries.len();
        let path = format!(
            "{base}/log/proof?firstSize=2&lastSize={size}&treeID={}",
            shard.tree
        );
        let proof = http.get(&path, &[])?.expect_status(200)?.json()?;
        ensure!(
            proof["rootHash"] == shard.root && proof["hashes"][0].is_string(),
            "{proof}"
        );
        for (leaf, entry) in shard.entries.iter().enumerate() {
            let (leaf, index) = (leaf as u64, start + leaf as u64);
            let path = format!("{base}/log/entries?logIndex={index}");
            let answer = http.get(&path, &[])?.expect_status(200)?.json()?;
            same(&answer, entry, index, leaf, shard).with_context(|| path.clone())?;
            // By name, through the search index; not each one, for that takes long.
            if leaf % 50 != 0 {
                continue;
            }
            for name in [&entry.id, &entry.id[16..]] {
                let path = format!("{base}/log/entries/{name}");
                let found = wait::until("the entry is found by its name", || {
                    let answer = http.get(&path, &[])?;
                    Ok((answer.status == 200).then_some(answer))
                })?;
                same(&found.json()?, entry, index, leaf, shard).with_context(|| path.clone())?;
            }
            let query = json!({"hash": format!("sha256:{}", entry.artifact)}).to_string();
            wait::until("the entry is found by its artifact", || {
                let kind = [("content-type", "application/json")];
                let answer =
                    http.post(&format!("{base}/index/retrieve"), &kind, query.as_bytes())?;
                Ok((answer.expect_status(200)?.json()? == json!([entry.id])).then_some(()))
            })?;
        }
        start += size as u64;
    }
    Ok(())
}

#[test]
fn an_old_rekor_is_brought_along_and_answers_as_before() -> Done {
    let rekor = two_shards()?;
    rekor.change(|state| state.refuse_every = 5);
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let planned = does(at, &format!("{line} --dry-run"))?;
    ensure!(planned["entries"] == 307, "{planned}");
    ensure!(rekor.asked.load(SeqCst) == 0, "a dry run asks for entries");
    run(at, &format!("{line} --yes"), 0)?;
    all_there(&logd, &rekor)?;
    // The same again is no change.
    run(at, &format!("{line} --yes"), 0)?;
    // New entries continue the indexes, and a rotation changes nothing for the old ones.
    let added = logd.http();
    write(added, 308)?;
    run(at, "--log neon shard rotate --yes", 0)?;
    write(logd.http(), 310)?;
    all_there(&logd, &rekor)?;
    let shards = does(at, "--log neon shard list")?;
    let shards = shards["shards"].as_array().context("shards")?;
    let imported = shards
        .iter()
        .filter(|shard| shard["importedVkey"].is_string());
    ensure!(imported.count() == 2, "{shards:?}");
    // Clients get the old keys, under the old name.
    let ran = logctl(
        at,
        &[
            "--log",
            "neon",
            "shard",
            "export",
            "--format",
            "trusted-root",
        ],
    )?;
    let root: Value = serde_json::from_str(&ran.expect_code(0)?.stdout)?;
    let tlogs = root["tlogs"].as_array().context("tlogs")?;
    ensure!(tlogs.len() == 4, "{root}");
    for (tlog, shard) in tlogs.iter().zip(
        &rekor
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .shards,
    ) {
        ensure!(tlog["baseUrl"] == format!("https://{HOST}"), "{tlog}");
        let id = STANDARD.decode(tlog["logId"]["keyId"].as_str().context("an id")?)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(id == shard.log_id, "{tlog}");
        let start = tlog["publicKey"]["validFor"]["start"]
            .as_str()
            .context("a start")?;
        ensure!(
            start <= "2020-09-13T12:26:40Z",
            "{tlog}: its first entry is older"
        );
    }
    // Clients' trusted root says whether it is the Rekor that they know.
    let (known, other) = (at.join("root.json"), at.join("other.json"));
    std::fs::write(&known, root.to_string())?;
    std::fs::write(&other, json!({"tlogs": [root["tlogs"][0]]}).to_string())?;
    let second = DOCUMENT.replace("log: neon", "log: argon");
    std::fs::write(
        at.join("neon.yaml"),
        second.replace("log.example.org", "second.example.org"),
    )?;
    for (file, code) in [(known, 0), (other, 12)] {
        let line = format!("{line} --trusted-root {} --dry-run", file.display());
        run(at, &line, code)?;
    }
    run(at, "doctor", 0)?;
    ensure!(run(at, "--log neon shard verify", 0)?.code == 0);
    let status = logd.terminate()?;
    ensure!(status.success());
    verify::clean(at)?;
    let logd = Logd::start(at)?;
    ensure!(logd.halted.is_empty(), "{:?}", logd.halted);
    all_there(&logd, &rekor)
}

/// Writes an entry, which gets this index.
fn write(mut http: Http, index: u64) -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("new {index}"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = rcgen::SigningKey::sign(&key, format!("new {index}").as_bytes())?;
    let request = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": digest}},
            "signature": {"content": STANDARD.encode(signature), "publicKey": {"content": STANDARD.encode(key.public_key_pem())}},
        },
    });
    let kind = [("content-type", "application/json")];
    let answer = http.post(
        "/neon/api/v1/log/entries",
        &kind,
        request.to_string().as_bytes(),
    )?;
    let (_, entry) = only(&answer.expect_status(201)?.json()?)?;
    ensure!(entry["logIndex"] == index, "{entry}");
    Ok(())
}

/// Whatever interrupts it, the same command continues it, and what is copied is not asked for again.
#[test]
fn an_interrupted_import_continues() -> Done {
    let rekor = OldRekor::start(vec![OldShard::new(FIRST, 0, 2600)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    // The source gives out in the middle.
    rekor.most.store(150, SeqCst);
    run(at, &format!("{line} --yes"), 6)?;
    ensure!(
        logd.http().get("/neon/api/v1/log", &[])?.status == 404,
        "it is served already"
    );
    run(
        at,
        &format!("log create {} --yes", at.join("neon.yaml").display()),
        5,
    )?;
    logd.kill()?;
    verify::clean(at)?;
    let logd = Logd::start(at)?;
    rekor.most.store(u64::MAX, SeqCst);
    let before = rekor.asked.load(SeqCst);
    run(at, &format!("{line} --yes"), 0)?;
    let asked = rekor.asked.load(SeqCst) - before;
    ensure!(asked < 260 - 100, "{asked} requests in the second run");
    all_there(&logd, &rekor)
}

/// A source that does not give what it signed is refused, and none of it is served.
#[test]
fn what_an_old_rekor_has_not_signed_is_refused() -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rekor = OldRekor::start(vec![OldShard::of(&key, FIRST, 0, 30)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let unserved = |logd: &Logd| -> Done {
        ensure!(
            logd.http().get("/neon/api/v1/log", &[])?.status == 404,
            "it is served"
        );
        Ok(())
    };
    // An entry in another's place: its timestamp is over another index.
    rekor.change(|state| {
        let other = state.shards[0].entries[4].clone();
        state.swapped.insert(3, other);
    });
    let ran = run(at, &format!("{line} --yes"), 12)?;
    ensure!(ran.stderr.contains("entry 3 "), "{}", ran.stderr);
    ensure!(
        ran.stderr.contains("that your clients use"),
        "{}",
        ran.stderr
    );
    unserved(&logd)?;
    // One that is signed for this place, but is not in the tree.
    let forged = OldShard::forged(&key, FIRST, 3)?;
    rekor.change(|state| {
        state.swapped.insert(3, forged);
    });
    let ran = run(at, &format!("{line} --yes"), 12)?;
    ensure!(ran.stderr.contains("root"), "{}", ran.stderr);
    ensure!(ran.stderr.contains("--drop --log neon"), "{}", ran.stderr);
    unserved(&logd)?;
    // It stays wrong until it is dropped.
    rekor.change(|state| state.swapped.clear());
    run(at, &format!("{line} --yes"), 12)?;
    unserved(&logd)?;
    run(at, "import rekor --drop --log neon --yes", 0)?;
    run(at, &format!("{line} --yes"), 0)?;
    all_there(&logd, &rekor)
}

/// A tree head that the tree's key did not sign.
#[test]
fn a_tree_head_of_another_key_is_refused() -> Done {
    let rekor = OldRekor::start(vec![OldShard::new(FIRST, 0, 30)?])?;
    let other = OldShard::new(FIRST, 0, 30)?;
    rekor.change(|state| state.shards[0].note = other.note);
    let folder = folder()?;
    let (_logd, line) = begin(folder.path(), &rekor)?;
    let ran = run(folder.path(), &format!("{line} --dry-run"), 12)?;
    ensure!(
        ran.stderr.contains("is not signed by the tree's key"),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// What would be refused at the end is refused before anything is copied, and by a dry run.
#[test]
fn a_conflict_is_found_before_anything_is_copied() -> Done {
    let rekor = two_shards()?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let make = |name: &str, origin: &str| -> Done {
        let file = at.join(format!("{name}.yaml"));
        let text = DOCUMENT.replace("log: neon", &format!("log: {name}"));
        std::fs::write(&file, text.replace("log.example.org", origin))?;
        run(at, &format!("log create {} --yes", file.display()), 0).map(drop)
    };
    let refused = |code: i32, said: &str| -> Done {
        for end in ["--dry-run", "--yes"] {
            let ran = run(at, &format!("{line} {end}"), code)?;
            ensure!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
            // Nothing is copied, so nothing can be dropped.
            let other = ran.stderr.contains("choose another `origin:` and name");
            ensure!(other == (code == 5), "{}", ran.stderr);
            ensure!(!ran.stderr.contains("--drop"), "{}", ran.stderr);
        }
        Ok(())
    };
    make("argon", "log.example.org")?;
    refused(5, "the log argon has the origin log.example.org already")?;
    // Nor is all copied before it is known that nobody can confirm.
    let other = DOCUMENT.replace("log.example.org", "other.example.org");
    std::fs::write(at.join("neon.yaml"), &other)?;
    let ran = run(at, &line, 2)?;
    ensure!(ran.stderr.contains("add --yes"), "{}", ran.stderr);
    let file = at.join("neon.yaml");
    std::fs::write(&file, DOCUMENT.replace("2026a", &FIRST.to_string()))?;
    refused(6, &format!("{FIRST}"))?;
    std::fs::write(
        &file,
        DOCUMENT.replace("log.example.org", "other.example.org"),
    )?;
    make("neon", "third.example.org")?;
    refused(5, "the log neon already exists")?;
    ensure!(rekor.asked.load(SeqCst) == 0, "entries were asked for");
    drop(logd);
    Ok(())
}

/// The document that `--create-config` writes for it is one that the import takes, also where a frozen shard is empty.
#[test]
fn a_document_that_is_written_for_an_import_fits() -> Done {
    let empty = OldShard::new(7, 0, 0)?;
    let shards = vec![
        empty,
        OldShard::new(FIRST, 0, 12)?,
        OldShard::new(SECOND, 12, 7)?,
    ];
    let rekor = OldRekor::start(shards)?;
    let folder = folder()?;
    let at = folder.path();
    let (_logd, line) = begin(at, &rekor)?;
    let file = at.join("neon.yaml").display().to_string();
    let create = format!(
        "shard --create-config {file} --force --log neon --origin log.example.org --from {}",
        rekor.url()
    );
    let ran = run(at, &create, 0)?;
    ensure!(
        ran.stderr.contains("the tree 7 is left out"),
        "{}",
        ran.stderr
    );
    run(at, &format!("{line} --dry-run"), 0)?;
    run(at, &format!("{line} --yes"), 0)?;
    Ok(())
}

/// A Rekor that still takes entries is refused until it stops; then only what is new is copied.
#[test]
fn an_old_rekor_that_grows_is_refused() -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rekor = OldRekor::start(vec![OldShard::of(&key, FIRST, 0, 20)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    rekor.most.store(1, SeqCst);
    run(at, &format!("{line} --yes"), 6)?;
    // It grew since the import began: the newer tree head counts.
    let grown = OldShard::of(&key, FIRST, 0, 290)?;
    rekor.change(|state| {
        let same = state.shards[0].entries.clone();
        state.shards = vec![grown];
        // Signatures differ each time; the entries are the same.
        for (index, entry) in (0..).zip(same) {
            state.swapped.insert(index, entry);
        }
    });
    rekor.most.store(u64::MAX, SeqCst);
    run(at, &format!("{line} --yes"), 0)?;
    rekor.change(|state| {
        for (index, entry) in std::mem::take(&mut state.swapped) {
            state.shards[0].entries[usize::try_from(index).unwrap_or(0)] = entry;
        }
    });
    all_there(&logd, &rekor)?;
    // It took entries although the log was made; the hint is about just that.
    let mut late = OldShard::of(&key, FIRST, 0, 291)?;
    rekor.change(|state| {
        for (entry, same) in late.entries.iter_mut().zip(&state.shards[0].entries) {
            entry.clone_from(same);
        }
        state.shards = vec![late];
    });
    for end in ["--dry-run", "--yes"] {
        let ran = run(at, &format!("{line} {end}"), 5)?;
        ensure!(!ran.stderr.contains("--drop"), "{}", ran.stderr);
        let said = "was created with 290 entries";
        ensure!(
            ran.stderr.contains(said) && ran.stderr.contains("has 291 now"),
            "{}",
            ran.stderr
        );
    }
    // There is a log now, and imported shards are a log's first ones.
    let other = OldRekor::start(vec![OldShard::new(SECOND, 0, 3)?])?;
    let file = at.join("neon.yaml");
    run(
        at,
        &format!(
            "import rekor {} --from {} --yes",
            file.display(),
            other.url()
        ),
        5,
    )?;
    Ok(())
}

/// It takes an entry after the last one was copied, while a person reads the preview: the log would give its index again.
#[test]
fn an_old_rekor_that_grows_before_the_creation_is_refused() -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rekor = OldRekor::start(vec![OldShard::of(&key, FIRST, 0, 20)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let mut grown = OldShard::of(&key, FIRST, 0, 21)?;
    // Asked for the shards, and after the copy; then it grows.
    rekor.change(|state| {
        for (entry, same) in grown.entries.iter_mut().zip(&state.shards[0].entries) {
            entry.clone_from(same);
        }
        state.grows = Some((2, vec![grown]));
    });
    let ran = run(at, &format!("{line} --yes"), 5)?;
    ensure!(ran.stderr.contains("has 21 now"), "{}", ran.stderr);
    ensure!(
        logd.http().get("/neon/api/v1/log", &[])?.status == 404,
        "it is served"
    );
    run(at, &format!("{line} --yes"), 0)?;
    all_there(&logd, &rekor)
}

/// A document that lists no shards is one of every new log: it gets a shard that accepts entries. The trail says what was imported.
#[test]
fn a_document_without_shards_gets_one() -> Done {
    let rekor = OldRekor::start(vec![OldShard::new(FIRST, 0, 30)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let file = at.join("neon.yaml");
    let without: Vec<_> = DOCUMENT
        .lines()
        .filter(|line| !line.starts_with("shards"))
        .collect();
    std::fs::write(&file, without.join("\n"))?;
    run(at, &format!("{line} --yes"), 0)?;
    all_there(&logd, &rekor)?;
    write(logd.http(), 31)?;
    let trail = does(at, "audit list")?.to_string();
    let (mut log_id, mut root) = (String::new(), String::new());
    rekor.change(|state| {
        (log_id, root) = (state.shards[0].log_id.clone(), state.shards[0].root.clone())
    });
    for named in [FIRST.to_string(), log_id, root, "30 entries".to_owned()] {
        ensure!(trail.contains(&named), "{named} is not in {trail}");
    }
    let of_log = does(at, "audit list --log neon")?.to_string();
    ensure!(of_log.contains("import-begin"), "{of_log}");
    Ok(())
}

/// Moves the files away that a hint says are to be moved.
fn moved_away(hint: &str, files: &[&Path]) -> Done {
    for file in files {
        if hint.contains(&format!("move {} away", file.display())) {
            std::fs::copy(file, file.with_extension("old"))?;
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// The answers of another Rekor, or of an earlier time, do not replace those in a folder; and a run that fails leaves it as it was.
#[test]
fn a_saved_rekor_is_not_lost() -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rekor = OldRekor::start(vec![OldShard::of(&key, FIRST, 0, 30)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let saved = at.join("saved");
    let save = |rekor: &OldRekor| {
        let (url, saved) = (rekor.url(), saved.display());
        format!("import rekor --from {url} --save {saved}")
    };
    // Only its active shard has entries, so without that there is nothing to save.
    let ran = run(at, &format!("{} --inactive-only", save(&rekor)), 2)?;
    ensure!(
        ran.stderr.contains("has no entries to import") && ran.stderr.contains("from 0 on"),
        "{}",
        ran.stderr
    );
    ensure!(!saved.exists(), "a folder is made for nothing");
    run(at, &save(&rekor), 0)?;
    let log = saved.join("log.json");
    let whole = std::fs::read_to_string(&log)?;
    let same = || -> Done {
        ensure!(std::fs::read_to_string(&log)? == whole, "it is replaced");
        Ok(())
    };
    for (other, why) in [
        (OldShard::new(SECOND, 0, 40)?, "which is not there now"),
        (OldShard::new(FIRST, 0, 40)?, "not signed by the key of now"),
        (OldShard::of(&key, FIRST, 0, 29)?, "there are 29 now"),
    ] {
        let other = OldRekor::start(vec![other])?;
        let ran = run(at, &save(&other), 2)?;
        ensure!(ran.stderr.contains(why), "{}", ran.stderr);
        ensure!(other.asked.load(SeqCst) == 0, "entries were asked for");
        same()?;
    }
    // It has grown, and gives out before all of it is saved: what was there can still be imported.
    let mut grown = OldShard::of(&key, FIRST, 0, 300)?;
    rekor.change(|state| {
        for (entry, same) in grown.entries.iter_mut().zip(&state.shards[0].entries) {
            entry.clone_from(same);
        }
        state.shards = vec![grown];
    });
    rekor.most.store(rekor.asked.load(SeqCst) + 5, SeqCst);
    run(at, &save(&rekor), 6)?;
    same()?;
    let from = line.replace(&rekor.url(), &saved.display().to_string());
    let planned = does(at, &format!("{from} --dry-run"))?;
    ensure!(planned["entries"] == 30, "{planned}");
    rekor.most.store(u64::MAX, SeqCst);
    run(at, &save(&rekor), 0)?;
    run(at, &format!("{from} --yes"), 0)?;
    all_there(&logd, &rekor)
}

/// The entries in a folder are not those under the tree head. The hint leads out of it, and names the shard and what was saved with it.
#[test]
fn a_wrong_root_is_repaired_as_the_hint_says() -> Done {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rekor = OldRekor::start(vec![
        OldShard::new(FIRST, 0, 30)?,
        OldShard::of(&key, SECOND, 30, 7)?,
        OldShard::new(7, 37, 3)?,
    ])?;
    let forged = OldShard::forged(&key, SECOND, 33)?;
    rekor.change(|state| {
        state.swapped.insert(33, forged);
    });
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let saved = at.join("saved");
    let save = format!(
        "import rekor --from {} --save {} --inactive-only",
        rekor.url(),
        saved.display()
    );
    let ran = run(at, &save, 0)?;
    ensure!(ran.stderr.contains("tree 7 with 3 entries is left out"));
    let whole = line.replace(&rekor.url(), &saved.display().to_string());
    let ran = run(at, &format!("{whole} --yes"), 12)?;
    let hint = ran.stderr;
    let file = saved.join(format!("{SECOND}.jsonl"));
    let first = "run `logctl import rekor --drop --log neon";
    let again = format!("--save {} --inactive-only", saved.display());
    ensure!(hint.contains(first) && hint.contains(&again), "{hint}");
    ensure!(hint.contains(&format!("move {} away", file.display())));
    rekor.change(|state| state.swapped.clear());
    run(at, "import rekor --drop --log neon --yes", 0)?;
    moved_away(&hint, &[&file])?;
    run(at, &save, 0)?;
    run(at, &format!("{whole} --yes"), 0)?;
    rekor.change(|state| drop(state.shards.pop()));
    all_there(&logd, &rekor)
}

/// The old Rekor makes a shard while it is copied: what was copied stays, and only the new shard is copied after that.
#[test]
fn an_old_rekor_that_makes_a_shard_meanwhile_is_continued() -> Done {
    let rekor = OldRekor::start(vec![OldShard::new(FIRST, 0, 300)?])?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    // Asked for the shards; then it makes one.
    let first = OldShard::new(SECOND, 300, 7)?;
    let same = rekor.state.lock().map(|state| copied(&state.shards[0]));
    let same = same.ok().context("a shard")?;
    rekor.change(|state| state.grows = Some((1, vec![same, first])));
    let ran = run(at, &format!("{line} --yes"), 5)?;
    for said in [
        "shows other trees",
        "run the same command again",
        "--drop --log neon",
        "both then assign the same indexes",
    ] {
        ensure!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let before = rekor.asked.load(SeqCst);
    run(at, &format!("{line} --yes"), 0)?;
    ensure!(rekor.asked.load(SeqCst) == before + 1, "copied again");
    all_there(&logd, &rekor)
}

/// The same shard once more.
fn copied(shard: &OldShard) -> OldShard {
    OldShard {
        tree: shard.tree,
        pem: shard.pem.clone(),
        log_id: shard.log_id.clone(),
        root: shard.root.clone(),
        note: shard.note.clone(),
        entries: shard.entries.clone(),
    }
}

/// The same from a folder with what the old Rekor answered, which need not be there any more. What a killed run left of a line is removed.
#[test]
fn an_old_rekor_is_brought_along_from_a_folder() -> Done {
    let rekor = two_shards()?;
    let folder = folder()?;
    let at = folder.path();
    let (logd, line) = begin(at, &rekor)?;
    let saved = at.join("saved");
    let save = format!(
        "import rekor --from {} --save {}",
        rekor.url(),
        saved.display()
    );
    rekor.most.store(11, SeqCst);
    run(at, &save, 6)?;
    let lines = saved.join(format!("{FIRST}.jsonl"));
    let text = std::fs::read_to_string(&lines)?;
    ensure!(text.lines().count() >= 50, "{} lines", text.lines().count());
    std::fs::write(&lines, format!("{text}{{\"to"))?;
    rekor.most.store(u64::MAX, SeqCst);
    run(at, &save, 0)?;
    let whole = line.replace(&rekor.url(), &saved.display().to_string());
    // A line is lost: what is missing is named.
    let text = std::fs::read_to_string(&lines)?;
    let (_, without) = text.split_once('\n').context("a line")?;
    std::fs::write(&lines, without)?;
    let ran = run(at, &format!("{whole} --yes"), 6)?;
    let named = format!("{}: line 1 is not entry 0", lines.display());
    ensure!(ran.stderr.contains(&named), "{}", ran.stderr);
    std::fs::write(&lines, &text)?;
    // So is each file that is damaged, and the hint helps.
    let log = saved.join("log.json");
    let (key, other) = (
        saved.join(format!("{FIRST}.pem")),
        saved.join(format!("{SECOND}.jsonl")),
    );
    let pem = std::fs::read_to_string(&key)?;
    let short = std::fs::read_to_string(&other)?;
    let short = short.lines().next().context("a line")?.to_owned() + "\n";
    let body = text.replacen("\"body\":\"", "\"body\":\"AAAA", 1);
    for (file, content, code) in [
        (&log, "{".to_owned(), 6),
        (&key, pem.replace("MFkw", "AAAA"), 6),
        (&key, OldShard::new(FIRST, 0, 1)?.pem, 12),
        (&lines, text.replacen('{', "[", 1), 6),
        (&lines, body, 12),
        (&other, short, 6),
    ] {
        std::fs::write(file, content)?;
        let ran = run(at, &format!("{whole} --yes"), code)?;
        let name = file.display().to_string();
        ensure!(ran.stderr.contains(&name), "{name}: {}", ran.stderr);
        ensure!(
            ran.stderr
                .contains("`logctl import rekor --from URL --save "),
            "{}",
            ran.stderr
        );
        moved_away(&ran.stderr, &[&log, &key, &lines, &other])?;
        run(at, &save, 0)?;
        run(at, &format!("{whole} --dry-run"), 0)?;
    }
    // A name without `https://` is a folder; the hint says so.
    let ran = run(at, &line.replace(&rekor.url(), "rekor.example.org"), 2)?;
    ensure!(ran.stderr.contains("https://HOST"), "{}", ran.stderr);
    let asked = rekor.asked.load(SeqCst);
    run(at, &format!("{whole} --yes"), 0)?;
    ensure!(rekor.asked.load(SeqCst) == asked, "the old Rekor was asked");
    all_there(&logd, &rekor)
}

/// Nobody can sign again what the old Rekor signed, so its times and signatures are on the secondaries, too.
#[test]
fn a_restored_log_still_answers_for_the_old_rekor() -> Done {
    let rekor = two_shards()?;
    let folder = folder()?;
    let at = folder.path().join("primary");
    let (logd, line) = begin(&at, &rekor)?;
    run(&at, &format!("{line} --yes"), 0)?;
    let key = logd.http().get("/neon/replication-key", &[])?;
    let key = key.expect_status(200)?.text().trim().to_owned();
    let ams = secondary(folder.path(), "ams", &key)?;
    let mut document = does(&at, "--log neon config show")?;
    document["merge"]["backupQuorum"] = json!(1);
    document["merge"]["secondaries"] = json!([{
        "name": "ams", "url": format!("http://{}", ams.address), "vkey": ams.vkey,
    }]);
    let file = at.join("next.json");
    std::fs::write(&file, document.to_string())?;
    run(
        &at,
        &format!("--log neon shard --use-config {} --yes", file.display()),
        0,
    )?;
    write(logd.http(), 308)?;
    let mut copy = Http::new(ams.address);
    for (tree, bundle) in [(FIRST, 0), (FIRST, 1), (SECOND, 0)] {
        let origin = format!("{tree}.log.example.org");
        let hash = <sha2::Sha256 as sha2::Digest>::digest(&origin);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        wait::until("the secondary has the times", || {
            let answer = copy.get(&format!("/times/{hash}/{bundle}"), &[])?;
            Ok((answer.status == 200).then_some(()))
        })?;
    }
    let kek = folder.path().join("kek");
    std::fs::copy(at.join("kek"), &kek)?;
    logd.kill()?;
    let to = folder.path().join("restored");
    let ran = tests::process::logd(&[
        "restore",
        "--log",
        "log.example.org",
        "--kek",
        kek.to_str().context("UTF-8")?,
        "--dir",
        to.to_str().context("UTF-8")?,
        "--from",
        &format!("http://{}", ams.address),
    ])?;
    let ran = ran.expect_code(0)?;
    ensure!(
        !ran.stderr.contains("no secondary knows when"),
        "{}",
        ran.stderr
    );
    let settings = to.join("logd.toml");
    let text = std::fs::read_to_string(&settings)?;
    let text = text.replace("127.0.0.1:7070", "127.0.0.1:0");
    std::fs::write(&settings, text.replace("127.0.0.1:7071", "127.0.0.1:0"))?;
    let how = Start {
        settings: Some(settings),
        ..Start::default()
    };
    let logd = Logd::start_as(&to, &how)?;
    all_there(&logd, &rekor)?;
    ensure!(logd.terminate()?.success());
    verify::clean(&to)
}
