//! The rows of the restored log, its name last of all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tlog::{Hash, TreeSize, UnixMillis};

use crate::control::import::{self, Beside, Free};
use crate::document;
use crate::ledger::snapshot;
use crate::life::Life;
use crate::position::{Position, Storage};
use crate::restore::believed::Believed;
use crate::restore::{Restore, RestoreError};
use crate::shard::Published;
use order::keys::{Keys, LOGS, RESTORING};
use order::slot::{Action, Control, Decision, Slot};
use order::state::State;
use order::token::Token;
use store::record;
use store::{Guard, Key, Outcome, StoreError, Transaction};

impl Restore {
    /// The rows that a server opens: a snapshot with nothing before it, and the positions.
    pub(crate) async fn write(
        &self,
        believed: &Believed,
        state: &State,
        positions: &[(String, TreeSize, Hash)],
        life: &Life,
        before: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<(), RestoreError> {
        let manifest = &believed.manifest;
        let keys = Keys::new(&manifest.log);
        let decode = |what: &str, text: &str| {
            STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|e| RestoreError::Contradiction(format!("{what}: {e}")))
        };
        let base = manifest.joint.first();
        let base = base.map_or(state.generation, |of| of.generation);
        // A later change can roll back to the restored generation, and the history continues from there.
        let operation = self.ambient.random.bytes().map_err(StoreError::from)?;
        let operation = Token::from_bytes(operation);
        let slot = Slot {
            format: 1,
            number: state.len.back(1),
            start: state.size,
            time: state.time,
            previous: Hash([0; 32]),
            batches: Vec::new(),
            control: Some(Decision {
                operation,
                request: state.document,
                action: Action::Configure,
                actor: "restore".to_owned(),
                control: Control::Reconfigure {
                    base: state.generation.before(),
                    document: state.document,
                    plan: Vec::new(),
                    open: None,
                },
                reason: Some(format!(
                    "restored from its secondaries with {} entries",
                    state.size
                )),
            }),
        };
        let mut last = vec![
            (keys.history_item(slot.number), record::encode(&slot)),
            (
                keys.generation(state.generation),
                record::encode_number(slot.number.get()),
            ),
            (
                keys.operation(operation),
                record::encode_number(slot.number.get()),
            ),
            (keys.handover(), record::encode_numbered(base.get(), &base)),
            (keys.life(), record::encode(life)),
            (keys.floor(), record::encode_number(state.len.get())),
            (keys.restored(), record::encode_number(life.id)),
        ];
        last.extend(snapshot::rows(&keys, state));
        let stored = manifest.document.clone().into_bytes();
        let limit = self.coordination.value_limit();
        let mut puts = document::rows(&keys, limit, &state.document, stored);
        for of in &manifest.joint {
            let key = keys.inherited_membership(of.generation);
            puts.push((key, record::encode(of)));
        }
        puts.extend(snapshot::frozen_rows(&keys, state, 0));
        // A new disk in place of one that counted is not the first one of its secondary, here either.
        for one in believed.storages() {
            let row = Storage {
                incarnation: one.incarnation.clone(),
                vkey: one.vkey.clone(),
                whole: one.whole,
            };
            let key = keys.storage(&one.secondary);
            puts.push((key, record::encode_numbered(one.number, &row)));
        }
        puts.push((
            keys.replication(),
            decode("the replication key", &manifest.replication)?,
        ));
        for (id, sealed) in &manifest.keys {
            puts.push((keys.signing_key(*id), decode("a signing key", sealed)?));
        }
        for (shard, size, root) in positions {
            let (size, root) = (*size, *root);
            let cut = Position {
                size,
                root,
                slots: state.len,
            };
            let published = Published {
                size,
                root,
                time: UnixMillis::new(self.ambient.time.now_ms()),
            };
            puts.push((keys.root(shard, size), record::encode(&root)));
            puts.push((
                keys.integrated(shard),
                record::encode_numbered(size.get(), &cut),
            ));
            puts.push((
                keys.published(shard),
                record::encode_numbered(size.get(), &published),
            ));
        }
        // No server opens the log before its name is there, so most rows may come in several transactions.
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            let some = puts.by_ref().take(snapshot::ROWS).collect();
            let put = Transaction {
                puts: some,
                ..Transaction::default()
            };
            self.transact(&manifest.log, put).await?;
        }
        before(&manifest.log).map_err(RestoreError::Last)?;
        let log = format!("{LOGS}{}", manifest.log);
        last.push((log.clone(), record::encode(&manifest.log)));
        let free = self.no_import(&manifest.log).await?;
        let mut there = Transaction {
            guards: free.guards,
            puts: last,
            deletes: free.deletes,
        };
        there.guards.push(Guard::Absent(log));
        there.deletes.push(format!("{RESTORING}{}", manifest.log));
        self.transact(&manifest.log, there).await
    }

    /// Notes that the log's rows and objects are those of an unfinished restore, and removes what an earlier one left: to a server, an entry beyond
    /// its order would be evidence of an older store. Rows and objects that no restore has written are not touched, because they may be all that is
    /// left of a log.
    pub(crate) async fn begin(&self, log: &str) -> Result<(), RestoreError> {
        let note = format!("{RESTORING}{log}");
        let begun = self.coordination.get(&note).await?.is_some();
        // While a restore is noted, no import begins.
        let free = self.no_import(log).await?;
        let mut left = self.objects.list(&format!("{log}/")).await?;
        if let Some(first) = left.first().filter(|_| !begun) {
            return Err(RestoreError::Occupied(first.clone()));
        }
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(snapshot::ROWS));
            self.objects
                .delete(std::mem::replace(&mut left, rest))
                .await?;
        }
        let prefix = Keys::new(log).all();
        loop {
            let rows = self.coordination.scan(&prefix, &prefix, snapshot::ROWS);
            let deletes: Vec<Key> = rows.await?.into_iter().map(|(key, _)| key).collect();
            if deletes.is_empty() {
                break;
            }
            if !begun {
                return Err(RestoreError::Exists(log.to_owned()));
            }
            let remove = Transaction {
                deletes,
                ..Transaction::default()
            };
            self.transact(log, remove).await?;
        }
        let put = Transaction {
            guards: free.guards,
            puts: vec![(note, record::encode(&log))],
            ..Transaction::default()
        };
        self.transact(log, put).await
    }

    /// Refuses a restore beside an import: each would remove what the other writes.
    async fn no_import(&self, log: &str) -> Result<Free, RestoreError> {
        let now = || Ok(UnixMillis::new(self.ambient.time.now_ms()));
        match import::beside(&*self.coordination, log, now).await? {
            Beside::Nothing(free) => Ok(free),
            Beside::Import => Err(RestoreError::Importing(log.to_owned())),
            Beside::Standstill(seconds) => Err(RestoreError::Dropping {
                log: log.to_owned(),
                seconds,
            }),
        }
    }

    async fn transact(&self, log: &str, transaction: Transaction) -> Result<(), RestoreError> {
        match self.coordination.transact(transaction).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused => Err(RestoreError::Exists(log.to_owned())),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e.into()),
        }
    }
}
