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

/// A restore under way. Its number distinguishes it from other restores of the same log into the same stores. Only the newest one may write.
pub(crate) struct Begun {
    pub(super) log: String,
    edition: u64,
    /// Whether a restore was begun before, so that the rows and objects that exist are those of a restore.
    again: bool,
}

impl Begun {
    fn note(&self) -> Key {
        format!("{RESTORING}{}", self.log)
    }

    fn name(&self) -> Key {
        format!("{LOGS}{}", self.log)
    }

    /// Guards for the writes of this restore: they refuse a transaction once another restore has begun, or the log is made.
    fn guards(&self) -> Vec<Guard> {
        vec![
            Guard::Present(self.note()),
            Guard::AtMost(self.note(), self.edition),
            Guard::Absent(self.name()),
        ]
    }
}

impl Restore {
    /// The rows that a server opens: a snapshot with nothing before it, and the positions.
    pub(crate) async fn write(
        &self,
        begun: &Begun,
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
        // Here, too, a new disk in place of one that counted is not the first one of its secondary.
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
                guards: begun.guards(),
                puts: some,
                ..Transaction::default()
            };
            self.transact(&manifest.log, put).await?;
        }
        before(&manifest.log).map_err(RestoreError::Last)?;
        last.push((begun.name(), record::encode(&manifest.log)));
        let free = self.no_import(&manifest.log).await?;
        let mut there = Transaction {
            guards: free.guards,
            puts: last,
            deletes: free.deletes,
        };
        there.guards.extend(begun.guards());
        there.deletes.push(begun.note());
        self.transact(&manifest.log, there).await
    }

    /// The next restore of a log into these stores.
    pub(crate) async fn next(&self, log: &str) -> Result<Begun, RestoreError> {
        let mut begun = Begun {
            log: log.to_owned(),
            edition: 1,
            again: false,
        };
        if let Some(row) = self.coordination.get(&begun.note()).await? {
            // A guard reads what an older version wrote as a number, too.
            let before = record::decode_number(&row)
                .map_err(|e| StoreError::Corrupt(format!("{}: {e}", begun.note())))?;
            (begun.edition, begun.again) = (before.saturating_add(1), true);
        }
        Ok(begun)
    }

    /// Notes that the log's rows and objects are those of an unfinished restore, and removes what an earlier one left: to a server, an entry beyond
    /// its order would be evidence of an older store. Rows and objects that no restore has written are not touched, because they may be all that is
    /// left of a log. An earlier restore that was only suspended changes nothing from then on.
    pub(crate) async fn begin(&self, begun: &Begun) -> Result<(), RestoreError> {
        let log = &begun.log;
        // While a restore is noted, no import begins.
        let free = self.no_import(log).await?;
        let objects = format!("{log}/");
        let there = self.objects.list(&objects).await?;
        if let Some(first) = there.first().filter(|_| !begun.again) {
            return Err(RestoreError::Occupied(first.clone()));
        }
        let prefix = Keys::new(log).all();
        let rows = self.coordination.scan(&prefix, &prefix, 1).await?;
        if !rows.is_empty() && !begun.again {
            return Err(RestoreError::Exists(log.to_owned()));
        }
        let mut put = Transaction {
            guards: free.guards,
            puts: vec![(begun.note(), record::encode_numbered(begun.edition, log))],
            ..Transaction::default()
        };
        put.guards
            .push(Guard::AtMost(begun.note(), begun.edition - 1));
        put.guards.push(Guard::Absent(begun.name()));
        self.transact(log, put).await?;
        // An earlier restore may have written more until now.
        let there = self.objects.list(&objects).await?;
        for left in there.chunks(snapshot::ROWS) {
            self.still(begun).await?;
            self.objects.delete(left.to_vec()).await?;
        }
        loop {
            let rows = self.coordination.scan(&prefix, &prefix, snapshot::ROWS);
            let deletes: Vec<Key> = rows.await?.into_iter().map(|(key, _)| key).collect();
            if deletes.is_empty() {
                return Ok(());
            }
            let remove = Transaction {
                guards: begun.guards(),
                deletes,
                ..Transaction::default()
            };
            self.transact(log, remove).await?;
        }
    }

    /// Refuses to continue where another restore has begun since, or has made the log. Asked before objects are written or deleted, which no
    /// transaction guards.
    pub(super) async fn still(&self, begun: &Begun) -> Result<(), RestoreError> {
        let row = self.coordination.get(&begun.note()).await?;
        let edition = row.and_then(|row| record::decode_number(&row).ok());
        match edition == Some(begun.edition) {
            true => Ok(()),
            false => Err(RestoreError::Exists(begun.log.clone())),
        }
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
