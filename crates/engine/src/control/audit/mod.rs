//! The only way to change a log: each change is made between its intent and its outcome, which are entries of the system log, the
//! audit trail.
//!
//! Intent first, then the change, then its outcome. What must never happen: a change without a durable intent (if the intent
//! cannot be appended, the change is not made), or a secret in a record. An intent whose outcome was lost with its process is
//! settled later from the log's own history, once no other task will. An intent has one outcome: the first stands, whichever server
//! writes it. Only a change that was decided after a server had settled it as not decided gets another, once, and that one counts.
//!
//! One change has no intent: the creation of the system log itself ([`Engine::open`]). Nothing can be recorded before it.

mod imports;
mod known;
mod receipt;
pub mod record;
mod settle;
mod settled;
#[cfg(test)]
mod tests;
pub(super) mod trail;

use ambient::Random;
use std::sync::{Arc, Mutex};

use logconfig::LogConfig;
use tlog::{GlobalIndex, Hash};

use self::known::{Known, UnderWay};
pub use self::receipt::Receipt;
use self::record::Intent;
use self::trail::Came;
use crate::control::reconfigure::both;
use crate::control::{Applied, Author, ChangeError, Request, fits, intake};
use crate::engine::Engine;
use crate::ingest::answer::AppendError;
use crate::log::Log;
use order::mutant::{Mutant, left_out};
use store::StoreError;

/// The action of an intent to confirm a change.
pub(super) const CONFIRM: &str = "confirm";
/// The action of an intent to create a log.
const CREATE: &str = "create";

/// Changes the logs of an engine, for operators and for the server itself.
pub struct Audited {
    pub(super) engine: Arc<Engine>,
    /// Locked for a look-up or an insertion.
    known: Mutex<Known>,
    pub(super) under_way: UnderWay,
}

/// The intent of a change in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its index in the system log. A repeated request has the index of the first one.
    pub intent: GlobalIndex,
    /// Proof that it is there; `None` if that would take too long.
    pub receipt: Option<Receipt>,
}

/// The trail did not accept a record, so the announced change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrecorded {
    /// No space is left on a store.
    #[error("no space left: {0}")]
    Full(String),
    /// The system log is halted.
    #[error("the system log is halted: {0}")]
    Halted(String),
    /// The system log does not accept it for another reason.
    #[error("nothing was changed: the audit trail does not take the record: {0}")]
    Other(AppendError),
}

impl From<AppendError> for Unrecorded {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { detail } => Self::Full(detail),
            AppendError::Halted { reason } => Self::Halted(reason),
            other => Self::Other(other),
        }
    }
}

/// A change that is asked for, as its intent names it.
struct AskedChange<'a> {
    log: &'a str,
    action: &'static str,
    /// SHA-256 of the request.
    request: Hash,
    caller: Author,
    /// The part of the request that the intent says in words, beside the caller's reason.
    said: Option<String>,
    /// Whether somebody waits for the proof of the intent.
    proven: bool,
}

impl<'a> AskedChange<'a> {
    fn change(log: &'a Log, request: &Request, caller: Author) -> Self {
        Self {
            log: log.name(),
            action: request.word(),
            request: request.digest(),
            caller,
            said: request.said(),
            proven: true,
        }
    }

    fn create(config: &'a LogConfig, caller: Author) -> Self {
        Self {
            log: config.log.as_str(),
            action: CREATE,
            request: Hash(config.digest()),
            caller,
            said: None,
            proven: true,
        }
    }
}

impl Audited {
    /// The logs of an engine, with its system log as their trail.
    pub fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            known: Mutex::default(),
            under_way: UnderWay::default(),
        })
    }

    /// Makes a change of an existing log: decided in the order, durable, and running on this replica when it answers.
    ///
    /// # Errors
    /// [`ChangeError`]: why it was not made, or is not known to be.
    pub async fn change(
        &self,
        log: &Log,
        request: Request,
        caller: Author,
    ) -> Result<(Applied, Recorded), ChangeError> {
        intake::system(log.name(), &request)?;
        let asked = AskedChange::change(log, &request, caller);
        self.recorded(asked, |caller| log.change(request, caller))
            .await
    }

    /// Creates a log: its first slot plans and opens the shards of the document. One that runs just this is unchanged; a name is
    /// used once, for good.
    ///
    /// # Errors
    /// As [`Audited::change`].
    pub async fn create(
        &self,
        config: LogConfig,
        caller: Author,
    ) -> Result<(Applied, Recorded), ChangeError> {
        let asked = AskedChange::create(&config, caller);
        self.recorded(asked, |caller| {
            self.engine.create_log(config.clone(), caller)
        })
        .await
    }

    /// Creates a log that the settings of the server name.
    ///
    /// # Errors
    /// As [`Audited::change`].
    pub async fn create_by_itself(&self, config: LogConfig) -> Result<Applied, ChangeError> {
        let caller = Author {
            actor: "server".to_owned(),
            idempotency_key: None,
            reason: None,
        };
        let asked = AskedChange {
            proven: false,
            ..AskedChange::create(&config, caller)
        };
        let made = self.recorded(asked, |caller| {
            self.engine.create_log(config.clone(), caller)
        });
        Ok(made.await?.0)
    }

    /// Makes a change of the server's own. The key makes it one operation, however many replicas ask.
    pub(super) async fn by_itself(
        &self,
        log: &Log,
        request: Request,
        key: String,
    ) -> Result<Applied, ChangeError> {
        let caller = Author {
            actor: "auto".to_owned(),
            idempotency_key: Some(key),
            reason: None,
        };
        let asked = AskedChange {
            proven: false,
            ..AskedChange::change(log, &request, caller)
        };
        let made = self.recorded(asked, |caller| log.change(request, caller));
        let (applied, _) = made.await?;
        tracing::info!(log = log.name(), operation = applied.operation, action = ?applied.action,
            state = ?applied.outcome, generation = applied.generation.get(), actor = "auto", "changed");
        Ok(applied)
    }

    /// Ends the wait for the old secondaries after a change, although they have not accepted it. An event says first what that
    /// gives up, and so does the answer; `None` where no change waits.
    ///
    /// # Errors
    /// [`ChangeError`]: why nothing was handed over. While the new secondaries do not hold what is published, always.
    pub async fn hand_over_by_force(
        &self,
        log: &Log,
        actor: String,
    ) -> Result<Option<String>, ChangeError> {
        let Some((generation, gives_up)) = log.held_by_before() else {
            return Ok(None);
        };
        let detail = format!("log {}: {gives_up}", log.name());
        self.event_of("hand-over-forced", log.name(), actor, detail.clone())
            .await?;
        let done = log.publication.hand_over_by_force(generation).await;
        done.map_err(ChangeError::Store)?;
        Ok(Some(detail))
    }

    /// Makes a change between its intent and its outcome.
    async fn recorded<F: Future<Output = Result<Applied, ChangeError>>>(
        &self,
        asked: AskedChange<'_>,
        effect: impl FnOnce(Author) -> F,
    ) -> Result<(Applied, Recorded), ChangeError> {
        let (log, caller) = (asked.log, keyed(asked.caller, &self.engine.random)?);
        let operation = caller.operation(log).map(|token| token.to_string());
        let operation = operation.unwrap_or_default();
        let _under_way = self.under_way.begin(&operation);
        let intent = Intent {
            operation: operation.clone(),
            log: log.to_owned(),
            action: asked.action.to_owned(),
            actor: caller.actor.clone(),
            request: asked.request,
            reason: both(caller.reason.clone(), asked.said).map(fits::reason),
            replica: self.engine.replica_id().to_owned(),
            time: self.engine.clock.now_text(),
        };
        let index = match left_out(Mutant::NoIntent) {
            true => GlobalIndex::ZERO,
            false => self.intent(intent).await?,
        };
        let outcome = effect(caller).await;
        // A repeated request is the same operation: its first intent counts.
        let intent = self.index(&operation).unwrap_or(index);
        let receipt = async {
            match asked.proven {
                true => self.receipt(intent).await,
                false => None,
            }
        };
        let came = self.outcome(&operation, log, index, Came::of(&outcome));
        let ((), receipt) = tokio::join!(came, receipt);
        Ok((outcome?, Recorded { intent, receipt }))
    }
}

/// The caller with an idempotency key: a fresh one if it has none, so that the intent can name the operation.
fn keyed(caller: Author, random: &Random) -> Result<Author, StoreError> {
    let key = match caller.idempotency_key {
        Some(key) => key,
        None => tlog::hex(&random.bytes::<16>()?),
    };
    Ok(Author {
        idempotency_key: Some(key),
        ..caller
    })
}
