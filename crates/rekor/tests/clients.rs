//! sigstore-rust, a client that shares no code with this crate, signs with a log of ours and verifies what it got.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rekor::export::{Shard, SigningConfig, TrustedRoot, WriteUrl};
use rekor::v1::{LogEntry, TreeId};
use rekor::{Inclusion, v1, v2};
use serde_json::{Value, json};
use sigstore_verify::rekor::{HashedRekordV2, RekorV2KeyDetails};
use sigstore_verify::types::{Bundle, DerPublicKey, KindVersion, Sha256Hash, SignatureBytes};
use sigstore_verify::{PublicKeyVerificationPolicy, trust_root, verify};
use tlog::{Hash, RightEdge, Signer, TileSet, inclusion_proof, leaf_hash, tile_bytes};

const ARTIFACT: &[u8] = b"an artifact";
const HOST: &str = "2026a.log.example.org";
/// When the shard was planned, in seconds.
const PLANNED: u64 = 1_767_348_000;

/// A key of a shard or of a client.
struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { pair, spki }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair
            .sign_digest(&digest(&SHA256, text))
            .unwrap()
            .as_ref()
            .to_vec()
    }

    /// The shard's signer of notes, with this key.
    fn signer(&self) -> Signer {
        let secret = self.pair.private_key().as_be_bytes().unwrap();
        Signer::from_p256(HOST, secret.as_ref().try_into().unwrap()).unwrap()
    }

    fn trusted_root(&self) -> trust_root::TrustedRoot {
        let signer = self.signer();
        let shard = Shard {
            key: signer.verifier(),
            valid_from: PLANNED * 1000,
        };
        trust_root::TrustedRoot::from_json(&TrustedRoot::new(&[shard], None).unwrap().to_json())
            .unwrap()
    }
}

/// A tree with the entry among others: its index, size and root, and the proof.
fn tree(leaf: &[u8]) -> (u64, u64, Hash, Vec<Hash>) {
    let leaves = [leaf_hash(b"first"), leaf_hash(leaf), leaf_hash(b"last")];
    let (mut edge, mut tiles) = (RightEdge::new(), TileSet::new());
    leaves.iter().for_each(|leaf| edge.push(*leaf));
    for path in tlog::inclusion_tiles(1, 3) {
        tiles.insert(path, &tile_bytes(&leaves)).unwrap();
    }
    (1, 3, edge.root(), inclusion_proof(1, 3, &tiles).unwrap())
}

fn bundle(entry: &Value, signature: &[u8]) -> Bundle {
    let digest =
        json!({"algorithm": "SHA2_256", "digest": STANDARD.encode(digest(&SHA256, ARTIFACT))});
    let text = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "key"}, "tlogEntries": [entry]},
        "messageSignature": {"messageDigest": digest, "signature": STANDARD.encode(signature)},
    });
    Bundle::from_json(&text.to_string()).unwrap()
}

/// Checks that the client accepts a bundle from this log and from no other.
fn accepted(shard: &Key, client: &Key, bundle: &Bundle) {
    let policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(client.spki.clone()));
    let verified = verify(ARTIFACT, bundle, &policy, &shard.trusted_root()).unwrap();
    assert!(verified.tlog_verified());
    assert!(
        verify(
            b"another".as_slice(),
            bundle,
            &policy,
            &shard.trusted_root()
        )
        .is_err()
    );
    assert!(verify(ARTIFACT, bundle, &policy, &Key::new().trusted_root()).is_err());
}

#[test]
fn a_client_of_version_2_verifies_what_the_log_answered() {
    let (shard, client) = (Key::new(), Key::new());
    let signature = client.sign(ARTIFACT);
    let request = HashedRekordV2::new_with_public_key(
        &Sha256Hash::try_from(digest(&SHA256, ARTIFACT).as_ref()).unwrap(),
        &SignatureBytes::new(signature.clone()),
        &DerPublicKey::new(client.spki.clone()),
        RekorV2KeyDetails::PkixEcdsaP256Sha256,
    );
    let request = serde_json::to_vec(&request).unwrap();
    let entry = v2::Request::parse(&request).unwrap().verify().unwrap();
    let (index, tree_size, root, proof) = tree(entry.leaf());
    let signer = shard.signer();
    let witnessed = Signer::from_seed(HOST, &[1; 32]).unwrap();
    let text = format!("{HOST}\n{tree_size}\n{}\n", root.to_base64());
    let checkpoint = &tlog::sign(&text, &[&signer, &witnessed]).unwrap();
    let inclusion = Inclusion {
        index,
        tree_size,
        root,
        proof: &proof,
        checkpoint,
    };
    let answer = v2::answer(&signer.verifier().log_id(), entry.leaf(), &inclusion);
    let answer = serde_json::from_str(&answer).unwrap();
    accepted(&shard, &client, &bundle(&answer, &signature));
}

#[test]
fn a_client_of_version_1_verifies_what_the_log_answered() {
    let (shard, client) = (Key::new(), Key::new());
    let signature = client.sign(ARTIFACT);
    let pem = DerPublicKey::new(client.spki.clone()).to_pem();
    let hash =
        json!({"algorithm": "sha256", "value": tlog::hex(digest(&SHA256, ARTIFACT).as_ref())});
    let spec = json!({
        "data": {"hash": hash},
        "signature": {"content": STANDARD.encode(&signature), "publicKey": {"content": STANDARD.encode(pem)}},
    });
    let request = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}).to_string();
    let entry = v1::Request::parse(request.as_bytes())
        .unwrap()
        .verify()
        .unwrap();
    let (index, tree_size, root, proof) = tree(entry.leaf());
    let signer = shard.signer();
    let tree = TreeId::new(42).unwrap();
    let text = format!("{HOST} - {tree}\n{tree_size}\n{}\n", root.to_base64());
    let checkpoint = &tlog::sign(&text, &[&signer]).unwrap();
    let inclusion = Inclusion {
        index,
        tree_size,
        root,
        proof: &proof,
        checkpoint,
    };
    let logged = LogEntry {
        tree,
        log_id: signer.verifier().log_id(),
        global_index: 1000 + index,
        integrated_time: PLANNED + 1,
        leaf: entry.leaf(),
    };
    let set = shard.sign(logged.set_payload().as_bytes());
    let answer: Value = serde_json::from_str(&v1::answer(&logged, &set, &inclusion)).unwrap();
    let answer: sigstore_verify::rekor::LogEntry =
        serde_json::from_value(answer[logged.id().to_string()].clone()).unwrap();
    let kind: KindVersion =
        serde_json::from_value(json!({"kind": "hashedrekord", "version": "0.0.1"})).unwrap();
    let answer = serde_json::to_value(answer.to_bundle_entry(kind).unwrap()).unwrap();
    accepted(&shard, &client, &bundle(&answer, &signature));
}

#[test]
fn a_client_takes_the_highest_version_of_a_signing_config() {
    let url = |version, url| WriteUrl {
        version,
        url,
        since: PLANNED * 1000,
    };
    let urls = [
        url(1, "https://log.example.org/one"),
        url(2, "https://log.example.org/two"),
    ];
    let config = SigningConfig::new(&urls, "example.org", None, PLANNED * 1000).unwrap();
    let config = trust_root::SigningConfig::from_json(&config.to_json()).unwrap();
    assert_eq!(config.rekor_url(None).unwrap().url, urls[1].url);
    assert_eq!(config.rekor_url(Some(1)).unwrap().url, urls[0].url);
}
