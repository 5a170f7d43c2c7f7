//! The fuzz targets of this crate on inputs that proptest makes up: the fuzzer's seeds, which are real requests, with a few
//! changes, in the JSON and in what its base64 holds, and anything else.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test that fails panics; the targets' functions are those of another crate"
)]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

#[path = "../../../fuzz/src/rekor_v1.rs"]
mod rekor_v1;
#[path = "../../../fuzz/src/rekor_v2.rs"]
mod rekor_v2;

/// No request may cost a server more, even without optimisation.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

static V1: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| seeds("rekor_v1"));
static V2: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| seeds("rekor_v2"));

/// Some bytes in place of others.
type Edit = (Index, usize, Vec<u8>);

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let put = prop::collection::vec(any::<u8>(), 0..3);
    prop::collection::vec((any::<Index>(), 0..4usize, put), 0..most)
}

fn edited(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for (at, cut, put) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put.iter().copied());
    }
}

/// The texts of a request, and the objects and lists that they are in.
fn values<'a>(value: &'a mut Value, texts: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.iter_mut().for_each(|item| values(item, texts)),
        Value::Object(members) => members.values_mut().for_each(|item| values(item, texts)),
        _ => {}
    }
}

/// Changes one text of a request: what it stands for, where it is base64.
fn deep(body: &[u8], text: Index, edits: &[Edit]) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let mut texts = Vec::new();
    values(&mut body, &mut texts);
    let text = text.index(texts.len());
    let text = &mut *texts[text];
    match STANDARD.decode(&*text) {
        Ok(mut bytes) if !bytes.is_empty() => {
            edited(&mut bytes, edits);
            *text = STANDARD.encode(bytes);
        }
        _ => {
            let mut bytes = text.clone().into_bytes();
            edited(&mut bytes, edits);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    body.to_string().into_bytes()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a stopwatch; nothing is decided by it"
)]
fn timed(check: fn(&[u8]), body: &[u8]) {
    let begun = Instant::now();
    check(body);
    let took = begun.elapsed();
    assert!(
        took < CHECK_TIMEOUT,
        "{took:?}: {}",
        String::from_utf8_lossy(body)
    );
}

#[test]
fn the_seeds_are_accepted() {
    for body in V1.iter() {
        let entry = rekor::v1::Request::parse(body).and_then(rekor::v1::Request::verify);
        let asked = rekor::v1::Retrieve::parse(body);
        let asked = asked.map(|asked| {
            let entries = asked.entries.into_iter().map(rekor::v1::Request::verify);
            entries.filter(Result::is_ok).count()
        });
        let query = rekor::v1::Query::parse(body);
        let is_asked = asked.as_ref().is_ok_and(|number| *number > 0);
        assert!(
            entry.is_ok() || is_asked || query.is_ok(),
            "{entry:?} {asked:?} {query:?}: {}",
            String::from_utf8_lossy(body)
        );
        timed(rekor_v1::check, body);
    }
    for body in V2.iter() {
        let entry = rekor::v2::Request::parse(body).and_then(rekor::v2::Request::verify);
        assert!(entry.is_ok(), "{entry:?}");
        timed(rekor_v2::check, body);
    }
}

proptest! {
    #[test]
    fn requests_of_version_1(seed in any::<Index>(), text in any::<Index>(), inside in edits(3), around in edits(2)) {
        let mut body = deep(&V1[seed.index(V1.len())], text, &inside);
        edited(&mut body, &around);
        timed(rekor_v1::check, &body);
    }

    #[test]
    fn requests_of_version_2(seed in any::<Index>(), text in any::<Index>(), inside in edits(3), around in edits(2)) {
        let mut body = deep(&V2[seed.index(V2.len())], text, &inside);
        edited(&mut body, &around);
        timed(rekor_v2::check, &body);
    }

    #[test]
    fn anything_else(body: Vec<u8>) {
        timed(rekor_v1::check, &body);
        timed(rekor_v2::check, &body);
    }
}
