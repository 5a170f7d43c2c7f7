//! The requests of version 1 of Rekor's API.

use rekor::v1::{Error, MAX_RETRIEVED, Query, Request, Retrieve, search_keys};

/// Leaves that no tile can hold are refused.
const MAX_LEAF: usize = rekor::MAX_LEAF;
/// Parts of an error are the client's, so its text is cut off.
const MAX_ERROR: usize = 2_000;

/// Bytes are an entry, a query or a search, each with the same meaning each time, or are refused in few words.
pub fn check(data: &[u8]) {
    let logged = || Request::parse(data).and_then(Request::verify);
    let first = logged();
    assert_eq!(first, logged());
    match &first {
        Ok(entry) => {
            assert!(entry.leaf().len() <= MAX_LEAF);
            let leaf = std::str::from_utf8(entry.leaf()).expect("a leaf is JSON");
            assert!(leaf.starts_with("{\"apiVersion\":") && leaf.ends_with('}'));
            let again = search_keys(entry.leaf()).expect("what is logged is found again");
            let mut unlogged = entry.search_keys().to_vec();
            unlogged.retain(|key| !again.contains(key));
            assert_eq!(unlogged, entry.unlogged_keys());
            assert!(again.iter().all(|key| entry.search_keys().contains(key)));
        }
        Err(error) => refused(error),
    }
    match Retrieve::parse(data) {
        Ok(asked) => {
            let number = asked.uuids.len() + asked.indexes.len() + asked.entries.len();
            assert!(number <= MAX_RETRIEVED);
            for entry in asked.entries {
                if let Err(error) = entry.verify() {
                    refused(&error);
                }
            }
        }
        Err(error) => refused(&error),
    }
    let query = Query::parse(data);
    assert_eq!(query, Query::parse(data));
    match query {
        Ok(query) => assert!(query.keys.len() <= 4),
        Err(error) => refused(&error),
    }
    let _ = search_keys(data);
}

fn refused(error: &Error) {
    assert!(matches!(error.status(), 400 | 413 | 422), "{error:?}");
    assert!(!error.message().is_empty() && error.message().len() < MAX_ERROR);
    assert!(error.body().contains("\"message\":"));
}
