//! Messages to witnesses and mirrors: what is written reads back, every cut is noticed, and there is one spelling.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::mirror::{
    AddCheckpoint, EntriesHead, MAX_TICKET, MessageError, MirrorInfo, Package, origin_hash,
    packages, push_proof, read_package,
};
use crate::{Hash, bundle};

fn hashes(most: usize) -> impl Strategy<Value = Vec<Hash>> {
    vec(any::<[u8; 32]>().prop_map(Hash), 0..=most)
}

#[test]
fn the_example_of_the_witness_specification() {
    let body = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} x AAAAAAA=\n";
    let read = AddCheckpoint::parse(body).unwrap();
    assert_eq!((read.old, read.proof.len()), (20_852_014, 1));
    assert!(
        read.checkpoint
            .starts_with("example.com/behind-the-sofa\n20852163\n")
    );
    assert_eq!(read.to_body(), body);
    for bad in [
        "",
        "old 1\n",
        "old 01\n\nx",
        "old -1\n\nx",
        "new 1\n\nx",
        "old 1\r\n\nx",
        "old 1\nabc\n\nx",
        " old 1\n\nx",
    ] {
        assert!(AddCheckpoint::parse(bad).is_err(), "{bad:?}");
    }
    let many = format!(
        "old 1\n{}\nx",
        "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(64)
    );
    assert_eq!(
        AddCheckpoint::parse(&many),
        Err(MessageError::TooLong("more than 63 hashes in the proof"))
    );
}

#[test]
fn the_folder_of_a_log() {
    // printf 'example.com/log' | sha256sum
    assert_eq!(
        origin_hash("example.com/log"),
        crate::Hash(<sha2::Sha256 as sha2::Digest>::digest("example.com/log").into()).to_string()
    );
    assert_eq!(origin_hash("").len(), 64);
}

#[test]
fn packages_are_aligned() {
    let of = |start, end| {
        packages(start, end)
            .map(|p| (p.base, p.start, p.end))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(0, 0), []);
    assert_eq!(of(7, 7), []);
    assert_eq!(of(3, 5), [(0, 3, 5)]);
    assert_eq!(
        of(200, 600),
        [(0, 200, 256), (256, 256, 512), (512, 512, 600)]
    );
    assert_eq!(of(256, 512), [(256, 256, 512)]);
    assert_eq!(
        Package::first(u64::MAX - 1, u64::MAX).map(|p| p.entries()),
        Some(1)
    );
}

proptest! {
    #[test]
    fn packages_cover_the_upload_once(start in 0..3000u64, length in 0..3000u64) {
        let (mut at, end) = (start, start + length);
        for package in packages(start, end) {
            prop_assert_eq!(package.start, at);
            prop_assert!(package.base % 256 == 0 && package.base <= at && at - package.base < 256);
            prop_assert!(package.end == end || package.end == package.base + 256);
            prop_assert!((1..=256).contains(&package.entries()));
            at = package.end;
        }
        prop_assert_eq!(at, end);
    }

    #[test]
    fn add_checkpoint_round_trips(old: u64, proof in hashes(63), checkpoint in "\\PC{0,40}(\\n\\n\\PC{0,20}\\n)?") {
        let message = AddCheckpoint { old, proof, checkpoint };
        prop_assert_eq!(AddCheckpoint::parse(&message.to_body()), Ok(message));
    }

    #[test]
    fn whatever_parses_is_the_one_spelling(text in "(old )?[0-9]{0,4}\\n(\\n)?[A-Za-z0-9+/=]{0,8}\\n[0-9]{0,3}\\n([A-Z]{4}\\n)?") {
        if let Ok(message) = AddCheckpoint::parse(&text) {
            prop_assert_eq!(message.to_body(), text.clone());
        }
        if let Ok(info) = MirrorInfo::parse(&text) {
            prop_assert_eq!(info.to_body(), text);
        }
    }

    #[test]
    fn mirror_info_round_trips(size: u64, next: u64, ticket in vec(any::<u8>(), 0..99)) {
        let info = MirrorInfo { size, next, ticket };
        let body = info.to_body();
        prop_assert_eq!(MirrorInfo::parse(&body), Ok(info));
        for cut in 0..body.len() {
            prop_assert!(MirrorInfo::parse(&body[..cut]).is_err());
        }
    }

    #[test]
    fn heads_round_trip_and_wait_for_their_end(
        origin in "[a-z/.]{0,30}", start in 0..1000u64, more in 0..1000u64, ticket in vec(any::<u8>(), 0..50), after in vec(any::<u8>(), 0..9),
    ) {
        let head = EntriesHead { origin, start, end: start + more, ticket };
        let mut bytes = Vec::new();
        prop_assert!(head.write(&mut bytes));
        let whole = bytes.len();
        for cut in 0..whole {
            prop_assert_eq!(EntriesHead::read(&bytes[..cut]), Ok(None));
        }
        bytes.extend(after);
        prop_assert_eq!(EntriesHead::read(&bytes), Ok(Some((head, whole))));
    }

    #[test]
    fn packages_round_trip_and_wait_for_their_end(
        entries in vec(vec(any::<u8>(), 0..9), 1..12), proof in hashes(4), after in vec(any::<u8>(), 0..9),
    ) {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| assert!(bundle::push(&mut bytes, entry)));
        let piece = bytes.clone();
        prop_assert!(push_proof(&mut bytes, &proof));
        let whole = bytes.len();
        for cut in 0..whole {
            prop_assert_eq!(read_package(&bytes[..cut], entries.len()), Ok(None));
        }
        bytes.extend(after);
        let read = read_package(&bytes, entries.len()).unwrap().unwrap();
        prop_assert_eq!((read.bundle, read.length), (&piece[..], whole));
        prop_assert_eq!(read.entries, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(read.proof, proof);
    }

    #[test]
    fn whatever_comes_is_no_panic(bytes in vec(prop_oneof![Just(0u8), any::<u8>()], 0..80), count in 0..300usize) {
        let _ = EntriesHead::read(&bytes);
        let _ = read_package(&bytes, count);
    }
}

#[test]
fn lengths_are_bounded_before_the_rest_has_come() {
    assert!(EntriesHead::read(&[0xff, 0xff]).is_err());
    let mut bytes = vec![0, 1, b'x'];
    bytes.extend([0; 16]);
    bytes.extend([0xff, 0xff]);
    assert_eq!(
        EntriesHead::read(&bytes),
        Err(MessageError::TooLong("the ticket"))
    );
    let mut inverted = vec![0, 1, b'x'];
    inverted.extend(7u64.to_be_bytes());
    inverted.extend(6u64.to_be_bytes());
    inverted.extend([0, 0]);
    assert!(EntriesHead::read(&inverted).is_err());
    assert!(read_package(&[64], 0).is_err());
    let long = EntriesHead {
        origin: String::new(),
        start: 0,
        end: 0,
        ticket: vec![0; MAX_TICKET + 1],
    };
    let mut out = Vec::new();
    assert!(!long.write(&mut out) && out.is_empty());
    assert!(!push_proof(&mut out, &[Hash([0; 32]); 64]) && out.is_empty());
}
