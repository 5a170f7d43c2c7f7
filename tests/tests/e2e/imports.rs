//! `logctl load import` with the real binaries: every entry is in the log once, where the report says.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};
use tests::dataset;
use tests::process::{Logd, binary, logctl, logctl_with};

use crate::batches::{bundle, entries, take};
use crate::{Done, audit, folder};

const ID: &str = "fedcba9876543210fedcba9876543210";

/// Lines that differ, in a file.
fn file(at: &Path, name: &str, count: usize) -> Result<(PathBuf, Vec<String>)> {
    let mut lines = dataset::sample()?;
    lines.truncate(count);
    for line in &mut lines {
        line.push_str(name);
    }
    let path = at.join(name);
    std::fs::write(&path, lines.join("\n"))?;
    Ok((path, lines))
}

fn import(at: &Path, url: &str, path: &Path, id: &str) -> Result<Child> {
    let mut command = Command::new(binary("logctl")?);
    command
        .args(["load", "import"])
        .arg(path)
        .args(["--log", "dev", "--url", url, "--resume", id, "-o", "json"])
        .env("LOGCTL_CONFIG", at.join("logctl.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("start logctl")
}

/// What it printed, when it ended with this code.
fn ended(child: Child, code: i32) -> Result<serde_json::Value> {
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(code),
        "{}: {errors}",
        output.status
    );
    serde_json::from_slice(&output.stdout).with_context(|| errors)
}

#[test]
fn every_form_of_a_file_lands_where_the_report_says() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let url = format!("http://{}", logd.address);
    let (path, sent) = file(at, "plain", 20_000)?;
    let path = path.to_str().context("UTF-8")?;
    let words = [
        "load",
        "import",
        path,
        "--url",
        &url,
        "--priority",
        "6",
        "-o",
        "json",
    ];
    let report = logctl(at, &words)?.expect_code(0)?.json()?;
    ensure!(
        report["kind"] == "Import" && report["entries"] == 20_000 && report["tier"] == "bulk",
        "{report}"
    );
    let mut log = entries(&logd)?;
    ensure!(take(&mut log, &report["ranges"], &sent)? == 20_000, "all");
    ensure!(log.is_empty(), "and nothing else");

    // The same from standard input, and as a bundle: others, since the log has them already.
    let bytes = bundle([&b"x"[..], b"\x00\xff", b"z"])?;
    std::fs::write(at.join("bundle"), bytes)?;
    let bundled = at.join("bundle");
    let bundled = bundled.to_str().context("UTF-8")?;
    let words = [
        "load", "import", bundled, "--url", &url, "--format", "bundle", "-o", "json",
    ];
    let report = logctl(at, &words)?.expect_code(0)?.json()?;
    ensure!(report["entries"] == 3, "{report}");
    let words = ["load", "import", "-", "--url", &url, "--format", "ndjson"];
    let none: [(&str, &OsStr); 0] = [];
    let ran = logctl_with(at, &words, "{\"entry\":\"aGVsbG8=\"}\n", &none)?.expect_code(0)?;
    ensure!(
        ran.stdout.contains("1 entries") && ran.stdout.contains("20003"),
        "{}",
        ran.stdout
    );

    // What is no entry is named with its line; what came before it stays, and the import can go on.
    let words = [
        "load", "import", "-", "--url", &url, "--resume", ID, "--format", "ndjson",
    ];
    let input = "{\"entry\":\"YQ==\"}\n{\"entry\":\"not base64\"}\n";
    let ran = logctl_with(at, &words, input, &none)?.expect_code(6)?;
    ensure!(
        ran.stderr.contains("line 2") && ran.stderr.contains(&format!("--resume {ID}")),
        "{}",
        ran.stderr
    );
    let input = "{\"entry\":\"YQ==\"}\n{\"entry\":\"Yg==\"}\n";
    logctl_with(at, &words, input, &none)?.expect_code(0)?;
    ensure!(logd.watermarks()?.ordered == 20_006, "a and b, once");
    // Another file under the same name is noticed.
    let ran = logctl_with(at, &words, "{\"entry\":\"YQ==\"}\n", &none)?.expect_code(2)?;
    ensure!(ran.stderr.contains("has 1"), "{}", ran.stderr);
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn what_the_server_refuses_has_its_exit_code() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let (path, _) = file(at, "refused", 10)?;
    let path = path.to_str().context("UTF-8")?;
    let url = format!("http://{}", logd.address);
    let with = |words: &[&str], code| {
        let all = [&["load", "import", path, "--url", &url][..], words].concat();
        logctl(at, &all)?.expect_code(code)
    };
    let advice = with(&["--merge-by", "2001-01-01T00:00:00Z"], 6)?;
    ensure!(advice.stderr.contains("in the past"), "{}", advice.stderr);
    with(&["--shard", "elsewhere"], 5)?;
    with(&["--log", "nowhere"], 6)?;
    let token = at.join("token");
    std::fs::write(&token, "logw_unknown\n")?;
    let token = token.to_str().context("UTF-8")?;
    with(&["--writer-token-file", token], 4)?;
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600))?;
    let ran = with(&["--writer-token-file", token], 4)?;
    ensure!(
        ran.stderr.contains("revoked") && !ran.stderr.contains("logw_unknown"),
        "{}",
        ran.stderr
    );
    // Nobody there: said at once.
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let nobody = format!("http://{nobody}");
    logctl(
        at,
        &["load", "import", path, "--log", "dev", "--url", &nobody],
    )?
    .expect_code(11)?;
    ensure!(
        logd.watermarks()?.ordered == 0,
        "nothing of it is in the log"
    );
    Ok(())
}

#[test]
fn ten_clients_import_at_once() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let url = format!("http://{}", logd.address);
    let clients = (0..10)
        .map(|n| {
            let (path, sent) = file(at, &format!("client{n}"), 3000)?;
            let id = format!("{n:032x}");
            Ok((import(at, &url, &path, &id)?, sent))
        })
        .collect::<Result<Vec<_>>>()?;
    let reports = clients
        .into_iter()
        .map(|(child, sent)| Ok((ended(child, 0)?, sent)))
        .collect::<Result<Vec<_>>>()?;
    let mut log = entries(&logd)?;
    for (report, sent) in &reports {
        let taken =
            take(&mut log, &report["ranges"], sent).map_err(|e| anyhow!("{e}: {report}"))?;
        ensure!(taken == 3000, "{report}");
    }
    ensure!(log.is_empty(), "nothing but the imports");
    audit(&logd, [])?;
    Ok(())
}
