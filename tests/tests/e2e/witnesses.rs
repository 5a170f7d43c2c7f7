//! Checkpoints cosigned by a real witness: `litewitness` of the Debian package `torchwood`.
//!
//! It is looked for in the folder that `TESTS_TORCHWOOD` names and in `PATH`; `cargo xtask test` fetches it where it can.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tests::auditor::Shard;
use tests::notes;
use tests::process::{Logd, logctl};
use tests::skip::skip;
use tests::wait;

use crate::copies::{checkpoint, configure};
use crate::{Done, folder};

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("TESTS_TORCHWOOD").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = named.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn ran(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A witness with its agent.
pub(crate) struct Witness {
    _processes: Vec<Killed>,
    ctl: PathBuf,
    database: PathBuf,
    pub(crate) url: String,
    pub(crate) vkey: String,
}

impl Witness {
    fn start(folder: &Path, name: &str, litewitness: &Path, ctl: &Path) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let programs = (litewitness.to_owned(), ctl.to_owned());
        Self::start_at(folder, name, &programs, &[], free)
    }

    /// One that another program runs, and that listens there.
    pub(crate) fn start_at(
        folder: &Path,
        name: &str,
        (litewitness, ctl): &(PathBuf, PathBuf),
        wrapper: &[String],
        listen: SocketAddr,
    ) -> Result<Self> {
        let at = folder.join(name);
        std::fs::create_dir(&at)?;
        let (key, socket) = (at.join("key"), at.join("agent"));
        ran(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key))?;
        let quiet = |command: &mut Command| -> Result<Killed> {
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            Ok(Killed(child.with_context(|| format!("start {command:?}"))?))
        };
        let agent = quiet(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket))?;
        wait::until("the agent listens", || Ok(socket.exists().then_some(())))?;
        ran(Command::new("ssh-add")
            .env("SSH_AUTH_SOCK", &socket)
            .arg("-q")
            .arg(&key))?;
        let shown = ran(Command::new("ssh-keygen").arg("-lf").arg(&key))?;
        let fingerprint = shown.split(' ').nth(1).context("a fingerprint")?.to_owned();
        let public = std::fs::read_to_string(at.join("key.pub"))?;
        let wire = STANDARD.decode(public.split(' ').nth(1).context("a public key")?)?;
        let mut material = vec![4];
        material.extend_from_slice(wire.get(wire.len() - 32..).context("an Ed25519 key")?);
        let digest = Sha256::new()
            .chain_update(format!("{name}.example.org/w\n"))
            .chain_update(&material)
            .finalize();
        let id: String = digest[..4]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let vkey = format!("{name}.example.org/w+{id}+{}", STANDARD.encode(&material));
        let database = at.join("witness.db");
        let mut witness = Self {
            _processes: vec![agent],
            ctl: ctl.to_owned(),
            database,
            url: format!("http://{listen}"),
            vkey,
        };
        // The database is made by the first command.
        witness.ctl(&["add-log", "-origin", "example.org/nothing"])?;
        let mut command = match wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(litewitness);
                command
            }
            None => Command::new(litewitness),
        };
        let served = quiet(
            command
                .current_dir(&at)
                .args([
                    "-name",
                    &format!("{name}.example.org/w"),
                    "-key",
                    &fingerprint,
                    "-listen",
                    &listen.to_string(),
                    "-db",
                ])
                .arg(&witness.database)
                .arg("-ssh-agent")
                .arg(&socket),
        )?;
        witness._processes.push(served);
        wait::until("the witness listens", || {
            Ok(std::net::TcpStream::connect(listen).is_ok().then_some(()))
        })?;
        Ok(witness)
    }

    fn ctl(&self, words: &[&str]) -> Done {
        let mut words = words.iter();
        let verb = words.next().context("a verb")?;
        ran(Command::new(&self.ctl)
            .arg(verb)
            .arg("-db")
            .arg(&self.database)
            .args(words))?;
        Ok(())
    }

    pub(crate) fn knows(&self, shard: &Shard) -> Done {
        self.ctl(&["add-log", "-origin", &shard.origin])?;
        self.ctl(&["add-key", "-origin", &shard.origin, "-key", &shard.vkey])
    }
}

pub(crate) fn signed_by(
    logd: &Logd,
    shard: &Shard,
    witnesses: &[&Witness],
    size: u64,
) -> Result<usize> {
    wait::until("the checkpoint is published", || {
        let note = checkpoint(logd, shard)?;
        let head = notes::checkpoint(&note, &shard.origin, &shard.vkey)?;
        if head.size < size {
            return Ok(None);
        }
        let mut count = 0;
        for witness in witnesses {
            count += usize::from(notes::cosigned(&note, &witness.vkey)?.is_some());
        }
        Ok(Some(count))
    })
}

/// The programs of a witness; where they are missing, `check` is skipped.
pub(crate) fn programs(check: &str) -> Option<(PathBuf, PathBuf)> {
    let (Some(litewitness), Some(ctl)) = (program("litewitness"), program("witnessctl")) else {
        skip(
            check,
            "litewitness (Debian package torchwood) is not installed",
        );
        return None;
    };
    let mut agent = ["ssh-agent", "ssh-add", "ssh-keygen"].iter();
    if agent.any(|name| program(name).is_none()) {
        skip(
            check,
            "ssh-agent (Debian package openssh-client) is not installed",
        );
        return None;
    }
    Some((litewitness, ctl))
}

#[test]
fn a_real_witness_cosigns() -> Done {
    let Some((litewitness, ctl)) = programs("a real witness") else {
        return Ok(());
    };
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("log"))?;
    let first = logd.shards()?.pop().context("a log has a shard")?;
    let one = Witness::start(folder.path(), "one", &litewitness, &ctl)?;
    let two = Witness::start(folder.path(), "two", &litewitness, &ctl)?;
    one.knows(&first)?;
    two.knows(&first)?;
    for i in 0..300 {
        logd.add(format!("before {i}").as_bytes())?;
    }
    logd.settled()?;
    let policy = format!(
        "witness one {} {}\nwitness two {} {}\ngroup both all one two\nquorum both\n",
        one.vkey, one.url, two.vkey, two.url
    );
    configure(&logd, &[], 0, &policy)?;
    for round in 1..=3 {
        for i in 0..100 {
            logd.add(format!("{round} {i}").as_bytes())?;
        }
        ensure!(signed_by(&logd, &first, &[&one, &two], 300 + 100 * round)? == 2);
    }
    // A shard that a witness does not know yet: readers keep what they have, writers do not notice.
    // Not opened by mistake, only by force.
    let refused = logctl(&logd.directory, &["shard", "rotate", "--yes"])?.expect_code(6)?;
    ensure!(
        refused.stderr.contains("witness-does-not-know"),
        "{refused:?}"
    );
    logctl(&logd.directory, &["shard", "plan", "--yes"])?.expect_code(0)?;
    let refused = logctl(&logd.directory, &["shard", "rotate", "--yes"])?.expect_code(6)?;
    ensure!(
        refused.stderr.contains("does not know the log"),
        "{refused:?}"
    );
    logctl(&logd.directory, &["shard", "rotate", "--force", "--yes"])?.expect_code(0)?;
    let second = logd
        .shards()?
        .into_iter()
        .find(|shard| shard.state == "active")
        .context("active")?;
    logd.add(b"into the new shard")?;
    wait::until("it is told", || {
        let status = logctl(&logd.directory, &["status", "-o", "json"])?;
        Ok(status.stdout.contains("too few witnesses").then_some(()))
    })?;
    one.knows(&second)?;
    two.knows(&second)?;
    ensure!(signed_by(&logd, &second, &[&one, &two], 1)? == 2);
    // One that they know before it opens.
    logctl(&logd.directory, &["shard", "plan", "--yes"])?.expect_code(0)?;
    let planned = logd
        .shards()?
        .into_iter()
        .find(|shard| shard.state == "planned");
    let third = planned.context("planned")?;
    one.knows(&third)?;
    two.knows(&third)?;
    logctl(&logd.directory, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    logd.add(b"into the third")?;
    ensure!(signed_by(&logd, &third, &[&one, &two], 1)? == 2);
    let second = third;
    // One that is gone.
    let one_policy = policy.replace("both all one two", "both any one two");
    configure(&logd, &[], 0, &one_policy)?;
    drop(two._processes);
    logd.add(b"with one of them")?;
    let gone: &[&Witness] = &[&one];
    if signed_by(&logd, &second, gone, 2)? != 1 {
        bail!("the other one has not cosigned");
    }
    Ok(())
}
