//! The fuzz targets of this crate on inputs that proptest makes up: good documents and plans with a few bytes changed, and
//! anything else.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test that fails panics; the targets' functions are those of another crate"
)]

use std::sync::LazyLock;

use logconfig::{LogConfig, Plan, PlanDocument};
use proptest::prelude::*;

#[path = "../../../fuzz/src/config.rs"]
mod document;
#[path = "../../../fuzz/src/plan.rs"]
mod plan;

static DOCUMENTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let document = LogConfig::new(
        "argon".parse().unwrap(),
        "log.example.org/argon".to_owned(),
        "2026a".parse().unwrap(),
    );
    [
        document.to_yaml().into_bytes(),
        document.to_json().into_bytes(),
    ]
});

static PLAN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text = String::from_utf8(DOCUMENTS[0].clone()).unwrap();
    let base = logconfig::parse(&text).unwrap();
    let next = logconfig::with_planned(&base, None, 2026).unwrap();
    let (base, next) = (PlanDocument::new(&base, 7), PlanDocument::new(&next, 8));
    let plan = Plan::new(base, next, "2026-01-01T00:00:00Z".to_owned(), None);
    AsRef::<[u8]>::as_ref(&plan.encode()).to_vec()
});

/// Replaces some bytes of a sample, cuts some out and puts some in.
fn changed(sample: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..8usize, bytes());
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut text = sample.to_vec();
        for (at, cut, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put);
        }
        text
    })
}

/// Bytes that mean something in YAML and JSON, and any others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(b"{}[]:,-#&*!|>'\"%@ \n\t0179azA\\".to_vec());
    prop::collection::vec(prop_oneof![4 => telling, 1 => any::<u8>()], 0..6)
}

proptest! {
    #[test]
    fn documents(data in prop_oneof![changed(&DOCUMENTS[0]), changed(&DOCUMENTS[1]), "\\PC{0,80}".prop_map(String::into_bytes)]) {
        document::check(&data);
    }

    #[test]
    fn plans(data in prop_oneof![changed(&PLAN), "\\PC{0,80}".prop_map(String::into_bytes)]) {
        plan::check(&data);
    }
}

#[test]
fn the_samples_are_good() {
    for text in DOCUMENTS.iter() {
        assert!(logconfig::parse(std::str::from_utf8(text).unwrap()).is_ok());
    }
    assert!(Plan::decode(&PLAN).is_ok());
}
