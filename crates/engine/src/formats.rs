//! The formats that the servers on the stores understand. A slot of a newer format halts a server that does not know it, so
//! a request that needs one is refused while such a server lives.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use logconfig::LogConfig;
use order::mutant::{Mutant, left_out};
use order::slot::{ANNOUNCES, TWO_KEYS};

/// The live server with the oldest newest format, if that is older than this server's.
#[derive(Debug, Default)]
pub(crate) struct Formats(ArcSwapOption<(u32, String)>);

impl Formats {
    /// Notes the reports of the live servers: their newest format, and their names.
    pub(crate) fn heard(&self, newest: u32, live: impl Iterator<Item = (u32, String)>) {
        let least = live.filter(|(format, _)| *format < newest).min();
        let known = self.0.load_full();
        if known.as_deref() != least.as_ref() {
            if let Some((format, label)) = &least {
                tracing::warn!(
                    server = label,
                    format,
                    "a server does not understand the newest slots: what needs them is refused until it is upgraded"
                );
            }
            self.0.store(least.map(Arc::new));
        }
    }

    /// Why a live server would not understand a configuration. What runs already was read by the others; `two_keys`: there is a shard with
    /// a second key.
    pub(crate) fn refuses(
        &self,
        next: &LogConfig,
        running: Option<&LogConfig>,
        two_keys: bool,
    ) -> Option<String> {
        let is_new = |has: fn(&LogConfig) -> bool| has(next) && !running.is_some_and(has);
        let needs = [
            (
                !two_keys && is_new(LogConfig::is_unreadable_before_two_keys),
                TWO_KEYS,
                "`originForm: host`, keys of ecdsa-p256 and `rekor`",
            ),
            (
                is_new(LogConfig::announces),
                ANNOUNCES,
                "`rotate.requireAnnounced`, `rotate.settle` and records of announced keys",
            ),
        ];
        let mut needs = needs.into_iter().filter(|(needed, ..)| *needed);
        needs.find_map(|(_, format, what)| {
            let server = self.lacking(format)?;
            Some(format!(
                "server {server} on these stores runs an older version, which does not understand {what}; upgrade it first"
            ))
        })
    }

    /// The server that does not understand a format, if one lives.
    pub(crate) fn lacking(&self, format: u32) -> Option<String> {
        let least = self.0.load_full()?;
        (least.0 < format && !left_out(Mutant::FormatsAreNotAsked)).then(|| least.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::json;

    use crate::ingest::answer::AppendError;
    use crate::tests::rig::Rig;
    use qos::Advice;
    use store::fault::Faults;
    use store::record;
    use store::{Coordination as _, Outcome, Transaction};

    #[tokio::test(start_paused = true)]
    async fn what_an_older_server_does_not_understand_waits_until_it_is_gone() {
        let rig = Rig::new();
        let (engine, log) = rig.server(&Faults::new()).await;
        let advice = Advice {
            shard: Some("a".to_owned()),
            ..Advice::default()
        };
        let tenant = log.policy().own();
        let place = async || {
            let ticket = log.submit(Bytes::from_static(b"x"), tenant, &advice)?;
            ticket.answer.await
        };
        place().await.unwrap();
        let key = "replica/00000000000000ff";
        let beat = json!({
            "label": "old:7", "format": 1, "generations": {}, "time": rig.rows.now().await.unwrap(),
        });
        let row = Transaction {
            puts: vec![(key.to_owned(), record::encode(&beat))],
            ..Transaction::default()
        };
        assert!(matches!(rig.rows.transact(row).await, Outcome::Committed));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let refused = place().await;
        assert!(
            matches!(&refused, Err(AppendError::Overloaded { reason, .. }) if reason.contains("old:7")),
            "{refused:?}"
        );
        let promised = log
            .promise(Bytes::from_static(b"y"), tenant, &Advice::default())
            .await;
        assert!(
            matches!(&promised, Err(AppendError::Overloaded { reason, .. }) if reason.contains("upgrade")),
            "{promised:?}"
        );
        // A log with shards of two keys would halt it, and so would a section that it does not know.
        let mut next = log.config();
        next.key.algorithm = logconfig::Algorithm::EcdsaP256;
        let mut front = log.config();
        front.rekor.hold = logconfig::Span::from_secs(10);
        let configure = async |next: &logconfig::LogConfig| {
            let next = Box::new(next.clone());
            let request = crate::Request::Configure { next, base: None };
            let caller = crate::Author {
                actor: "test".to_owned(),
                idempotency_key: None,
                reason: None,
            };
            log.change_unaudited(request, caller).await
        };
        let mut announces = log.config();
        announces.rotate.require_announced = true;
        for next in [&next, &front, &announces] {
            let refused = configure(next).await;
            assert!(
                matches!(&refused, Err(crate::ChangeError::Conflict(why)) if why.contains("old:7") && why.contains("upgrade")),
                "{refused:?}"
            );
        }
        // Work that every version understands is accepted.
        log.append(Bytes::from_static(b"z")).await.unwrap();
        // A server of the version before announced keys understands all but them.
        let beat = json!({
            "label": "older:8", "format": 4, "generations": {}, "time": rig.rows.now().await.unwrap(),
        });
        let row = Transaction {
            puts: vec![(key.to_owned(), record::encode(&beat))],
            ..Transaction::default()
        };
        assert!(matches!(rig.rows.transact(row).await, Outcome::Committed));
        tokio::time::sleep(Duration::from_secs(3)).await;
        let refused = configure(&announces).await;
        assert!(
            matches!(&refused, Err(crate::ChangeError::Conflict(why)) if why.contains("older:8") && why.contains("requireAnnounced")),
            "{refused:?}"
        );
        configure(&front).await.unwrap();
        let gone = Transaction {
            deletes: vec![key.to_owned()],
            ..Transaction::default()
        };
        assert!(matches!(rig.rows.transact(gone).await, Outcome::Committed));
        tokio::time::sleep(Duration::from_secs(3)).await;
        place().await.unwrap();
        let mut announces = log.config();
        announces.rotate.require_announced = true;
        configure(&announces).await.unwrap();
        engine.shutdown().await;
    }
}
