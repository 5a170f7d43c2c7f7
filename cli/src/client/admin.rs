//! The admin endpoint's calls, one method each.

use logconfig::{LogConfig, Span};
use wire::routes::Name;
use wire::{
    AuditPage, BASE, ConfigAnswer, Diagnostics, History, ImportDropped, ImportPage, ImportProgress,
    ImportRequest, LogStatus, Logs, MergeStatus, NewToken, NoRequest, Operation, Operations,
    QosStatus, Replica, Replicas, Revoked, Simulation, TokenRequest, Tokens, WhoAmI, codes,
};

use super::{Call, ChangeHeaders, Deadline, idempotency_key, transport};
use crate::auth::Auth;
use crate::error::Error;
use crate::settings::{Address, Endpoint};

/// An admin endpoint, not yet connected to.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) address: Address,
    pub(super) auth: Auth,
}

impl Admin {
    /// Reads the files that are needed to speak to the endpoint; sends nothing yet.
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let http = transport(
            &endpoint.address,
            endpoint.ca.as_deref(),
            endpoint.certificate.as_ref(),
        )?;
        let base = match &endpoint.address {
            Address::Unix(_) => format!("http://localhost{BASE}"),
            Address::Url(url) => format!("{url}{BASE}"),
        };
        Ok(Self {
            http,
            base,
            address: endpoint.address.clone(),
            auth: Auth::new(endpoint),
        })
    }

    /// The address, for people.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// `GET logs`. Every admin endpoint has it, so a server without it is not one.
    pub(crate) async fn logs(&self, deadline: Deadline) -> Result<Vec<LogStatus>, Error> {
        match self.get::<Logs>("logs", deadline).await {
            Ok(logs) => Ok(logs.logs),
            Err(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
                Err(self.foreign(problem.detail))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn deleted(&self, deadline: Deadline) -> Result<Vec<LogStatus>, Error> {
        Ok(self.get::<Logs>("logs?deleted=true", deadline).await?.logs)
    }

    pub(crate) async fn whoami(&self, deadline: Deadline) -> Result<WhoAmI, Error> {
        self.get("whoami", deadline).await
    }

    pub(crate) async fn diagnostics(&self, deadline: Deadline) -> Result<Diagnostics, Error> {
        self.get("diagnostics", deadline).await
    }

    pub(crate) async fn log(&self, log: &str, deadline: Deadline) -> Result<LogStatus, Error> {
        self.get(&format!("logs/{log}"), deadline).await
    }

    pub(crate) async fn config(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<ConfigAnswer, Error> {
        self.get(&format!("logs/{log}/config"), deadline).await
    }

    pub(crate) async fn history(&self, log: &str, deadline: Deadline) -> Result<History, Error> {
        self.get(&format!("logs/{log}/history"), deadline).await
    }

    pub(crate) async fn operations(
        &self,
        log: Option<&str>,
        deadline: Deadline,
    ) -> Result<Operations, Error> {
        let path = log.map_or_else(
            || "operations".to_owned(),
            |log| format!("operations?log={log}"),
        );
        self.get(&path, deadline).await
    }

    pub(crate) async fn operation(&self, id: &str, deadline: Deadline) -> Result<Operation, Error> {
        self.get(&format!("operations/{id}"), deadline).await
    }

    pub(crate) async fn replicas(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<Vec<Replica>, Error> {
        Ok(self
            .get::<Replicas>(&format!("replicas?log={log}"), deadline)
            .await?
            .replicas)
    }

    /// `GET replicas?log=NAME`, with those whose heartbeats stopped.
    pub(crate) async fn all_replicas(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<Replicas, Error> {
        self.get(&format!("replicas?log={log}"), deadline).await
    }

    /// Asks what a change would do; changes nothing.
    pub(crate) async fn preview(
        &self,
        call: &Call,
        base: Option<&str>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let key = idempotency_key()?;
        self.write(call.previewed(), base, &key, deadline).await
    }

    /// Makes a change; refused when `base` (an entity tag without quotes) no longer runs. A request with the key of an
    /// earlier one is that one.
    pub(crate) async fn apply(
        &self,
        call: Call,
        base: Option<&str>,
        asked: ChangeHeaders<'_>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let call = call.because(asked.reason);
        self.write(call, base, asked.key, deadline).await
    }

    pub(crate) async fn confirm(
        &self,
        id: &str,
        asked: ChangeHeaders<'_>,
        deadline: Deadline,
    ) -> Result<Operation, Error> {
        let call = Call::new(Name::ConfirmOperation, id, &wire::NoRequest {})?;
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    pub(crate) async fn config_at(
        &self,
        log: &str,
        generation: u64,
        deadline: Deadline,
    ) -> Result<ConfigAnswer, Error> {
        let path = format!("logs/{log}/config?generation={generation}");
        self.get(&path, deadline).await
    }

    pub(crate) async fn merge(&self, log: &str, deadline: Deadline) -> Result<MergeStatus, Error> {
        self.get(&format!("logs/{log}/merge"), deadline).await
    }

    pub(crate) async fn qos(&self, log: &str, deadline: Deadline) -> Result<QosStatus, Error> {
        self.get(&format!("logs/{log}/qos"), deadline).await
    }

    /// `POST logs/{log}/qos/simulate`: changes nothing.
    pub(crate) async fn simulate(
        &self,
        log: &str,
        document: &LogConfig,
        since: Span,
        deadline: Deadline,
    ) -> Result<Simulation, Error> {
        let mut call = Call::new(Name::SimulateQos, log, document)?;
        call.path.push_str(&format!("?since={since}"));
        self.read(call, deadline).await
    }

    pub(crate) async fn tokens(&self, deadline: Deadline) -> Result<Tokens, Error> {
        self.get("tokens", deadline).await
    }

    pub(crate) async fn create_token(
        &self,
        request: &TokenRequest,
        asked: ChangeHeaders<'_>,
        deadline: Deadline,
    ) -> Result<NewToken, Error> {
        let call = Call::new(Name::CreateToken, "", request)?;
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    pub(crate) async fn revoke_token(
        &self,
        name: &str,
        asked: ChangeHeaders<'_>,
        deadline: Deadline,
    ) -> Result<Revoked, Error> {
        let call = Call::new(Name::RevokeToken, name, &wire::NoRequest {})?;
        self.write(call.because(asked.reason), None, asked.key, deadline)
            .await
    }

    /// `PUT logs/{log}/import`: begins an import, or asks how far it is.
    pub(crate) async fn begin_import(
        &self,
        log: &str,
        request: &ImportRequest,
        deadline: Deadline,
    ) -> Result<ImportProgress, Error> {
        self.read(Call::new(Name::BeginImport, log, request)?, deadline)
            .await
    }

    /// `PUT logs/{log}/import?dryRun=true`: checks whether an import can begin, and writes nothing.
    pub(crate) async fn preview_import(
        &self,
        log: &str,
        request: &ImportRequest,
        deadline: Deadline,
    ) -> Result<ImportProgress, Error> {
        let call = Call::new(Name::BeginImport, log, request)?;
        self.read(call.previewed(), deadline).await
    }

    /// `POST logs/{log}/import`: adds entries, unless they are there already.
    pub(crate) async fn add_to_import(
        &self,
        log: &str,
        page: &ImportPage,
        deadline: Deadline,
    ) -> Result<ImportProgress, Error> {
        self.read(Call::new(Name::AddToImport, log, page)?, deadline)
            .await
    }

    /// `DELETE logs/{log}/import`: drops an import.
    pub(crate) async fn drop_import(
        &self,
        log: &str,
        deadline: Deadline,
    ) -> Result<ImportDropped, Error> {
        self.read(Call::new(Name::DropImport, log, &NoRequest {})?, deadline)
            .await
    }

    pub(crate) async fn audit(
        &self,
        before: Option<u64>,
        limit: u16,
        log: Option<&str>,
        deadline: Deadline,
    ) -> Result<AuditPage, Error> {
        let mut path = format!("audit?limit={limit}");
        if let Some(before) = before {
            path.push_str(&format!("&before={before}"));
        }
        if let Some(log) = log {
            path.push_str(&format!("&log={log}"));
        }
        self.get(&path, deadline).await
    }
}
