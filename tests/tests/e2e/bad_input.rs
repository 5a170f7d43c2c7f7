//! Writers and readers that send nonsense get a clear answer, and none of it is in the log.

use anyhow::ensure;
use tests::process::Logd;

use crate::{Done, audit, folder};

#[test]
fn entries_that_are_none() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    let empty = http.post("/dev/add", &[], b"")?.expect_status(400)?;
    ensure!(!empty.text().trim().is_empty(), "says what is wrong");
    let large = http
        .post("/dev/add", &[], &vec![b'x'; 65_536])?
        .expect_status(413)?;
    ensure!(
        large.text().contains("65535"),
        "says what the limit is: {}",
        large.text()
    );
    // Also when the length is not announced.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000));
    let chunked = logd.http().send_raw(
        "POST",
        "/dev/add",
        &[("Transfer-Encoding", "chunked")],
        chunk.as_bytes(),
    )?;
    ensure!(chunked.status == 413, "{chunked:?}");
    let json = http
        .post("/dev/add", &[("Accept", "application/json")], b"")?
        .expect_status(400)?;
    ensure!(
        json.header("content-type") == Some("application/problem+json"),
        "{:?}",
        json.headers
    );
    ensure!(json.json()?["status"] == 400, "{}", json.text());
    ensure!(
        logd.watermarks()?.ordered == 0,
        "nothing of it is in the log"
    );
    Ok(())
}

#[test]
fn names_that_are_nowhere() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let mut http = logd.http();
    let log = http.post("/argon/add", &[], b"entry")?.expect_status(404)?;
    ensure!(log.text().contains("argon"), "names it: {}", log.text());
    let shard = http
        .get("/dev/nowhere/checkpoint", &[])?
        .expect_status(404)?;
    ensure!(
        shard.text().contains("nowhere"),
        "names it: {}",
        shard.text()
    );
    http.post("/system/add", &[], b"entry")?
        .expect_status(404)?;
    for path in [
        "/",
        "/dev",
        "/dev/",
        "/dev/entries/x",
        "/dev/entries/-1",
        "/dev/entries/18446744073709551616",
    ] {
        let answer = http.get(path, &[])?;
        ensure!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
    for path in [
        "/dev/../secret",
        "/dev/%2e%2e/logctl.toml",
        "/dev/x/tile/../../../logctl.toml",
        "/dev//checkpoint",
    ] {
        let answer = http.get(path, &[])?;
        ensure!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
    http.get("/dev/add", &[])?.expect_status(405)?;
    http.send("DELETE", "/dev/entries/0", &[], None)?
        .expect_status(405)?;
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn requests_that_are_no_http_do_not_hurt() -> Done {
    use std::io::{Read as _, Write as _};
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let header = format!(
        "GET /dev/shards HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(400_000)
    );
    let lengths =
        "POST /dev/add HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    for nonsense in [
        "\0\0\0\0",
        "\r\n\r\n",
        "HELLO\r\n\r\n",
        &long,
        &header,
        lengths,
    ] {
        let mut stream = std::net::TcpStream::connect(logd.address)?;
        // The server may close before it has read all of it.
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        ensure!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    ensure!(logd.add(b"entry")? == 0, "and it goes on");
    Ok(())
}

#[test]
fn a_taken_port() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    let other = crate::folder()?;
    let other = other.path().join("d");
    let taken = tests::process::logd(&[
        "dev",
        "--dir",
        &other.to_string_lossy(),
        "--listen",
        &logd.address.to_string(),
        "--admin",
        "127.0.0.1:0",
    ])?;
    ensure!(taken.code == 1, "{taken:?}");
    ensure!(
        taken.stderr.contains(&logd.address.to_string()),
        "says which address: {taken:?}"
    );
    Ok(())
}
