//! Asks the secondaries for the checkpoints that each has cosigned.

use std::collections::BTreeMap;

use bytes::Bytes;
use tlog::mirror::origin_hash;
use tlog::{Checkpoint, CosignerKey, Note, Signer};

use crate::restore::believed::Believed;
use crate::restore::source::{Discounted, Source};
use crate::restore::{Restore, RestoreError};
use crate::running::eras::Membership;
use mirror::COSIGNED;

impl Restore {
    /// The newest checkpoint that a secondary has cosigned; a third-party mirror serves only that one.
    async fn newest(
        &self,
        url: &str,
        origin: &str,
        storage: Option<&str>,
    ) -> Result<Option<Bytes>, RestoreError> {
        const MOST: usize = 64 << 10;
        let hash = origin_hash(origin);
        for name in [COSIGNED, "checkpoint"] {
            let path = format!("{hash}/{name}");
            let found = self.get(url, &path, MOST, storage).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The checkpoints that each secondary has cosigned. A secondary that gives no checkpoint, or a wrong one, does not count for that
    /// shard.
    pub(super) async fn sources(
        &self,
        believed: &Believed,
        members: &[Membership],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Source>, RestoreError> {
        let log = self
            .replication(&believed.manifest)
            .map_err(RestoreError::Contradiction)?;
        let known: Vec<_> = members
            .iter()
            .rev()
            .flat_map(|of| &of.secondaries)
            .collect();
        let keys: Vec<(String, CosignerKey)> = known
            .iter()
            .filter_map(|one| Some((one.vkey.clone(), one.vkey.parse().ok()?)))
            .collect();
        let mut sources = Vec::new();
        for url in &self.from {
            let configured = known
                .iter()
                .find(|one| one.url.trim_end_matches('/') == url.trim_end_matches('/'));
            let answered = believed.answered.get(url).cloned().unwrap_or_default();
            // A later life was announced to enough other secondaries before it could sign, so what only this one has was never published.
            let by_earlier_life = answered
                .settled
                .is_some_and(|settled| settled.life < believed.settled.0);
            let mut source = Source {
                url: url.clone(),
                vkey: configured.map(|one| one.vkey.clone()),
                without_manifest: answered.without,
                incarnation: answered.storage,
                by_earlier_life,
                has: BTreeMap::new(),
                discounted: BTreeMap::new(),
                faults: BTreeMap::new(),
            };
            let state = &believed.manifest.state;
            for shard in state.shards.iter().filter(|s| s.start().is_some()) {
                let (name, origin) = (&shard.identity.name, &shard.identity.origin);
                let got = match self
                    .newest(url, origin, source.incarnation.as_deref())
                    .await
                {
                    Ok(None) => continue,
                    Ok(Some(bytes)) => opened(&bytes, origin, &log, &keys),
                    Err(e) => Err(e.to_string()),
                };
                match got {
                    Ok((checkpoint, vkey)) => {
                        source.vkey = Some(vkey);
                        source.has.insert(name.clone(), checkpoint);
                    }
                    Err(why) => {
                        warnings.push(format!(
                            "{url} is left out for shard {name}: its checkpoint: {why}"
                        ));
                        let why = Discounted::Checkpoint(why);
                        source.discounted.insert(name.clone(), why);
                    }
                }
            }
            sources.push(source);
        }
        Ok(sources)
    }
}

/// A mirror checkpoint: signed by the log's replication key, cosigned by a configured secondary; returned with that secondary's key.
fn opened(
    bytes: &[u8],
    origin: &str,
    log: &Signer,
    keys: &[(String, CosignerKey)],
) -> Result<(Checkpoint, String), String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let note = Note::parse(text).map_err(|e| e.to_string())?;
    note.verify(&[log.verifier()]).map_err(|e| e.to_string())?;
    let checkpoint = Checkpoint::parse(note.text).map_err(|e| e.to_string())?;
    if checkpoint.origin != origin {
        return Err(format!("its origin is {}", checkpoint.origin));
    }
    for (vkey, key) in keys {
        if key.find(&note).map_err(|e| e.to_string())?.is_some() {
            return Ok((checkpoint, vkey.clone()));
        }
    }
    Err("no configured secondary has cosigned it".to_owned())
}
