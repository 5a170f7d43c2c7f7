//! Backups, and stores that do not belong together: a copy of one file, a database that is lost or older than the objects, places
//! where nothing can be written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::load::{Load, Plan};
use tests::process::{Logd, Ran, Start, fsck, logd};
use tests::{skip, wait};

use crate::{Done, audit, folder};

const DATABASE: [&str; 3] = [
    "coordination.db",
    "coordination.db-wal",
    "coordination.db-shm",
];

/// A copy of a data folder, without these files.
fn copy(from: &Path, to: &Path, but: &[&str]) -> Done {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    for name in but {
        match std::fs::remove_file(to.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn checkpoint(at: &Path, shard: &str) -> Result<Vec<u8>> {
    let path = at.join("objects/dev").join(shard).join("checkpoint");
    std::fs::read(&path).with_context(|| path.display().to_string())
}

fn backup(at: &Path, to: &Path) -> Result<Ran> {
    let path = |path: &Path| path.to_str().map(str::to_owned).context("UTF-8");
    let (at, to) = (path(at)?, path(to)?);
    logd(&["backup", "--dir", &at, "--to", &to, "-o", "json"])
}

/// Why a server does not start.
fn refused(at: &Path) -> Result<String> {
    match Logd::start(at) {
        Ok(_) => anyhow::bail!("it started"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn after_a_clean_stop_the_database_alone_is_whole() -> Done {
    let folder = folder()?;
    let (data, alone) = (folder.path().join("data"), folder.path().join("alone"));
    let logd = Logd::start(&data)?;
    let index = logd.add(b"before")?;
    logd.settled()?;
    ensure!(logd.terminate()?.success(), "a clean stop");
    for name in &DATABASE[1..] {
        ensure!(!data.join(name).exists(), "{name} is left behind");
    }
    copy(&data, &alone, &DATABASE[1..])?;
    tests::verify::clean(&alone)?;
    let logd = Logd::start(&alone)?;
    ensure!(logd.add(b"after")? == index + 1, "the log goes on");
    Ok(())
}

#[test]
fn no_log_is_made_over_what_was_signed() -> Done {
    let folder = folder()?;
    let (data, lost) = (folder.path().join("data"), folder.path().join("lost"));
    let logd = Logd::start(&data)?;
    logd.add(b"entry")?;
    logd.settled()?;
    let shard = logd.shards()?[0].name.clone();
    ensure!(logd.terminate()?.success(), "a clean stop");
    copy(&data, &lost, &DATABASE)?;
    let before = checkpoint(&lost, &shard)?;
    // The second start finds the empty database that the first has made.
    for _ in 0..2 {
        let why = refused(&lost)?;
        for said in [
            "system/1/checkpoint",
            "Put the coordination store back",
            "-wal",
        ] {
            ensure!(why.contains(said), "{said}: {why}");
        }
        ensure!(checkpoint(&lost, &shard)? == before, "it was written over");
    }
    let found = fsck(&lost)?.expect_code(12)?;
    let path = format!("dev/{shard}/checkpoint");
    for said in [path.as_str(), "does not know", "logd restore"] {
        ensure!(found.stdout.contains(said), "{said}: {}", found.stdout);
    }
    // The remedy.
    std::fs::copy(data.join(DATABASE[0]), lost.join(DATABASE[0]))?;
    tests::verify::clean(&lost)?;
    let logd = Logd::start(&lost)?;
    ensure!(logd.add(b"after")? == 1, "the log goes on");
    Ok(())
}

#[test]
fn a_running_server_is_backed_up() -> Done {
    let folder = folder()?;
    let (data, store) = (folder.path().join("data"), folder.path().join("backups"));
    std::fs::create_dir(&store)?;
    let logd = Logd::start(&data)?;
    let load = Load::start(Plan::synthetic(logd.address, 8, "backup"));
    load.reach(200)?;
    let made = backup(&data, &store)?.expect_code(0)?.json()?;
    load.reach(400)?;
    let report = load.stop()?;
    audit(&logd, [report])?;

    let path = PathBuf::from(made["path"].as_str().context("a path")?);
    ensure!(path.parent() == Some(&store), "{made}");
    ensure!(
        path.metadata()?.permissions().mode() & 0o777 == 0o600,
        "others can read it"
    );
    let shards = made["shards"].as_array().context("positions")?;
    let dev = shards
        .iter()
        .find(|shard| shard["log"] == "dev")
        .context("dev")?;
    let number = |name: &str| dev[name].as_u64().context("a number");
    ensure!(
        number("published")? <= number("ordered")? && number("ordered")? >= 200,
        "{made}"
    );
    let again = backup(&data, &path)?.expect_code(1)?;
    ensure!(again.stderr.contains("is not replaced"), "{}", again.stderr);
    ensure!(std::fs::read_dir(&store)?.count() == 1, "leftovers");

    // One after which nothing was signed serves, with objects that were copied later.
    let total = logd.settled()?;
    let last = store.join("last.db");
    backup(&data, &last)?.expect_code(0)?;
    let restored = folder.path().join("restored");
    copy(&data, &restored, &DATABASE)?;
    std::fs::copy(&last, restored.join(DATABASE[0]))?;
    drop(logd);
    tests::verify::clean(&restored)?;
    let logd = Logd::start(&restored)?;
    ensure!(logd.add(b"after")? == total, "the log goes on where it was");
    Ok(())
}

#[test]
fn fsck_where_nothing_can_be_written() -> Done {
    let folder = folder()?;
    let data = folder.path().join("data");
    let logd = Logd::start(&data)?;
    logd.add(b"entry")?;
    logd.settled()?;
    // As a process leaves it that was killed: all three files, and the data in the second.
    logd.kill()?;
    let mount = folder.path().join("mount");
    std::fs::create_dir(&mount)?;
    let run = |arguments: &[&str]| -> Result<bool> {
        let output = Command::new("mount").args(arguments).arg(&mount).output();
        Ok(output.is_ok_and(|output| output.status.success()))
    };
    if !run(&["-t", "tmpfs", "-o", "size=64m", "tmpfs"])? {
        skip::skip("fsck on a read-only mount", "mounting a tmpfs needs root");
        return Ok(());
    }
    let checked = (|| {
        copy(&data, &mount.join("killed"), &[])?;
        copy(&data, &mount.join("no-index"), &DATABASE[2..])?;
        Logd::start(&data)?.terminate()?;
        copy(&data, &mount.join("stopped"), &[])?;
        ensure!(run(&["-o", "remount,ro"])?, "remount");
        for name in ["killed", "no-index", "stopped"] {
            let checked = fsck(&mount.join(name))?;
            ensure!(checked.code == 0, "{name}: {checked:?}");
            ensure!(
                checked.stdout.contains("1 published"),
                "{name}: {}",
                checked.stdout
            );
        }
        Ok(())
    })();
    // Lazily: whatever went wrong may still have it open.
    Command::new("umount").arg("-l").arg(&mount).status()?;
    checked?;

    // A user that may only read, beside a running server and without one.
    let nobody = |arguments: &[&str]| {
        let logd = tests::process::binary("logd")?;
        let user = [
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ];
        let mut command = Command::new("setpriv");
        Ok::<_, anyhow::Error>(command.args(user).arg(logd).args(arguments).output()?)
    };
    if !nobody(&["--version"]).is_ok_and(|output| output.status.success()) {
        skip::skip("fsck as another user", "setpriv needs root");
        return Ok(());
    }
    for path in [folder.path(), &data] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    let readable = Command::new("chmod")
        .arg("-R")
        .arg("a+rX")
        .arg(&data)
        .status()?;
    ensure!(readable.success(), "chmod");
    let names = || -> Result<Vec<_>> {
        let entries = std::fs::read_dir(&data)?.map(|e| Ok(e?.file_name()));
        entries.collect::<Result<_>>()
    };
    let path = data.to_str().context("UTF-8")?;
    let before = names()?;
    let checked = nobody(&["fsck", "--dir", path])?;
    ensure!(checked.status.success(), "{checked:?}");
    ensure!(names()? == before, "it made something");
    std::fs::set_permissions(data.join("kek"), std::fs::Permissions::from_mode(0o600))?;
    for secret in ["admin-key.pem", "tokens.toml", "admin.token"] {
        std::fs::set_permissions(data.join(secret), std::fs::Permissions::from_mode(0o600))?;
    }
    let logd = Logd::start(&data)?;
    logd.add(b"another")?;
    let checked = nobody(&["fsck", "--dir", path])?;
    ensure!(checked.status.success(), "{checked:?}");
    logd.add(b"and another")?;
    Ok(())
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() -> Done {
    let folder = folder()?;
    let limited = Start {
        wrapper: ["bash", "-c", "ulimit -f 8192; exec \"$0\" \"$@\""]
            .map(str::to_owned)
            .into(),
        ..Start::default()
    };
    let logd = Logd::start_as(folder.path(), &limited)?;
    let entry = |n: usize| {
        let mut entry = n.to_string().into_bytes();
        entry.resize(60_000, b'.');
        entry
    };
    // A full bundle of these is larger than a file may be, so they are not published, and wait until they fill the other files too.
    let mut taken = Vec::new();
    wait::until("the limit is reached", || {
        let answer = logd.http().post("/dev/add", &[], &entry(taken.len()))?;
        if answer.status == 200 {
            taken.push(answer.text().trim().parse::<usize>()?);
        }
        ensure!(
            matches!(answer.status, 200 | 507 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        Ok((answer.status == 507).then_some(()))
    })?;
    // Signed objects are served, and another write is refused, not lost.
    let shard = logd.shards()?[0].name.clone();
    logd.http()
        .get(&format!("/dev/{shard}/checkpoint"), &[])?
        .expect_status(200)?;
    logd.http().get("/dev/entries/0", &[])?.expect_status(200)?;
    ensure!(logd.terminate()?.success(), "it stops when it is asked to");

    let logd = Logd::start(folder.path())?;
    ensure!(
        logd.settled()? == taken.len() as u64,
        "{} were acknowledged",
        taken.len()
    );
    for (n, index) in taken.iter().enumerate() {
        let answer = logd.http().get(&format!("/dev/entries/{index}"), &[])?;
        ensure!(answer.expect_status(200)?.body == entry(n), "entry {index}");
    }
    logd.add(b"after")?;
    tests::verify::clean(folder.path())
}
