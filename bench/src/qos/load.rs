//! Runs `logload run` and reads its answer; sets up tenants; watches what the disk is asked for.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::process::{Logd, logctl, logload};

use crate::figures::Figure;

/// The report of a run of the load generator.
pub(crate) struct Report(Value);

/// One stream of it.
pub(crate) struct Stream<'a>(&'a Value);

/// The work that a server has done until now.
pub(crate) struct Work {
    at: Instant,
    written: u64,
    cpu_us: u64,
    published: u64,
}

/// Writes like these streams for so many seconds after a warm-up.
pub(crate) fn load(at: &Path, streams: &[&str], seconds: u64, warm_up: u64) -> Result<Report> {
    let (duration, warm_up) = (format!("{}s", seconds + warm_up), format!("{warm_up}s"));
    let mut words = vec![
        "run",
        "--duration",
        &duration,
        "--warm-up",
        &warm_up,
        "-o",
        "json",
    ];
    for stream in streams {
        words.extend(["--stream", stream]);
    }
    Ok(Report(logload(at, &words)?.expect_code(0)?.json()?))
}

impl Report {
    /// The stream of this name.
    pub(crate) fn stream(&self, name: &str) -> Result<Stream<'_>> {
        let streams = self.0["streams"].as_array().context("streams")?;
        let found = streams.iter().find(|stream| stream["name"] == name);
        found
            .map(Stream)
            .with_context(|| format!("no stream {name}"))
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = Stream<'_>> {
        self.0["streams"]
            .as_array()
            .into_iter()
            .flatten()
            .map(Stream)
    }

    /// The share of a tier, 0 to 1, of all acknowledged entries.
    pub(crate) fn share(&self, tier: &str) -> f64 {
        let tiers = self.0["tiers"].as_array().into_iter().flatten();
        tiers
            .filter(|found| found["tier"] == tier)
            .filter_map(|found| found["share"].as_f64())
            .sum()
    }
}

impl Stream<'_> {
    fn number(&self, pointer: &str) -> Result<f64> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_f64)
            .with_context(|| format!("{pointer} in {}", self.0))
    }

    /// A percentile of the time to published, or to the durable index, milliseconds.
    pub(crate) fn p99(&self, what: &str) -> Result<f64> {
        self.number(&format!("/{what}/p99Ms"))
    }

    /// Entries acknowledged a second.
    pub(crate) fn rate(&self) -> Result<f64> {
        self.number("/entriesPerSecond")
    }

    pub(crate) fn acknowledged(&self) -> Result<f64> {
        self.number("/acknowledged")
    }

    /// Entries whose promise was missed, and whose was given.
    pub(crate) fn promises(&self) -> Result<(f64, f64)> {
        Ok((
            self.number("/promises/missed")?,
            self.number("/promises/granted")?,
        ))
    }

    pub(crate) fn refused(&self) -> f64 {
        let refused = self.0["refused"].as_array().into_iter().flatten();
        refused
            .filter_map(|refusal| refusal["entries"].as_f64())
            .sum()
    }
}

impl Work {
    pub(crate) fn until_now(logd: &Logd) -> Result<Self> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", logd.pid()))?;
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))
            .context("write_bytes")?;
        Ok(Self {
            at: Instant::now(),
            written: written.trim().parse()?,
            cpu_us: crate::proc::cpu_us(logd.pid(), "")?,
            published: logd.watermarks()?.published,
        })
    }

    /// The work since then, which limits the other figures.
    pub(crate) fn since(self, logd: &Logd, when: &str) -> Result<[Figure; 3]> {
        let now = Self::until_now(logd)?;
        let seconds = (now.at - self.at).as_secs_f64();
        let entries = (now.published - self.published).max(1) as f64;
        let bytes = (now.written - self.written) as f64;
        Ok([
            Figure::plain(
                format!("{when}: written to the disk"),
                bytes / seconds / 1e6,
                "MB/s",
            ),
            Figure::plain(
                format!("{when}: bytes written per entry"),
                bytes / entries,
                "",
            ),
            Figure::plain(
                format!("{when}: the server's processor time"),
                (now.cpu_us - self.cpu_us) as f64 / 1e6 / seconds,
                "of 2 cores",
            ),
        ])
    }
}

/// A tenant with a token of its own, as a stream names it.
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) word: String,
}

/// Gives the log these tenants, each with all shipped tiers; the anonymous one stays.
pub(crate) fn tenants(at: &Path, names: &[&'static str]) -> Result<Vec<Tenant>> {
    let mut document = logctl(at, &["config", "show", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    let mut tenants = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let token = logconfig::token_text(&[nth as u8 + 1; 32]);
        let file = at.join(format!("{name}.token"));
        write_private(&file, &token)?;
        tenants.push(Tenant {
            name,
            word: format!("token-file={}", file.display()),
        });
        let tenant = json!({
            "name": name,
            "tiers": ["interactive", "standard", "bulk", "scavenger"],
            "tokens": [{"name": "bench", "sha256": logconfig::token_hash(&token)}],
        });
        let all = document
            .pointer_mut("/qos/tenants")
            .and_then(Value::as_array_mut);
        all.context("the running document has tenants")?
            .push(tenant);
    }
    let file = at.join("tenants.json");
    std::fs::write(&file, document.to_string())?;
    let file = file.to_str().context("a temporary path is UTF-8")?;
    logctl(at, &["shard", "--use-config", file, "--yes"])?.expect_code(0)?;
    Ok(tenants)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
