//! The Merkle test vectors in `vectors/`: what they want refused is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{Hash, leaf_hash, verify_consistency, verify_inclusion};

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn size(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap()
}

/// A root or leaf hash. Some vectors put other text there that only needs to be equal or not: a stand-in is used. An
/// absent value cannot be expressed with our types, which refuses it.
fn hash(case: &Value, key: &str) -> Option<Hash> {
    let bytes = STANDARD.decode(case[key].as_str().unwrap()).unwrap();
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some(Hash(bytes)),
        Err(_) if bytes.is_empty() => None,
        Err(_) => Some(leaf_hash(&bytes)),
    }
}

/// `None` if one of the values is not a hash, which refuses the proof.
fn proof(case: &Value) -> Option<Vec<Hash>> {
    let empty = Vec::new();
    let list = case["proof"].as_array().unwrap_or(&empty);
    list.iter()
        .map(|text| Hash::from_base64(text.as_str().unwrap()).ok())
        .collect()
}

fn inclusion(case: &Value) -> Option<()> {
    let (index, tree) = (size(case, "leafIdx"), size(case, "treeSize"));
    let (leaf, root) = (hash(case, "leafHash")?, hash(case, "root")?);
    verify_inclusion(index, tree, &leaf, &proof(case)?, &root).ok()
}

fn consistency(case: &Value) -> Option<()> {
    let (old, new) = (size(case, "size1"), size(case, "size2"));
    let (old_root, new_root) = (hash(case, "root1")?, hash(case, "root2")?);
    verify_consistency(old, new, &proof(case)?, &old_root, &new_root).ok()
}

fn check(cases: &[Value], verify: fn(&Value) -> Option<()>) {
    for case in cases {
        let refused = verify(case).is_none();
        assert_eq!(
            refused,
            case["wantErr"].as_bool().unwrap(),
            "{}",
            case["case"]
        );
    }
    let accepted = cases.iter().filter(|case| case["wantErr"] == false).count();
    assert_eq!((accepted, cases.len()), (6, 98), "all vectors were read");
}

#[test]
fn inclusion_vectors() {
    check(
        &cases(include_str!("../../vectors/merkle-inclusion.json")),
        inclusion,
    );
}

#[test]
fn consistency_vectors() {
    check(
        &cases(include_str!("../../vectors/merkle-consistency.json")),
        consistency,
    );
}
