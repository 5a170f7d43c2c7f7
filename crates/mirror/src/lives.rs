//! The lives of a log, and its manifest: of two lives only the later one is accepted.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use store::{Guard, Outcome, StoreError, Transaction, record};
use tlog::VerifierKey;
use tlog::mirror::origin_hash;

use crate::ask::PeerLife;
use crate::manifest::{Settled, SignedManifest};
use crate::mirror::Mirror;
use crate::refusal::Refusal;
use crate::rows::Rows;
use crate::storage::transact;

/// Refuses the earlier lives of a log while a later one is being accepted. If that fails for any reason, the drop accepts them again.
struct Superseding {
    accepted: Arc<AtomicU64>,
    /// The life that was accepted before; `None` once the refusal stays.
    before: Option<u64>,
}

impl Superseding {
    fn begin(accepted: &Arc<AtomicU64>, before: u64, life: u64) -> Self {
        accepted.store(life, SeqCst);
        Self {
            accepted: Arc::clone(accepted),
            before: Some(before),
        }
    }
}

impl Drop for Superseding {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            self.accepted.store(before, SeqCst);
        }
    }
}

impl Mirror {
    /// After a restore of a log: drops what its shards had announced and never copied in full.
    async fn drop_uncosigned(&self, log: &VerifierKey) -> Result<(), Refusal> {
        let origins: Vec<_> = {
            let all = self.origins.read().unwrap_or_else(PoisonError::into_inner);
            all.values().map(Arc::clone).collect()
        };
        for origin in origins {
            if self.key(origin.name()).is_some_and(|key| key == log)
                && let Err(refusal) = origin.drop_uncosigned().await
            {
                // This origin accepts nothing before the next start, which repairs it. That is no reason to refuse the other origins.
                tracing::error!(origin = origin.name(), why = %refusal, "cannot drop entries that were never cosigned");
                let owed = Transaction {
                    puts: vec![(origin.rows().owed(), record::encode_number(1))],
                    ..Transaction::default()
                };
                transact(&*self.rows, owed).await?;
            }
        }
        Ok(())
    }

    /// Keeps a log's manifest, from any sender, if it is not older than the stored one. The first one after a restore frees this mirror
    /// from entries that the lost primary had announced and not copied in full; cosigned entries stay.
    ///
    /// From then on earlier lives are refused. Returns the accepted life, with the cosigned size. `entries` is how many entries the log was
    /// restored with, if the request names it.
    ///
    /// # Errors
    /// [`Refusal::Size`] with the number of a newer one; [`Refusal::Superseded`], [`Refusal::Ahead`] or [`Refusal::Outdated`];
    /// [`Refusal::Malformed`], [`Refusal::Unsigned`] or [`Refusal::Storage`] for a body that cannot be read or kept.
    pub async fn put_manifest(
        self: &Arc<Self>,
        bytes: &[u8],
        entries: Option<u64>,
    ) -> Result<PeerLife, Refusal> {
        let signed = SignedManifest::parse(bytes).map_err(|e| Refusal::Malformed(e.to_string()))?;
        let key = self
            .logs
            .iter()
            .find(|key| key.name() == signed.origin)
            .ok_or(Refusal::Unknown)?;
        signed
            .verify(key)
            .map_err(|e| Refusal::Unsigned(e.to_string()))?;
        let one = Arc::clone(&self.opening).lock_owned().await;
        let (mirror, key) = (Arc::clone(self), key.clone());
        let bytes = Bytes::copy_from_slice(bytes);
        // A task of its own, as in `add_checkpoint`. It holds the turn, so there is one at a time.
        tokio::spawn(async move {
            let _one = one;
            mirror.keep_manifest(&key, &signed, bytes, entries).await
        })
        .await
        .map_err(|e| Refusal::Storage(format!("a task ended: {e}")))?
    }

    /// Keeps a manifest whose signature is verified. Called for one manifest at a time.
    async fn keep_manifest(
        &self,
        key: &VerifierKey,
        signed: &SignedManifest,
        bytes: Bytes,
        entries: Option<u64>,
    ) -> Result<PeerLife, Refusal> {
        let rows = Rows(origin_hash(&signed.origin));
        let number = async |key: String| match self.rows.get(&key).await? {
            Some(row) => record::decode_number(&row).map_err(|e| Refusal::Storage(e.to_string())),
            None => Ok(0),
        };
        let (stored, before) = (
            number(rows.manifest()).await?,
            number(rows.restored()).await?,
        );
        let edition = number(rows.edition()).await?;
        let settled = match self.rows.get(&rows.settled()).await? {
            Some(row) => {
                let (life, generation) = record::decode_numbered(&row)
                    .map_err(|e| Refusal::Storage(format!("{}: {e}", rows.settled())))?;
                Settled { life, generation }
            }
            None => Settled::default(),
        };
        // A header is not signed, so it proves nothing.
        let entries = signed.entries.or(entries);
        // The later of two lives wins, however far the earlier one had come, if it was restored from everything that the earlier one has
        // settled; within one life, the later state wins.
        let accepted = self.life(key);
        let cosigned = |id| PeerLife {
            id,
            entries: self.cosigned(key),
        };
        if signed.restored < accepted.load(SeqCst).max(before) {
            return Err(Refusal::Superseded(cosigned(accepted.load(SeqCst))));
        }
        let less = signed.settled < settled;
        let older = (signed.number, signed.edition) < (stored, edition);
        if signed.restored == before && (less || older) {
            return Err(Refusal::Size(stored));
        }
        let mut superseding = None;
        if before < signed.restored {
            // Another history may be cosigned here already.
            if let Some(origin) = self.in_doubt(key) {
                return Err(Refusal::Storage(format!(
                    "a write failed, so it is unknown which size of {origin} was cosigned last; restart this secondary"
                )));
            }
            if less {
                return Err(Refusal::Outdated(cosigned(before)));
            }
            let ahead = || {
                let here = cosigned(before);
                entries
                    .is_some_and(|most| here.entries > most)
                    .then_some(here)
            };
            if let Some(here) = ahead() {
                return Err(Refusal::Ahead(here));
            }
            // First refuse the earlier life, then compare: the comparison must see what that life finishes meanwhile.
            superseding = Some(Superseding::begin(&accepted, before, signed.restored));
            self.drop_uncosigned(key).await?;
            if let Some(here) = ahead() {
                return Err(Refusal::Ahead(here));
            }
        }
        let path = |number: u64| format!("manifest/{}/{number:020}", rows.0);
        self.objects.put(vec![(path(signed.number), bytes)]).await?;
        let row = Transaction {
            guards: vec![Guard::AtMost(rows.restored(), signed.restored)],
            puts: vec![
                (rows.manifest(), record::encode_number(signed.number)),
                (rows.edition(), record::encode_number(signed.edition)),
                (rows.restored(), record::encode_number(signed.restored)),
                (
                    rows.settled(),
                    record::encode_numbered(signed.settled.life, &signed.settled.generation),
                ),
            ],
            ..Transaction::default()
        };
        // From here on the row may be written, even if nobody waits for the answer.
        let before = superseding
            .as_mut()
            .and_then(|superseding| superseding.before.take());
        match self.rows.transact(row).await {
            Outcome::Committed => {}
            Outcome::Unknown(e) => return Err(e.into()),
            failed => {
                if let Some(superseding) = &mut superseding {
                    superseding.before = before;
                }
                return Err(Refusal::Storage(match failed {
                    Outcome::Failed(e) => e.to_string(),
                    _ => "another process wrote at the same time".to_owned(),
                }));
            }
        }
        if stored > 0 && stored != signed.number {
            // An old manifest that stays does no harm.
            let _ = self.objects.delete(vec![path(stored)]).await;
        }
        Ok(cosigned(signed.restored))
    }

    /// The newest manifest of the log with this origin hash.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub async fn manifest(&self, hash: &str) -> Result<Option<Bytes>, StoreError> {
        if !self.logs.iter().any(|key| origin_hash(key.name()) == hash) {
            return Ok(None);
        }
        let rows = Rows(hash.to_owned());
        let mut before = None;
        loop {
            let Some(row) = self.rows.get(&rows.manifest()).await? else {
                return Ok(None);
            };
            let number =
                record::decode_number(&row).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let path = format!("manifest/{hash}/{number:020}");
            let found = self.objects.get(&path).await?;
            // A missing manifest was replaced meanwhile, unless the row still names it.
            if found.is_some() || before.replace(number) == Some(number) {
                return Ok(found);
            }
        }
    }
}
