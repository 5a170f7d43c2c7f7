//! Finds, creates and changes logs. A deleted log is only hidden.

use std::sync::Arc;

use engine::{Log, Request};
use logconfig::LogConfig;
use server_admin::{Caller, HostError, Mode};
use wire::Operation;

use super::change::as_engine;
use super::{EngineHost, convert};

impl EngineHost {
    /// The log of that name, which must exist.
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
        let (name, actor) = (config.log.to_string(), caller.actor.clone());
        let caller = as_engine(caller);
        match mode {
            Mode::Preview => {
                let planned = self.engine.preview_log(config, caller).await;
                let planned = planned.map_err(convert::change_error)?;
                Ok(convert::applied(planned, &name, actor))
            }
            Mode::Apply => {
                let made = self.audited.create(config, caller).await;
                let made = made.map_err(convert::change_error)?;
                Ok(self.answer(&name, actor, made).await)
            }
        }
    }

    /// Changes a log that is there, or was.
    pub(super) async fn change(
        &self,
        log: &Log,
        request: Request,
        mode: Mode,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        let actor = caller.actor.clone();
        match mode {
            Mode::Preview => {
                let planned = log.preview(request).await.map_err(convert::change_error)?;
                Ok(convert::applied(planned, log.name(), actor))
            }
            Mode::Apply => {
                let made = self.audited.change(log, request, as_engine(caller)).await;
                let made = made.map_err(convert::change_error)?;
                Ok(self.answer(log.name(), actor, made).await)
            }
        }
    }
}
