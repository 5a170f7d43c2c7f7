//! [`Host`] with the engine behind it.
//!
//! Checks, decisions and their audit records belong to the engine; this module translates, and the modules beside it say when every
//! live replica runs a change.

use order::Generation;
use std::sync::Arc;
use std::time::Duration;

use engine::{Audited, Engine, Log};
use jiff::Timestamp;
use logconfig::LogConfig;
use server_admin::{
    Answer, AuditQuery, Caller, Capabilities, Change, Host, HostError, ImportStep, Mode,
};
use tokio::sync::Semaphore;
use wire::{
    AuditPage, AuditReceipt, ConfigAnswer, Diagnostics, HistoryItem, ImportProgress, LogStatus,
    MergeStatus, Operation, QosStatus, Replica, Simulation,
};

use super::change::request;
use super::convert;
use super::diagnose::Files;
use super::operations::OPERATIONS;
use crate::indexes::Indexes;
use crate::rfc3339::rfc3339;

/// The engine as an administered server.
pub(crate) struct EngineHost {
    pub(super) engine: Arc<Engine>,
    pub(super) audited: Arc<Audited>,
    /// One simulation at a time.
    pub(super) simulations: Arc<Semaphore>,
    /// The address of the data plane for clients.
    url: String,
    /// The files that its own diagnosis checks.
    pub(super) files: Files,
    /// The search indexes of this server.
    pub(super) indexes: Arc<Indexes>,
}

impl EngineHost {
    /// Administers `engine`, whose data plane clients reach at `url`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        audited: Arc<Audited>,
        url: String,
        files: Files,
        indexes: Arc<Indexes>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            audited,
            simulations: Arc::new(Semaphore::new(1)),
            url,
            files,
            indexes,
        })
    }

    pub(super) fn describe(&self, log: &Log) -> LogStatus {
        LogStatus {
            search_index: self.indexes.view(log).map(convert::search_index),
            ..convert::status(log.status(), Some(self.url.clone()))
        }
    }

    /// As [`Self::describe`], with the change on probation.
    async fn describe_wholly(&self, log: &Log) -> LogStatus {
        let mut status = self.describe(log);
        // A store that does not answer is no reason to say nothing about the log.
        if let Ok(Some(probation)) = log.on_probation().await {
            let (operation, until) = (probation.operation, rfc3339(probation.until));
            let probation = match &probation.reverting {
                None => format!(
                    "operation {operation} is on probation: reverted at {until} unless it is confirmed (`logctl op confirm {operation}`)"
                ),
                Some(_) => format!(
                    "operation {operation} is being taken back and can no longer be confirmed: the server reverts it at {until} at the latest"
                ),
            };
            status.reason = Some(match status.reason {
                Some(reason) => format!("{reason}; {probation}"),
                None => probation,
            });
        }
        status
    }

    /// Those logs of the engine that are deleted, or that are not.
    async fn listed(&self, deleted: bool) -> Vec<LogStatus> {
        let mut listed = Vec::new();
        for log in self.engine.logs() {
            if log.is_deleted() == deleted {
                listed.push(self.describe_wholly(&log).await);
            }
        }
        listed
    }
}

impl Host for EngineHost {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        Box::pin(async { Ok(self.listed(false).await) })
    }

    fn deleted(&self) -> Answer<'_, Vec<LogStatus>> {
        Box::pin(async { Ok(self.listed(true).await) })
    }

    fn version(&self) -> Option<String> {
        Some(concat!("logd ", env!("CARGO_PKG_VERSION")).to_owned())
    }

    fn status<'a>(&'a self, log: &'a str) -> Answer<'a, LogStatus> {
        Box::pin(async { Ok(self.describe_wholly(&*self.find(log)?).await) })
    }

    fn config<'a>(&'a self, log: &'a str) -> Answer<'a, ConfigAnswer> {
        Box::pin(async {
            let (config, etag) = self.find(log)?.configuration();
            Ok(ConfigAnswer { etag, config })
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
            let log = match change {
                Change::Create(request) => return self.create(request.config, mode, caller).await,
                Change::Delete | Change::Undelete => self.find_any(log)?,
                _ => self.find(log)?,
            };
            let from = (self.engine.replica_id().to_owned(), caller.connection);
            let request = request(change, &log.running_etag(), from)?;
            self.change(&log, request, mode, caller).await
        })
    }

    fn import<'a>(
        &'a self,
        log: &'a str,
        step: ImportStep,
        caller: Caller,
    ) -> Answer<'a, ImportProgress> {
        Box::pin(self.imported(log, step, caller))
    }

    fn history<'a>(&'a self, log: &'a str) -> Answer<'a, Vec<HistoryItem>> {
        Box::pin(async {
            let unavailable = |e: store::StoreError| HostError::Unavailable(e.to_string());
            let log = self.find(log)?;
            let records = log.history().await.map_err(unavailable)?;
            let taken = log.taken_back().await.map_err(unavailable)?;
            let mut items = Vec::with_capacity(records.len());
            for (at, record) in records.into_iter().enumerate() {
                let mut item = convert::history(record.clone());
                item.takes_back = taken.get(&record.operation).map(ToString::to_string);
                // Each costs two documents to read; for older ones, the operation has the details.
                if at < OPERATIONS {
                    let differences = log.changed_by(&record).await.map_err(unavailable)?;
                    item.differences = Some(differences.into_iter().map(Into::into).collect());
                }
                items.push(item);
            }
            Ok(items)
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
                operations.extend(self.decided(&log).await?);
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
            let unknown = || HostError::NotFound(format!("no operation {id}"));
            let (log, record) = self.record_anywhere(id).await?.ok_or_else(unknown)?;
            self.as_operation(&log, record).await
        })
    }

    fn replicas<'a>(&'a self, log: Option<&'a str>) -> Answer<'a, Vec<Replica>> {
        Box::pin(async move {
            let log = log.map(|name| self.find(name)).transpose()?;
            self.live(log.as_deref()).await
        })
    }

    fn silent(&self) -> Answer<'_, Vec<Replica>> {
        Box::pin(async {
            let silent = self.engine.silent().await;
            let silent = silent.map_err(|e| HostError::Unavailable(e.to_string()))?;
            Ok(silent.into_iter().map(convert::replica).collect())
        })
    }

    fn config_at<'a>(&'a self, log: &'a str, generation: u64) -> Answer<'a, ConfigAnswer> {
        Box::pin(async move {
            let then = self
                .find(log)?
                .config_at(Generation::new(generation))
                .await
                .map_err(|e| HostError::Unavailable(e.to_string()))?;
            let unknown = || {
                HostError::NotFound(format!("the log {log} never ran a generation {generation}"))
            };
            let (config, etag) = then.ok_or_else(unknown)?;
            Ok(ConfigAnswer { etag, config })
        })
    }

    fn merge<'a>(&'a self, log: &'a str) -> Answer<'a, MergeStatus> {
        Box::pin(self.merging(log))
    }

    fn qos<'a>(&'a self, log: &'a str) -> Answer<'a, QosStatus> {
        Box::pin(async { self.fares(log) })
    }

    fn simulate<'a>(
        &'a self,
        log: &'a str,
        document: Box<LogConfig>,
        since: Duration,
    ) -> Answer<'a, Simulation> {
        Box::pin(self.replayed(log, *document, since))
    }

    fn confirm<'a>(&'a self, operation: &'a str, caller: Caller) -> Answer<'a, Operation> {
        Box::pin(self.confirmed(operation, caller))
    }

    fn record(&self, event: server_admin::Event) -> Answer<'_, Option<AuditReceipt>> {
        Box::pin(async move {
            let made = self.audited.event(event.action, event.actor, event.detail);
            let receipt = made.await.map_err(convert::unrecorded)?;
            Ok(receipt.map(convert::receipt))
        })
    }

    fn audit(&self, query: AuditQuery) -> Answer<'_, AuditPage> {
        Box::pin(self.page(query))
    }

    fn audit_object<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(self.object(path))
    }

    fn diagnose(&self) -> Answer<'_, Diagnostics> {
        Box::pin(async { Ok(self.diagnostics().await) })
    }

    fn remember<'a>(&'a self, key: &'a str, value: &'a str, until: Timestamp) -> Answer<'a, bool> {
        Box::pin(self.put_row(key, value, until))
    }

    fn recall<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<(String, String)>> {
        Box::pin(self.rows(prefix))
    }

    fn forget<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        Box::pin(self.delete_row(key))
    }
}
