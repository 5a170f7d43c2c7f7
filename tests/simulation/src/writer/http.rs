//! Writes over HTTP, and what their writers make of the answers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::{Appended, Log, PromiseId, UploadId};
use qos::Advice;
use serde_json::Value;
use tlog::{GlobalIndex, LeafIndex, Receipt, VerifierKey};

use super::{LOG, Session};
use crate::http::{Answer, Call, Request, Told};
use crate::server::Running;
use crate::trees;

/// Where an entry is, as its writer was told.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// All of its place.
    Place(Appended),
    /// The first line of an answer in text.
    Index(u64),
}

/// A write that waits for its order, before it is sent.
pub(super) struct Add {
    call: Call,
    entry: Bytes,
    /// A checkpoint is to cover the entry.
    published: bool,
}

/// A write that asks for a receipt, before it is sent.
pub(super) struct Async {
    call: Call,
    entry: Bytes,
    log: Arc<Log>,
}

/// The kind of a body with many entries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    /// It is sent once.
    Once,
    /// It is sent again under this key.
    Keyed(&'a str),
    /// The part of an upload from this position on.
    Part(UploadId, u64),
}

/// A batch, or a part of an upload, before it is sent.
pub(super) struct Batch {
    call: Call,
    /// How many entries the upload, or the body, has up to its end.
    whole: u64,
    /// How many of its entries are sent before it breaks off, if it does.
    pub(super) sent: Option<usize>,
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(super) struct Batched {
    /// Why it ended early.
    pub(super) ended: Option<Told>,
    /// How many entries of the upload are in the log without a gap.
    pub(super) accepted: u64,
    /// Position of the first entry, its global index, and how many there are.
    pub(super) ranges: Vec<(u64, u64, u64)>,
}

impl Batched {
    /// The entries of an upload, or of a body, that are in the log, with their indexes.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.ranges.iter().flat_map(|(first, index, entries)| {
            let at = move |nth: u64| usize::try_from(first + nth).unwrap_or(usize::MAX);
            (0..*entries).map(move |nth| (at(nth), index + nth))
        })
    }
}

/// A write of `entry` with this advice.
fn request(entry: &Bytes, advice: &Advice) -> Request {
    let request = Request::post(&format!("/{LOG}/add"), entry.clone());
    advised(request, advice)
}

fn advised(mut request: Request, advice: &Advice) -> Request {
    if let Some(urgency) = advice.urgency {
        request = request.with("priority", format!("u={urgency}"));
    }
    match &advice.shard {
        Some(shard) => request.with("log-shard", shard.as_str()),
        None => request,
    }
}

impl Session {
    /// The write of an entry, if it goes through HTTP.
    pub(super) fn add(
        &mut self,
        running: &Running,
        entry: &Bytes,
        advice: &Advice,
        key: Option<&str>,
    ) -> Option<Add> {
        let way = self.http.writes(running)?;
        let mut request = request(entry, advice);
        if let Some(key) = key {
            request = request.with("idempotency-key", key);
        }
        if self.http.dice().chance(800_000) {
            request = request.with("accept", "application/json");
        }
        let published = self.http.dice().chance(100_000);
        if published {
            request = request.with("log-ack", "published");
        }
        Some(Add {
            // A writer that repeats a request cannot know which attempt broke off, so only requests without a key may break.
            call: self.http.call(way, request, key.is_none()),
            entry: entry.clone(),
            published,
        })
    }

    /// The request for a receipt, if it goes through HTTP.
    pub(super) fn add_async(
        &mut self,
        running: &Running,
        log: &Arc<Log>,
        entry: &Bytes,
        advice: &Advice,
    ) -> Option<Async> {
        let way = self.http.writes(running)?;
        let mut request = request(entry, advice).with("prefer", "respond-async");
        if self.http.dice().chance(500_000) {
            request = request.with("accept", "application/json");
        }
        if self.http.dice().chance(300_000) {
            let delay = self.http.dice().span(500, 86_400_000);
            request = request.with("merge-by", format!("{}ms", delay.as_millis()));
        }
        Some(Async {
            call: self.http.call(way, request, true),
            entry: entry.clone(),
            log: Arc::clone(log),
        })
    }

    /// The question where a promised entry is, if it goes through HTTP.
    pub(super) fn placement(&mut self, running: &Running, id: PromiseId) -> Option<Call> {
        let way = self.http.writes(running)?;
        let request = Request::get(&format!("/{LOG}/promise/{id}"));
        Some(self.http.call(way, request, false))
    }

    /// A part of an upload, or a batch that is none, if it goes through HTTP.
    pub(super) fn batch(
        &mut self,
        running: &Running,
        entries: &[Bytes],
        advice: &Advice,
        body: Body<'_>,
    ) -> Option<Batch> {
        let way = self.http.writes(running)?;
        let (path, offset) = match body {
            Body::Part(id, offset) => {
                let id = hex(id);
                let path = format!("/{LOG}/add-batch?upload={id}&offset={offset}");
                (path, offset)
            }
            Body::Once | Body::Keyed(_) => (format!("/{LOG}/add-batch"), 0),
        };
        let (kind, parts): (_, Vec<_>) = match self.http.dice().chance(700_000) {
            true => (
                "application/octet-stream",
                entries.iter().map(prefixed).collect(),
            ),
            false => ("application/x-ndjson", entries.iter().map(line).collect()),
        };
        let mut request = Request::post(&path, parts.concat().into())
            .with("content-type", kind)
            .with("accept", "application/json");
        if let Body::Keyed(key) = body {
            request = request.with("idempotency-key", key);
        }
        let call = self.http.call(way, advised(request, advice), true);
        let sent = call.broken_off().map(|bytes| {
            let ends = parts.iter().scan(0, |end, part| {
                *end += part.len();
                Some(*end)
            });
            // The last byte of a line is no part of its entry.
            ends.take_while(|end| *end <= bytes + 1).count()
        });
        Some(Batch {
            whole: offset + entries.len() as u64,
            sent,
            call,
        })
    }

    /// The question where an upload stands, if it goes through HTTP.
    pub(super) fn progress(&mut self, running: &Running, id: UploadId) -> Option<Call> {
        let way = self.http.writes(running)?;
        let path = format!("/{LOG}/add-batch?upload={}", hex(id));
        Some(self.http.call(way, Request::get(&path), false))
    }

    /// The writer of an entry was told where it is.
    pub(super) fn told(&self, entry: &[u8], at: &At) {
        match at {
            At::Place(at) => self.placed(entry, at),
            At::Index(index) => self.world.judge.read(LOG, *index, entry),
        }
    }
}

fn hex(id: UploadId) -> String {
    id.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry after its length, as bundles have it.
fn prefixed(entry: &Bytes) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = tlog::bundle::push(&mut bytes, entry);
    bytes
}

/// An entry as a line of JSON.
fn line(entry: &Bytes) -> Vec<u8> {
    format!("{{\"entry\":\"{}\"}}\n", STANDARD.encode(entry)).into_bytes()
}

/// An answer that says what its documentation does not.
fn wrong(call: &Judged, what: &str, answer: &Answer) -> Told {
    let rule = "an answer is what its documentation says";
    let text: String = answer.text().chars().take(400).collect();
    let what = format!("{what}: HTTP {} {text}", answer.status);
    call.world.judge.object(rule, what);
    Told::Unknown
}

/// What is left of a call that was sent.
struct Judged {
    world: Arc<crate::world::World>,
    broken: bool,
}

/// Sends a write. What breaks off before its end is not taken, whatever the answer.
async fn sent(call: Call) -> (Judged, Result<Answer, Told>) {
    let judged = Judged {
        world: Arc::clone(&call.way.world),
        broken: call.broken_off().is_some(),
    };
    let answer = call.send().await;
    let answer = match (answer, judged.broken) {
        (Some(answer), true) if answer.status < 300 => {
            let rule = "a request that breaks off is not answered as a whole one";
            let what = format!("HTTP {}: {}", answer.status, answer.text());
            judged.world.judge.object(rule, what);
            Err(Told::Unknown)
        }
        (_, true) => Err(Told::Refused("the request broke off".to_owned())),
        (Some(answer), false) => Ok(answer),
        (None, false) => Err(Told::Unknown),
    };
    (judged, answer)
}

impl Add {
    /// Where the entry is.
    pub(super) async fn added(self) -> Result<At, Told> {
        let way = self.call.way.clone();
        let (call, answer) = sent(self.call).await;
        let answer = answer?;
        let at = match answer.status {
            200 => place(&answer, &self.entry),
            202 if self.published => place(&answer, &self.entry),
            other if other < 300 => None,
            _ => return Err(answer.told()),
        };
        let at = at.ok_or_else(|| wrong(&call, "not the place of the entry", &answer))?;
        if let At::Place(at) = &at
            && self.published
            && answer.status == 200
        {
            let path = format!("/{LOG}/{}/checkpoint", at.shard);
            let note = way.ask(Request::get(&path)).await;
            let note = note.filter(|answer| answer.status == 200);
            let size = note.map(|note| size_of(note.text()));
            if size.is_some_and(|size| size.is_none_or(|size| size <= at.leaf_index.get()))
                && !call.world.judge.is_in_doubt()
            {
                let what = format!("{at:?} is published, and the checkpoint has {size:?}");
                let rule = "what is acknowledged as published is below the checkpoint";
                call.world.judge.object(rule, what);
            }
        }
        Ok(at)
    }
}

/// The size in a checkpoint.
fn size_of(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

/// The place of an entry, as JSON or as the first line of a text.
fn place(answer: &Answer, entry: &[u8]) -> Option<At> {
    if answer.header("content-type") != Some("application/json") {
        let line = answer.text().strip_suffix('\n')?;
        return Some(At::Index(line.parse().ok()?));
    }
    let json = answer.json();
    let leaf = tlog::Hash(trees::leaf(entry)).to_string();
    (json["leafHash"] == leaf.as_str()).then_some(())?;
    Some(At::Place(appended(&json)?))
}

fn appended(json: &Value) -> Option<Appended> {
    Some(Appended {
        index: GlobalIndex::new(json["index"].as_u64()?),
        shard: json["shard"].as_str()?.into(),
        leaf_index: LeafIndex::new(json["leafIndex"].as_u64()?),
    })
}

impl Async {
    /// The name of the promise, once its receipt is verified.
    pub(super) async fn promised(self) -> Result<PromiseId, Told> {
        let (call, answer) = sent(self.call).await;
        let answer = answer?;
        match answer.status {
            202 => {}
            other if other < 300 => return Err(wrong(&call, "no receipt", &answer)),
            _ => return Err(answer.told()),
        }
        let id = receipt(&answer, &self.entry, &self.log);
        id.map_err(|what| wrong(&call, &what, &answer))
    }
}

/// The promise that an answer names, if its receipt is one for the entry.
fn receipt(answer: &Answer, entry: &[u8], log: &Log) -> Result<PromiseId, String> {
    let json = answer.header("content-type") == Some("application/json");
    let note = match json {
        true => answer.json()["receipt"].as_str().map(str::to_owned),
        false => Some(answer.text().to_owned()),
    };
    let note = note.ok_or("no receipt")?;
    let shards = log.status().shards;
    let keys = shards
        .iter()
        .filter_map(|shard| shard.vkey.parse::<VerifierKey>().ok());
    let receipt = keys
        .filter_map(|key| Receipt::open(&note, &key).ok())
        .next();
    let receipt = receipt.ok_or("no shard has signed the receipt")?;
    if receipt.leaf.0 != trees::leaf(entry) {
        return Err("a receipt for another entry".to_owned());
    }
    let there = format!("/{LOG}/promise/{}", receipt.promise);
    if answer.header("location") != Some(&there) {
        return Err(format!("not at {there}"));
    }
    if json && answer.json()["promise"] != receipt.promise.as_str() {
        return Err("a receipt for another promise".to_owned());
    }
    if answer.header("preference-applied") != Some("respond-async") {
        return Err("the preference is not named".to_owned());
    }
    receipt.promise.parse().map_err(str::to_owned)
}

/// Where a promised entry is, if that is known.
pub(super) async fn placed(call: Call) -> Option<Appended> {
    let answer = call.send().await?;
    match answer.status {
        200 => appended(&answer.json()),
        _ => None,
    }
}

impl Batch {
    /// What became of it.
    pub(super) async fn batched(self) -> Result<Batched, Told> {
        let (call, answer) = sent(self.call).await;
        // What came whole may be taken although the rest never came.
        let answer = answer.map_err(|_| Told::Unknown)?;
        let ended = (answer.status != 200).then(|| answer.told());
        let batch = read(&answer, ended);
        if batch.ended.is_none() && batch.accepted < self.whole {
            return Err(wrong(&call, "a batch that is not whole", &answer));
        }
        Ok(batch)
    }
}

/// How far an upload is.
pub(super) async fn stands(call: Call) -> Option<Batched> {
    let answer = call.send().await?;
    (answer.status == 200).then(|| read(&answer, None))
}

fn read(answer: &Answer, ended: Option<Told>) -> Batched {
    let json = answer.json();
    let ranges = json["ranges"].as_array();
    let number = |range: &Value, name: &str| range[name].as_u64();
    let ranges = ranges.into_iter().flatten().filter_map(|range| {
        let (first, index) = (number(range, "first")?, number(range, "index")?);
        Some((first, index, number(range, "entries")?))
    });
    Batched {
        ended,
        accepted: json["accepted"].as_u64().unwrap_or(0),
        ranges: ranges.collect(),
    }
}
