//! The last write: when all is calm, the log takes entries again.
//!
//! A log that can decide no slot any more has nothing that waits for publication, and looks as if it were at rest.

use std::time::Duration;

use bytes::Bytes;
use engine::AppendError;
use qos::Advice;
use tlog::UnixMillis;
use tokio::time::Instant;

use crate::world::World;
use crate::writer::{self, LOG};

/// How long nobody may be able to write once all is calm.
const CALM_TIMEOUT: Duration = Duration::from_secs(900);
/// How long one server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before it is tried again: the log's own limits may refuse it for a while.
const TRY_BACKOFF: Duration = Duration::from_secs(1);

/// Each server that takes writes takes one.
pub async fn write(world: &World) {
    if world.primary.is_given_up() || world.primary.is_left_frozen() {
        return;
    }
    for server in world.servers.iter().filter(|one| one.takes_writes()) {
        let (deadline, mut number) = (Instant::now() + CALM_TIMEOUT, 0);
        loop {
            if world.judge.broken().is_some() {
                return;
            }
            number += 1;
            let entry = Bytes::from(format!("last {} {number}", server.name));
            let Some(running) = server.running() else {
                tokio::time::sleep(TRY_BACKOFF).await;
                continue;
            };
            let written = async {
                let log = running.engine.log(LOG).ok_or(AppendError::Closing)?;
                let tenant = log
                    .policy()
                    .tenant(None, UnixMillis::ZERO)
                    .map_err(|_| AppendError::Closing)?;
                let ticket = log.submit(entry.clone(), tenant, &Advice::default())?;
                ticket.answer.await
            };
            world.judge.asked(LOG, &entry);
            let why = match tokio::time::timeout(ANSWER_TIMEOUT, written).await {
                Ok(Ok(at)) => {
                    writer::placed(world, &entry, &at);
                    break;
                }
                Ok(Err(AppendError::Unknown)) => "unknown".to_owned(),
                Ok(Err(error)) => {
                    let why = error.to_string();
                    world.judge.refused(LOG, &entry, &why, true);
                    why
                }
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() > deadline {
                let what = format!("{}: {why}", server.name);
                let rule = "the log takes entries when the faults stop";
                return world.judge.object(rule, what);
            }
            tokio::time::sleep(TRY_BACKOFF).await;
        }
    }
}
