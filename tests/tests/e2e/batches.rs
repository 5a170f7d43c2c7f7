//! Batches over the wire, as a client sends them that is cut off, lies about a length, or shares the log with others.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::auditor::Auditor;
use tests::process::Logd;
use tests::wait;

use crate::{Done, audit, folder, run};

const BUNDLE: (&str, &str) = ("Content-Type", "application/octet-stream");

pub(crate) fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&u16::try_from(entry.len())?.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// All entries of the log by global index, as the auditor found them.
pub(crate) fn entries(logd: &Logd) -> Result<HashMap<u64, Vec<u8>>> {
    logd.settled()?;
    let mut all = HashMap::new();
    Auditor::default().audit(&mut logd.served(), &logd.shards()?, |found| {
        all.insert(found.index, found.bytes.to_vec());
        Ok(())
    })?;
    Ok(all)
}

/// Takes every entry that the ranges name out of the log: each is what was sent at its position.
pub(crate) fn take(
    log: &mut HashMap<u64, Vec<u8>>,
    ranges: &Value,
    sent: &[impl AsRef<[u8]>],
) -> Result<usize> {
    let mut taken = 0;
    for range in ranges.as_array().context("a list of ranges")? {
        let number = |name: &str| range[name].as_u64().with_context(|| name.to_owned());
        for n in 0..number("entries")? {
            let index = number("index")? + n;
            let at = usize::try_from(number("first")? + n)?;
            let found = log
                .remove(&index)
                .with_context(|| format!("entry {index} is missing, or named twice"))?;
            ensure!(
                found == sent.get(at).context("more than was sent")?.as_ref(),
                "entry {index} is not what was sent at {at}"
            );
            taken += 1;
        }
    }
    Ok(taken)
}

fn lines(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{name} {n:0>100}")).collect()
}

#[test]
fn a_wrong_length_is_named_and_what_came_before_is_kept() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let sent = lines("length", 4000);
    let mut body = bundle(sent.iter().map(String::as_bytes))?;
    body.extend_from_slice(&[0xff, 0xff, b'x']);
    let answer = logd
        .http()
        .post("/dev/add-batch", &[BUNDLE], &body)?
        .expect_status(400)?
        .json()?;
    let detail = answer["detail"].as_str().context("a detail")?;
    ensure!(
        answer["code"] == "bad-batch" && detail.contains("entry 4000"),
        "{answer}"
    );
    let accepted = usize::try_from(answer["accepted"].as_u64().context("says how many")?)?;
    let mut log = entries(&logd)?;
    ensure!(
        take(&mut log, &answer["ranges"], &sent)? == accepted,
        "{answer}"
    );
    ensure!(log.is_empty() && accepted > 0, "and nothing else");
    Ok(())
}

#[test]
fn a_body_that_stops_half_way_can_be_asked_for() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let id = "0123456789abcdef0123456789abcdef";
    let path = format!("/dev/add-batch?upload={id}");
    let sent = lines("half", 30_000);
    let body = bundle(sent.iter().map(String::as_bytes))?;
    let mut stream = TcpStream::connect(logd.address)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\n{}: {}\r\nContent-Length: {}\r\n\r\n",
        BUNDLE.0,
        BUNDLE.1,
        body.len()
    )?;
    stream.write_all(&body[..body.len() / 2])?;
    let known = wait::until("something is accepted", || {
        let known = logd.http().get(&path, &[])?.expect_status(200)?.json()?;
        Ok((known["accepted"].as_u64() > Some(0)).then_some(known))
    })?;
    drop(stream);
    ensure!(known["accepted"].as_u64() < Some(30_000), "{known}");
    // The whole of it again: only what is missing is written.
    let done = logd
        .http()
        .post(&path, &[BUNDLE], &body)?
        .expect_status(200)?
        .json()?;
    ensure!(done["accepted"] == 30_000, "{done}");
    let known = logd.http().get(&path, &[])?.json()?;
    let mut log = entries(&logd)?;
    ensure!(
        take(&mut log, &known["ranges"], &sent)? == 30_000,
        "all of it"
    );
    ensure!(log.is_empty(), "nothing twice");
    Ok(())
}

/// Batches of several writers, a rotation among them: each has its ranges, and they are true.
#[test]
fn batches_side_by_side_while_the_shard_changes() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let bodies: Vec<_> = (0..4)
        .map(|n| lines(&format!("writer {n}"), 6000))
        .collect();
    let answers = std::thread::scope(|scope| -> Result<Vec<Value>> {
        let writers: Vec<_> = bodies
            .iter()
            .map(|sent| {
                let mut http = logd.http();
                scope.spawn(move || -> Result<Value> {
                    let body = bundle(sent.iter().map(String::as_bytes))?;
                    http.post("/dev/add-batch", &[BUNDLE], &body)?
                        .expect_status(200)?
                        .json()
                })
            })
            .collect();
        wait::until("something is in the log", || {
            Ok((logd.watermarks()?.ordered > 0).then_some(()))
        })?;
        run(folder.path(), "shard rotate --yes", 0)?;
        writers
            .into_iter()
            .map(|writer| writer.join().map_err(|_| anyhow::anyhow!("panicked"))?)
            .collect()
    })?;
    let mut log = entries(&logd)?;
    for (answer, sent) in answers.iter().zip(&bodies) {
        ensure!(answer["entries"] == 6000, "{answer}");
        ensure!(take(&mut log, &answer["ranges"], sent)? == 6000, "{answer}");
    }
    ensure!(log.is_empty(), "nothing but the batches");
    audit(&logd, [])?;
    Ok(())
}
