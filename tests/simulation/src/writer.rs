//! Writers: each has a habit, and remembers what it was told.

mod batch;
mod eager;
mod http;
mod throng;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::{
    AppendError, Appended, Chunk, Log, Placement, PromiseId, UploadId, UploadPart, WriteKey,
};
use futures_util::FutureExt as _;
use qos::Advice;
use tlog::UnixMillis;

use self::http::{At, Batched, Body};
use crate::http::{Client, Told};
use crate::judge::Place;
use crate::plan::{Habit, Writer};
use crate::random::Dice;
use crate::server::Running;
use crate::world::World;

/// The log that everybody writes to.
pub const LOG: &str = "dev";

/// The tenant of writers without a token.
const TENANT: &str = "default";

/// What a request came to.
enum Came<T> {
    Answered(T),
    Refused(Told),
    /// The connection broke, the client gave up, or the server does not know.
    Unknown,
}

struct Session {
    world: Arc<World>,
    dice: Dice,
    http: Client,
    name: String,
    habit: Habit,
    sent: u64,
    promises: Vec<(PromiseId, Bytes)>,
    eager: bool,
    /// Entries that it may ask for again; an eager writer keeps them.
    written: Vec<Written>,
}

/// An entry that was written under a key.
#[derive(Clone)]
struct Written {
    key: WriteKey,
    /// The same as it is sent over HTTP.
    name: String,
    entry: Bytes,
    /// The age of the world when it was sent first.
    at: Duration,
}

/// Somebody was told the place of an entry.
pub(crate) fn placed(world: &World, entry: &[u8], at: &Appended) {
    let place = Place {
        index: at.index.get(),
        shard: at.shard.to_string(),
        leaf: at.leaf_index.get(),
    };
    world.judge.placed(LOG, entry, place);
}

/// Writes until its requests are sent.
pub async fn write(world: Arc<World>, number: usize, plan: Writer) {
    let name = format!("writer-{number}");
    let mut session = Session {
        dice: world.dice(&name),
        http: Client::new(&world, &name),
        eager: world.plan.short.eager,
        written: Vec::new(),
        world,
        name,
        habit: plan.habit,
        sent: 0,
        promises: Vec::new(),
    };
    for _ in 0..plan.requests {
        let pause = session.dice.between(0, plan.pause_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if session.world.judge.broken().is_some() {
            return;
        }
        session.request().await;
    }
}

impl Session {
    fn log(&mut self) -> Option<(Running, Arc<Log>)> {
        let running = match self.habit {
            Habit::First => self.world.servers.first()?.running()?,
            _ => self.world.any_server(&mut self.dice)?,
        };
        let log = running.engine.log(LOG)?;
        Some((running, log))
    }

    fn entry(&mut self) -> Bytes {
        self.sent += 1;
        let long = self.dice.chance(20_000);
        let padding = if long {
            self.dice.spread(100, 60_000)
        } else {
            0
        };
        let padding = ".".repeat(usize::try_from(padding).unwrap_or(0));
        Bytes::from(format!("{} {}{padding}", self.name, self.sent))
    }

    fn advice(&mut self) -> Advice {
        let urgency = self.dice.chance(300_000).then(|| self.dice.between(0, 7));
        Advice {
            urgency: urgency.and_then(|u| u8::try_from(u).ok()),
            merge_by: None,
            shard: None,
        }
    }

    /// The answer, unless the server dies or the client gives up first.
    async fn answer<T, E: Into<Told>>(
        &mut self,
        running: &Running,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Came<T> {
        let impatient = self.dice.chance(if self.eager { 150_000 } else { 20_000 });
        let most = if impatient {
            self.dice.span(1, 100)
        } else {
            Duration::from_secs(60)
        };
        let came = tokio::select! {
            () = running.process.dead() => Came::Unknown,
            () = tokio::time::sleep(most) => Came::Unknown,
            answer = answer => match answer.map_err(Into::into) {
                Ok(answer) => Came::Answered(answer),
                Err(Told::Unknown) => Came::Unknown,
                Err(told) => Came::Refused(told),
            },
        };
        // An answer of a process that stands still is not sent.
        tokio::select! {
            () = running.process.dead() => return Came::Unknown,
            () = tokio::time::sleep(Duration::from_secs(60)) => return Came::Unknown,
            () = running.process.until_running() => {}
        }
        came
    }

    fn placed(&self, entry: &[u8], at: &Appended) {
        placed(&self.world, entry, at);
    }

    async fn request(&mut self) {
        match self.habit {
            Habit::Plain | Habit::Sharded | Habit::First => self.plain().await,
            Habit::Keyed => self.keyed().await,
            Habit::Promised => self.promised().await,
            Habit::Upload => self.upload().await,
            Habit::Burst => self.burst().await,
            Habit::Throng => self.throng().await,
        }
    }

    async fn plain(&mut self) {
        let Some((running, log)) = self.log() else {
            return;
        };
        let (entry, mut advice) = (self.entry(), self.advice());
        if self.habit == Habit::Sharded {
            advice.shard = log.active_shard();
        }
        self.world.judge.asked(LOG, &entry);
        let answer = async {
            let tenant = log
                .policy()
                .tenant(None, UnixMillis::ZERO)
                .map_err(|_| AppendError::Closing)?;
            log.submit(entry.clone(), tenant, &advice)?.answer.await
        };
        let came = match self.add(&running, &entry, &advice, None) {
            Some(add) => self.answer(&running, add.added()).await,
            None => {
                let answer = answer.map(|at| at.map(At::Place));
                self.answer(&running, answer).await
            }
        };
        match came {
            Came::Answered(at) => {
                if let (Some(shard), At::Place(at)) = (&advice.shard, &at)
                    && *at.shard != **shard
                {
                    let what = format!("{}: asked for {shard}, is in {}", self.name, at.shard);
                    self.world
                        .judge
                        .object("a write is in the shard that it demands", what);
                }
                self.told(&entry, &at);
            }
            Came::Refused(told) => self.refused(&entry, &told, true),
            Came::Unknown => {}
        }
    }

    fn refused(&self, entry: &[u8], told: &Told, first: bool) {
        let why = told.to_string();
        self.world.judge.refused(LOG, entry, &why, first);
    }

    async fn keyed(&mut self) {
        let earlier = self.earlier();
        let (mut first, mut at) = (earlier.is_none(), self.world.trace.age());
        let (key, name, entry) = match earlier {
            Some(earlier) => {
                at = earlier.at;
                (earlier.key, earlier.name, earlier.entry)
            }
            None => {
                let entry = self.entry();
                let name = format!("{}-{}", self.name, self.sent);
                (WriteKey::new(TENANT, &name), name, entry)
            }
        };
        let advice = self.advice();
        let mut again = self.dice.between(0, 1);
        if first {
            self.keep(key, &name, &entry, at);
        }
        for _ in 0..6 {
            let Some((running, log)) = self.log() else {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            };
            self.world.judge.asked(LOG, &entry);
            self.twice_keyed(key, &entry);
            let answer = async {
                let tenant = log
                    .policy()
                    .tenant(None, UnixMillis::ZERO)
                    .map_err(|_| AppendError::Closing)?;
                let ticket = log
                    .submit_keyed(key, entry.clone(), tenant, &advice)
                    .await?;
                ticket.answer.await
            };
            let came = match self.add(&running, &entry, &advice, Some(&name)) {
                Some(add) => self.answer(&running, add.added()).await,
                None => {
                    let answer = answer.map(|at| at.map(At::Place));
                    self.answer(&running, answer).await
                }
            };
            match came {
                Came::Answered(came) => {
                    self.told(&entry, &came);
                    self.world.recall.key(key, &entry, at);
                    // Some send it again although they have an answer.
                    if again == 0 {
                        return;
                    }
                    again -= 1;
                }
                Came::Refused(Told::KeyReused) => {
                    let what = format!("{}: the same entry under the same key", self.name);
                    self.world
                        .judge
                        .object("a repeat is not another write", what);
                    return;
                }
                Came::Refused(told) => self.refused(&entry, &told, first && !self.eager),
                Came::Unknown => {}
            }
            first = false;
            let pause = self.dice.span(1, 3_000);
            tokio::time::sleep(pause).await;
        }
    }

    async fn promised(&mut self) {
        let Some((running, log)) = self.log() else {
            return;
        };
        if self.dice.chance(200_000) && !self.promises.is_empty() {
            let at = self.dice.between(0, self.promises.len() as u64 - 1);
            let (id, entry) = self.promises[usize::try_from(at).unwrap_or(0)].clone();
            let call = self.placement(&running, id);
            let placement = async {
                match call {
                    Some(call) => http::placed(call).await,
                    None => match log.placement(id).await {
                        Ok(Some(Placement::Ordered { at, .. })) => Some(at),
                        _ => None,
                    },
                }
            };
            let placement = tokio::select! {
                () = running.process.dead() => return,
                placement = placement => placement,
            };
            if let Some(at) = placement {
                self.placed(&entry, &at);
            }
            return;
        }
        let (entry, advice) = (self.entry(), self.advice());
        self.world.judge.asked(LOG, &entry);
        let answer = async {
            let tenant = log
                .policy()
                .tenant(None, UnixMillis::ZERO)
                .map_err(|_| AppendError::Closing)?;
            let promise = log.promise(entry.clone(), tenant, &advice).await;
            promise.map(|promise| promise.id)
        };
        let came = match self.add_async(&running, &log, &entry, &advice) {
            Some(add) => self.answer(&running, add.promised()).await,
            None => self.answer(&running, answer).await,
        };
        match came {
            Came::Answered(id) => {
                self.world.judge.promised(LOG, &entry);
                let at = self.world.trace.age();
                self.world.recall.promise(id, &entry, at);
                self.promises.push((id, entry.clone()));
            }
            Came::Refused(told) => self.refused(&entry, &told, true),
            Came::Unknown => {}
        }
    }

    /// One upload: its parts in order, each until it is accepted or the client gives up.
    async fn upload(&mut self) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.dice.number().to_le_bytes());
        let id = UploadId(id);
        let entries: Vec<Bytes> = (0..self.dice.spread(1, 60)).map(|_| self.entry()).collect();
        for entry in &entries {
            self.world.judge.asked(LOG, entry);
        }
        let advice = self.advice();
        let mut accepted = 0;
        for _ in 0..12 {
            if accepted >= entries.len() {
                return;
            }
            let Some((running, log)) = self.log() else {
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            };
            let last = self.dice.between(accepted as u64 + 1, entries.len() as u64);
            let part = &entries[accepted..usize::try_from(last).unwrap_or(0)];
            let at = UploadPart {
                id: self.own(id),
                offset: accepted as u64,
            };
            self.twice_part(at, &entries[accepted..]);
            if let Some(batch) = self.batch(&running, part, &advice, Body::Part(id, at.offset)) {
                let came = self.answer(&running, batch.batched()).await;
                match came {
                    Came::Answered(batch) if batch.ended.is_none() => {
                        self.found(&batch, &entries, &mut accepted);
                    }
                    other => {
                        if let Came::Answered(batch) = other {
                            self.found(&batch, &entries, &mut accepted);
                        }
                        let pause = self.dice.span(1, 3_000);
                        tokio::time::sleep(pause).await;
                        self.resume(id, &entries, &mut accepted).await;
                    }
                }
                continue;
            }
            let mut bytes = Vec::new();
            for entry in part {
                let _ = tlog::bundle::push(&mut bytes, entry);
            }
            let chunk = Chunk {
                bytes: Bytes::from(bytes),
                entries: part.len() as u64,
                upload: Some(at),
            };
            let answer = async {
                let tenant = log
                    .policy()
                    .tenant(None, UnixMillis::ZERO)
                    .map_err(|_| AppendError::Closing)?;
                log.submit_chunk(chunk, tenant, &advice).await?.answer.await
            };
            match self.answer(&running, answer).await {
                Came::Answered(at) => {
                    for (nth, entry) in (0..).zip(part) {
                        let at = Appended {
                            index: at.index + nth,
                            leaf_index: at.leaf_index + nth,
                            shard: Arc::clone(&at.shard),
                        };
                        self.placed(entry, &at);
                    }
                    accepted += part.len();
                }
                Came::Refused(Told::UploadAt(at)) => {
                    accepted = usize::try_from(at).unwrap_or(usize::MAX);
                }
                Came::Refused(_) | Came::Unknown => {
                    let pause = self.dice.span(1, 3_000);
                    tokio::time::sleep(pause).await;
                    self.resume(id, &entries, &mut accepted).await;
                }
            }
        }
    }

    /// Asks where an upload stands.
    async fn resume(&mut self, id: UploadId, entries: &[Bytes], accepted: &mut usize) {
        let Some((running, log)) = self.log() else {
            return;
        };
        if let Some(call) = self.progress(&running, id) {
            let progress = tokio::select! {
                () = running.process.dead() => None,
                progress = http::stands(call) => progress,
            };
            if let Some(progress) = progress {
                self.found(&progress, entries, accepted);
            }
            return;
        }
        let id = self.own(id);
        let progress = tokio::select! {
            () = running.process.dead() => return,
            progress = log.upload(id) => progress,
        };
        let Ok(progress) = progress else { return };
        *accepted = usize::try_from(progress.accepted).unwrap_or(usize::MAX);
        for range in progress.ranges {
            for nth in 0..range.entries {
                let at = usize::try_from(range.first + nth).unwrap_or(usize::MAX);
                if let Some(entry) = entries.get(at) {
                    self.world.judge.read(LOG, range.index.get() + nth, entry);
                }
            }
        }
    }

    /// The name that an upload has below the interface: over HTTP it belongs to its tenant.
    fn own(&self, id: UploadId) -> UploadId {
        match self.world.plan.http.is_used() {
            true => id.of(TENANT),
            false => id,
        }
    }

    /// The writer of an upload was told how much of it is where.
    fn found(&self, batch: &Batched, entries: &[Bytes], accepted: &mut usize) {
        *accepted = usize::try_from(batch.accepted).unwrap_or(usize::MAX);
        for (at, index) in batch.placed() {
            if let Some(entry) = entries.get(at) {
                self.world.judge.read(LOG, index, entry);
            }
        }
    }

    async fn burst(&mut self) {
        let Some((running, log)) = self.log() else {
            return;
        };
        let mut entries: Vec<Bytes> = (0..self.dice.spread(2, 60)).map(|_| self.entry()).collect();
        if self.batch_of(&running, &mut entries).await {
            return;
        }
        let mut asked = Vec::new();
        for entry in entries {
            self.world.judge.asked(LOG, &entry);
            let advice = self.advice();
            let log = Arc::clone(&log);
            let sent = entry.clone();
            if let Some(add) = self.add(&running, &entry, &advice, None) {
                asked.push((entry, add.added().boxed()));
                continue;
            }
            let answer = async move {
                let tenant = log
                    .policy()
                    .tenant(None, UnixMillis::ZERO)
                    .map_err(|_| AppendError::Closing)?;
                log.submit(sent, tenant, &advice)?.answer.await
            };
            let answer = answer.map(|at| at.map(At::Place).map_err(Told::from));
            asked.push((entry, answer.boxed()));
        }
        let (entries, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let all = async { Ok::<_, Told>(futures_util::future::join_all(answers).await) };
        let Came::Answered(answers) = self.answer(&running, all).await else {
            return;
        };
        for (entry, answer) in entries.iter().zip(answers) {
            match answer {
                Ok(at) => self.told(entry, &at),
                Err(Told::Unknown) => {}
                Err(told) => self.refused(entry, &told, true),
            }
        }
    }
}
