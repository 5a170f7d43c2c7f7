//! The rows by which a server process tells the others that it lives, and which generation of each log it runs.
//!
//! ```text
//! replica/{id}        name, format, time: written with every beat
//! runs/{id}/{log}     a generation: written when it changes
//! ```
//!
//! So a heartbeat costs the same however many logs there are. What must never happen: other processes sweep the rows of a live process, and
//! it does not write them again. Rows are swept only while the row of the process is absent, in the same transaction, and a process that
//! finds its own row absent writes all its rows again.

use order::Generation;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use order::keys::{REPLICAS, RUNS};
use order::slot::FORMAT;
use store::record;
use store::{Coordination, Guard, Key, Outcome, StoreError, Transaction};
use tlog::UnixMillis;

/// A replica that is silent for longer does not count as live.
const SILENCE: Duration = Duration::from_secs(10);
/// The rows of a process that was silent for longer are swept; until then status and doctor report it as missing.
const GONE: Duration = Duration::from_secs(3600);
/// Rows read or written at a time.
const ROWS: usize = 512;

/// A live server process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// 16 hex digits, new at each start of the process.
    pub id: String,
    /// Host and process id.
    pub label: String,
    /// The newest slot format it understands.
    pub format: u32,
    /// The generation it runs of the log asked for.
    pub generation: Option<Generation>,
    /// The time since its last heartbeat.
    pub age: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    label: String,
    format: u32,
    /// Written by earlier versions: the generation that it runs of every log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    generations: BTreeMap<String, Generation>,
    time: UnixMillis,
}

fn own(id: &str) -> Key {
    format!("{REPLICAS}{id}")
}

fn run(id: &str, log: &str) -> Key {
    format!("{RUNS}{id}/{log}")
}

async fn apply(store: &dyn Coordination, transaction: Transaction) -> Result<bool, StoreError> {
    match store.transact(transaction).await {
        Outcome::Committed => Ok(true),
        Outcome::Refused => Ok(false),
        Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
    }
}

/// The heartbeats of all processes, by id.
async fn beats(store: &dyn Coordination) -> Result<BTreeMap<String, Heartbeat>, StoreError> {
    let (mut beats, mut from) = (BTreeMap::new(), REPLICAS.to_owned());
    loop {
        let rows = store.scan(REPLICAS, &from, ROWS).await?;
        let full = rows.len() == ROWS;
        for (key, bytes) in rows {
            // A row that is not understood is a newer version's.
            if let Ok(beat) = record::decode::<Heartbeat>(&bytes) {
                beats.insert(key[REPLICAS.len()..].to_owned(), beat);
            }
            from = format!("{key}\0");
        }
        if !full {
            return Ok(beats);
        }
    }
}

/// The live processes on a store, with the generation of a log that they run.
pub(crate) async fn replicas(
    store: &dyn Coordination,
    log: Option<&str>,
) -> Result<Vec<ReplicaInfo>, StoreError> {
    let now = store.now().await?;
    let mut live = Vec::new();
    for (id, beat) in beats(store).await? {
        let age = now.since(beat.time);
        if age > SILENCE {
            continue;
        }
        let mut generation = None;
        if let Some(log) = log {
            let row = store.get(&run(&id, log)).await?;
            generation = row
                .and_then(|row| record::decode_number(&row).ok())
                .map(Generation::new)
                .or_else(|| beat.generations.get(log).copied());
        }
        live.push(ReplicaInfo {
            id,
            label: beat.label,
            format: beat.format,
            generation,
            age,
        });
    }
    Ok(live)
}

/// The processes whose heartbeats stopped without a clean stop. They are reported for an hour, or until one of the same host and role is started.
pub(crate) async fn silent(store: &dyn Coordination) -> Result<Vec<ReplicaInfo>, StoreError> {
    let now = store.now().await?;
    let silent = beats(store).await?.into_iter().filter_map(|(id, beat)| {
        let age = now.since(beat.time);
        (age > SILENCE && age <= GONE).then_some(ReplicaInfo {
            id,
            label: beat.label,
            format: beat.format,
            generation: None,
            age,
        })
    });
    Ok(silent.collect())
}

/// The host and the role of a label: `HOST:PROCESS ROLE`.
fn place(label: &str) -> (&str, &str) {
    let (host, rest) = label.split_once(':').unwrap_or((label, ""));
    (host, rest.split_once(' ').map_or("", |(_, role)| role))
}

/// Removes the rows of a process: its own, unless it beat again since `seen`, then the others, while its own stays absent.
pub(crate) async fn forget(
    store: &dyn Coordination,
    id: &str,
    seen: Option<UnixMillis>,
) -> Result<(), StoreError> {
    let key = own(id);
    if let Some(seen) = seen {
        // Read once more, since it was away for a minute and may be back.
        let row = store.get(&key).await?;
        let beat = row.and_then(|row| record::decode::<Heartbeat>(&row).ok());
        if beat.is_some_and(|beat| beat.time != seen) {
            return Ok(());
        }
    }
    let absent = Transaction {
        deletes: vec![key.clone()],
        ..Transaction::default()
    };
    apply(store, absent).await?;
    let prefix = run(id, "");
    loop {
        let rows = store.scan(&prefix, &prefix, ROWS).await?;
        let rows = Transaction {
            guards: vec![Guard::Absent(key.clone())],
            deletes: rows.into_iter().map(|(key, _)| key).collect(),
            ..Transaction::default()
        };
        if rows.deletes.is_empty() || !apply(store, rows).await? {
            return Ok(());
        }
    }
}

/// The rows that this process has written for the others.
#[derive(Debug)]
pub(crate) struct Heart {
    id: String,
    label: String,
    /// The store's time at the first beat.
    began: Option<UnixMillis>,
    /// The rows that are there, by log.
    told: BTreeMap<String, Generation>,
}

impl Heart {
    pub(crate) fn new(id: String, label: String) -> Self {
        Self {
            id,
            label,
            began: None,
            told: BTreeMap::new(),
        }
    }

    /// One beat at the store's `time`: writes what changed and that this process lives, then sweeps processes that are long gone. Returns
    /// the formats of the live ones, with their names.
    pub(crate) async fn beat<'a>(
        &mut self,
        store: &dyn Coordination,
        time: UnixMillis,
        runs: impl Iterator<Item = (&'a str, Generation)>,
    ) -> Result<Vec<(u32, String)>, StoreError> {
        let beat = Heartbeat {
            label: self.label.clone(),
            format: FORMAT,
            generations: BTreeMap::new(),
            time,
        };
        let (key, beat) = (own(&self.id), record::encode(&beat));
        let runs: Vec<(&str, Generation)> = runs.collect();
        let changed = |told: &BTreeMap<String, Generation>| {
            let changed =
                |(log, generation): &&(&str, Generation)| told.get(*log) != Some(generation);
            let changed = runs.iter().filter(changed).take(ROWS);
            changed.map(|(log, n)| ((*log).to_owned(), *n)).collect()
        };
        // Its own row in each transaction, so that no process sweeps the others meanwhile; if one did, all rows are written again.
        let mut some: Vec<_> = changed(&self.told);
        loop {
            let run = |(log, n): &(String, Generation)| {
                (run(&self.id, log), record::encode_number(n.get()))
            };
            let mut puts: Vec<_> = some.iter().map(run).collect();
            puts.push((key.clone(), beat.clone()));
            let there = (!self.told.is_empty()).then(|| Guard::Present(key.clone()));
            let transaction = Transaction {
                guards: there.into_iter().collect(),
                puts,
                ..Transaction::default()
            };
            if apply(store, transaction).await? {
                self.told.extend(some);
            } else {
                self.told.clear();
            }
            some = changed(&self.told);
            if some.is_empty() {
                break;
            }
        }
        let mut live = Vec::new();
        let began = *self.began.get_or_insert(time);
        for (id, beat) in beats(store).await? {
            let age = time.since(beat.time);
            // This process was started in its place.
            let replaced =
                age > SILENCE && beat.time < began && place(&beat.label) == place(&self.label);
            if (age > GONE || replaced) && id != self.id {
                forget(store, &id, Some(beat.time)).await?;
            } else if age <= SILENCE {
                live.push((beat.format, beat.label));
            }
        }
        Ok(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::MemoryCoordination;

    fn generation(number: u64) -> Option<Generation> {
        Some(Generation::new(number))
    }

    fn rows(store: &MemoryCoordination, prefix: &str) -> usize {
        let rows = store.rows();
        rows.keys().filter(|key| key.starts_with(prefix)).count()
    }

    /// However many logs there are, a beat writes what changed; and what others swept is written again.
    #[tokio::test]
    async fn a_beat_says_what_changed_and_what_was_swept() {
        let store = MemoryCoordination::new();
        let names: Vec<String> = (0..2000).map(|n| format!("log-{n:060}")).collect();
        let runs = |generation| {
            names
                .iter()
                .map(move |log| (log.as_str(), Generation::new(generation)))
        };
        let of = async |log: &str| {
            let live = replicas(&store, Some(log)).await.unwrap();
            live.into_iter().map(|r| r.generation).collect::<Vec<_>>()
        };
        let now = store.now().await.unwrap();
        let mut heart = Heart::new("a".to_owned(), "host".to_owned());
        heart.beat(&store, now, runs(1)).await.unwrap();
        assert_eq!(rows(&store, RUNS), 2000);
        let largest = store.rows().values().map(|row| row.len()).max().unwrap();
        assert!(largest < 1000, "{largest} bytes");
        let moved = names.iter().map(|log| {
            (
                log.as_str(),
                Generation::new(1 + u64::from(*log == names[7])),
            )
        });
        heart.beat(&store, now, moved).await.unwrap();
        assert_eq!(of(&names[7]).await, [2].map(generation));
        assert_eq!(of(&names[8]).await, [1].map(generation));
        // Another one finds it silent for long, sweeps it, and it comes back.
        let mut other = Heart::new("b".to_owned(), "host".to_owned());
        other
            .beat(&store, now + Duration::from_secs(61), runs(1))
            .await
            .unwrap();
        assert_eq!((rows(&store, RUNS), rows(&store, REPLICAS)), (2000, 1));
        let moved = names.iter().map(|log| {
            (
                log.as_str(),
                Generation::new(1 + u64::from(*log == names[7])),
            )
        });
        heart
            .beat(&store, now + Duration::from_secs(62), moved)
            .await
            .unwrap();
        assert_eq!(of(&names[7]).await, [2, 1].map(generation));
        forget(&store, "a", None).await.unwrap();
        assert_eq!((rows(&store, RUNS), rows(&store, REPLICAS)), (2000, 1));
    }

    /// Other processes report one that died without a clean stop, until another is started in its place.
    #[tokio::test]
    async fn the_dead_are_missed_until_their_place_is_taken() {
        let store = MemoryCoordination::new();
        let now = store.now().await.unwrap();
        let long_ago = now - Duration::from_secs(30);
        let beat = async |id: &str, label: &str, time: UnixMillis| {
            let mut heart = Heart::new(id.to_owned(), label.to_owned());
            heart
                .beat(&store, time, [("dev", Generation::new(1))].into_iter())
                .await
                .unwrap();
        };
        let missed = async || {
            let silent = silent(&store).await.unwrap();
            silent.into_iter().map(|r| r.label).collect::<Vec<_>>()
        };
        beat("a", "one:1 merge", long_ago).await;
        beat("b", "one:2", long_ago).await;
        beat("c", "two:1", now).await;
        assert_eq!(missed().await, ["one:1 merge", "one:2"]);
        beat("d", "one:3", now).await;
        assert_eq!(
            missed().await,
            ["one:1 merge"],
            "another role is another place"
        );
    }

    /// The row of an earlier version has everything in it.
    #[tokio::test]
    async fn the_heartbeat_of_an_earlier_version_is_understood() {
        let store = MemoryCoordination::new();
        let beat = Heartbeat {
            label: "host".to_owned(),
            format: 1,
            generations: BTreeMap::from([("dev".to_owned(), Generation::new(7))]),
            time: store.now().await.unwrap(),
        };
        let put = Transaction {
            puts: vec![(own("old"), record::encode(&beat))],
            ..Transaction::default()
        };
        store.transact(put).await;
        let live = replicas(&store, Some("dev")).await.unwrap();
        assert_eq!(live[0].generation, generation(7));
    }
}
