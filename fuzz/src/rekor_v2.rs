//! The request of version 2 of Rekor's API.

use rekor::v2::{Error, Request};

/// Bytes are an entry, the same one each time, or are refused in few words.
pub fn check(data: &[u8]) {
    let logged = || Request::parse(data).and_then(Request::verify);
    let first = logged();
    assert_eq!(first, logged());
    match &first {
        Ok(entry) => {
            assert!(entry.leaf().len() <= rekor::MAX_LEAF);
            let leaf = std::str::from_utf8(entry.leaf()).expect("a leaf is JSON");
            assert!(leaf.starts_with("{\"apiVersion\":\"0.0.2\"") && leaf.ends_with('}'));
        }
        Err(error) => refused(error),
    }
}

fn refused(error: &Error) {
    assert!(matches!(error.status(), 400 | 413), "{error:?}");
    let (_, body) = error.body();
    assert!(!error.message().is_empty() && body.len() < 4_000);
}
