//! New logs: a row that names the log, and a first slot that opens its first shard.

use order::{Generation, SlotNumber};
use std::sync::Arc;

use logconfig::{Difference, Finding, LogConfig, LogName, ShardName, ShardState, Span};
use tlog::Hash;

use crate::control::import::{Beside, standstill};
use crate::control::{
    Action, Applied, Author, ChangeError, ChangeOutcome, fits, import, mixed, not_permitted,
    prepare, unusable_keys,
};
use crate::engine::{Engine, EngineError, EngineOptions, SYSTEM};
use crate::ledger::CommitError;
use crate::log::Log;
use crate::orphans;
use order::keys::{LOGS, ORIGINS, RESTORING};
use order::mutant::{Mutant, left_out};
use order::slot::{Control, Decision};
use order::state::Refusal;
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};

/// Time between two checkpoints of a new system log: its readers wait for proofs.
const SYSTEM_INTERVAL: Span = Span::from_millis(10);
/// How many rows of an origin are skipped, each of a log that has another origin now.
const GIVEN_UP: usize = 16;

impl Engine {
    /// Opens every log of the stores; creates the system log if it does not exist.
    pub async fn open(options: EngineOptions) -> Result<Arc<Self>, EngineError> {
        let engine = Self::load(options).await?;
        if engine.log(SYSTEM).is_none() && engine.merge.writes {
            let shard =
                ShardName::try_from("1".to_owned()).map_err(|e| StoreError::Io(e.to_string()))?;
            let mut config = LogConfig::new(LogName::system(), SYSTEM.to_owned(), shard);
            config.merge.checkpoint_interval = SYSTEM_INTERVAL;
            let caller = Author {
                actor: "server".to_owned(),
                idempotency_key: None,
                reason: None,
            };
            engine
                .create(config, caller)
                .await
                .map_err(|e| EngineError::Create {
                    log: SYSTEM.to_owned(),
                    error: Box::new(e),
                })?;
        }
        engine.run().await?;
        Ok(engine)
    }

    /// Creates a log: its first slot plans and opens the shards of the document. A log that already runs this document is unchanged; a name
    /// is used once, for good.
    pub(crate) async fn create_log(
        self: &Arc<Self>,
        config: LogConfig,
        caller: Author,
    ) -> Result<Applied, ChangeError> {
        fits::caller(&caller)?;
        let config = checked(config, self.clock.now_seconds())?;
        if config.shards.iter().any(|s| s.state == ShardState::Frozen) {
            // Another process may have made it with its imported shards.
            self.open_made(config.log.as_str()).await?;
        }
        match self.existing(&config, &caller).await? {
            Some(applied) => Ok(applied),
            None => {
                let import = self.import_of(&config).await?;
                let warnings = self.creation_warnings(&config).await?;
                let made = match &import {
                    Some(import) => self.create_imported(&config, import, caller.clone()).await,
                    None => self.create(config.clone(), caller.clone()).await,
                };
                if let Some(applied) = made? {
                    return Ok(Applied {
                        warnings,
                        ..applied
                    });
                }
                // Another caller created it at the same moment; the answer is the same as if it had existed before.
                let existing = self.existing(&config, &caller).await?;
                existing.ok_or_else(|| {
                    ChangeError::Conflict(format!(
                        "the log {} is being made; ask again",
                        config.log
                    ))
                })
            }
        }
    }

    /// Creates a log without an intent, for tests of the steps after it.
    #[cfg(feature = "testing")]
    pub async fn create_log_unaudited(
        self: &Arc<Self>,
        config: LogConfig,
        caller: Author,
    ) -> Result<Applied, ChangeError> {
        self.create_log(config, caller).await
    }

    /// The effects that a creation would have.
    pub async fn preview_log(
        self: &Arc<Self>,
        config: LogConfig,
        caller: Author,
    ) -> Result<Applied, ChangeError> {
        let config = checked(config, self.clock.now_seconds())?;
        if let Some(applied) = self.existing(&config, &caller).await? {
            return Ok(applied);
        }
        let import = self.import_of(&config).await?;
        self.vacant(&config).await?;
        if let Some(import) = &import {
            self.has_all_of(config.log.as_str(), import).await?;
            self.can_end(config.log.as_str(), Some(&config), import)
                .await?;
        }
        if let Some(why) = self.formats.refuses(&config, None, false) {
            return Err(ChangeError::Conflict(why));
        }
        let mut applied = created(&config, String::new());
        applied.outcome = ChangeOutcome::Planned;
        applied.warnings = self.creation_warnings(&config).await?;
        Ok(applied)
    }

    /// The places in the document that this process may not use, and fronts that get in each other's way.
    async fn creation_warnings(&self, config: &LogConfig) -> Result<Vec<Finding>, ChangeError> {
        let not_permitted = not_permitted(&self.merge, None, &config.merge).await;
        let mut warnings = not_permitted.judged(&*self.store).await?;
        warnings.extend(mixed(config));
        warnings.extend(unusable_keys(config));
        Ok(warnings)
    }

    /// The answer when there is a log of that name already.
    pub(super) async fn existing(
        &self,
        config: &LogConfig,
        caller: &Author,
    ) -> Result<Option<Applied>, ChangeError> {
        let name = config.log.as_str();
        let Some(log) = self.log(name) else {
            return Ok(None);
        };
        log.refresh().await?;
        if log.ledger.state().len == SlotNumber::ZERO {
            // A process began it and died before the first slot, so it must be finished.
            return Ok(None);
        }
        if let Some(operation) = caller.operation(name)
            && let Some(before) = log.earlier(operation, Hash(config.digest())).await?
        {
            return Ok(Some(before));
        }
        if log.is_deleted() {
            return Err(ChangeError::Conflict(format!(
                "the log {name} was deleted, and its name stays taken; bring it back (`logctl log undelete {name}`) or choose another"
            )));
        }
        let (running, etag) = log.configuration();
        let asked = config.clone().keeping_announced(&running);
        if running.stripped() != asked.stripped() {
            return Err(ChangeError::Conflict(format!(
                "there is a log {name} already, with another configuration; change that one, or choose another name"
            )));
        }
        let generation = Generation::new(running.generation.unwrap_or(0));
        Ok(Some(Applied {
            base_generation: generation,
            generation,
            etag,
            differences: Vec::new(),
            ..created(config, log.ledger.token().to_string())
        }))
    }

    /// Refuses an origin that another log of this server has.
    pub(super) fn origin_is_free(&self, config: &LogConfig) -> Result<(), ChangeError> {
        let name = config.log.as_str();
        let has =
            |log: &&Arc<Log>| log.name() != name && log.running.config().origin == config.origin;
        match self.all().iter().find(has) {
            Some(other) if !left_out(Mutant::OneOriginForTwo) => {
                Err(ChangeError::Conflict(in_use(&config.origin, other.name())))
            }
            _ => Ok(()),
        }
    }

    /// Whether a log of this name and origin may be made: none of it exists yet.
    pub(super) async fn vacant(&self, config: &LogConfig) -> Result<(), ChangeError> {
        let name = config.log.as_str();
        self.origin_is_free(config)?;
        let row = format!("{LOGS}{name}");
        if self.store.get(&row).await?.is_some() {
            return Ok(());
        }
        self.not_restoring(name).await?;
        // An import writes objects before the log is there.
        if let Some(importing) = self.importing(name).await? {
            return self.only_imported(name, &importing).await;
        }
        // Objects are written after the row: if there are objects and no row, the row was lost.
        match orphans::of_log(&*self.objects, name).await? {
            Some(orphan) if self.store.get(&row).await?.is_none() => {
                Err(ChangeError::Conflict(orphans::occupied(name, &orphan)))
            }
            _ => Ok(()),
        }
    }

    /// Writes the rows that name the log, and its origin, which no other log may have. If the log in the origin's row got another origin,
    /// the next row decides, `ORIGIN+LOG`; no origin contains a plus sign.
    async fn register(self: &Arc<Self>, config: &LogConfig) -> Result<(), ChangeError> {
        let name = config.log.to_string();
        let mut origin = format!("{ORIGINS}{}", config.origin);
        let (mut tries, mut passed) = (0, 0);
        while tries < 2 && passed < GIVEN_UP {
            let free = match import::beside(&*self.store, &name, || self.sound_time()).await? {
                Beside::Nothing(free) => free,
                Beside::Import => {
                    return Err(ChangeError::Conflict(format!(
                        "an import into the log {name} has begun meanwhile; `logctl import rekor --drop --log {name}` drops it"
                    )));
                }
                Beside::Standstill(seconds) => {
                    let why = standstill::refusal(&name, seconds);
                    return Err(ChangeError::Conflict(format!(
                        "{why}; wait until then, and ask again"
                    )));
                }
            };
            let mut row = Transaction {
                guards: free.guards,
                puts: vec![(format!("{LOGS}{name}"), record::encode(&name))],
                deletes: free.deletes,
            };
            row.guards.push(Guard::Absent(format!("{RESTORING}{name}")));
            match self.store.get(&origin).await? {
                Some(owner) => {
                    let owner: String = record::decode(&owner)
                        .map_err(|e| StoreError::Corrupt(format!("{origin}: {e}")))?;
                    if owner != name && self.given_up(&owner, &config.origin).await? {
                        // No row is overwritten: if two processes come here at once, one of them gets the next row.
                        origin = format!("{origin}+{owner}");
                        passed += 1;
                        continue;
                    }
                    if owner != name && !left_out(Mutant::OneOriginForTwo) {
                        return Err(ChangeError::Conflict(in_use(&config.origin, &owner)));
                    }
                }
                None => {
                    row.guards.push(Guard::Absent(origin.clone()));
                    row.puts.push((origin.clone(), record::encode(&name)));
                }
            }
            match self.store.transact(row).await {
                Outcome::Committed => return Ok(()),
                // Another process took the origin at this moment; it is read again.
                Outcome::Refused => tries += 1,
                Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
            }
        }
        Err(ChangeError::Conflict(format!(
            "the log {name} could not be registered"
        )))
    }

    /// Whether a log that registered an origin has another origin for good: of two creations of one name, the other one was decided.
    async fn given_up(self: &Arc<Self>, owner: &str, origin: &str) -> Result<bool, StoreError> {
        self.open_log(owner).await?;
        let Some(log) = self.opened(owner) else {
            return Ok(false);
        };
        log.refresh().await?;
        Ok(log.is_created() && log.running.config().origin != origin)
    }

    /// Creates a log; `None` if another process has created it, with whatever configuration.
    pub(crate) async fn create(
        self: &Arc<Self>,
        config: LogConfig,
        caller: Author,
    ) -> Result<Option<Applied>, ChangeError> {
        let name = config.log.to_string();
        self.vacant(&config).await?;
        if let Some(why) = self.formats.refuses(&config, None, false) {
            return Err(ChangeError::Conflict(why));
        }
        self.register(&config).await?;
        self.open_log(&name).await?;
        let log = self
            .opened(&name)
            .ok_or_else(|| ChangeError::Conflict(format!("the log {name} did not open")))?;
        let operation = caller
            .operation(&name)
            .unwrap_or_else(|| log.ledger.token());
        let mut applied = created(&config, operation.to_string());
        if log.ledger.state().len == SlotNumber::ZERO
            && let Some(orphan) = orphans::of_log(&*self.objects, &name).await?
        {
            // Another process may have created it meanwhile.
            log.ledger.refresh().await?;
            if log.ledger.state().len == SlotNumber::ZERO {
                return Err(ChangeError::Conflict(orphans::occupied(&name, &orphan)));
            }
        }
        if log.ledger.state().len > SlotNumber::ZERO {
            return Ok(None);
        }
        // Nothing is decided with a wrong clock, and each try would leave the row of a key: a server may start again and again.
        let sound = self.clock.sound();
        sound.map_err(|fault| StoreError::Clock(fault.to_string()))?;
        let names: Vec<ShardName> = config.shards.iter().map(|s| s.name.clone()).collect();
        let written = config.written();
        let plan = prepare(&log.running, &log.guard.keyring, &config, &written, &names).await?;
        let open = config.active().map(|s| s.name.to_string());
        let control = Control::Reconfigure {
            base: Generation::ZERO,
            document: Hash(written.digest),
            plan,
            open,
        };
        let request = Hash(written.digest);
        let unknown = |e: &dyn std::fmt::Display| {
            tracing::warn!(error = %e, name, "it is not known whether the log was created");
            ChangeError::Unknown {
                operation: operation.to_string(),
            }
        };
        let decision = Decision {
            operation,
            request,
            action: Action::Create,
            actor: caller.actor,
            control,
            reason: caller.reason.map(fits::reason),
        };
        match log.ingest.batcher.control(decision).await {
            Ok(placed) => {
                applied.outcome = ChangeOutcome::Decided;
                applied.time_ms = Some(placed.slot.time);
                applied.at_index = Some(placed.start);
            }
            // Another replica created it at the same moment.
            Err(CommitError::Refused(
                Refusal::Stale { .. } | Refusal::Already(_) | Refusal::KeyReused,
            )) => {
                log.running.update_running().await?;
                return Ok(None);
            }
            Err(CommitError::Store(e)) => return Err(e.into()),
            Err(e) => return Err(unknown(&e)),
        }
        // It is decided, so no failure from here on is a refusal.
        let runs = log.running.update_running().await;
        runs.map_err(|e| unknown(&e))?;
        Ok(Some(applied))
    }
}

/// Why an origin is not given to a second log.
pub(super) fn in_use(origin: &str, log: &str) -> String {
    format!(
        "the log {log} has the origin {origin} already: two logs of one origin are two histories for its readers; choose another origin"
    )
}

/// A document that a new log may begin with, its first shard named.
pub(super) fn checked(config: LogConfig, now_seconds: i64) -> Result<LogConfig, ChangeError> {
    if config.log.as_str() == SYSTEM {
        return Err(ChangeError::Conflict(format!(
            "the name {SYSTEM} is reserved"
        )));
    }
    let findings = config.validate();
    if !findings.is_empty() {
        return Err(ChangeError::Invalid(findings));
    }
    // They are about the keys of another log, from which the document was copied: this one makes its own.
    let mut config = config;
    for shard in &mut config.shards {
        shard.announced = None;
    }
    let config = config
        .with_first_shard(now_seconds)
        .map_err(|finding| ChangeError::Invalid(vec![finding]))?;
    let names: Vec<ShardName> = config.shards.iter().map(|s| s.name.clone()).collect();
    let too_large = fits::document(&config, &config.written(), &names);
    if !too_large.is_empty() {
        return Err(ChangeError::Invalid(too_large));
    }
    Ok(config)
}

/// The answer to a creation; nothing is decided yet.
pub(super) fn created(config: &LogConfig, operation: String) -> Applied {
    let none = LogConfig {
        shards: Vec::new(),
        ..config.clone()
    };
    let mut differences = vec![Difference {
        subject: format!("log {}", config.log),
        before: None,
        after: Some("created".to_owned()),
    }];
    differences.extend(logconfig::diff(&none, config));
    Applied {
        operation,
        action: Action::Create,
        outcome: ChangeOutcome::Unchanged,
        base_generation: Generation::ZERO,
        generation: Generation::new(1),
        etag: config.etag(1),
        time_ms: None,
        at_index: None,
        differences,
        checkpoint: None,
        warnings: Vec::new(),
    }
}
