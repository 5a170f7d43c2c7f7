//! Many entries in one body over HTTP.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use qos::Advice;

use super::http::{Batched, Body};
use super::{Came, LOG, Session};
use crate::http::Told;
use crate::server::Running;

/// How often a batch with a key is sent, at most.
const TRIES: u64 = 4;

impl Session {
    /// Sends all of these in one body, as a batch that is no upload; false if they do not go through HTTP. They may get longer: only then
    /// a batch has several chunks.
    pub(super) async fn batch_of(&mut self, running: &Running, entries: &mut [Bytes]) -> bool {
        if !self.world.plan.http.is_used() || !self.http.dice().chance(500_000) {
            return false;
        }
        if self.http.dice().chance(400_000) {
            let padding = self.http.dice().spread(500, 10_000);
            let padding = vec![b'.'; usize::try_from(padding).unwrap_or(0)];
            for entry in entries.iter_mut() {
                let mut longer = BytesMut::from(&**entry);
                longer.extend_from_slice(&padding);
                longer.truncate(60_000);
                *entry = longer.freeze();
            }
        }
        let keyed = self.http.dice().chance(400_000);
        let key = keyed.then(|| format!("{}-{}-batch", self.name, self.sent));
        let body = match &key {
            Some(key) => Body::Keyed(key),
            None => Body::Once,
        };
        let advice = Advice::default();
        let Some(batch) = self.batch(running, entries, &advice, body) else {
            return false;
        };
        for entry in entries.iter() {
            self.world.judge.asked(LOG, entry);
        }
        if !keyed {
            for entry in batch.sent.iter().flat_map(|sent| &entries[*sent..]) {
                let told = Told::Refused("the request broke off before it".to_owned());
                self.refused(entry, &told, true);
            }
        }
        let came = self.answer(running, batch.batched()).await;
        let mut done = self.batch_came(came, entries, true);
        let tries = if keyed { TRIES } else { 1 };
        for _ in 1..tries {
            // Some send it again although they have an answer.
            if done && self.http.dice().chance(600_000) {
                break;
            }
            let pause = self.http.dice().span(1, 3_000);
            tokio::time::sleep(pause).await;
            let Some((running, _)) = self.log() else {
                continue;
            };
            let Some(batch) = self.batch(&running, entries, &advice, body) else {
                continue;
            };
            for entry in entries.iter() {
                self.world.judge.asked(LOG, entry);
            }
            let came = self.answer(&running, batch.batched()).await;
            done = self.batch_came(came, entries, false);
        }
        true
    }

    /// What the writer of a batch makes of its answer; whether it is in the log as a whole. `first`: nobody sent it before.
    fn batch_came(&self, came: Came<Batched>, entries: &[Bytes], first: bool) -> bool {
        let Came::Answered(batch) = came else {
            return false;
        };
        let placed: BTreeMap<usize, u64> = batch.placed().collect();
        for (at, entry) in entries.iter().enumerate() {
            match (placed.get(&at), &batch.ended) {
                (Some(index), _) => self.world.judge.read(LOG, *index, entry),
                (None, Some(Told::KeyReused)) => {
                    let what = format!("{}: the same batch under the same key", self.name);
                    let rule = "a repeat is not another write";
                    self.world.judge.object(rule, what);
                }
                (None, Some(Told::Unknown) | None) => {}
                (None, Some(told)) => self.refused(entry, told, first),
            }
        }
        batch.ended.is_none()
    }
}
