//! A server that is started on stores of different moments, or of different logs: it serves, or halts and names cause and remedy, and `fsck`
//! says the same. No index is given out twice, and no size is signed twice.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::process::{Logd, fsck, logctl};

use crate::{Done, folder, run};

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The files that are the coordination database.
fn database(at: &Path) -> Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(at)?.map(|entry| Ok(entry?.path()));
    let all: Vec<PathBuf> = all.collect::<Result<_>>()?;
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    Ok(all
        .into_iter()
        .filter(|path| name(path).is_some_and(|n| n.starts_with("coordination.db")))
        .collect())
}

/// Replaces the coordination database of one folder by that of another.
fn replace_database(at: &Path, by: &Path) -> Done {
    for path in database(at)? {
        std::fs::remove_file(path)?;
    }
    for path in database(by)? {
        let name = path.file_name().context("a name")?;
        std::fs::copy(&path, at.join(name))?;
    }
    Ok(())
}

/// All signed checkpoints below a folder.
fn checkpoints(at: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let (mut found, mut open) = (Vec::new(), vec![at.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.ends_with("checkpoint") {
                found.push((path.clone(), std::fs::read(path)?));
            }
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no checkpoints below {}", at.display());
    Ok(found)
}

fn write(logd: &Logd, range: std::ops::Range<u32>) -> Done {
    for n in range {
        logd.add(format!("entry {n}").as_bytes())?;
    }
    logd.settled()?;
    Ok(())
}

/// A log at rest with ten entries in `early`, and with twenty in `late`.
fn two_moments(early: &Path, late: &Path) -> Done {
    let logd = Logd::start(late)?;
    write(&logd, 0..10)?;
    ensure!(logd.terminate()?.success(), "stops");
    copy(late, early)?;
    let logd = Logd::start(late)?;
    write(&logd, 10..20)?;
    ensure!(logd.terminate()?.success(), "stops");
    Ok(())
}

/// The server does not serve, or halts: it says one of these words, everywhere, and has signed nothing.
fn refuses(at: &Path, words: &[&str]) -> Done {
    let before = checkpoints(at)?;
    let says = |text: &str| words.iter().any(|word| text.contains(word));
    match Logd::start(at) {
        // Not to start at all is stricter than to halt.
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(says(&text) && !text.contains("panicked"), "{text}");
        }
        Ok(logd) => {
            let answer = logd.http().post("/dev/add", &[], b"one more")?;
            ensure!(
                answer.status == 503 && says(&answer.text()),
                "{}: {}",
                answer.status,
                answer.text()
            );
            let ready = logd.http().get("/readyz", &[])?;
            ensure!(
                ready.status == 503 && says(&ready.text()),
                "{}",
                ready.text()
            );
            ensure!(
                logd.halted.iter().any(|line| says(line)),
                "said before it was ready: {:?}",
                logd.halted
            );
            let status = run(at, "status -o json", 13)?.json()?;
            let dev = &status["logs"][0];
            ensure!(dev["condition"] == "halted", "{status}");
            ensure!(dev["reason"].as_str().is_some_and(says), "{status}");
            ensure!(status["error"]["code"] == "halted", "{status}");
            reads_go_on(&logd, at, words)?;
            let doctor = logctl(at, &["doctor"])?;
            ensure!(doctor.code != 0 && says(&doctor.stdout), "{doctor:?}");
            ensure!(logd.terminate()?.success(), "stops");
        }
    }
    ensure!(checkpoints(at)? == before, "signed over what was there");
    let ran = fsck(at)?.expect_code(12)?;
    let text = format!("{}{}", ran.stdout, ran.stderr);
    ensure!(says(&text), "fsck says {words:?}: {text}");
    Ok(())
}

/// Signed objects are served unchanged, if they are this log's.
fn reads_go_on(logd: &Logd, at: &Path, words: &[&str]) -> Done {
    if !words.contains(&OLDER) {
        return Ok(());
    }
    let shard = logd.shards()?[0].name.clone();
    let path = format!("dev/{shard}/checkpoint");
    let served = logd
        .http()
        .get(&format!("/{path}"), &[])?
        .expect_status(200)?;
    ensure!(
        served.body == std::fs::read(at.join("objects").join(&path))?,
        "{}",
        served.text()
    );
    logd.http().get("/dev/entries/0", &[])?.expect_status(200)?;
    ensure!(logd.watermarks()?.published > 0, "what is known is shown");
    Ok(())
}

const OLDER: &str = "the coordination store is older than what was made from it";

#[test]
fn an_older_copy_of_the_database() -> Done {
    let (early, late) = (folder()?, folder()?);
    two_moments(early.path(), late.path())?;
    let good = folder()?;
    copy(late.path(), good.path())?;
    replace_database(late.path(), early.path())?;
    refuses(late.path(), &[OLDER])?;
    // The remedy: the newest copy is put back. Nothing is lost, nothing moved.
    replace_database(late.path(), good.path())?;
    let logd = Logd::start(late.path())?;
    ensure!(logd.add(b"the next")? == 20, "the next index");
    crate::audit(&logd, [])?;
    Ok(())
}

/// A copy by `logd backup` is whole, but can still be older: later entries are missing in it.
#[test]
fn a_copy_of_logd_backup_that_is_older_than_the_objects() -> Done {
    let folder = folder()?;
    let (at, to) = (folder.path().join("data"), folder.path().join("copy.db"));
    let path = |path: &Path| path.to_str().map(str::to_owned).context("UTF-8");
    let logd = Logd::start(&at)?;
    write(&logd, 0..10)?;
    let (from, copied) = (path(&at)?, path(&to)?);
    tests::process::logd(&["backup", "--dir", &from, "--to", &copied])?.expect_code(0)?;
    write(&logd, 10..20)?;
    ensure!(logd.terminate()?.success(), "stops");
    let newest = folder.path().join("newest");
    copy(&at, &newest)?;
    for path in database(&at)? {
        std::fs::remove_file(path)?;
    }
    std::fs::copy(&to, at.join("coordination.db"))?;
    refuses(&at, &[OLDER])?;
    // The remedy.
    replace_database(&at, &newest)?;
    let logd = Logd::start(&at)?;
    ensure!(logd.add(b"the next")? == 20, "the next index");
    crate::audit(&logd, [])?;
    Ok(())
}

/// A rotation since the copy, and no entry after it: what shows it is another thing, the sentence and the remedy are the same.
#[test]
fn an_older_copy_of_the_database_from_before_a_rotation() -> Done {
    let (early, late) = (folder()?, folder()?);
    let logd = Logd::start(late.path())?;
    write(&logd, 0..10)?;
    ensure!(logd.terminate()?.success(), "stops");
    copy(late.path(), early.path())?;
    let logd = Logd::start(late.path())?;
    run(late.path(), "shard rotate --yes", 0)?;
    logd.settled()?;
    ensure!(logd.terminate()?.success(), "stops");
    replace_database(late.path(), early.path())?;
    refuses(late.path(), &[OLDER])?;
    let fsck = fsck(late.path())?.expect_code(12)?.stdout;
    let found = fsck.lines().filter(|line| line.starts_with("WRONG"));
    ensure!(
        found.count() == fsck.matches(OLDER).count()
            && !fsck.contains("a restart finishes")
            && fsck.contains("The coordination store went back"),
        "{fsck}"
    );
    Ok(())
}

/// Only the log of what operators do shows it. Every log is halted; that one is in no list of logs, and is shown anyway.
#[test]
fn an_older_copy_of_the_database_from_before_a_token() -> Done {
    let (early, late) = (folder()?, folder()?);
    let logd = Logd::start(late.path())?;
    write(&logd, 0..10)?;
    ensure!(logd.terminate()?.success(), "stops");
    copy(late.path(), early.path())?;
    let logd = Logd::start(late.path())?;
    run(late.path(), "token create ci --scope log:read:dev --yes", 0)?;
    ensure!(logd.terminate()?.success(), "stops");
    replace_database(late.path(), early.path())?;
    let logd = Logd::start(late.path())?;
    let (halted, status) = (&logd.halted, logctl(late.path(), &["status"])?);
    let halts = |log: &str| {
        let begin = format!("logd halted: {log} ");
        halted.iter().any(|line| line.starts_with(&begin))
    };
    ensure!(
        halted.len() == 2 && halts("system") && halts("dev"),
        "{halted:?}"
    );
    ensure!(
        status.code == 13 && status.stdout.contains(OLDER) && status.stderr.contains("halted"),
        "{status:?}"
    );
    let json = run(late.path(), "status -o json", 13)?.json()?;
    ensure!(json["logs"][0]["condition"] == "halted", "{json}");
    ensure!(json["logs"][1]["log"] == "system", "{json}");
    Ok(())
}

#[test]
fn a_database_without_its_write_ahead_log() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    write(&logd, 0..20)?;
    logd.kill()?;
    for path in database(at)? {
        if !path.ends_with("coordination.db") {
            std::fs::remove_file(path)?;
        }
    }
    refuses(
        at,
        &[
            OLDER,
            "the coordination store knows no log",
            "the coordination store does not know",
        ],
    )
}

#[test]
fn objects_of_an_earlier_moment() -> Done {
    let (early, late) = (folder()?, folder()?);
    two_moments(early.path(), late.path())?;
    replace_database(early.path(), late.path())?;
    refuses(
        early.path(),
        &[
            "the objects are older than the coordination store",
            "missing",
        ],
    )
}

#[test]
fn objects_of_another_log() -> Done {
    let (one, other) = (folder()?, folder()?);
    for at in [one.path(), other.path()] {
        let logd = Logd::start(at)?;
        write(&logd, 0..10)?;
        ensure!(logd.terminate()?.success(), "stops");
    }
    let objects = one.path().join("objects");
    std::fs::remove_dir_all(&objects)?;
    copy(&other.path().join("objects"), &objects)?;
    refuses(one.path(), &["a checkpoint that is not of shard"])
}
