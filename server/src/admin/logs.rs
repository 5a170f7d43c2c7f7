//! Creates, deletes and undeletes logs. A deleted log is only hidden.
//!
//! What must never happen: an entry lost by a deletion, a name that names two logs.

use std::sync::Arc;

use engine::{Log, Request};
use logconfig::LogConfig;
use server_admin::{Caller, HostError, Mode};
use tlog::Hash;
use wire::Operation;

use super::change::{Asked, as_engine, named};
use super::{EngineHost, convert};

impl EngineHost {
    /// A log that is there.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Log>, HostError> {
        let log = self.find_any(name)?;
        if log.is_deleted() {
            return Err(HostError::NotFound(format!(
                "the log {name} is deleted; its data is kept (`logctl log undelete {name}`)"
            )));
        }
        Ok(log)
    }

    /// A log that is there, or was.
    pub(super) fn find_any(&self, name: &str) -> Result<Arc<Log>, HostError> {
        self.engine
            .log(name)
            .ok_or_else(|| HostError::NotFound(format!("no log named {name}")))
    }

    pub(super) async fn create(
        &self,
        config: LogConfig,
        mode: Mode,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        let name = config.log.to_string();
        let engine = as_engine(&caller)?;
        if mode == Mode::Preview {
            let planned = self.engine.preview_log(config, engine).await;
            let planned = planned.map_err(convert::change_error)?;
            return Ok(convert::applied(planned, &name, caller.actor));
        }
        let asked = Asked {
            operation: named(&engine, &name),
            log: &name,
            action: "create",
            actor: &caller.actor,
            request: Hash(config.digest()),
            reason: caller.reason.clone(),
        };
        self.recorded(asked, self.engine.create_log(config, engine.clone()))
            .await
    }

    /// Hides a log, or shows it again.
    pub(super) async fn hide(
        &self,
        name: &str,
        request: Request,
        mode: Mode,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        if name == engine::SYSTEM {
            let why = "the system log cannot be deleted: no change could be recorded any more";
            return Err(HostError::Conflict(why.to_owned()));
        }
        let log = self.find_any(name)?;
        if mode == Mode::Preview {
            let planned = log.preview(request).await.map_err(convert::change_error)?;
            return Ok(convert::applied(planned, name, caller.actor));
        }
        self.change(&log, request, caller).await
    }
}
