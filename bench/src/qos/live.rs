//! The rows that are measured on a real server.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use tests::dataset;
use tests::process::{Logd, binary};

use super::load::{Work, load, tenants};
use crate::disk::Probe;
use crate::figures::{Figure, Options};
use crate::proc::peak_mib;

const LIVE: &str = "name=live,rate=500/s,priority=1";
const FILL: &str = "name=fill,backfill,priority=6";

fn sync_p99(what: &str, times: &Histogram<u64>) -> Figure {
    Figure::plain(what, times.value_at_quantile(0.99) as f64 / 1e3, "ms")
}

/// A live writer beside a backfill that takes all it is given.
pub(crate) fn beside(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(folder.path())?;
    let probe = Probe::start(folder.path())?;
    let alone = load(folder.path(), &[LIVE], 10, 2)?;
    let syncs_alone = probe.stop()?;
    let before = Work::until_now(&logd)?;
    let probe = Probe::start(folder.path())?;
    let both = load(folder.path(), &[LIVE, FILL], 20, 5)?;
    let syncs_beside = probe.stop()?;
    let [disk, bytes, cpu] = before.since(&logd, "live writer and backfill")?;
    let before = Work::until_now(&logd)?;
    let fill = load(folder.path(), &[FILL], 8, 2)?;
    let [disk_alone, _, cpu_alone] = before.since(&logd, "backfill alone")?;
    let (alone, live) = (alone.stream("live")?, both.stream("live")?);
    ensure!(live.refused() == 0.0, "a live write was refused");
    let (before, beside) = (alone.p99("published")?, live.p99("published")?);
    Ok(vec![
        Figure::plain("live writer alone, 500/s: published p99", before, "ms"),
        Figure::plain("beside a backfill: published p99", beside, "ms"),
        Figure::most(
            "published p99, beside against alone",
            beside / before,
            "×",
            1.25,
        ),
        Figure::plain(
            "live writer alone: durable index p99",
            alone.p99("ordered")?,
            "ms",
        ),
        Figure::most(
            "beside a backfill: durable index p99",
            live.p99("ordered")?,
            "ms",
            10.0,
        ),
        Figure::least(
            "backfill beside the live writer",
            both.stream("fill")?.rate()?,
            "entries/s",
            150_000.0,
        ),
        sync_p99("live writer alone: a sync of 4 KiB, p99", &syncs_alone),
        sync_p99("beside a backfill: a sync of 4 KiB, p99", &syncs_beside),
        Figure::plain("backfill alone", fill.stream("fill")?.rate()?, "entries/s"),
        disk,
        bytes,
        cpu,
        disk_alone,
        cpu_alone,
    ])
}

/// Three tenants, all tiers, far more than the log can do: is one promise missed?
pub(crate) fn overload(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(folder.path())?;
    let tenants = tenants(folder.path(), &["amber", "birch", "cedar"])?;
    let mut streams = vec![LIVE.to_owned()];
    for tenant in &tenants {
        let (name, token) = (tenant.name, &tenant.word);
        streams.push(format!(
            "name={name}-soon,connections=24,priority=1,merge-by=1s,{token}"
        ));
        streams.push(format!(
            "name={name}-standard,connections=2,backfill,priority=3,{token}"
        ));
        streams.push(format!(
            "name={name}-bulk,connections=2,backfill,priority=6,{token}"
        ));
    }
    let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
    let report = load(folder.path(), &streams, 20, 5)?;
    let (mut missed, mut granted, mut taken, mut refused) = (0.0, 0.0, 0.0, 0.0);
    for stream in report.streams() {
        let (not_kept, given) = stream.promises()?;
        missed += not_kept;
        granted += given;
        taken += stream.acknowledged()?;
        refused += stream.refused();
    }
    ensure!(granted > 0.0, "no promise was given");
    ensure!(logd.terminate()?.success(), "logd did not stop well");
    Ok(vec![
        Figure::plain("entries promised", granted, ""),
        Figure::most("of them missed", missed, "", 0.0),
        Figure::plain("entries taken", taken, ""),
        Figure::plain("entries refused", refused, ""),
        Figure::plain(
            "live writer's published p99 in it",
            report.stream("live")?.p99("published")?,
            "ms",
        ),
    ])
}

/// The smallest tier, while three larger ones want everything.
pub(crate) fn floor(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let _logd = Logd::start(folder.path())?;
    let streams = [
        "name=interactive,connections=32,priority=1",
        "name=standard,backfill,priority=3",
        "name=bulk,backfill,priority=5",
        "name=scavenger,backfill,priority=7",
    ];
    let report = load(folder.path(), &streams, 15, 5)?;
    let mut figures = vec![Figure::least(
        "share of scavenger, whose floor is 1 %",
        report.share("scavenger") * 100.0,
        "%",
        1.0,
    )];
    for tier in ["interactive", "standard", "bulk"] {
        figures.push(Figure::plain(
            format!("share of {tier}"),
            report.share(tier) * 100.0,
            "%",
        ));
    }
    Ok(figures)
}

/// A tenant that takes all it can get, and a modest one, in one tier.
pub(crate) fn greedy(_: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let _logd = Logd::start(folder.path())?;
    let tenants = tenants(folder.path(), &["modest", "greedy"])?;
    let [modest, greedy] = tenants.as_slice() else {
        anyhow::bail!("two tenants");
    };
    let modest = format!("name=modest,rate=200/s,priority=3,{}", modest.word);
    let greedy = format!(
        "name=greedy,backfill,connections=4,priority=3,{}",
        greedy.word
    );
    let alone = load(folder.path(), &[&modest], 10, 2)?;
    let both = load(folder.path(), &[&modest, &greedy], 15, 5)?;
    let (before, beside) = (alone.stream("modest")?, both.stream("modest")?);
    ensure!(beside.refused() == 0.0, "the modest tenant was refused");
    let ratio = beside.p99("published")? / before.p99("published")?;
    Ok(vec![
        Figure::plain(
            "modest tenant alone, 200/s: published p99",
            before.p99("published")?,
            "ms",
        ),
        Figure::plain(
            "beside a greedy one: published p99",
            beside.p99("published")?,
            "ms",
        ),
        Figure::most("published p99, beside against alone", ratio, "×", 1.25),
        Figure::plain(
            "modest tenant beside: durable index p99",
            beside.p99("ordered")?,
            "ms",
        ),
        Figure::plain(
            "the greedy one's rate",
            both.stream("greedy")?.rate()?,
            "entries/s",
        ),
    ])
}

/// `logctl import` of the package index, repeated.
pub(crate) fn import(options: &Options) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("packages.txt");
    let lines = write_lines(&file, options.import)?;
    let bytes = std::fs::metadata(&file)?.len();
    let at = folder.path().join("log");
    let logd = Logd::start(&at)?;
    let before = Work::until_now(&logd)?;
    let begin = Instant::now();
    let mut client = Command::new(binary("logctl")?)
        .args(["import", "-o", "json"])
        .arg(&file)
        .env("LOGCTL_CONFIG", at.join("logctl.toml"))
        .env("XDG_STATE_HOME", at.join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("run logctl import")?;
    let mut largest = 0.0f64;
    let ended = loop {
        if let Some(status) = client.try_wait()? {
            break status;
        }
        // It may end between the two.
        largest = largest.max(peak_mib(client.id()).unwrap_or_default());
        tests::wait::pause();
    };
    let took = begin.elapsed().as_secs_f64();
    ensure!(ended.success(), "the import failed");
    let [disk, per_entry, cpu] = before.since(&logd, "import")?;
    let peak = peak_mib(logd.pid())?;
    ensure!(logd.settled()? == lines, "{lines} lines were imported");
    Ok(vec![
        Figure::plain("lines", lines as f64, ""),
        Figure::plain("bytes of a line", bytes as f64 / lines as f64, ""),
        Figure::least(
            "rate, client on the same cores",
            lines as f64 / took,
            "entries/s",
            300_000.0,
        ),
        Figure::plain("largest resident size of the client", largest, "MiB"),
        Figure::most("largest resident size of the server", peak, "MiB", 300.0),
        disk,
        per_entry,
        cpu,
    ])
}

fn write_lines(file: &Path, count: u64) -> Result<u64> {
    let (_, packages) = dataset::packages()?;
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for line in packages.iter().cycle().take(usize::try_from(count)?) {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(count)
}
