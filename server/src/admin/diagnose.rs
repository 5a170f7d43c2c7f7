//! The checks of this replica on itself and its stores (`logctl doctor`): measured on request, judged by fixed thresholds, each
//! finding with its remedy.
//!
//! What must never happen: `ok` for a check that could not be made.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{Condition, Damaged, Log};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use wire::{Diagnosis, Diagnostics, Severity};

use super::EngineHost;
use crate::rfc3339::rfc3339;
use logconfig::text::{bytes, count};
use tlog::UnixMillis;

/// Pause before a check is repeated whose finding may be temporary.
const SECOND_CHECK_DELAY: Duration = Duration::from_secs(1);

/// Damaged objects that a check names.
const DAMAGED_NAMED: usize = 8;

/// The files of this process that are checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// Only the server may read these: the key-encryption key, private keys.
    pub(crate) secrets: Vec<PathBuf>,
    /// PEM, the server's own certificate first.
    pub(crate) certificates: Vec<PathBuf>,
}

/// A finding about this process.
pub(super) fn found(
    check: &str,
    severity: Severity,
    measured: impl Into<String>,
    remedy: impl Into<String>,
) -> Diagnosis {
    Diagnosis {
        check: check.to_owned(),
        log: None,
        severity,
        measured: measured.into(),
        remedy: (severity != Severity::Ok).then(|| remedy.into()),
    }
}

/// Ok below the first bound, critical from the second on.
fn graded<T: PartialOrd>(value: T, warning: T, critical: T) -> Severity {
    if value >= critical {
        Severity::Critical
    } else if value >= warning {
        Severity::Warning
    } else {
        Severity::Ok
    }
}

fn all_run(replicas: usize, generation: u64) -> String {
    match replicas {
        1 => format!("the only replica runs generation {generation}"),
        many => format!("all {many} replicas run generation {generation}"),
    }
}

fn clock(off: Duration) -> Diagnosis {
    found(
        "clock",
        // From 5 s on the replica accepts no writes.
        graded(off, Duration::from_secs(1), Duration::from_secs(5)),
        format!("{} ms off the store's clock", off.as_millis()),
        "set the clock (`chronyc tracking`, `timedatectl`); more than 5 s off, this replica takes no writes",
    )
}

fn disk(free: Option<u64>, reserve: u64) -> Diagnosis {
    let Some(free) = free else {
        return found(
            "disk",
            Severity::Ok,
            "the store does not report its free space",
            "",
        );
    };
    let severity = if free < reserve {
        Severity::Critical
    } else if free / 64 < reserve {
        Severity::Warning
    } else {
        Severity::Ok
    };
    found(
        "disk",
        severity,
        format!("{} free, {} kept in reserve", bytes(free), bytes(reserve)),
        "make room on the store's disk; below the reserve (`limits.min_free` in logd.toml) every write is refused",
    )
}

fn permissions(path: &Path) -> Diagnosis {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(file) => {
            let mode = file.permissions().mode() & 0o777;
            let open = engine::is_exposed(mode, file.uid());
            found(
                "key-permissions",
                if open {
                    Severity::Critical
                } else {
                    Severity::Ok
                },
                format!("{shown} has mode {mode:04o}"),
                format!("others can read it: `chmod 600 {shown}`, and replace the key if they did"),
            )
        }
        Err(error) => found(
            "key-permissions",
            Severity::Warning,
            format!("{shown}: {error}"),
            "the file is needed at the next start: put it back, readable by the server alone",
        ),
    }
}

fn latency(measured: Result<Duration, String>) -> Diagnosis {
    let remedy = "every write of every log waits for this: look for a slow or busy disk (`iostat -x 1`), or a full one";
    match measured {
        Ok(took) => found(
            "store-latency",
            graded(
                took,
                Duration::from_millis(100),
                Duration::from_millis(1000),
            ),
            format!("a durable write took {:.1} ms", took.as_secs_f64() * 1e3),
            remedy,
        ),
        Err(error) => found("store-latency", Severity::Critical, error, remedy),
    }
}

fn expiry(path: &Path, now: Timestamp) -> Diagnosis {
    let shown = path.display();
    let remedy =
        format!("renew it: the server reads {shown} again when it changes, without a restart");
    let read = || -> Result<i64, String> {
        let certificate = CertificateDer::from_pem_file(path).map_err(|e| e.to_string())?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|e| e.to_string())?;
        Ok(parsed.validity().not_after.timestamp())
    };
    match read() {
        Ok(end) => {
            let days = (end - now.as_second()).div_euclid(86_400);
            let severity = match days {
                ..3 => Severity::Critical,
                3..21 => Severity::Warning,
                _ => Severity::Ok,
            };
            let measured = if end <= now.as_second() {
                format!("{shown} has expired")
            } else {
                format!("{shown} expires in {days} days")
            };
            found("tls-expiry", severity, measured, remedy)
        }
        Err(error) => found(
            "tls-expiry",
            Severity::Critical,
            format!("{shown}: {error}"),
            "put a PEM certificate there; the one that was read last is still in use",
        ),
    }
}

/// Server processes whose heartbeats stopped without a clean stop.
fn silent(found_silent: Result<Vec<engine::ReplicaInfo>, store::StoreError>) -> Vec<Diagnosis> {
    const REMEDY: &str = "it was killed, or it cannot reach the stores: check its machine and its process. This finding stays for an hour, or until a server is started in its place";
    match found_silent {
        Ok(all) => all
            .into_iter()
            .map(|replica| {
                let measured = format!(
                    "{} has been silent for {} s",
                    replica.label,
                    replica.age.as_secs()
                );
                found("replica-silent", Severity::Warning, measured, REMEDY)
            })
            .collect(),
        Err(error) => vec![found(
            "replica-silent",
            Severity::Critical,
            error.to_string(),
            "the coordination store does not answer: look at its disk",
        )],
    }
}

/// The age of a log's newest checkpoint against how often it is renewed. None is needed while nothing was ever published, and an
/// old one does while nothing waits.
fn checkpoint(
    published: Option<Timestamp>,
    waiting: u64,
    renewed: Duration,
    now: Timestamp,
) -> Diagnosis {
    let remedy =
        "publication is stuck: `logctl status` says why (`reason`), and so does the server's log";
    let Some(published) = published else {
        return found("checkpoint-age", Severity::Ok, "nothing to publish yet", "");
    };
    let age = now.duration_since(published).unsigned_abs();
    if waiting == 0 {
        let measured = format!(
            "everything is published; the newest checkpoint is {} s old",
            age.as_secs()
        );
        return found("checkpoint-age", Severity::Ok, measured, "");
    }
    let slack = Duration::from_secs(10);
    found(
        "checkpoint-age",
        graded(age, renewed * 2 + slack, renewed * 10 + slack),
        format!(
            "the newest checkpoint is {} s old; waiting for the next: {}",
            age.as_secs(),
            count(waiting, "entry")
        ),
        remedy,
    )
}

/// Published objects that were found damaged since this process started.
fn objects(listed: &[Damaged], damaged: usize) -> Diagnosis {
    let open: Vec<&Damaged> = listed.iter().filter(|d| d.repaired.is_none()).collect();
    if damaged > 0 {
        let named: Vec<String> = open
            .iter()
            .take(DAMAGED_NAMED)
            .map(|d| format!("{} {} (noticed {})", d.path, d.what, rfc3339(d.since)))
            .collect();
        let more = damaged.saturating_sub(named.len());
        let more = (more > 0).then(|| format!("and {more} more"));
        let measured: Vec<String> = named.into_iter().chain(more).collect();
        return found(
            "objects",
            Severity::Critical,
            measured.join("; "),
            "reads that need these objects fail, nothing else. No frontend or secondary of the running configuration had a copy that leads to the signed root: put the object back from a backup of the object store and it is noticed within 30 s. Look at the disk, and run `logd fsck` to check the objects that nobody has read yet",
        );
    }
    let repaired = listed
        .iter()
        .filter_map(|d| Some((d, d.repaired.as_ref()?)));
    if let Some((newest, (at, from))) = repaired.clone().max_by_key(|(_, (at, _))| *at) {
        return found(
            "objects",
            Severity::Warning,
            format!(
                "{} damaged since the start and repaired, the last one {} ({}) from {from} at {}",
                repaired.count(),
                newest.path,
                newest.what,
                rfc3339(*at)
            ),
            "the log is whole again, but something changed or deleted its files: look at the disk, and run `logd fsck` to check the objects that nobody has read yet. A restart of the server clears this line",
        );
    }
    found("objects", Severity::Ok, "no damaged object was found", "")
}

impl EngineHost {
    pub(super) async fn diagnostics(&self) -> Diagnostics {
        let now = Timestamp::now();
        let mut checks = vec![match self.engine.clock_off().await {
            Ok(off) => match self.engine.clock_fault() {
                Some(fault) => found(
                    "clock",
                    Severity::Critical,
                    fault.to_string(),
                    "nothing is ordered here until the clock is right: set it (NTP), or restart logd if it is right now",
                ),
                None => clock(off),
            },
            Err(error) => found(
                "clock",
                Severity::Critical,
                error.to_string(),
                "the coordination store does not answer: look at its disk",
            ),
        }];
        checks.push(match self.engine.free().await {
            Ok(free) => disk(free, self.engine.reserve()),
            Err(error) => found(
                "disk",
                Severity::Critical,
                error.to_string(),
                "the object store does not answer: look at its disk",
            ),
        });
        checks.extend(self.files.secrets.iter().map(|path| permissions(path)));
        checks.extend(silent(self.engine.silent().await));
        checks.push(latency(self.measure_write().await));
        checks.extend(self.files.certificates.iter().map(|path| expiry(path, now)));
        let logs = self.engine.logs().into_iter().chain(self.engine.system());
        for log in logs.filter(|log| !log.is_deleted()) {
            let of_log = self.of_log(&log, now).await;
            checks.extend(of_log.into_iter().map(|check| Diagnosis {
                log: Some(log.name().to_owned()),
                ..check
            }));
        }
        Diagnostics {
            time: format!("{now:.3}"),
            replica: self.engine.replica_id().to_owned(),
            checks,
        }
    }

    /// One durable write of a row that expires at once.
    async fn measure_write(&self) -> Result<Duration, String> {
        let key = format!("probe/{}", self.engine.replica_id());
        let began = Instant::now();
        let put = self.engine.remember(&key, "", UnixMillis::new(1)).await;
        put.map(|_| began.elapsed()).map_err(|e| e.to_string())
    }

    async fn of_log(&self, log: &Log, now: Timestamp) -> Vec<Diagnosis> {
        let status = log.status();
        let halted = status.condition == Condition::Halted;
        let mut checks = vec![found(
            "halted",
            if halted {
                Severity::Critical
            } else {
                Severity::Ok
            },
            if halted {
                status.reason.clone().unwrap_or_default()
            } else {
                "not halted".to_owned()
            },
            "follow the message; `logd fsck` finds all faults, and changes nothing",
        )];
        checks.extend(super::probation::checks(log, &status).await);
        if !halted {
            let published = status
                .published_at
                .and_then(|at| Timestamp::from_millisecond(i64::try_from(at.get()).ok()?).ok());
            let renewed = log.config().merge.idle_republish.duration();
            let at = status.watermarks;
            let check = |waiting| checkpoint(published, waiting, renewed, now);
            let mut age = check(at.ordered - at.published);
            if age.severity != Severity::Ok {
                // After a quiet hour the first entry waits a moment, as every entry does.
                tokio::time::sleep(SECOND_CHECK_DELAY).await;
                if log.watermarks().published > at.published {
                    age = check(0);
                }
            }
            checks.push(age);
        }
        checks.push(match self.live(Some(log)).await {
            Ok(replicas) => {
                let behind: Vec<&str> = replicas
                    .iter()
                    .filter(|replica| replica.generation.is_none_or(|at| at < status.generation.get()))
                    .map(|replica| replica.label.as_str())
                    .collect();
                let (severity, measured) = if behind.is_empty() {
                    (Severity::Ok, all_run(replicas.len(), status.generation.get()))
                } else {
                    let who = format!(
                        "{} {} not run generation {}",
                        behind.join(", "),
                        if behind.len() == 1 { "does" } else { "do" },
                        status.generation
                    );
                    (Severity::Warning, who)
                };
                found(
                    "replicas",
                    severity,
                    measured,
                    "a replica that stays behind is stopped, overloaded or cut off from the store: look at its log; after 10 s of silence it no longer counts",
                )
            }
            Err(error) => found(
                "replicas",
                Severity::Critical,
                error.to_string(),
                "the coordination store does not answer: look at its disk",
            ),
        });
        checks.push(objects(&log.damaged(), log.damaged_count()));
        let index = self.indexes.view(log);
        checks.extend(index.map(|view| super::search::check(log.name(), &view)));
        checks.extend(super::merge::checks(&log.merge_seen()));
        checks.extend(super::rotation::check(log));
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        use Severity::{Critical, Ok, Warning};
        let grades = |of: &dyn Fn(u64) -> Diagnosis, at: &[(u64, Severity)]| {
            for (value, severity) in at {
                let check = of(*value);
                assert_eq!(check.severity, *severity, "{check:?}");
                // A remedy whenever something is wrong, and only then.
                assert_eq!(check.remedy.is_some(), *severity != Ok);
            }
        };
        grades(
            &|off| clock(Duration::from_millis(off)),
            &[(0, Ok), (999, Ok), (1_000, Warning), (5_000, Critical)],
        );
        grades(
            &|free| disk(Some(free), 100),
            &[(99, Critical), (100, Warning), (6399, Warning), (6400, Ok)],
        );
        let slow = |ms| latency(std::result::Result::Ok(Duration::from_millis(ms)));
        grades(&slow, &[(99, Ok), (100, Warning), (1_000, Critical)]);
        assert_eq!(latency(Err("no".to_owned())).severity, Critical);
        let now = Timestamp::from_second(1_000_000).unwrap();
        let old = |age: u64| {
            let at = now - Duration::from_secs(age);
            checkpoint(Some(at), 1, Duration::from_secs(60), now)
        };
        grades(&old, &[(0, Ok), (129, Ok), (130, Warning), (610, Critical)]);
        let quiet =
            |published, waiting| checkpoint(published, waiting, Duration::from_secs(60), now);
        assert_eq!(quiet(None, 1).severity, Ok);
        let long_ago = now - Duration::from_secs(86_400);
        assert_eq!(quiet(Some(long_ago), 0).severity, Ok);
    }

    #[test]
    fn files_are_looked_at_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("key");
        assert_eq!(permissions(&secret).severity, Severity::Warning);
        std::fs::write(&secret, "secret").unwrap();
        for (mode, severity) in [
            (0o600, Severity::Ok),
            (0o400, Severity::Ok),
            (0o660, Severity::Critical),
            (0o604, Severity::Critical),
        ] {
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
            let check = permissions(&secret);
            assert_eq!(check.severity, severity, "{check:?}");
        }
        let path = folder.path().join("cert.pem");
        assert_eq!(expiry(&path, Timestamp::now()).severity, Severity::Critical);
        let mut parameters = rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 7, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&path, parameters.self_signed(&key).unwrap().pem()).unwrap();
        for (day, severity) in [
            ("2026-06-01T00:00:00Z", Severity::Ok),
            ("2026-06-15T00:00:00Z", Severity::Warning),
            ("2026-06-29T12:00:00Z", Severity::Critical),
            ("2026-07-01T00:00:01Z", Severity::Critical),
        ] {
            let check = expiry(&path, day.parse().unwrap());
            assert_eq!(check.severity, severity, "{check:?}");
        }
    }
}
