//! Hundreds that write at once, to all servers.

use std::time::Duration;

use engine::{AppendError, WriteKey};
use tlog::UnixMillis;

use super::{Session, TENANT};
use crate::writer::LOG;

/// How many write at once: their batches are more than fit into a slot.
const MANY: u64 = 600;
/// How long one of them waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

impl Session {
    /// Each entry under a key of its own, in the shard that is active when it is sent.
    pub(super) async fn throng(&mut self) {
        let (mut entries, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..MANY {
            let Some((running, log)) = self.log() else {
                return;
            };
            let (entry, mut advice) = (self.entry(), self.advice());
            advice.shard = log.active_shard();
            let key = WriteKey::new(TENANT, &format!("{}-{}", self.name, self.sent));
            self.world.judge.asked(LOG, &entry);
            entries.push(entry.clone());
            answers.push(async move {
                let answer = async {
                    let tenant = log
                        .policy()
                        .tenant(None, UnixMillis::ZERO)
                        .map_err(|_| AppendError::Closing)?;
                    let ticket = log.submit_keyed(key, entry, tenant, &advice).await?;
                    ticket.answer.await
                };
                let answer = tokio::select! {
                    biased;
                    () = running.process.dead() => Err(AppendError::Unknown),
                    answer = answer => answer,
                };
                // An answer of a process that stands still is not sent.
                running.process.until_running().await;
                answer
            });
        }
        let answers = answers.into_iter();
        let answers = answers.map(|answer| tokio::time::timeout(ANSWER_TIMEOUT, answer));
        let answers = futures_util::future::join_all(answers).await;
        for (entry, answer) in entries.iter().zip(answers) {
            match answer {
                Ok(Ok(at)) => self.placed(entry, &at),
                Ok(Err(AppendError::Unknown)) | Err(_) => {}
                Ok(Err(error)) => self.refused(entry, &error.into(), true),
            }
        }
    }
}
