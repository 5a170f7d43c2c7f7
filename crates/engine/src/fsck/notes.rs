//! Compares the notes that a shard's key has signed, checkpoint and seal, with what is published.

use tlog::{Checkpoint, Hash, Seal, TILE_WIDTH, TilePath, TreeSize, VerifierKey};

use crate::fsck::positions::Position;
use crate::fsck::shard::One;
use crate::fsck::{Findings, LogReport, remedy};
use crate::publish::sign_guard::judge;
use crate::publish::sign_guard::judge::{Found, FoundAt, Known, Verdict, judge};
use crate::publish::sign_guard::{Looked, classify};
use crate::shard::Published;
use crate::shard::signers::Verifiers;
use order::state::Phase;
use store::StoreError;
use store::record;

impl One<'_> {
    async fn read(&self, path: &str, findings: &mut Findings<'_>) -> Option<String> {
        match self.objects.get(path).await {
            Ok(bytes) => match String::from_utf8(bytes?.to_vec()) {
                Ok(text) => Some(text),
                Err(_) => {
                    findings.object(path, "is not text", remedy::CHECKPOINT);
                    None
                }
            },
            Err(error) => {
                findings.object(path, error, remedy::READ);
                None
            }
        }
    }

    pub(crate) async fn checkpoint(
        &self,
        folder: &str,
        keys: Option<&Verifiers>,
        published: Option<(TreeSize, Hash)>,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let path = format!("{folder}/checkpoint");
        let size = published.map_or(TreeSize::ZERO, |(size, _)| size);
        let Some(note) = self.read(&path, findings).await else {
            if published.is_some() && !findings.names(&path) {
                self.unfinished(folder, &path, "missing", findings, report)
                    .await;
            }
            return Ok(None);
        };
        let Some(keys) = keys else { return Ok(None) };
        let (found, looked) = classify(note.as_bytes(), keys);
        if let Found::Damaged { why } = &found {
            findings.object(path, why, remedy::CHECKPOINT);
            return Ok(None);
        }
        let source = FoundAt::Objects(path.clone());
        let mut known = Known {
            published,
            ..Known::default()
        };
        let mut verdict = judge(self.name(), &source, &found, &known);
        if matches!(verdict, Verdict::Halt(_)) {
            // A running server may have published more since.
            let row = self
                .store
                .get(&self.order.keys.published(self.name()))
                .await?;
            let row = row.and_then(|row| record::decode_numbered::<Published>(&row).ok());
            known.published = row.map(|(_, row)| (row.size, row.root)).or(published);
            verdict = judge(self.name(), &source, &found, &known);
        }
        if let Verdict::Halt(conflict) = verdict {
            findings.object(path, conflict.cause(), conflict.remedy());
            return Ok(None);
        }
        let Some(Looked { checkpoint, .. }) = looked else {
            if matches!(found, Found::Signed { .. }) {
                let why = "lacks the signature of one of the shard's keys";
                findings.object(path, why, remedy::CHECKPOINT);
            }
            return Ok(None);
        };
        if checkpoint.size < size.get() {
            let what = format!("covers {} of {size} published entries", checkpoint.size);
            self.unfinished(folder, &path, &what, findings, report)
                .await;
        }
        // A running server has published more since; its new roots were not read.
        if checkpoint.size > size.get() {
            return Ok(None);
        }
        Ok(Some(checkpoint))
    }

    /// Finds a full bundle with more entries than are ordered: then the coordination store is an older copy.
    pub(crate) async fn beyond(
        &self,
        folder: &str,
        findings: &mut Findings<'_>,
    ) -> Result<(), StoreError> {
        let Some(ordered) = self
            .order
            .state
            .length(self.shard)
            .filter(|_| self.order.whole)
        else {
            return Ok(());
        };
        let index = ordered.get() / TILE_WIDTH;
        let path = format!("{folder}/{}", TilePath::entries(index, 256));
        // An object that cannot be read is reported when the tree is checked.
        if !matches!(self.objects.get(&path).await, Ok(Some(_))) {
            return Ok(());
        }
        // A running server may have ordered more since.
        let next = self.order.keys.slot(self.order.state.len);
        if self.store.get(&next).await?.is_some() {
            return Ok(());
        }
        let found = Found::Bundle {
            end: TreeSize::new((index + 1) * TILE_WIDTH),
        };
        let known = Known {
            ordered,
            ..Known::default()
        };
        let source = FoundAt::Objects(path.clone());
        if let Verdict::Halt(conflict) = judge(self.name(), &source, &found, &known) {
            findings.object(path, conflict.cause(), conflict.remedy());
        }
        Ok(())
    }

    /// A crash can leave a checkpoint behind its position, and the next start signs again; but the seal is written last.
    async fn unfinished(
        &self,
        folder: &str,
        path: &str,
        what: &str,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) {
        if matches!(
            self.objects.get(&format!("{folder}/seal")).await,
            Ok(Some(_))
        ) {
            findings.object(
                path,
                format!("{what}, although the shard is sealed"),
                remedy::CHECKPOINT,
            );
        } else {
            report.unfinished.push(format!("{path}: {what}"));
        }
    }

    pub(crate) async fn seal(
        &self,
        folder: &str,
        key: Option<&VerifierKey>,
        position: Option<&Position>,
        checkpoint: Option<&Checkpoint>,
        findings: &mut Findings<'_>,
        report: &mut LogReport,
    ) -> Result<(), StoreError> {
        let path = format!("{folder}/seal");
        let Some(key) = key else { return Ok(()) };
        let size = position.map_or(TreeSize::ZERO, |position| position.at.size);
        let closed = match self.shard.phase {
            Phase::Frozen { length, .. } => Some(length),
            _ => None,
        };
        let Some(note) = self.read(&path, findings).await else {
            if position.is_some()
                && closed == Some(size)
                && self.next.is_some()
                && !findings.names(&path)
            {
                report.unfinished.push(format!("{path}: missing"));
            }
            return Ok(());
        };
        let seal = match Seal::open(&note, key) {
            Ok(seal) => seal,
            Err(error) => {
                findings.object(path, error, remedy::SEAL);
                return Ok(());
            }
        };
        // A running server may have rotated since the slots were read.
        let open = closed.is_none() || self.next.is_none();
        let moved = open
            && self
                .store
                .get(&self.order.keys.slot(self.order.state.len))
                .await?
                .is_some();
        if !self.order.whole || moved {
            return Ok(());
        }
        if closed.is_none() {
            let (has, only) = (
                format!("a seal of shard {} over {} entries", self.name(), seal.size),
                format!("has shard {} open", self.name()),
            );
            let conflict = judge::older(&FoundAt::Objects(path.clone()), &has, &only);
            findings.object(path, conflict.cause(), conflict.remedy());
            return Ok(());
        }
        let successor = self
            .next
            .map(|next| (next.identity.origin.as_str(), next.identity.vkey.as_str()));
        let vkey = seal.successor_key.to_string();
        // It may also have published the rest and sealed since the positions were read.
        let root = checkpoint
            .filter(|_| closed == Some(size))
            .map(|checkpoint| checkpoint.root);
        if closed != Some(TreeSize::new(seal.size)) || root.is_some_and(|root| root != seal.root) {
            findings.object(
                path,
                format!(
                    "seals {} entries under {}, which is not how the shard ended",
                    seal.size, seal.root
                ),
                remedy::CONFLICT,
            );
        } else if successor != Some((&seal.successor_origin, &vkey)) {
            findings.object(
                path,
                format!(
                    "names the successor {}, which is not the next shard",
                    seal.successor_origin
                ),
                remedy::CONFLICT,
            );
        }
        Ok(())
    }
}
