//! The limit on unpublished work counts the memory that the work really takes: measured on a process of its own.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use order::SlotNumber;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::pending::Pending;
use order::slot::{BatchRef, Slot};
use order::state::State;
use order::token::Tokens;
use tlog::{GlobalIndex, Hash, UnixMillis};

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Entries of one byte, each ordered alone: the worst that a writer can do.
#[test]
fn the_smallest_entries_are_counted_with_what_they_take() {
    const SLOTS: u64 = 50_000;
    let (pending, [mut fetch, mut publisher]) = Pending::new();
    let tokens = Tokens::new([1; 6]);
    let (mut state, mut kept) = (State::default(), VecDeque::new());
    let before = resident();
    for number in 0..SLOTS {
        let mut bytes = BytesMut::with_capacity(3);
        bytes.extend_from_slice(&[0, 1, 7]);
        let batch = BatchRef {
            token: tokens.make(UnixMillis::new(number)),
            entries: 1,
            digest: Hash([0; 32]),
            object: false,
            shard: None,
            location: None,
        };
        let slot = Slot {
            format: 1,
            number: SlotNumber::new(number),
            start: GlobalIndex::new(number),
            time: UnixMillis::ZERO,
            previous: Hash([0; 32]),
            batches: vec![batch],
            control: None,
        };
        state.len += 1;
        pending.hold(&slot, vec![Some(bytes.freeze())]);
        pending.hand_on(&(Arc::new(slot), Arc::new(state.clone())));
        // As they run: the integrator is through with it, the publisher waits for its quorum.
        fetch.try_recv().unwrap();
        kept.push_back(publisher.try_recv().unwrap());
    }
    let (grown, counted) = (resident() - before, pending.memory());
    assert_eq!(pending.bytes(), 3 * SLOTS as usize);
    assert!(counted >= grown, "{counted} counted, {grown} taken");
    assert!(counted <= 2 * grown, "{counted} counted, {grown} taken");
    pending.release(GlobalIndex::new(SLOTS));
    assert_eq!((pending.bytes(), pending.memory()), (0, 0));
    drop((kept, Bytes::new()));
}
