//! The manifest: everything beside the entries that a restore needs, sent before the first entry of what it describes.
//!
//! What must never happen: a secondary counts as told by a manifest that it no longer has. Its disk may be replaced by an older copy with
//! the same entries, so it is asked for the manifest from time to time.

use order::{Generation, SlotNumber};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tlog::mirror::{SIZE_TYPE, origin_hash};
use tokio::time::Instant;

use crate::document;
use crate::position;
use crate::position::{Described, Vouched};
use crate::publish::sign_guard;
use crate::publish::sign_guard::SignGuard;
use crate::replicate::manifest::Manifest;
use crate::replicate::{Copier, CopyError, PROBED_AFTER, SHORT};
use crate::running::eras::Membership;
use mirror::{MAX_MANIFEST, PeerRequest, Settled, SignedManifest};
use order::keys::trailing_number;
use order::state::{Intake, Shard, State};
use store::record;
use store::{Guard, Outcome, StoreError, Transaction};
use tlog::{GlobalIndex, TreeSize};

/// Sealed keys read at a time.
const KEYS: usize = 512;
/// Bytes per second that asking for a manifest may cost. A manifest longer than this times [`PROBED_AFTER`] is asked for less often.
const ASKED_RATE: usize = 64 << 10;

/// The contents of a manifest. Another one is sent when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    generation: Generation,
    shards: Arc<Vec<Shard>>,
    /// The first generation whose secondaries it lists.
    base: Generation,
    /// Which storages it vouches for.
    vouched: Vec<Vouched>,
    /// What the life of the log has settled.
    settled: Settled,
    /// Closed shards that may be longer elsewhere.
    lowered: BTreeMap<String, TreeSize>,
    /// Whether the log takes entries, and is deleted.
    intake: (Intake, bool),
    /// Up to which size its shards may have signed other roots.
    forks: Option<GlobalIndex>,
    /// The storage that has it.
    incarnation: String,
    /// If it was refused because another server of this log had sent a newer one: the number of slots at that time. The newer one may know less of
    /// what changes without a slot, so this server sends its own again once the log has made progress.
    refused: Option<SlotNumber>,
    /// How it is ordered among other manifests: the secondary never goes back to an older one. `None` if the secondary keeps no manifests.
    age: Option<(u64, u64, u64)>,
    /// How many bytes the answer has when the secondary is asked for it.
    length: usize,
    /// When it was sent, or asked for.
    seen_at: Instant,
    /// Whether the secondary has answered as if it had an older one: then it is asked at the next pass.
    doubted: bool,
}

impl Sent {
    /// How long until the secondary is asked for it.
    pub(crate) fn asked_in(&self) -> Duration {
        if self.doubted {
            return Duration::ZERO;
        }
        let rest = Duration::from_secs((self.length / ASKED_RATE) as u64).max(PROBED_AFTER);
        rest.saturating_sub(self.seen_at.elapsed())
    }

    fn asked(&mut self) {
        (self.seen_at, self.doubted) = (Instant::now(), false);
    }

    /// Has the secondary asked at the next pass: what it answered does not fit the manifest that it was sent.
    pub(crate) fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Whether both have the same contents. States share their list of shards until it changes, so this does not compare thousands of shards each
    /// time.
    fn same(&self, other: &Self) -> bool {
        let Self {
            generation,
            shards,
            base,
            vouched,
            settled,
            lowered,
            intake,
            forks,
            incarnation,
            refused: _,
            age: _,
            length: _,
            seen_at: _,
            doubted: _,
        } = self;
        (generation, base, incarnation) == (&other.generation, &other.base, &other.incarnation)
            && (vouched, settled, lowered) == (&other.vouched, &other.settled, &other.lowered)
            && (intake, forks) == (&other.intake, &other.forks)
            && (Arc::ptr_eq(shards, &other.shards) || *shards == other.shards)
    }
}

impl Copier {
    /// Sends what a restore needs beside the entries, before the first entry that it describes.
    pub(crate) async fn send_manifest(&mut self, state: &State) -> Result<(), CopyError> {
        let guard = Arc::clone(&self.guard);
        guard.running.update_eras().await?;
        let eras = guard.running.eras.load_full();
        let members = eras.members();
        let (mut vouched, (store, keys)) = (Vec::new(), (&*guard.ledger.store, &guard.ledger.keys));
        // Both only grow, so of two manifests after the same slot it is known which one is newer.
        let mut edition = members.first().map_or(0, |base| base.generation.get());
        for one in position::storages(store, keys).await? {
            edition += one.number;
            if eras.names(&one.secondary, &one.vkey) {
                vouched.push(one);
            }
        }
        let life = guard.life.known().await?;
        let stamp = guard.life.stamp(state, state.generation, edition).await?;
        let mut of = Sent {
            generation: state.generation,
            shards: Arc::clone(&state.shards),
            base: members
                .first()
                .map_or(Generation::ZERO, |base| base.generation),
            vouched,
            settled: stamp.settled,
            lowered: guard.life.lowered(state).await?,
            intake: (state.intake, state.deleted),
            forks: life.and_then(|life| life.forks(state)),
            incarnation: self.assumed.incarnation().unwrap_or_default().to_owned(),
            refused: None,
            age: None,
            length: 0,
            seen_at: Instant::now(),
            doubted: false,
        };
        let again = |sent: &Sent| sent.refused.is_some_and(|at| at < state.len);
        let sent = self.assumed.manifest.as_ref().filter(|sent| !again(sent));
        if sent.is_some_and(|sent| sent.same(&of)) {
            return Ok(());
        }
        let manifest = manifest(&guard, state, members, &of).await?;
        let signer = guard.keyring.replication().await?;
        let bytes = manifest
            .sign(&guard.keyring.kek, signer, stamp, &guard.ledger.random)
            .map_err(|e| CopyError::Refused(e.to_string()))?;
        (of.age, of.length) = (
            Some((stamp.restored, state.len.get(), stamp.edition)),
            bytes.len(),
        );
        let answer = self
            .post("manifest", "application/octet-stream", bytes.into(), SHORT)
            .await?;
        match answer.status {
            200 => {
                let heard = answer.life.map_or(0, |life| life.id);
                let row = Described {
                    incarnation: self.assumed.incarnation().unwrap_or_default().to_owned(),
                    vkey: self.vkey.clone(),
                    generation: state.generation,
                    life: heard,
                    unsettled: !stamp.may_sign(),
                };
                self.record_manifest(state.len.get(), row).await?;
            }
            // The secondary accepts another life of this log.
            409 if let Some(there) = answer.life => {
                let told = position::manifest(store, keys, &self.name).await?;
                let told = told.filter(|told| {
                    Some(&*told.incarnation) == self.assumed.incarnation() && told.vkey == self.vkey
                });
                if told.is_some_and(|told| told.life > there.id) {
                    return Err(self
                        .set_back("it no longer accepts the life of the log that it had accepted")
                        .await?);
                }
                if there.entries <= stamp.entries {
                    // If enough other secondaries accept this life, this one will accept it later.
                    return Err(CopyError::Refused(format!(
                        "it knows a later state of this log than the one that this copy was restored from: another copy of the log has sealed a shard or changed the secondaries since. If that copy still runs, stop this server and keep the other one. Otherwise restore the log again into a new folder, and name secondary {} with --from; see \"Restore a lost primary\" in docs/operations.md",
                        self.name
                    )));
                }
                let why = format!(
                    "secondary {} has verified {} entries of this log, which was restored with {}",
                    self.name, there.entries, stamp.entries
                );
                // The life that settled this state was restored with everything that earlier lives had signed.
                if guard.life.is_announced()
                    || sign_guard::settled_there(&guard, &self.url).await?.life < stamp.settled.life
                {
                    return Err(CopyError::Refused(format!(
                        "{why}: another copy of the log may have published the additional entries. Keep the folder of this secondary, and read \"Restore a lost primary\" in docs/operations.md before you do anything else"
                    )));
                }
                return Err(CopyError::Superseded(format!(
                    "{why}: another copy of the log has continued, and this one signs nothing. Stop this server, make sure that the other copy is stopped too, and restore the log again into a new folder, naming this secondary with --from; see \"Restore a lost primary\" in docs/operations.md"
                )));
            }
            // A third-party mirror keeps no manifests. A proxy in front of a secondary says nothing about it.
            404 | 405 if answer.incarnation.is_none() && self.assumed.gave(&answer) => {
                of.age = None;
            }
            // Another replica of this log was faster; or the log continues elsewhere, and this store is an older one.
            409 if answer.kind.starts_with(SIZE_TYPE) => {
                sign_guard::outdated(&guard, &self.name, &self.url).await?;
                of.refused = Some(state.len);
            }
            _ => return Err(self.refused("the manifest", &answer)),
        }
        of.incarnation = self.assumed.incarnation().unwrap_or_default().to_owned();
        self.assumed.manifest = Some(of);
        Ok(())
    }

    /// Asks the secondary, when it is time, whether it still has the manifest that it was sent, or a newer one. If it has an older one, its rows are
    /// set back. Returns the reason if there was no answer, so that copying continues meanwhile.
    pub(crate) async fn check_manifest(&mut self) -> Result<Option<CopyError>, CopyError> {
        let sent = self.assumed.manifest.as_mut();
        let Some(sent) = sent.filter(|sent| sent.asked_in().is_zero()) else {
            return Ok(None);
        };
        let Some(age) = sent.age else {
            sent.asked();
            return Ok(None);
        };
        let guard = Arc::clone(&self.guard);
        let key = guard.keyring.replication().await?.verifier();
        let request = PeerRequest {
            url: format!("{}/manifest/{}", self.url, origin_hash(key.name())),
            body: None,
            timeout: SHORT,
            most: MAX_MANIFEST,
            life: None,
        };
        let answer = guard.peers.client.send(request).await;
        // Counted from the end of a slow answer, so that the time until the next question belongs to the entries.
        if let Some(sent) = self.assumed.manifest.as_mut() {
            sent.asked();
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Some(error.into())),
        };
        // An answer of a proxy on the way says nothing about the secondary. Another storage is noticed when something is sent to it.
        if answer.incarnation.as_deref() != self.assumed.incarnation()
            || !matches!(answer.status, 200 | 404)
        {
            return Ok(None);
        }
        let kept = SignedManifest::parse(&answer.body).ok();
        let kept = kept.filter(|kept| answer.status == 200 && kept.verify(key).is_ok());
        if kept.is_some_and(|kept| kept.age() >= age) {
            return Ok(None);
        }
        Err(self
            .set_back("it has an older manifest than the one that it had accepted")
            .await?)
    }

    /// Records the manifest that the secondary holds; `number` is that of the manifest. Records nothing if the storage turned out meanwhile to be
    /// another one, or an older copy of itself, which does not hold it.
    async fn record_manifest(&self, number: u64, row: Described) -> Result<(), CopyError> {
        let guard = &self.guard;
        let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
        let known = self.assumed.row().unwrap_or_default();
        if row.unsettled
            && let Some(there) = position::manifest(store, keys, &self.name).await?
            && there
                == (Described {
                    unsettled: false,
                    ..row.clone()
                })
        {
            // Another process knew earlier that the life may sign, and has already sent the same manifest.
            return Ok(());
        }
        let key = keys.manifest(&self.name);
        let transaction = Transaction {
            guards: vec![
                Guard::AtMost(key.clone(), number),
                position::unmoved(keys, &self.name, known),
            ],
            puts: vec![(key, record::encode_numbered(number, &row))],
            ..Transaction::default()
        };
        match store.transact(transaction).await {
            Outcome::Committed => {}
            // Another replica of this log has written a later one, or something about the storage.
            Outcome::Refused => {
                let (number, _) = position::storage(store, keys, &self.name).await?;
                if number != known {
                    return Err(self.contended());
                }
            }
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e.into()),
        }
        guard
            .running
            .progress
            .merged
            .send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Everything beside the entries that a restore needs.
async fn manifest(
    guard: &SignGuard,
    state: &State,
    members: &[Membership],
    of: &Sent,
) -> Result<Manifest, CopyError> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (store, keys) = (&*guard.ledger.store, &guard.ledger.keys);
    let missing = |key: &str| StoreError::Corrupt(format!("{key} is missing; run `logd fsck`"));
    let get = async |key: String| store.get(&key).await?.ok_or_else(|| missing(&key));
    let document = document::read(store, keys, &state.document).await?;
    let document = String::from_utf8(document.to_vec())
        .map_err(|e| StoreError::Corrupt(format!("the configuration: {e}")))?;
    let mut sealed = BTreeMap::new();
    let ids: HashSet<u64> = state.shards.iter().map(|s| s.identity.tree_id).collect();
    let (prefix, mut from) = (keys.signing_keys(), keys.signing_keys());
    loop {
        let page = store.scan(&prefix, &from, KEYS).await?;
        let full = page.len() == KEYS;
        for (key, row) in page {
            // There may also be keys of proposals that lost.
            if let Some(id) = trailing_number(&key).filter(|id| ids.contains(id)) {
                sealed.insert(id, STANDARD.encode(&row));
            }
            from = format!("{key}\0");
        }
        if !full {
            break;
        }
    }
    if let Some(lost) = ids.iter().find(|id| !sealed.contains_key(id)) {
        return Err(missing(&keys.signing_key(*lost)).into());
    }
    // This makes the key if there is none.
    guard.keyring.replication().await?;
    let now = members
        .iter()
        .rposition(|of| of.generation <= state.generation);
    Ok(Manifest {
        log: guard.ledger.name.clone(),
        state: state.clone(),
        forks: of.forks,
        joint: members[..now.unwrap_or(0)].to_vec(),
        document,
        vouched: of.vouched.clone(),
        lowered: of.lowered.clone(),
        keys: sealed,
        replication: STANDARD.encode(get(keys.replication()).await?),
    })
}
