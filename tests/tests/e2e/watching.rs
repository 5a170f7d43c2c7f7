//! Commands that wait for a replica which does not follow: they can be left and taken up again, and nothing is done twice.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::http::Http;
use tests::process::{Logd, binary};
use tests::wait;

use crate::{Done, does, folder, run};

fn start(logd: &Logd, line: &str) -> Result<Child> {
    let command = Command::new(binary("logctl")?)
        .args(line.split(' '))
        .env("LOGCTL_CONFIG", logd.directory.join("logctl.toml"))
        .env("XDG_STATE_HOME", logd.directory.join("state"))
        .env("NO_COLOR", "1")
        .env_remove("LOGCTL_CONTEXT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(command)
}

/// How a server is called among the replicas, by its host and its process, when it has just reported: one that stands still counts among them only
/// for some seconds.
fn just_reported(admin: &mut Http, logd: &Logd) -> Result<String> {
    let ends = format!(":{}", logd.pid());
    wait::until("it has just reported", || {
        let answer = admin.get("/admin/v1/replicas?log=dev", &[])?.json()?;
        let replicas = answer["replicas"].as_array().context("replicas")?;
        let label = |replica: &Value| replica["label"].as_str().map(str::to_owned);
        let is = |replica: &&Value| {
            replica["ageSeconds"] == 0 && label(replica).is_some_and(|of| of.ends_with(&ends))
        };
        Ok(replicas.iter().find(is).and_then(label))
    })
}

#[test]
fn what_waits_is_left_and_taken_up_again() -> Done {
    let folder = folder()?;
    let (first, second) = (Logd::start(folder.path())?, Logd::start(folder.path())?);
    let mut admin = Http::unix(first.directory.join("admin.sock"));
    wait::until("both report", || {
        let answer = admin.get("/admin/v1/replicas?log=dev", &[])?.json()?;
        let count = answer["replicas"].as_array().map_or(0, Vec::len);
        Ok((count == 2).then_some(()))
    })?;
    let at = folder.path();
    let before = does(at, "shard list")?;

    // A rotation that one replica does not follow. Stopped in the middle of a write, it holds the lock of the embedded store:
    // then nothing is changed, and it is stopped at another moment.
    let mut other = Http::unix(first.directory.join("admin.sock"));
    let (made, laggard) = wait::until("one is stopped, the other rotates", || {
        let laggard = just_reported(&mut other, &second)?;
        second.signal(Signal::STOP)?;
        let kind = [("Content-Type", "application/json")];
        let answer = admin.post("/admin/v1/logs/dev/rotations", &kind, b"{}")?;
        if answer.status == 503 {
            second.signal(Signal::CONT)?;
            return Ok(None);
        }
        Ok(Some((answer.expect_status(200)?.json()?, laggard)))
    })?;
    let id = made["id"].as_str().context("an operation's id")?;

    // Watched, and left with Ctrl-C while the events stream.
    let mut watch = start(&first, &format!("op watch {id}"))?;
    let mut told = BufReader::new(watch.stderr.take().context("a pipe")?);
    let mut line = String::new();
    while !line.contains(&format!("not yet on {laggard}")) {
        line.clear();
        ensure!(told.read_line(&mut line)? > 0, "it is never named");
    }
    let process = Pid::from_raw(i32::try_from(watch.id())?).context("a process")?;
    kill_process(process, Signal::INT)?;
    let status = watch.wait()?;
    let mut said = String::new();
    told.read_to_string(&mut said)?;
    ensure!(status.code() == Some(130), "{status:?}: {said}");
    ensure!(
        said.contains(&format!("logctl op watch {id}")),
        "how to go on: {said}"
    );

    // Taken up again, and out of patience: the replica is named. Taken up once more: it ends when the replica follows.
    let late = run(at, &format!("op wait {id} --timeout 300ms"), 9)?;
    ensure!(late.stderr.contains(&laggard), "{late:?}");
    let waiting = start(&first, &format!("op wait {id} -o json"))?;
    second.signal(Signal::CONT)?;
    let done = waiting.wait_with_output()?;
    ensure!(done.status.code() == Some(0), "{done:?}");
    let done: serde_json::Value = serde_json::from_slice(&done.stdout)?;
    ensure!(done["operation"]["state"] == "done", "{done}");
    // One rotation, whoever waited for it how often.
    let shards = |list: &serde_json::Value| list["shards"].as_array().map_or(0, Vec::len);
    ensure!(shards(&does(at, "shard list")?) == shards(&before) + 1);
    Ok(())
}
