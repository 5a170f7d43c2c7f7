//! The order under faults ([`committers`]), and the rules of a slot, pure ([`rules`]).

mod committers;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tlog::Hash;

use super::answer::Mine;
use super::commit::Order;
use super::keys::Keys;
use super::place::Place;
use super::propose::propose;
use super::slot::{
    Action, Announcement, BatchRef, Control, Decision, ShardIdentity, Slot, Token, Tokens, Work,
};
use super::state::View;
use crate::order::chunk::UploadId;
use store::record;
use store::{Coordination, MemoryObjects};

fn decision(tokens: &Tokens, control: Control) -> Decision {
    let operation = tokens.make(1);
    Decision {
        operation,
        request: Hash([7; 32]),
        action: Action::Configure,
        actor: "test".into(),
        control,
        reason: None,
    }
}

fn identity(name: &str, tree_id: u64) -> ShardIdentity {
    ShardIdentity {
        name: name.into(),
        origin: format!("o/{name}"),
        tree_id,
        vkey: format!("key {name}"),
    }
}

fn open(tokens: &Tokens, base: u64, name: &str) -> Decision {
    let plan = vec![identity(name, base + 1)];
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

fn batch(tokens: &Tokens, text: &str) -> Mine {
    let mut bytes = Vec::new();
    tlog::bundle::push(&mut bytes, text.as_bytes());
    let bytes = Bytes::from(bytes);
    let work = Work::Batch(BatchRef {
        token: tokens.make(1),
        entries: 1,
        digest: record::digest(&bytes),
        object: false,
        shard: None,
        place: None,
    });
    Mine::fresh(work, bytes)
}

fn control(decision: Decision) -> Mine {
    Mine::fresh(Work::Control(decision), Bytes::new())
}

fn committer(store: Arc<dyn Coordination>) -> Order {
    Order::alone("t", (store, Arc::new(MemoryObjects::new()))).0
}

/// The slots of a store, replayed.
fn replay(rows: &BTreeMap<String, Bytes>) -> (Vec<Slot>, View) {
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

fn times(slots: &[Slot], token: Token) -> usize {
    slots
        .iter()
        .flat_map(Slot::tokens)
        .filter(|t| *t == token)
        .count()
}

fn with(mut mine: Mine, change: impl Fn(&mut BatchRef)) -> Mine {
    if let Work::Batch(batch) = &mut mine.work {
        change(batch);
    }
    mine
}

fn upload(offset: u64) -> Place {
    Place::Upload {
        id: UploadId([5; 16]),
        offset,
    }
}

fn opened(tokens: &Tokens) -> View {
    let mut view = View::default();
    step(&mut view, &[Work::Control(open(tokens, 0, "a"))], &[]);
    view
}

fn step(view: &mut View, mine: &[Work], bag: &[Announcement]) -> Slot {
    let slot = propose(view, bag, mine, 5).unwrap();
    let digest = record::digest(&record::encode(&slot));
    view.advance(Arc::new(slot.clone()), digest).unwrap();
    slot
}
