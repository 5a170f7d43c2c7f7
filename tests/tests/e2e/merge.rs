//! The merge as four programs in processes of their own: one after the other or all at once they make the same bytes; killed at
//! any moment, they lose and double nothing, their positions never go back, and no checkpoint is there without its quorum; a
//! frontend always has what its checkpoint promises.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use tests::auditor::{Auditor, Folder, Shard};
use tests::http::Http;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start, Worker, logctl_with, logd};
use tests::random::Random;
use tests::secondary::Secondary;
use tests::wait;

use crate::batches::bundle;
use crate::{Done, does, folder, run};

const PROGRAMS: [&str; 4] = ["integrate", "replicate", "publish", "distribute"];

/// A server that runs none of the programs.
fn orders_only(at: &Path) -> Result<Logd> {
    let start = Start {
        arguments: vec!["--merge".to_owned()],
        ..Start::default()
    };
    Logd::start_as(at, &start)
}

fn program(at: &Path, name: &str) -> Result<Worker> {
    Worker::start(&["merge", name, "--dir", &at.to_string_lossy()])
}

/// Changes the running document as text.
fn configure(at: &Path, edits: &[(&str, String)]) -> Result<()> {
    let mut document = run(at, "config show", 0)?.stdout;
    for (from, to) in edits {
        ensure!(document.contains(from), "{from:?} is not in {document}");
        document = document.replacen(from, to, 1);
    }
    let words = ["shard", "--use-config", "-", "--yes"];
    logctl_with(at, &words, &document, &[])?.expect_code(0)?;
    Ok(())
}

/// A frontend in the folder that `logd dev` allows.
fn frontend(at: &Path) -> (&'static str, String) {
    let url = at.join("frontends/cdn");
    let to = format!(
        "  frontends: [{{name: cdn, url: \"file://{}\"}}]",
        url.display()
    );
    ("  frontends: []", to)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            copy(&path, &to.join(entry.file_name()))?;
        } else if kind.is_file() {
            std::fs::copy(&path, to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Every file below a folder, by its path in it.
fn files(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    fn walk(root: &Path, at: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
        for entry in std::fs::read_dir(at)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, all)?;
            } else {
                all.insert(path.strip_prefix(root)?.to_owned(), std::fs::read(&path)?);
            }
        }
        Ok(())
    }
    let mut all = BTreeMap::new();
    walk(root, root, &mut all).with_context(|| root.display().to_string())?;
    Ok(all)
}

/// The objects for readers: the log's own, and the frontend's. Only the widest form of a partial tile counts: the number of cuts depends on
/// timing.
fn served(at: &Path) -> Result<[BTreeMap<PathBuf, Vec<u8>>; 2]> {
    let widest = |root: PathBuf| -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut all = files(&root)?;
        let width = |path: &Path| -> Option<(PathBuf, u16)> {
            let tile = path.parent()?;
            let partial = tile.extension()?.to_str()? == "p";
            let width = path.file_name()?.to_str()?.parse().ok()?;
            partial.then(|| (tile.to_owned(), width))
        };
        let mut most = BTreeMap::new();
        for (tile, at) in all.keys().filter_map(|path| width(path)) {
            let most = most.entry(tile).or_insert(at);
            *most = at.max(*most);
        }
        all.retain(|path, _| width(path).is_none_or(|(tile, at)| most.get(&tile) == Some(&at)));
        Ok(all)
    };
    Ok([
        widest(at.join("objects/dev"))?,
        widest(at.join("frontends/cdn/dev"))?,
    ])
}

#[test]
fn once_in_sequence_and_all_at_once_make_the_same_bytes() -> Done {
    let folder = folder()?;
    // Absolute paths are in the configuration: the copy takes the place of the original.
    let at = &folder.path().join("log");
    let before = &folder.path().join("before");
    let logd_ = orders_only(at)?;
    configure(at, &[frontend(at)])?;
    for n in 0..40u32 {
        let entries: Vec<Vec<u8>> = (0..30).map(|i| format!("{n}/{i}").into_bytes()).collect();
        let body = bundle(entries.iter().map(Vec::as_slice))?;
        let kind = [("Content-Type", "application/octet-stream")];
        let mut http = logd_.http();
        http.post("/dev/add-batch", &kind, &body)?
            .expect_status(200)?;
        if n == 20 {
            run(at, "shard rotate --yes", 0)?;
        }
    }
    // Large enough for batches that are objects until they are published.
    let large: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 60_000]).collect();
    let body = bundle(large.iter().map(Vec::as_slice))?;
    let kind = [("Content-Type", "application/octet-stream")];
    let mut http = logd_.http();
    http.post("/dev/add-batch", &kind, &body)?
        .expect_status(200)?;
    let marks = logd_.watermarks()?;
    ensure!(marks.ordered == 1240 && marks.integrated == 0, "{marks:?}");
    logd_.terminate()?;
    copy(at, before)?;

    for name in PROGRAMS {
        let ran = logd(&["merge", name, "--once", "--dir", &at.to_string_lossy()])?;
        let ran = ran.expect_code(0).context(name)?;
        ensure!(ran.stdout.starts_with(&format!("{name}: dev: ")), "{ran:?}");
        let again = logd(&["merge", name, "--once", "--dir", &at.to_string_lossy()])?;
        let again = again.expect_code(0)?.stdout;
        ensure!(again.contains("dev: nothing to do"), "{again}");
    }
    tests::verify::clean(at)?;
    let in_sequence = served(at)?;
    let restarted = Logd::start(at)?;
    ensure!(restarted.settled()? == 1240);
    restarted.terminate()?;

    std::fs::remove_dir_all(at)?;
    copy(before, at)?;
    let workers: Vec<Worker> = PROGRAMS
        .map(|name| program(at, name))
        .into_iter()
        .collect::<Result<_>>()?;
    let sealed = at.join("frontends/cdn/dev");
    wait::until("everything is at the frontend", || {
        let now = served(at).ok();
        Ok((sealed.is_dir() && now.as_ref() == Some(&in_sequence)).then_some(()))
    })?;
    for worker in workers {
        ensure!(worker.terminate()?.success(), "it ends cleanly");
    }
    tests::verify::clean(at)
}

/// A path in a bundle of tiles that a checkpoint of `size` promises: the hash tiles of each level, and the bundles.
pub(crate) fn promised(size: u64) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let (mut level, mut count) = (0u8, size);
    while count > 0 {
        for index in 0..count.div_ceil(256) {
            let width = (count - index * 256).min(256);
            let mut kinds = vec![level.to_string()];
            if level == 0 {
                kinds.push("entries".to_owned());
            }
            for kind in kinds {
                let mut rest = index;
                let mut number = format!("{:03}", rest % 1000);
                while rest >= 1000 {
                    rest /= 1000;
                    number = format!("x{:03}/{number}", rest % 1000);
                }
                let full = format!("tile/{kind}/{number}");
                let exact = if width == 256 {
                    full.clone()
                } else {
                    format!("{full}.p/{width}")
                };
                all.push((exact, full));
            }
        }
        level += 1;
        count >>= 8;
    }
    all
}

/// Size and origin of a checkpoint, unverified.
pub(crate) fn head(note: &str) -> Result<(String, u64)> {
    let mut lines = note.lines();
    let origin = lines.next().context("an origin")?.to_owned();
    Ok((origin, lines.next().context("a size")?.parse()?))
}

/// A reader of a frontend: everything that its checkpoint promises is there, and it never goes back.
fn reads(cdn: &Path, seen: &mut BTreeMap<String, u64>) -> Result<()> {
    let Ok(shards) = std::fs::read_dir(cdn) else {
        return Ok(());
    };
    for shard in shards {
        let shard = shard?.path();
        let Ok(note) = std::fs::read_to_string(shard.join("checkpoint")) else {
            continue;
        };
        let (origin, size) = head(&note)?;
        for (exact, full) in promised(size) {
            // A partial tile is deleted when the full one is there.
            let there = shard.join(&exact).is_file() || shard.join(&full).is_file();
            ensure!(there, "{origin}: size {size} is signed, {exact} is missing");
        }
        let before = seen.insert(origin.clone(), size).unwrap_or(0);
        ensure!(before <= size, "{origin}: {before}, then {size}");
    }
    Ok(())
}

/// The size that a secondary has cosigned of an origin.
fn mirrored(secondary: &Worker, origin: &str) -> Result<u64> {
    let hash: String = Sha256::digest(origin)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let answer =
        Http::new(secondary.address()?).get(&format!("/{hash}/cosigned-checkpoint"), &[])?;
    if answer.status == 404 {
        return Ok(0);
    }
    Ok(head(&answer.expect_status(200)?.text())?.1)
}

fn start_secondary(dir: &Path, listen: &str, log: &str) -> Result<Worker> {
    let dir = dir.to_string_lossy();
    Worker::start(&["secondary", "--dir", &dir, "--listen", listen, "--log", log])
}

#[test]
fn killed_at_random_they_lose_and_double_nothing() -> Done {
    const QUORUM: usize = 2;
    let seconds = tests::skip::campaign("TESTS_MERGE_SECONDS", 15);
    let folder = folder()?;
    let at = &folder.path().join("log");
    let server = orders_only(at)?;
    let replication = does(at, "merge status")?["replicationKey"]
        .as_str()
        .context("a replication key")?
        .to_owned();
    let mut secondaries = Vec::new();
    let mut list = Vec::new();
    for name in ["x", "y", "z"] {
        let dir = folder.path().join(name);
        let vkey = Secondary::key(&dir, &format!("{name}.example.org"))?;
        let worker = start_secondary(&dir, "127.0.0.1:0", &replication)?;
        list.push(format!(
            "{{name: {name}, url: \"http://{}\", vkey: \"{vkey}\"}}",
            worker.address()?
        ));
        secondaries.push(worker);
    }
    let edits = [
        frontend(at),
        (
            "  secondaries: []",
            format!("  secondaries: [{}]", list.join(", ")),
        ),
        ("  backupQuorum: 0", format!("  backupQuorum: {QUORUM}")),
    ];
    configure(at, &edits)?;

    let mut workers: BTreeMap<&str, Worker> = BTreeMap::new();
    for name in PROGRAMS {
        workers.insert(name, program(at, name)?);
    }
    let load = Load::start(Plan::synthetic(server.address, 8, "killed"));
    let (mut random, mut kills, mut seen) = (Random::new(1), 0u32, BTreeMap::new());
    let mut last = server.watermarks()?;
    let began = Instant::now();
    let cdn = at.join("frontends/cdn/dev");
    let mut rotated = false;
    while began.elapsed() < Duration::from_secs(seconds) {
        let victim = PROGRAMS[random.below(PROGRAMS.len())];
        if let Some(worker) = workers.remove(victim) {
            worker.kill()?;
            kills += 1;
        }
        for _ in 0..random.below(8) {
            look(&server, &secondaries, &cdn, &mut last, &mut seen, QUORUM)?;
        }
        workers.insert(victim, program(at, victim)?);
        look(&server, &secondaries, &cdn, &mut last, &mut seen, QUORUM)?;
        if !rotated && began.elapsed() > Duration::from_secs(seconds / 2) {
            run(at, "shard rotate --yes", 0)?;
            rotated = true;
        }
    }
    ensure!(kills > 3, "only {kills} kills");
    let mut ledger = Ledger::default();
    ledger.add(load.stop()?)?;
    let mut auditor = Auditor::default();
    tests::verify::whole(&server, &mut auditor, &mut ledger)?;
    ensure!(ledger.acknowledged() > 0, "the load wrote something");
    let shards = server.shards()?;
    let whole = |shards: &[Shard]| -> Result<u64> {
        let audited = Auditor::default().audit(&mut Folder(cdn.clone()), shards, |_| Ok(()));
        Ok(audited.map_or(0, |audited| audited.entries))
    };
    let ordered = server.watermarks()?.ordered;
    wait::until("the frontend has everything", || {
        Ok((whole(&shards)? == ordered).then_some(()))
    })?;
    drop(workers);
    server.terminate()?;
    tests::verify::clean(at)
}

/// One look from outside: positions never go back, no checkpoint without its quorum, frontends keep their promise.
fn look(
    server: &Logd,
    secondaries: &[Worker],
    cdn: &Path,
    last: &mut tests::process::Watermarks,
    seen: &mut BTreeMap<String, u64>,
    quorum: usize,
) -> Result<()> {
    let now = server.watermarks()?;
    ensure!(
        now.ordered >= last.ordered
            && now.integrated >= last.integrated
            && now.published >= last.published
            && now.ordered >= now.integrated
            && now.integrated >= now.published,
        "{last:?}, then {now:?}"
    );
    *last = now;
    for shard in server
        .shards()?
        .iter()
        .filter(|shard| shard.state != "planned")
    {
        let path = format!("/dev/{}/checkpoint", shard.name);
        let answer = server.http().get(&path, &[])?;
        let before = seen.get(&path).copied().unwrap_or(0);
        if before == 0 && answer.status == 503 && answer.text().contains("is not signed yet") {
            // `publish` died between the shard's first position and its signature: nobody has seen a checkpoint with entries.
            continue;
        }
        let (origin, size) = head(&answer.expect_status(200)?.text())?;
        ensure!(size >= before, "{path}: {before} entries, then {size}");
        seen.insert(path, size);
        // Read after the checkpoint: what they have only grows.
        let sizes: Vec<u64> = secondaries
            .iter()
            .map(|one| mirrored(one, &origin))
            .collect::<Result<_>>()?;
        let holding = sizes.iter().filter(|held| **held >= size).count();
        ensure!(
            size == 0 || holding >= quorum,
            "{origin}: {size} is published, the secondaries have {sizes:?}"
        );
    }
    reads(cdn, seen)
}

#[test]
fn a_frontend_serves_what_was_pushed_and_catches_up() -> Done {
    let folder = folder()?;
    let at = &folder.path().join("log");
    let server = Logd::start(at)?;
    let cdn = at.join("frontends/cdn");
    configure(at, &[frontend(at)])?;
    let load = Load::start(Plan::synthetic(server.address, 4, "f"));
    load.reach(300)?;
    wait::until("the frontend is there", || {
        Ok(cdn.join("dev").is_dir().then_some(()))
    })?;
    // Away, and back without anything: it continues from what it has.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing here must survive a power loss"
    )]
    std::fs::rename(&cdn, at.join("away"))?;
    load.reach(load.acknowledged() + 300)?;
    let mut ledger = Ledger::default();
    ledger.add(load.stop()?)?;
    let ordered = server.settled()?;
    let shards = server.shards()?;
    let whole = |folder: &Path| -> u64 {
        let audited =
            Auditor::default().audit(&mut Folder(folder.join("dev")), &shards, |_| Ok(()));
        audited.map_or(0, |audited| audited.entries)
    };
    wait::until("it has everything again", || {
        Ok((whole(&cdn) == ordered).then_some(()))
    })?;

    let frontend = Worker::start(&[
        "frontend",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        &cdn.to_string_lossy(),
    ])?;
    let mut http = Http::new(frontend.address()?);
    let mut source = tests::auditor::Served::new(frontend.address()?, "dev");
    let audited = Auditor::default().audit(&mut source, &shards, |_| Ok(()))?;
    ensure!(audited.entries == ordered, "{audited:?}");
    let shard = &shards[0].name;
    let note = http
        .get(&format!("/dev/{shard}/checkpoint"), &[])?
        .expect_status(200)?;
    ensure!(note.header("cache-control") == Some("no-cache"));
    ensure!(note.header("content-type") == Some("text/plain; charset=utf-8"));
    let tile = http
        .get(&format!("/dev/{shard}/tile/0/000"), &[])?
        .expect_status(200)?;
    ensure!(tile.header("cache-control") == Some("public, max-age=31536000, immutable"));
    ensure!(tile.header("content-type") == Some("application/octet-stream"));
    // A reader with an older checkpoint finds the beginning of the full tile.
    let part = http
        .get(&format!("/dev/{shard}/tile/0/000.p/5"), &[])?
        .expect_status(200)?;
    ensure!(part.body == tile.body[..5 * 32]);
    for absent in ["/dev/nope/checkpoint", "/dev", "/", "/dev/../kek", "/.tmp"] {
        http.get(absent, &[])?.expect_status(404)?;
    }
    http.post(&format!("/dev/{shard}/checkpoint"), &[], b"x")?
        .expect_status(405)?;
    ensure!(frontend.terminate()?.success());

    let status = does(at, "merge status")?;
    ensure!(status["frontends"][0]["position"] == ordered, "{status}");
    ensure!(status["frontends"][0]["lagMillis"] == 0, "{status}");
    let table = run(at, "merge status", 0)?.stdout;
    ensure!(
        table.contains("cdn") && table.contains("FRONTEND"),
        "{table}"
    );
    Ok(())
}

/// A folder that logd.toml does not allow is not written, and said so.
#[test]
fn a_frontend_elsewhere_is_refused() -> Done {
    let folder = folder()?;
    let at = &folder.path().join("log");
    let elsewhere = folder.path().join("elsewhere/cdn");
    let server = Logd::start(at)?;
    server.add(b"one")?;
    let url = format!(
        "  frontends: [{{name: cdn, url: \"file://{}\"}}]",
        elsewhere.display()
    );
    let document = run(at, "config show", 0)?.stdout;
    ensure!(document.contains("  frontends: []"), "{document}");
    let next = document.replacen("  frontends: []", &url, 1);
    for more in [&["--dry-run"][..], &["--yes"]] {
        let words = [&["shard", "--use-config", "-"], more].concat();
        let refused = logctl_with(at, &words, &next, &[])?.expect_code(6)?;
        ensure!(
            refused.stderr.contains("frontend-not-allowed"),
            "{refused:?}"
        );
        ensure!(refused.stderr.contains("frontend cdn"), "{refused:?}");
    }
    // A storage node that this server does not know alike.
    let nodes = document.replacen("- name: local", "- name: local\n      - name: other", 1);
    ensure!(nodes != document, "{document}");
    let words = ["shard", "--use-config", "-", "--yes"];
    let refused = logctl_with(at, &words, &nodes, &[])?.expect_code(6)?;
    ensure!(
        refused.stderr.contains("storage-node-not-allowed"),
        "{refused:?}"
    );
    ensure!(
        does(at, "config show")?["merge"]["frontends"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    ensure!(!elsewhere.exists() && !folder.path().join("elsewhere").exists());
    Ok(())
}

/// A quorum that is raised above the secondaries that are there: a clear state, the order continues, and back.
#[test]
fn too_few_secondaries_stop_the_publication_and_not_the_order() -> Done {
    let folder = folder()?;
    let at = &folder.path().join("log");
    let server = Logd::start(at)?;
    server.add(b"one")?;
    server.settled()?;
    let vkey = Secondary::key(folder.path(), "x.example.org")?;
    let secondary =
        format!("  secondaries: [{{name: x, url: \"http://127.0.0.1:9\", vkey: \"{vkey}\"}}]");
    let quorum = ("  backupQuorum: 0", "  backupQuorum: 1".to_owned());
    // Said before, in a preview, with the change; it is no refusal.
    let document = run(at, "config show", 0)?.stdout;
    let next = document.replacen("  secondaries: []", &secondary, 1);
    let next = next.replacen(quorum.0, &quorum.1, 1);
    let words = ["shard", "--use-config", "-", "--dry-run", "-o", "json"];
    let preview = logctl_with(at, &words, &next, &[])?.expect_code(0)?;
    ensure!(
        preview.stderr.contains("warning: merge.backupQuorum is 1"),
        "{preview:?}"
    );
    let warning = &preview.json()?["operation"]["warnings"][0];
    ensure!(warning["code"] == "backup-quorum-not-live", "{warning}");
    let words = ["shard", "--use-config", "-", "--yes"];
    let made = logctl_with(at, &words, &next, &[])?.expect_code(0)?;
    ensure!(made.stderr.contains("[backup-quorum-not-live]"), "{made:?}");
    // And after, before anything waits; a balancer must not take out servers that take writes.
    wait::until("readiness says it", || {
        let ready = server.http().get("/readyz", &[])?.expect_status(200)?;
        let said = "ready\ndev: publication waits for secondaries\n";
        Ok((ready.text() == said).then_some(()))
    })?;
    ensure!(does(at, "merge status")?["live"] == 0);
    ensure!(run(at, "doctor", 13)?.stdout.contains("quorum"));
    ensure!(server.add(b"two")? == 1);
    wait::until("the status says why", || {
        let status = does(at, "merge status")?;
        let sth = status["programs"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["program"] == "publish"))
            .context("sth is listed")?;
        let why = sth["trouble"].as_str().unwrap_or_default();
        Ok(why.contains("backupQuorum").then_some(()))
    })?;
    ensure!(server.add(b"three")? == 2);
    let marks = server.watermarks()?;
    ensure!((marks.ordered, marks.published) == (3, 1), "{marks:?}");
    configure(at, &[("  backupQuorum: 1", "  backupQuorum: 0".to_owned())])?;
    ensure!(server.settled()? == 3);
    wait::until("readiness says nothing more", || {
        let ready = server.http().get("/readyz", &[])?.expect_status(200)?;
        Ok((ready.text() == "ready\n").then_some(()))
    })?;
    Ok(())
}
