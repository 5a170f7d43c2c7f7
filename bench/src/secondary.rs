//! Secondaries that copy a log from zero, one after the other: from the moment that the configuration names one until it has
//! cosigned everything that is published.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tests::auditor::Shard;
use tests::notes;
use tests::process::{Logd, binary};
use tests::secondary::{Secondary, StartSecondary, configure};
use tests::wait;

use crate::figures::{Figure, Options};

/// A copy that takes longer has come to a stop.
const LONGEST: Duration = Duration::from_secs(1800);

/// Copies one log to two secondaries.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().join("primary");
    let logd = Logd::start(&at)?;
    let entries = options.copied;
    import(&at, folder.path(), entries)?;
    ensure!(
        logd.settled()? == entries,
        "{entries} entries were imported"
    );
    let shard = logd.shards()?.pop().context("a log has a shard")?;
    let key = logd
        .http()
        .get("/dev/replication-key", &[])?
        .expect_status(200)?
        .text();
    let mut figures = vec![Figure::plain("entries", entries as f64, "")];
    for name in ["ams", "fra"] {
        let dir = folder.path().join(name);
        Secondary::key(&dir, &format!("{name}.example.org"))?;
        let keys = [key.trim().to_owned()];
        let secondary = Secondary::start(&dir, &keys, &StartSecondary::default())?;
        // One at a time, and without a quorum: only copying is measured.
        let named = json!([{
            "name": name,
            "url": format!("http://{}", secondary.address),
            "vkey": secondary.vkey,
        }]);
        let before = (cpu_seconds(logd.pid())?, cpu_seconds(secondary.pid())?);
        let begin = Instant::now();
        configure(&at, |document| document["merge"]["secondaries"] = named)?;
        copied(&secondary, &shard, key.trim(), entries)?;
        let took = begin.elapsed().as_secs_f64();
        let primary = cpu_seconds(logd.pid())? - before.0;
        let own = cpu_seconds(secondary.pid())? - before.1;
        figures.push(Figure::least(
            format!("{name}, from zero, verified and cosigned"),
            entries as f64 / took,
            "entries/s",
            200_000.0,
        ));
        let each = |seconds: f64| seconds * 1e6 / entries as f64;
        figures.push(Figure::plain(
            format!("{name}: CPU per entry, primary"),
            each(primary),
            "µs",
        ));
        figures.push(Figure::plain(
            format!("{name}: CPU per entry, secondary"),
            each(own),
            "µs",
        ));
    }
    Ok(figures)
}

fn import(at: &Path, folder: &Path, entries: u64) -> Result<()> {
    let file = folder.join("lines.txt");
    {
        use std::io::Write as _;
        let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
        for i in 0..entries {
            writeln!(
                out,
                "{i:010} an entry of about one hundred bytes, as most logs have them, all different from each other {i:08}"
            )?;
        }
        out.flush()?;
    }
    let status = Command::new(binary("logctl")?)
        .args(["import", "-o", "json"])
        .arg(&file)
        .env("LOGCTL_CONFIG", at.join("logctl.toml"))
        .env("XDG_STATE_HOME", at.join("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("run logctl import")?;
    ensure!(status.success(), "the import failed");
    std::fs::remove_file(file)?;
    Ok(())
}

/// Waits until a secondary has cosigned the whole shard.
fn copied(secondary: &Secondary, shard: &Shard, key: &str, entries: u64) -> Result<()> {
    use tests::auditor::Source as _;
    let mut copy = secondary.copy(&shard.origin);
    let begin = Instant::now();
    while begin.elapsed() < LONGEST {
        if let Some(note) = copy.get("x/checkpoint")? {
            let head = notes::checkpoint(&note, &shard.origin, key)?;
            notes::cosigned(&note, &secondary.vkey)?.context("not cosigned")?;
            if head.size == entries {
                return Ok(());
            }
        }
        wait::pause();
    }
    bail!("the copy is not whole after {LONGEST:?}")
}

/// CPU time of all threads that a process has had, seconds (in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold spaces.
    let (_, rest) = stat.rsplit_once(") ").context("stat")?;
    let ticks = rest.split(' ').skip(11).take(2);
    let sum: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(sum / 100.0)
}
