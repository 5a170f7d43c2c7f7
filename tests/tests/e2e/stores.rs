//! Storage nodes and frontends in object stores and in folders: one that is slow, away, read-only or corrupt costs nothing but its
//! share; what comes back is repaired; readers of a bucket see only checkpoints whose tiles are all there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::auditor::{Auditor, Shard, Source as _};
use tests::bucket::{Bucket, CREDENTIALS, InBucket, S3};
use tests::cable::{Cable, Is};
use tests::http::Answer;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start};
use tests::secondary::configure;
use tests::skip::skip;
use tests::wait;

use crate::batches::{bundle, entries};
use crate::merge::{head, promised};
use crate::{Done, does, folder};

/// Entries as large as can be: a batch of one is too large for the coordination store, so it goes to the storage nodes.
fn large(of: u8) -> Vec<Vec<u8>> {
    (0..3)
        .map(|n| [&[of, n][..], &[of; 65_533]].concat())
        .collect()
}

fn send(logd: &Logd, entries: &[Vec<u8>]) -> Result<Answer> {
    let body = bundle(entries.iter().map(Vec::as_slice))?;
    let kind = [("Content-Type", "application/octet-stream")];
    logd.http().post("/dev/add-batch", &kind, &body)
}

/// The log's storage nodes, with a quorum.
fn nodes(at: &Path, names: &[&str], quorum: u32) -> Done {
    let nodes: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    configure(at, |document| {
        document["merge"]["storage"] = json!({"quorum": quorum, "nodes": nodes});
    })
}

/// The status of a node.
fn node(at: &Path, name: &str) -> Result<Value> {
    let status = does(at, "merge status")?;
    let nodes = status["nodes"].as_array().context("nodes are listed")?;
    let found = nodes.iter().find(|node| node["name"] == name);
    Ok(found
        .with_context(|| format!("no {name}: {status}"))?
        .clone())
}

fn until_well(at: &Path, name: &str) -> Result<Value> {
    wait::until(&format!("{name} has everything"), || {
        let node = node(at, name)?;
        let well = node["missed"] == 0 && node["up"] == true;
        Ok(well.then_some(node))
    })
}

/// Nothing was lost: every batch that was acknowledged is in the log, once and whole.
fn all_there(logd: &Logd, batches: &[u8]) -> Done {
    let log = entries(logd)?;
    let mut found: Vec<&Vec<u8>> = log.values().filter(|e| e.len() > 30_000).collect();
    found.sort_unstable();
    let mut sent: Vec<Vec<u8>> = batches.iter().flat_map(|of| large(*of)).collect();
    sent.sort_unstable();
    ensure!(
        found.into_iter().eq(sent.iter()),
        "{} large entries in the log",
        log.len()
    );
    Ok(())
}

/// A settings file beside the one that `logd dev` writes: other programs, and more at the end.
pub(crate) fn settings(
    at: &Path,
    name: &str,
    edits: &[(&str, &str)],
    more: &str,
) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(at.join("logd.toml"))?;
    for (from, to) in edits {
        ensure!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    let file = at.join(name);
    std::fs::write(&file, text + more)?;
    Ok(file)
}

fn serve(at: &Path, settings: &Path) -> Result<Logd> {
    let how = Start {
        wrapper: CREDENTIALS.map(str::to_owned).to_vec(),
        settings: Some(settings.to_owned()),
        ..Start::default()
    };
    Logd::start_as(at, &how)
}

const ALL: &str = "programs = [\"integrate\", \"replicate\", \"publish\", \"distribute\"]";

#[test]
fn batches_are_on_a_quorum_of_buckets() -> Done {
    let Some(s3) = S3::start()? else {
        skip("storage nodes in buckets", "moto_server is not installed");
        return Ok(());
    };
    let (mut east, mut west) = (s3.bucket("east")?, s3.bucket("west")?);
    let (to_east, to_west) = (Cable::to(s3.address)?, Cable::to(s3.address)?);
    let folder = folder()?;
    let at = folder.path();
    ensure!(Logd::start(at)?.terminate()?.success());
    let more = format!(
        "[nodes.east]\nurl = \"s3://east\"\n[nodes.west]\nurl = \"s3://west/a/b\"\n\
         [buckets.\"s3://east\"]\nendpoint = \"http://{}\"\nallow_http = true\n\
         [buckets.\"s3://west\"]\nendpoint = \"http://{}\"\nallow_http = true\n",
        to_east.address, to_west.address
    );
    // Nothing is fetched at first: batches stay where they are.
    let orders = settings(at, "orders.toml", &[(ALL, "programs = []")], &more)?;
    let whole = settings(at, "whole.toml", &[], &more)?;
    let logd = serve(at, &orders)?;
    nodes(at, &["local", "east", "west"], 2)?;

    send(&logd, &large(0))?.expect_status(200)?;
    // What was refused may stay on one of them until it is swept; the server's own copies are those that count.
    let mut both = |least: usize| {
        wait::until("both buckets have all batches", || {
            let own: Vec<String> = batches(&at.join("objects"))?.into_keys().collect();
            let (of_east, of_west) = (east.keys()?, west.keys()?);
            let below: Option<Vec<_>> = of_west.iter().map(|k| k.strip_prefix("a/b/")).collect();
            let below = below.context("a key that is not below the node's prefix")?;
            let has = |key: &String| of_east.contains(key) && below.contains(&key.as_str());
            Ok((own.len() >= least && own.iter().all(has)).then_some(own))
        })
    };
    let first = both(3)?.len();

    // One away: nobody waits for it, and it gets what it missed.
    to_east.set(Is::Cut);
    for of in 1..4 {
        send(&logd, &large(of))?.expect_status(200)?;
    }
    let away = wait::until("it is said that a node is away", || {
        let node = node(at, "east")?;
        Ok((node["up"] == false && node["missed"] != 0).then_some(node))
    })?;
    ensure!(!away.to_string().contains("tests-secret"), "{away}");
    to_east.set(Is::Whole);
    let back = until_well(at, "east")?;
    ensure!(back["repaired"].as_u64() >= Some(1), "{back}");
    both(first + 9)?;

    // One that does not answer at all holds up nobody.
    to_west.set(Is::Silent);
    send(&logd, &large(4))?.expect_status(200)?;

    // Both away: no quorum. A clear message, and writes continue when they are back.
    to_west.set(Is::Cut);
    to_east.set(Is::Cut);
    let refused = send(&logd, &large(5))?;
    ensure!(refused.status == 503, "{}", refused.text());
    ensure!(
        refused.text().contains("storage nodes"),
        "{}",
        refused.text()
    );
    to_east.set(Is::Whole);
    to_west.set(Is::Whole);
    send(&logd, &large(6))?.expect_status(200)?;
    until_well(at, "east")?;
    until_well(at, "west")?;
    let keys = both(first + 15)?;
    logd.terminate()?;

    // The server's own copies are gone, and one bucket has other bytes: the other bucket has what was ordered.
    for key in &keys {
        std::fs::remove_file(at.join("objects").join(key))?;
    }
    for key in keys.iter().step_by(2) {
        east.put(key, b"something else")?;
    }
    let logd = serve(at, &whole)?;
    logd.settled()?;
    all_there(&logd, &[0, 1, 2, 3, 4, 6])?;
    wait::until("what is published is let go", || {
        let left = east.keys()?.len().max(west.keys()?.len());
        Ok((left < first + 15).then_some(()))
    })
}

/// A node's batches by name.
fn batches(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for path in files(&folder.join("log"))? {
        let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
        all.insert(name, std::fs::read(path)?);
    }
    Ok(all)
}

/// Every file below a folder, which need not be there.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    if !root.is_dir() {
        return Ok(all);
    }
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

/// A folder that can't be used, until this is dropped.
struct Away {
    folder: PathBuf,
    kept: PathBuf,
}

impl Away {
    fn take(folder: &Path) -> Result<Self> {
        let kept = folder.with_extension("kept");
        rename(folder, &kept)?;
        std::fs::write(folder, "not a folder")?;
        Ok(Self {
            folder: folder.to_owned(),
            kept,
        })
    }

    fn back(self) -> Done {
        std::fs::remove_file(&self.folder)?;
        rename(&self.kept, &self.folder)
    }
}

fn rename(from: &Path, to: &Path) -> Done {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing here must survive a power loss"
    )]
    std::fs::rename(from, to)?;
    Ok(())
}

/// A file system that can be made read-only.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn at(path: &'a Path) -> Result<Option<Self>> {
        std::fs::create_dir_all(path)?;
        Ok(mount(&["-t", "tmpfs", "-o", "size=32m", "tmpfs"], path).then_some(Self(path)))
    }

    fn writable(&self, writable: bool) -> Done {
        let how = if writable { "remount,rw" } else { "remount,ro" };
        ensure!(mount(&["-o", how], self.0), "mount -o {how}");
        Ok(())
    }
}

fn mount(words: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(words).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Lazily: a file of a dying server may still be open.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A server on folders as nodes; with or without the programs of the merge.
fn on_folders(at: &Path, arguments: &[&str]) -> Result<Logd> {
    let how = Start {
        arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
        ..Start::default()
    };
    Logd::start_as(at, &how)
}

#[test]
fn a_folder_that_is_away_read_only_replaced_or_damaged_costs_its_share() -> Done {
    let folder = folder()?;
    let at = &folder.path().join("log");
    let (b, c) = (at.join("nodes/b"), at.join("nodes/c"));
    let own = at.join("objects");
    let mounted = Mounted::at(&c)?;
    // Nothing is fetched at first: batches stay where they are.
    let logd = on_folders(at, &["--merge"])?;
    nodes(at, &["local", "b", "c"], 2)?;
    let mut sent = Vec::new();
    let mut write = |logd: &Logd| -> Done {
        let of = u8::try_from(sent.len())?;
        send(logd, &large(of))?.expect_status(200)?;
        sent.push(of);
        Ok(())
    };
    let same = || {
        wait::until("all nodes have the same", || {
            let all = batches(&own)?;
            Ok((batches(&b)? == all && batches(&c)? == all).then_some(all))
        })
    };
    write(&logd)?;
    ensure!(!same()?.is_empty());

    // Away, and back.
    let away = Away::take(&b)?;
    write(&logd)?;
    wait::until("it is said that a node is away", || {
        Ok((node(at, "b")?["up"] == false).then_some(()))
    })?;
    // No quorum: a clear message, and writes continue when it can be met again.
    if mounted.is_none() {
        let other = Away::take(&c)?;
        let refused = send(&logd, &large(200))?;
        ensure!(refused.status == 503, "{}", refused.text());
        other.back()?;
    }
    if let Some(mounted) = &mounted {
        mounted.writable(false)?;
        let refused = send(&logd, &large(200))?;
        ensure!(refused.status == 503, "{}", refused.text());
        let why = refused.text();
        ensure!(why.contains("1 of the 2 storage nodes"), "{why}");
        // Small batches are not on them.
        logd.add(b"small")?;
        mounted.writable(true)?;
    }
    away.back()?;
    write(&logd)?;
    until_well(at, "b")?;
    until_well(at, "c")?;
    same()?;

    match &mounted {
        Some(mounted) => {
            mounted.writable(false)?;
            write(&logd)?;
            let said = wait::until("it is said that a node is read-only", || {
                let node = node(at, "c")?;
                Ok((node["up"] == false).then_some(node))
            })?;
            ensure!(said.to_string().contains("ead-only"), "{said}");
            mounted.writable(true)?;
            let back = until_well(at, "c")?;
            ensure!(back["repaired"].as_u64() >= Some(1), "{back}");
        }
        None => skip("a read-only storage node", "mounting a tmpfs needs root"),
    }
    same()?;

    // Another disk in its place, without anything.
    rename(&b, &at.join("nodes/old"))?;
    write(&logd)?;
    let all = same()?;
    ensure!(all.len() >= sent.len(), "{} batches", all.len());

    // Two of three have other bytes, and the third is away: nothing wrong is taken. When it is back, the two are put right. Nothing
    // is published for now, so that this can be seen.
    logd.kill()?;
    // A mount can't be moved away: what is in it stays.
    drop(mounted);
    for (name, bytes) in &all {
        let file = c.join(name);
        std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        std::fs::write(file, bytes)?;
    }
    let away = Away::take(&c)?;
    for node in [&own, &b] {
        for (name, bytes) in &all {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(node.join(name), bytes)?;
        }
    }
    let logd = on_folders(at, &["--merge", "integrate"])?;
    wait::until("it is said that a node is damaged", || {
        let node = node(at, "b")?;
        let why = node["trouble"].as_str();
        Ok(why
            .is_some_and(|why| why.contains("not those that were ordered"))
            .then_some(()))
    })?;
    ensure!(
        logd.watermarks()?.integrated == 0,
        "{:?}",
        logd.watermarks()?
    );
    away.back()?;
    // At least what was asked for meanwhile; the rest is read from whoever answers first.
    wait::until("what was found damaged is as it was", || {
        let repaired = |folder: &Path| -> Result<bool> {
            let now = batches(folder)?;
            Ok(all.iter().any(|(name, bytes)| now.get(name) == Some(bytes)))
        };
        Ok((repaired(&own)? && repaired(&b)?).then_some(()))
    })?;
    let repaired = wait::until("it is reported", || {
        let node = node(at, "b")?;
        let well = node["up"] == true && node["missed"] == 0;
        Ok(well.then_some(node))
    })?;
    ensure!(repaired["repaired"].as_u64() >= Some(1), "{repaired}");
    logd.terminate()?;
    let logd = on_folders(at, &[])?;
    logd.settled()?;
    all_there(&logd, &sent)?;
    logd.terminate()?;
    tests::verify::clean(at)
}

/// A reader of a bucket: everything that its checkpoint promises is there, and it never goes back.
fn reads(bucket: &mut Bucket, shards: &[Shard], seen: &AtomicU64) -> Result<u64> {
    let mut source = InBucket {
        bucket,
        at: "logs/dev",
    };
    let mut total = 0;
    for shard in shards {
        let Some(note) = source.get(&format!("{}/checkpoint", shard.name))? else {
            continue;
        };
        let (origin, size) = head(&String::from_utf8(note)?)?;
        for (exact, full) in promised(size) {
            let mut there = |rest: &str| -> Result<bool> {
                Ok(source.get(&format!("{}/{rest}", shard.name))?.is_some())
            };
            ensure!(
                there(&exact)? || there(&full)?,
                "{origin}: size {size} is signed, {exact} is missing"
            );
        }
        total += size;
    }
    let before = seen.fetch_max(total, SeqCst);
    ensure!(before <= total, "{before} entries, then {total}");
    Ok(total)
}

#[test]
fn a_frontend_in_a_bucket_keeps_its_promise() -> Done {
    let Some(s3) = S3::start()? else {
        skip("a frontend in a bucket", "moto_server is not installed");
        return Ok(());
    };
    let mut cdn = s3.bucket("cdn")?;
    let cable = Cable::to(s3.address)?;
    let folder = folder()?;
    let at = folder.path();
    ensure!(Logd::start(at)?.terminate()?.success());
    let allowed = [(
        "frontends = [\"frontends\"]",
        "frontends = [\"s3://cdn/logs\"]",
    )];
    let more = format!(
        "[buckets.\"s3://cdn\"]\nendpoint = \"http://{}\"\nallow_http = true\n",
        cable.address
    );
    let settings = settings(at, "bucket.toml", &allowed, &more)?;
    let logd = serve(at, &settings)?;
    let frontend = |url: &str| -> Done {
        configure(at, |document| {
            document["merge"]["frontends"] = json!([{"name": "cdn", "url": url}]);
        })
    };
    // A place that logd.toml does not allow is refused, and not written.
    let refused = frontend("s3://cdn/elsewhere")
        .err()
        .context("it was taken")?;
    let why = format!("{refused:#}");
    ensure!(why.contains("frontend-not-allowed"), "{why}");
    ensure!(cdn.keys()?.is_empty());
    frontend("s3://cdn/logs")?;

    let (stop, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let shards = logd.shards()?;
    let load = Load::start(Plan::synthetic(logd.address, 4, "b"));
    let looks = std::thread::scope(|scope| -> Result<u64> {
        let reader = scope.spawn(|| -> Result<u64> {
            let mut bucket = Bucket::new(s3.address, "cdn");
            let mut looks = 0;
            while !stop.load(SeqCst) {
                reads(&mut bucket, &shards, &seen)?;
                looks += 1;
            }
            Ok(looks)
        });
        let writes = || -> Done {
            for is in [Is::Cut, Is::Silent] {
                let moved = seen.load(SeqCst);
                wait::until("readers of the bucket get new entries", || {
                    Ok((seen.load(SeqCst) > moved || reader.is_finished()).then_some(()))
                })?;
                cable.set(is);
                load.reach(load.acknowledged() + 300)?;
                cable.set(Is::Whole);
            }
            Ok(())
        };
        let wrote = writes();
        stop.store(true, SeqCst);
        let looks = reader.join().ok().context("the reader ends")??;
        wrote.map(|()| looks)
    })?;
    ensure!(looks > 0 && seen.load(SeqCst) > 0, "{looks} looks");
    let mut ledger = Ledger::default();
    ledger.add(load.stop()?)?;
    tests::verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    let (shards, ordered) = (logd.shards()?, logd.watermarks()?.ordered);
    wait::until("the bucket has everything", || {
        let mut source = InBucket {
            bucket: &mut cdn,
            at: "logs/dev",
        };
        let audited = Auditor::default().audit(&mut source, &shards, |_| Ok(()));
        Ok(audited
            .is_ok_and(|audited| audited.entries == ordered)
            .then_some(()))
    })?;
    let shard = &shards[0].name;
    let note = cdn.ask(&format!("logs/dev/{shard}/checkpoint"))?;
    ensure!(note.header("cache-control") == Some("no-cache"), "{note:?}");
    ensure!(note.header("content-type") == Some("text/plain; charset=utf-8"));
    let tile = cdn.ask(&format!("logs/dev/{shard}/tile/0/000"))?;
    ensure!(tile.header("cache-control") == Some("public, max-age=31536000, immutable"));
    ensure!(tile.header("content-type") == Some("application/octet-stream"));
    let errors = logd.errors();
    ensure!(!errors.contains("tests-secret"), "{errors}");
    Ok(())
}
