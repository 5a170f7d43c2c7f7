//! [`Host`] with the engine behind it.
//!
//! Checks and decisions are the engine's; this module brackets each change with its audit records, and says when every live
//! replica runs it. What must never happen: a change without its intent, an operation called done that a replica does not run.

use std::sync::Arc;

use admin_api::{ConfigAnswer, HistoryItem, LogStatus, Operation, OperationState, Replica};
use log::{ChangeOutcome, Engine, HistoryRecord, Log, Request};
use server_admin::{Answer, Base, Caller, Change, Host, HostError, Mode};
use tlog::Hash;

use super::audit::{Audit, Intent};
use super::convert;
use crate::rfc3339::now;

/// The most operations in one answer.
const OPERATIONS: usize = 100;

/// The engine as an administered server.
pub(crate) struct EngineHost {
    engine: Arc<Engine>,
    audit: Arc<Audit>,
    /// How clients reach the data plane.
    url: String,
}

impl EngineHost {
    /// Administers `engine`, whose data plane clients reach at `url`.
    pub(crate) fn new(engine: Arc<Engine>, audit: Arc<Audit>, url: String) -> Arc<Self> {
        Arc::new(Self { engine, audit, url })
    }

    fn find(&self, name: &str) -> Result<Arc<Log>, HostError> {
        self.engine
            .log(name)
            .ok_or_else(|| HostError::NotFound(format!("no log named {name}")))
    }

    fn describe(&self, log: &Log) -> LogStatus {
        convert::status(log.status(), Some(self.url.clone()))
    }

    async fn change(
        &self,
        log: &Log,
        request: Request,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        // A key of our own when the caller has none, so that the intent can name the operation.
        let key = match caller.idempotency_key {
            Some(key) => key,
            None => fresh_key()?,
        };
        let asked = log::Caller {
            actor: caller.actor.clone(),
            idempotency_key: Some(key),
        };
        let operation = asked
            .operation(log.name())
            .map(|token| token.to_string())
            .unwrap_or_default();
        let intent = Intent {
            operation: operation.clone(),
            log: log.name().to_owned(),
            action: word(&request).to_owned(),
            actor: caller.actor.clone(),
            request: digest(&request),
            replica: self.engine.replica_id().to_owned(),
            time: now(),
        };
        let audit_index = self.audit.intent(intent).await?;
        let outcome = log.change(request, asked).await;
        self.audit.outcome(&operation, audit_index, &outcome).await;
        let applied = outcome.map_err(convert::change_error)?;
        let decided = applied.outcome == ChangeOutcome::Decided;
        let mut operation = convert::applied(applied, log.name(), caller.actor);
        operation.audit_index = self.audit.index(&operation.id).or(Some(audit_index));
        operation.replicas = self.live(Some(log)).await?;
        if decided {
            operation.state = state(&operation);
        }
        tracing::info!(log = log.name(), operation = operation.id, action = ?operation.action, state = ?operation.state,
            generation = operation.generation, actor = operation.actor, "changed");
        Ok(operation)
    }

    /// The live replicas, with the generation they run of `log`. What this process runs is known better than its heartbeat says.
    async fn live(&self, log: Option<&Log>) -> Result<Vec<Replica>, HostError> {
        let replicas = self.engine.replicas(log.map(Log::name)).await;
        let replicas = replicas.map_err(|e| HostError::Unavailable(e.to_string()))?;
        Ok(replicas
            .into_iter()
            .map(convert::replica)
            .map(|replica| match log {
                Some(log) if replica.id == self.engine.replica_id() => Replica {
                    generation: Some(log.status().generation),
                    ..replica
                },
                _ => replica,
            })
            .collect())
    }

    /// The decided changes of one log as operations, newest first, each with its time in milliseconds.
    async fn decided(
        &self,
        log: &Log,
        one: Option<&str>,
    ) -> Result<Vec<(u64, Operation)>, HostError> {
        let unavailable = |e: log::store::StoreError| HostError::Unavailable(e.to_string());
        let records = match one {
            Some(id) => log
                .operation(id)
                .await
                .map_err(unavailable)?
                .into_iter()
                .collect(),
            None => log.history().await.map_err(unavailable)?,
        };
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (running, replicas) = (log.status(), self.live(Some(log)).await?);
        let complete = |record: HistoryRecord| {
            let time = record.time_ms;
            let mut operation = convert::operation(record, log.name(), &running);
            operation.audit_index = self.audit.index(&operation.id);
            operation.replicas.clone_from(&replicas);
            operation.state = state(&operation);
            (time, operation)
        };
        Ok(records.into_iter().take(OPERATIONS).map(complete).collect())
    }
}

/// Whether every live replica that serves the log runs the operation's generation.
fn state(operation: &Operation) -> OperationState {
    let behind = |replica: &Replica| {
        replica
            .generation
            .is_some_and(|runs| runs < operation.generation)
    };
    if operation.replicas.iter().any(behind) {
        OperationState::Decided
    } else {
        OperationState::Done
    }
}

fn fresh_key() -> Result<String, HostError> {
    let failed = |e: getrandom::Error| HostError::Internal(format!("no randomness: {e}"));
    Ok(format!(
        "{:016x}{:016x}",
        getrandom::u64().map_err(failed)?,
        getrandom::u64().map_err(failed)?
    ))
}

fn digest(request: &Request) -> Hash {
    log::record::digest(&serde_json::to_vec(request).unwrap_or_default())
}

fn word(request: &Request) -> &'static str {
    match request {
        Request::Configure { .. } => "configure",
        Request::Rotate { .. } => "rotate",
        Request::PlanShard { .. } => "plan",
        Request::Freeze { .. } => "freeze",
        Request::Unfreeze => "unfreeze",
    }
}

/// A base as the engine knows it. One whose digest is not that of its generation was never a state of this log: it becomes a
/// generation that never runs, so that the engine's own order of checks holds for it too.
fn base(base: &Base, running: &str) -> u64 {
    let same_generation = running
        .parse::<Base>()
        .is_ok_and(|now| now.generation() == base.generation());
    if same_generation && !base.matches(running) {
        u64::MAX
    } else {
        base.generation()
    }
}

fn request(change: Change, running: &str) -> Result<Request, HostError> {
    Ok(match change {
        Change::Configure {
            document,
            base: seen,
            confirm_within: None,
        } => Request::Configure {
            next: document,
            base: Some(base(&seen, running)),
        },
        Change::Rotate { name, base: seen } => Request::Rotate {
            name,
            base: seen.map(|seen| base(&seen, running)),
        },
        Change::Plan { name, base: seen } => Request::PlanShard {
            name,
            base: seen.map(|seen| base(&seen, running)),
        },
        Change::Freeze { now } => Request::Freeze { now },
        Change::Unfreeze => Request::Unfreeze,
        other => {
            return Err(HostError::Internal(format!(
                "not a change that this server knows: {other:?}"
            )));
        }
    })
}

impl Host for EngineHost {
    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        Box::pin(async {
            Ok(self
                .engine
                .logs()
                .iter()
                .map(|log| self.describe(log))
                .collect())
        })
    }

    fn status<'a>(&'a self, log: &'a str) -> Answer<'a, LogStatus> {
        Box::pin(async { Ok(self.describe(&*self.find(log)?)) })
    }

    fn config<'a>(&'a self, log: &'a str) -> Answer<'a, ConfigAnswer> {
        Box::pin(async {
            let config = self.find(log)?.config();
            // Computed from the document itself, so that tag and document are of one instant.
            Ok(ConfigAnswer {
                etag: config.etag(config.generation.unwrap_or(0)),
                config,
            })
        })
    }

    fn apply<'a>(
        &'a self,
        log: &'a str,
        change: Change,
        mode: Mode,
        caller: Caller,
    ) -> Answer<'a, Operation> {
        Box::pin(async move {
            let log = self.find(log)?;
            if log.name() == log::SYSTEM && matches!(change, Change::Freeze { .. }) {
                let why = "the system log cannot be frozen: no change could be recorded any more";
                return Err(HostError::Conflict(why.to_owned()));
            }
            let request = request(change, &log.status().etag)?;
            match mode {
                Mode::Preview => {
                    let planned = log.preview(request).await.map_err(convert::change_error)?;
                    Ok(convert::applied(planned, log.name(), caller.actor))
                }
                Mode::Apply => self.change(&log, request, caller).await,
            }
        })
    }

    fn history<'a>(&'a self, log: &'a str) -> Answer<'a, Vec<HistoryItem>> {
        Box::pin(async {
            let records = self
                .find(log)?
                .history()
                .await
                .map_err(|e| HostError::Unavailable(e.to_string()))?;
            Ok(records.into_iter().map(convert::history).collect())
        })
    }

    fn operations<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Operation>> {
        Box::pin(async move {
            let logs = match log {
                Some(name) => vec![self.find(name)?],
                None => self.engine.logs(),
            };
            let mut operations = Vec::new();
            for log in logs {
                operations.extend(self.decided(&log, None).await?);
            }
            // Stable, so that the order of one log stays.
            operations.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
            Ok(operations
                .into_iter()
                .take(OPERATIONS)
                .map(|(_, operation)| operation)
                .collect())
        })
    }

    fn operation<'a>(&'a self, id: &'a str) -> Answer<'a, Operation> {
        Box::pin(async move {
            for log in self.engine.logs().into_iter().chain(self.engine.system()) {
                if let Some((_, found)) = self.decided(&log, Some(id)).await?.pop() {
                    return Ok(found);
                }
            }
            Err(HostError::NotFound(format!("no operation {id}")))
        })
    }

    fn replicas<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Replica>> {
        Box::pin(async move {
            let log = log.map(|name| self.find(name)).transpose()?;
            self.live(log.as_deref()).await
        })
    }
}
