//! The requests of an operator who imports: each is judged by its answer, and sent again where there was none.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::{Author, ChangeError, ChangeOutcome, OldShard};
use logconfig::{LogConfig, LogName, ShardConfig, ShardName, ShardState};
use tlog::{TreeSize, UnixMillis};

use super::Way;
use super::old::OldLog;
use super::rules::IMPORTED;
use crate::operator;
use crate::random::Dice;
use crate::server::Running;
use crate::trail::Told;
use crate::world::World;

/// How long one request may take until its operator gives it up.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// Requests without a good answer after which an operator gives the import up.
const GOOD_ANSWER_TRIES: u32 = 40;

/// The document of the log that is made with the old trees.
fn document(old: &OldLog) -> Option<LogConfig> {
    let mut config = operator::config(IMPORTED, 100)?;
    for (at, tree) in old.trees.iter().enumerate() {
        let name = ShardName::try_from(tree.name()).ok()?;
        let frozen = ShardConfig::new(name, ShardState::Frozen);
        config.shards.insert(at, frozen);
    }
    Some(config)
}

/// An operator, and what it asks with.
pub(super) struct Importer {
    pub(super) world: Arc<World>,
    pub(super) old: &'static OldLog,
    log: LogName,
    document: LogConfig,
    pub(super) name: String,
    pub(super) dice: Dice,
    patience: u32,
    /// How often it has tried to make the log: each time is a change of its own.
    made: u32,
}

/// What an answer means for whoever asks.
pub(super) enum Answer<T> {
    Good(T),
    /// Nothing was done; the reason in words.
    Refused(String),
    /// Nobody answered, or not that it was done.
    Lost(String),
}

impl<T> Answer<T> {
    fn of(answer: Option<Result<T, ChangeError>>) -> Self {
        match answer {
            None => Self::Lost("no answer".to_owned()),
            Some(Ok(good)) => Self::Good(good),
            Some(Err(ChangeError::Invalid(findings))) => {
                let why = findings.into_iter().map(|finding| finding.message);
                Self::Refused(why.collect::<Vec<_>>().join("; "))
            }
            Some(Err(error @ (ChangeError::Conflict(_) | ChangeError::Unverified(_)))) => {
                Self::Refused(error.to_string())
            }
            Some(Err(error)) => Self::Lost(error.to_string()),
        }
    }
}

impl Importer {
    pub(super) fn new(world: &Arc<World>, name: String) -> Option<Self> {
        let old = world.imports.old()?;
        Some(Self {
            world: Arc::clone(world),
            old,
            log: LogName::try_from(IMPORTED.to_owned()).ok()?,
            document: document(old)?,
            dice: world.dice(&name),
            name,
            patience: GOOD_ANSWER_TRIES,
            made: 0,
        })
    }

    /// A server, sooner or later.
    async fn server(&mut self) -> Result<Running, String> {
        loop {
            if let Some(running) = self.world.any_server(&mut self.dice) {
                return Ok(running);
            }
            self.lost("no server runs").await?;
        }
    }

    /// Waits after a bad answer; an error once there were too many.
    async fn lost(&mut self, why: &str) -> Result<(), String> {
        self.patience = self.patience.saturating_sub(1);
        if self.patience == 0 || self.world.judge.broken().is_some() {
            return Err(why.to_owned());
        }
        tokio::time::sleep(self.dice.span(10, 5_000)).await;
        Ok(())
    }

    /// Its attempts are counted from the start again.
    pub(super) fn rest(&mut self) {
        self.patience = GOOD_ANSWER_TRIES;
    }

    /// Imports what is missing, and makes the log.
    pub(super) async fn import(&mut self, way: Way) -> Result<(), String> {
        loop {
            let why = match self.copy(way).await? {
                Answer::Good(()) => match self.make().await {
                    Ok(()) => return Ok(()),
                    Err(why) => why,
                },
                Answer::Refused(why) | Answer::Lost(why) => why,
            };
            if self.world.imports.made().is_some() || why.contains("another import") {
                return Err(why);
            }
            if why.contains("dropped") {
                self.drop_all().await?;
            }
            self.lost(&why).await?;
        }
    }

    /// Copies what is missing.
    pub(super) async fn copy(&mut self, way: Way) -> Result<Answer<()>, String> {
        let progress = match self.begin(way.later).await? {
            Answer::Good(progress) => progress,
            Answer::Refused(why) => return Ok(Answer::Refused(why)),
            Answer::Lost(why) => return Ok(Answer::Lost(why)),
        };
        for (tree, there) in self.old.trees.iter().zip(progress) {
            let size = tree.head(way.later).size;
            let mut from = there;
            while from < size {
                let pause = self.dice.between(0, way.pause_ms);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                // Some of what is there is sent again.
                let again = match self.dice.chance(200_000) {
                    true => self.dice.between(0, from),
                    false => 0,
                };
                let first = from - again;
                let page = self.dice.between(1, way.page.max(1));
                let end = (first + page).min(size);
                match self.add(way.later, tree.id, first, end).await? {
                    Answer::Good(()) => from = from.max(end),
                    Answer::Refused(why) => return Ok(Answer::Refused(why)),
                    Answer::Lost(why) => return Ok(Answer::Lost(why)),
                }
            }
        }
        Ok(Answer::Good(()))
    }

    /// Begins the import, or asks how far it is: by tree, how many entries are there.
    async fn begin(&mut self, later: bool) -> Result<Answer<Vec<u64>>, String> {
        let running = self.server().await?;
        let heads: Vec<OldShard> = self
            .old
            .heads(later)
            .map(|head| head.shard.clone())
            .collect();
        let document = self.dice.chance(500_000).then_some(&self.document);
        let (only_looks, actor) = (self.dice.chance(200_000), self.name.clone());
        let world = &self.world;
        let before = world.imports.ask(&world.judge);
        world.requests.fetch_add(1, Relaxed);
        if only_looks {
            let look = running.audited.preview_import(&self.log, &heads, document);
            if let Some(Ok(progress)) = answered(&running, look).await {
                let judge = &world.judge;
                world.imports.told(judge, &before, later, &progress, None);
            }
        }
        let begin = running
            .audited
            .begin_import(&self.log, &heads, document, actor);
        let answer = answered(&running, begin).await;
        if let Some(Ok(progress)) = &answer {
            world
                .imports
                .told(&world.judge, &before, later, progress, None);
        }
        let there = |progress: Vec<engine::ImportedSoFar>| {
            progress.iter().map(|tree| tree.imported.get()).collect()
        };
        Ok(Answer::of(answer.map(|answer| answer.map(there))))
    }

    /// Adds entries of a tree.
    async fn add(
        &mut self,
        later: bool,
        tree: u64,
        from: u64,
        end: u64,
    ) -> Result<Answer<()>, String> {
        let running = self.server().await?;
        let of = self.old.trees.iter().find(|one| one.id == tree);
        let (first, last) = (usize::try_from(from), usize::try_from(end));
        let some = match (of, first, last) {
            (Some(of), Ok(first), Ok(last)) => of.entries.get(first..last).map(<[_]>::to_vec),
            _ => None,
        };
        let some = some.ok_or("the old log has no such entries")?;
        let world = &self.world;
        let before = world.imports.ask(&world.judge);
        let from = TreeSize::new(from);
        let add = running.audited.add_to_import(&self.log, tree, from, some);
        let answer = answered(&running, add).await;
        if let Some(Ok(progress)) = &answer {
            let added = Some((tree, end));
            world
                .imports
                .told(&world.judge, &before, later, progress, added);
        }
        Ok(Answer::of(answer.map(|answer| answer.map(drop))))
    }

    /// Drops the import, until a server says so; whether there was one.
    pub(super) async fn drop_all(&mut self) -> Result<bool, String> {
        loop {
            let running = self.server().await?;
            let actor = self.name.clone();
            let world = &self.world;
            let before = world.imports.ask(&world.judge);
            world.requests.fetch_add(1, Relaxed);
            world.imports.drops();
            let dropped = running.audited.drop_import(&self.log, actor);
            let answer = answered(&running, dropped).await;
            let told = answer.as_ref().and_then(|answer| answer.as_ref().ok());
            world.imports.dropped(&world.judge, &before, told.copied());
            match Answer::of(answer) {
                Answer::Good(was) => return Ok(was),
                Answer::Refused(why) | Answer::Lost(why) => self.lost(&why).await?,
            }
        }
    }

    /// Makes the log with what is there; the reason if it cannot be made.
    pub(super) async fn make(&mut self) -> Result<(), String> {
        self.made += 1;
        let key = format!("{}.{}", self.name, self.made);
        let (mut is_open, mut first): (bool, Option<Option<UnixMillis>>) = (false, None);
        let times = match self.dice.chance(300_000) {
            true => 2,
            false => 1,
        };
        let mut sent = 0;
        while sent < times {
            let running = self.server().await?;
            let caller = Author {
                actor: key.clone(),
                idempotency_key: Some(key.clone()),
                reason: None,
            };
            let world = Arc::clone(&self.world);
            world.requests.fetch_add(1, Relaxed);
            let make = running.audited.create(self.document.clone(), caller);
            let answer = answered(&running, make).await;
            match answer {
                Some(Ok((applied, _))) => {
                    // Whatever is answered to a repeat, it is no refusal.
                    (sent, is_open) = (sent + 1, true);
                    let told = match applied.outcome {
                        ChangeOutcome::Unchanged => Told::Unchanged,
                        _ => Told::Decided,
                    };
                    world.trail.tell(&key, told);
                    if told == Told::Decided {
                        let before = *first.get_or_insert(applied.time_ms);
                        if before != applied.time_ms {
                            let what = format!("{key}: {before:?}, then {applied:?}");
                            world.judge.object("a repeat is not another change", what);
                        }
                    }
                    let Some(log) = running.engine.log(IMPORTED) else {
                        // One that another server has made may still be unknown to this one, and one that stops knows none.
                        let stops = running.engine.logs().is_empty();
                        if told == Told::Decided && !stops {
                            let what = format!("{key}: {applied:?}");
                            world.judge.object("a log that is made is there", what);
                        }
                        return Ok(());
                    };
                    world
                        .imports
                        .shown(&world.judge, true, &log.status().shards);
                }
                None | Some(Err(ChangeError::Unknown { .. } | ChangeError::Store(_))) => {
                    is_open = true;
                    self.lost("the log may be made").await?;
                }
                Some(Err(error)) => {
                    if !is_open && first.is_none() {
                        world.trail.tell(&key, Told::Refused);
                    }
                    return match Answer::<()>::of(Some(Err(error))) {
                        Answer::Refused(why) | Answer::Lost(why) => Err(why),
                        Answer::Good(()) => Ok(()),
                    };
                }
            }
        }
        Ok(())
    }
}

/// The answer of a server, unless it dies or takes too long.
async fn answered<T>(
    running: &Running,
    request: impl Future<Output = Result<T, ChangeError>>,
) -> Option<Result<T, ChangeError>> {
    let answered = async {
        let answer = request.await;
        running.process.until_running().await;
        answer
    };
    tokio::select! {
        () = running.process.dead() => None,
        () = tokio::time::sleep(ANSWER_TIMEOUT) => None,
        answer = answered => Some(answer),
    }
}
