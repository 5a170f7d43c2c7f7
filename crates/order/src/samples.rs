//! Decisions, batches and slots for tests, here and in the engine.

#![expect(clippy::unwrap_used, reason = "tests only")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use store::record;
use tlog::{Hash, UnixMillis};

use crate::Generation;
use crate::chunk::UploadId;
use crate::keys::Keys;
use crate::location::Location;
use crate::proposal::Proposal;
use crate::propose::propose;
use crate::slot::{Action, BatchRef, Control, Decision, ShardIdentity, Slot};
use crate::token::{Token, Tokens};
use crate::view::View;
use crate::work::{Announcement, Work};

/// A decision of the operator `test`, with its own operation token.
pub fn decision(tokens: &Tokens, control: Control) -> Decision {
    let operation = tokens.make(UnixMillis::new(1));
    Decision {
        operation,
        request: Hash([7; 32]),
        action: Action::Configure,
        actor: "test".into(),
        control,
        reason: None,
    }
}

/// A shard of the origin `o`, with this tree identifier.
pub fn identity(name: &str, tree_id: u64) -> ShardIdentity {
    ShardIdentity {
        imported: None,
        name: name.into(),
        origin: format!("o/{name}"),
        tree_id,
        vkey: format!("key {name}"),
        ecdsa: None,
    }
}

/// A decision that configures over generation `base` and opens the shard.
pub fn open(tokens: &Tokens, base: Generation, name: &str) -> Decision {
    let plan = vec![identity(name, base.next().get())];
    decision(
        tokens,
        Control::Reconfigure {
            base,
            document: Hash([1; 32]),
            plan,
            open: Some(name.into()),
        },
    )
}

/// A batch of one entry, as its author has it.
pub fn batch(tokens: &Tokens, text: &str) -> Proposal {
    let mut bytes = Vec::new();
    tlog::bundle::push(&mut bytes, text.as_bytes());
    let bytes = Bytes::from(bytes);
    let work = Work::Batch(BatchRef {
        token: tokens.make(UnixMillis::new(1)),
        entries: 1,
        digest: record::digest(&bytes),
        object: false,
        shard: None,
        location: None,
    });
    Proposal::fresh(work, bytes)
}

/// A decision, as its author has it.
pub fn control(decision: Decision) -> Proposal {
    Proposal::fresh(Work::Control(decision), Bytes::new())
}

/// The slots of a store, replayed.
pub fn replay(rows: &BTreeMap<String, Bytes>) -> (Vec<Slot>, View) {
    let mut view = View::default();
    let mut slots = Vec::new();
    for (_, bytes) in rows
        .iter()
        .filter(|(key, _)| key.starts_with(&Keys::new("t").slots()))
    {
        let slot: Slot = record::decode(bytes).unwrap();
        view.advance(Arc::new(slot.clone()), record::digest(bytes))
            .unwrap();
        slots.push(slot);
    }
    (slots, view)
}

/// How many times the slots hold the token.
pub fn times(slots: &[Slot], token: Token) -> usize {
    slots
        .iter()
        .flat_map(Slot::tokens)
        .filter(|t| *t == token)
        .count()
}

/// The same work with another batch.
pub fn with(mut mine: Proposal, change: impl Fn(&mut BatchRef)) -> Proposal {
    if let Work::Batch(batch) = &mut mine.work {
        change(batch);
    }
    mine
}

/// A part of one upload, from this entry on.
pub fn upload(offset: u64) -> Location {
    Location::Upload {
        id: UploadId([5; 16]),
        offset,
    }
}

/// A view of a log with shard `a` open.
pub fn opened(tokens: &Tokens) -> View {
    let mut view = View::default();
    step(
        &mut view,
        &[Work::Control(open(tokens, Generation::ZERO, "a"))],
        &[],
    );
    view
}

/// Proposes the next slot from own work and bag, and decides it.
pub fn step(view: &mut View, mine: &[Work], bag: &[Announcement]) -> Slot {
    let slot = propose(view, bag, mine, UnixMillis::new(5)).unwrap();
    let digest = record::digest(&record::encode(&slot));
    view.advance(Arc::new(slot.clone()), digest).unwrap();
    slot
}
