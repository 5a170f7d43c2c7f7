//! Imports of another Rekor's shards: from the wire to the engine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{ImportedSoFar, OldEntry, OldShard};
use logconfig::LogName;
use server_admin::{Caller, HostError, ImportStep, Mode};
use wire::{Finding, ImportProgress, ImportedShard};

use super::{EngineHost, convert};

impl EngineHost {
    /// Makes a step of an import. A drop answers the shards that there were: one without shards, if there was no import.
    pub(super) async fn imported(
        &self,
        log: &str,
        step: ImportStep,
        caller: Caller,
    ) -> Result<ImportProgress, HostError> {
        let name: LogName = log.parse().map_err(|error| {
            invalid(
                "/log",
                format!("{log} cannot be the name of a log: {error}"),
            )
        })?;
        let shards = match step {
            ImportStep::Begin(request, mode) => {
                let shards = request.shards.iter().enumerate();
                let shards = shards.map(|(at, shard)| {
                    Ok(OldShard {
                        tree_id: tree(&format!("/shards/{at}/treeId"), &shard.tree_id)?,
                        key: bytes(&format!("/shards/{at}/publicKey"), &shard.public_key)?,
                        note: shard.signed_tree_head.clone(),
                    })
                });
                let shards = shards.collect::<Result<Vec<_>, HostError>>()?;
                let document = request.config.as_ref();
                match mode {
                    Mode::Preview => self.audited.preview_import(&name, &shards, document).await,
                    Mode::Apply => {
                        self.audited
                            .begin_import(&name, &shards, document, caller.actor)
                            .await
                    }
                }
            }
            ImportStep::Add(page) => {
                let tree = tree("/treeId", &page.tree_id)?;
                let entries = page.entries.iter().enumerate();
                let entries = entries.map(|(at, entry)| {
                    let at = |field: &str| format!("/entries/{at}/{field}");
                    let signature = &entry.signed_entry_timestamp;
                    Ok(OldEntry {
                        leaf: bytes(&at("body"), &entry.body)?.into(),
                        seconds: entry.integrated_time,
                        timestamp: bytes(&at("signedEntryTimestamp"), signature)?,
                    })
                });
                let entries = entries.collect::<Result<Vec<_>, HostError>>()?;
                self.audited
                    .add_to_import(&name, tree, page.from, entries)
                    .await
            }
            ImportStep::Drop => {
                let dropped = self.audited.drop_import(&name, caller.actor).await;
                let gone = ImportedSoFar {
                    tree_id: 0,
                    size: tlog::TreeSize::ZERO,
                    imported: tlog::TreeSize::ZERO,
                };
                dropped.map(|dropped| if dropped { vec![gone] } else { Vec::new() })
            }
            other => {
                let what = format!("not a step that this server knows: {other:?}");
                return Err(HostError::Internal(what));
            }
        };
        let shards = shards.map_err(convert::change_error)?;
        let shards = shards.into_iter().map(|shard| ImportedShard {
            tree_id: shard.tree_id.to_string(),
            size: shard.size,
            imported: shard.imported,
        });
        Ok(ImportProgress {
            log: log.to_owned(),
            shards: shards.collect(),
        })
    }
}

fn tree(pointer: &str, text: &str) -> Result<u64, HostError> {
    let number = text.parse();
    number.map_err(|_| invalid(pointer, format!("{text} is not the number of a tree")))
}

fn bytes(pointer: &str, text: &str) -> Result<Vec<u8>, HostError> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|error| invalid(pointer, format!("not base64: {error}")))
}

fn invalid(pointer: &str, message: String) -> HostError {
    HostError::Invalid(vec![Finding {
        code: "unexpected-value".to_owned(),
        message,
        pointer: pointer.to_owned(),
        line: None,
        column: None,
        hint: None,
    }])
}
