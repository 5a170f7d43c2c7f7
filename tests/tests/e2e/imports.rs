//! `logctl import` with the real binaries: through broken connections, a killed server and Ctrl-C, every entry is in the
//! log once, where the report says.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tests::process::{Logd, binary, logctl, logctl_with};
use tests::{dataset, wait};

use crate::batches::{bundle, entries, take};
use crate::{Done, audit, folder};

const ID: &str = "fedcba9876543210fedcba9876543210";

/// An address that stays while the server behind it changes, and that cuts connections when told to.
struct Relay {
    address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    /// Bytes from the client until the connection is cut; 0: never.
    cut: Arc<AtomicU64>,
}

impl Relay {
    fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let relay = Self {
            address: listener.local_addr()?,
            to: Arc::new(Mutex::new(to)),
            cut: Arc::default(),
        };
        let (to, cut) = (Arc::clone(&relay.to), Arc::clone(&relay.cut));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let to = *to.lock().unwrap_or_else(PoisonError::into_inner);
                // Nobody there: the client sees its connection close.
                let Ok(server) = TcpStream::connect(to) else {
                    continue;
                };
                let cut = Arc::clone(&cut);
                std::thread::spawn(move || carry(client, server, &cut));
            }
        });
        Ok(relay)
    }

    fn turn(&self, to: SocketAddr) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

/// Both ways, until either side ends or the cut comes.
fn carry(client: TcpStream, server: TcpStream, cut: &AtomicU64) {
    let halves = client
        .try_clone()
        .and_then(|c| Ok((c, server.try_clone()?)));
    let Ok((mut back, mut from)) = halves else {
        return;
    };
    std::thread::spawn(move || {
        // An end is an end, whatever its reason.
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mut client, mut server) = (client, server);
    let (mut buffer, mut carried) = (vec![0; 16 << 10], 0);
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        carried += read as u64;
        let limit = cut.load(Relaxed);
        if limit > 0 && carried > limit {
            cut.store(0, Relaxed);
            break;
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

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
        .args(["import"])
        .arg(path)
        .args(["--log", "dev", "--url", url, "--upload", id, "-o", "json"])
        .env("LOGCTL_CONFIG", at.join("logctl.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().context("start logctl")
}

/// Its output, once it has ended with this code.
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
        "import", bundled, "--url", &url, "--format", "bundle", "-o", "json",
    ];
    let report = logctl(at, &words)?.expect_code(0)?.json()?;
    ensure!(report["entries"] == 3, "{report}");
    // Under its older name.
    let words = ["load", "import", "-", "--url", &url, "--format", "ndjson"];
    let none: [(&str, &OsStr); 0] = [];
    let ran = logctl_with(at, &words, "{\"entry\":\"aGVsbG8=\"}\n", &none)?.expect_code(0)?;
    ensure!(
        ran.stdout.contains("1 entries") && ran.stdout.contains("20003"),
        "{}",
        ran.stdout
    );

    // A line that is not an entry is named; the entries before it stay, and the import can continue.
    let words = |flag| ["import", "-", "--url", &url, flag, ID, "--format", "ndjson"];
    let input = "{\"entry\":\"YQ==\"}\n{\"entry\":\"not base64\"}\n";
    // An ID that the server does not know is a mistake, or its position has expired: nothing is imported.
    let ran = logctl_with(at, &words("--resume"), input, &none)?.expect_code(6)?;
    ensure!(ran.stderr.contains("no upload"), "{}", ran.stderr);
    ensure!(logd.watermarks()?.ordered == 20_004, "nothing came of it");
    let ran = logctl_with(at, &words("--upload"), input, &none)?.expect_code(6)?;
    ensure!(
        ran.stderr.contains("line 2") && ran.stderr.contains(&format!("--resume {ID}")),
        "{}",
        ran.stderr
    );
    let input = "{\"entry\":\"YQ==\"}\n{\"entry\":\"Yg==\"}\n";
    logctl_with(at, &words("--resume"), input, &none)?.expect_code(0)?;
    ensure!(logd.watermarks()?.ordered == 20_006, "a and b, once");
    // Another file under the same name is noticed.
    let ran =
        logctl_with(at, &words("--resume"), "{\"entry\":\"YQ==\"}\n", &none)?.expect_code(2)?;
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
        let all = [&["import", path, "--url", &url][..], words].concat();
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
    logctl(at, &["import", path, "--log", "dev", "--url", &nobody])?.expect_code(11)?;
    ensure!(
        logd.watermarks()?.ordered == 0,
        "nothing of it is in the log"
    );
    Ok(())
}

/// Connections that break, and a server that is killed and comes back elsewhere: the import continues by itself.
#[test]
fn an_import_survives_cuts_and_a_killed_server() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let relay = Relay::start(logd.address)?;
    let (path, sent) = file(at, "killed", 40_000)?;
    relay.cut.store(700_000, Relaxed);
    let child = import(at, &format!("http://{}", relay.address), &path, ID)?;
    wait::until("the first cut is over and more is written", || {
        Ok((relay.cut.load(Relaxed) == 0 && logd.watermarks()?.ordered > 8000).then_some(()))
    })?;
    relay.cut.store(900_000, Relaxed);
    logd.kill()?;
    tests::verify::clean(at)?;
    let logd = Logd::start(at)?;
    relay.turn(logd.address);
    let report = ended(child, 0)?;
    ensure!(report["entries"] == 40_000, "{report}");
    let mut log = entries(&logd)?;
    ensure!(
        take(&mut log, &report["ranges"], &sent)? == 40_000,
        "all of it"
    );
    ensure!(log.is_empty(), "{} entries are there twice", log.len());
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn an_interrupted_import_says_how_to_go_on_and_does() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let url = format!("http://{}", logd.address);
    let (path, sent) = file(at, "interrupted", 40_000)?;
    let child = import(at, &url, &path, ID)?;
    wait::until("something is written", || {
        Ok((logd.watermarks()?.ordered > 0).then_some(()))
    })?;
    let pid = Pid::from_raw(child.id().try_into()?).context("a process id is positive")?;
    kill_process(pid, Signal::INT)?;
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // It counts accepted entries, not sent ones.
    let ordered = logd.watermarks()?.ordered;
    let counted = errors.split(" entries accepted, ");
    for before in counted.clone().take(counted.count().saturating_sub(1)) {
        let digits: String = before
            .chars()
            .rev()
            .take_while(|c| c.is_ascii_digit() || *c == ',')
            .collect();
        let digits: String = digits.chars().rev().filter(char::is_ascii_digit).collect();
        let accepted: u64 = digits.parse().with_context(|| before.to_owned())?;
        ensure!(
            accepted <= ordered,
            "{accepted} of {ordered} in the log: {errors}"
        );
    }
    // On a fast machine it may have been done.
    match output.status.code() {
        Some(130) => ensure!(errors.contains(&format!("--resume {ID}")), "{errors}"),
        code => ensure!(code == Some(0), "{code:?}: {errors}"),
    }
    let report = ended(import(at, &url, &path, ID)?, 0)?;
    ensure!(report["entries"] == 40_000, "{report}");
    let mut log = entries(&logd)?;
    ensure!(
        take(&mut log, &report["ranges"], &sent)? == 40_000,
        "all of it"
    );
    ensure!(log.is_empty(), "{} entries are there twice", log.len());
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
