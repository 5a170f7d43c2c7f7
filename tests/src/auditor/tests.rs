//! The auditor against a made-up log: it must pass the right one and refuse it after any one change.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, Verifier as _};

use super::*;

impl Source for BTreeMap<String, Vec<u8>> {
    fn get(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(BTreeMap::get(self, path).cloned())
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// A signer and its verifier key.
fn key(name: &str, seed: u8) -> (StandardSigner, String) {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let public = [&[1], secret.verifying_key().to_bytes().as_slice()].concat();
    let id = signed_note::key_id(name, &public);
    let private = STANDARD.encode([&[1], [seed; 32].as_slice()].concat());
    let signer = StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id:08x}+{private}")).unwrap();
    let vkey = format!("{name}+{id:08x}+{}", STANDARD.encode(public));
    assert_eq!(
        StandardVerifier::new(&vkey).unwrap().key_id(),
        signer.key_id()
    );
    (signer, vkey)
}

fn sign(text: &str, signers: &[&StandardSigner]) -> Vec<u8> {
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    for signer in signers {
        note.add_sigs(&[*signer]).unwrap();
    }
    note.to_bytes()
}

/// Shard `a` frozen with 600 entries, `b` active with 5, `c` planned.
fn log() -> (Files, Vec<Shard>) {
    let mut files = Files::new();
    let sizes = [
        ("a", "frozen", 600u64),
        ("b", "active", 5),
        ("c", "planned", 0),
    ];
    let keys: Vec<_> = sizes
        .iter()
        .zip(1..)
        .map(|((name, ..), seed)| key(&format!("o/{name}"), seed))
        .collect();
    let mut shards = Vec::new();
    let mut start = 0;
    for (position, (name, state, size)) in sizes.into_iter().enumerate() {
        let mut builder = Builder::default();
        let mut tiles = Vec::new();
        for bundle in 0..size.div_ceil(256) {
            let mut bytes = Vec::new();
            let range = bundle * 256..size.min(bundle * 256 + 256);
            let width = (range.end - range.start) as usize;
            for n in range {
                let entry = format!("{name} {n}");
                bytes.extend_from_slice(&(entry.len() as u16).to_be_bytes());
                bytes.extend_from_slice(entry.as_bytes());
                builder.push(record_hash(entry.as_bytes()), &mut tiles);
            }
            files.insert(format!("{name}/{}", bundle_path(bundle, width)), bytes);
        }
        tiles.extend(builder.partial());
        files.extend(
            tiles
                .into_iter()
                .map(|tile| (format!("{name}/{}", tile.path()), tile.bytes)),
        );
        let (origin, root) = (format!("o/{name}"), builder.root());
        let checkpoint = sign(&format!("{origin}\n{size}\n{root}\n"), &[&keys[position].0]);
        files.insert(format!("{name}/checkpoint"), checkpoint);
        if state == "frozen" {
            let (next, next_vkey) = &keys[position + 1];
            let text = format!("logctl.dev/seal/v1\n{origin}\n{size}\n{root}\no/b\n{next_vkey}\n");
            files.insert(
                format!("{name}/seal"),
                sign(&text, &[&keys[position].0, next]),
            );
        }
        let opened = state != "planned";
        shards.push(Shard {
            name: name.into(),
            state: state.into(),
            origin,
            vkey: keys[position].1.clone(),
            start_index: opened.then_some(start),
            length: opened.then_some(size),
        });
        start += size;
    }
    (files, shards)
}

fn audit(files: &mut Files, shards: &[Shard]) -> Result<Audited> {
    Auditor::default().audit(files, shards, |_| Ok(()))
}

#[test]
fn a_right_log_passes() {
    let (mut files, shards) = log();
    let mut indices = Vec::new();
    let audited = Auditor::default()
        .audit(&mut files, &shards, |found| {
            indices.push(found.index);
            assert_eq!(
                found.bytes,
                format!("{} {}", found.shard, found.leaf_index).as_bytes()
            );
            Ok(())
        })
        .unwrap();
    assert_eq!(
        audited,
        Audited {
            entries: 605,
            shards: 3,
            seals: 1,
            tiles: 5
        }
    );
    assert_eq!(indices, (0..605).collect::<Vec<_>>());
}

#[test]
fn any_flipped_bit_and_any_missing_file_is_found() {
    let (right, shards) = log();
    for path in right.keys() {
        let mut files = right.clone();
        files.remove(path);
        assert!(audit(&mut files, &shards).is_err(), "{path} is missing");
        let length = right[path].len();
        // Every byte of the small files, and some of each large one.
        for at in (0..length).step_by(1 + length / 300) {
            let mut files = right.clone();
            files.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
            let error = audit(&mut files, &shards);
            assert!(error.is_err(), "{path}: byte {at} flipped");
        }
    }
}

#[test]
fn a_full_tile_serves_for_a_partial_one() {
    let (mut files, shards) = log();
    for kind in ["0", "entries"] {
        let partial = files.remove(&format!("a/tile/{kind}/002.p/88")).unwrap();
        let more = if kind == "0" {
            vec![0; 32]
        } else {
            vec![0, 1, 7]
        };
        files.insert(format!("a/tile/{kind}/002"), [partial, more].concat());
    }
    audit(&mut files, &shards).unwrap();
}

#[test]
fn bounds_that_do_not_join_are_found() {
    let (mut files, right) = log();
    let change = |shard: usize, with: fn(&mut Shard)| {
        let mut shards = right.clone();
        with(&mut shards[shard]);
        shards
    };
    let wrong = [
        change(0, |a| a.length = Some(601)),
        change(0, |a| a.state = "active".into()),
        change(0, |a| a.start_index = Some(1)),
        change(1, |b| b.start_index = Some(601)),
        change(1, |b| b.length = Some(4)),
        change(2, |c| c.start_index = Some(605)),
        change(2, |c| c.state = "active".into()),
    ];
    for shards in wrong {
        assert!(audit(&mut files, &shards).is_err(), "{shards:?}");
    }
}

#[test]
fn a_rewrite_between_two_audits_is_found() {
    let (mut files, shards) = log();
    let mut auditor = Auditor::default();
    auditor.audit(&mut files, &shards, |_| Ok(())).unwrap();
    // The same key signs another tree of one entry more: each audit alone would pass.
    let (signer, _) = key("o/b", 2);
    let mut builder = Builder::default();
    let mut bundle = Vec::new();
    for n in 0..6u8 {
        bundle.extend_from_slice(&[0, 1, n]);
        builder.push(record_hash(&[n]), &mut Vec::new());
    }
    files.insert("b/tile/entries/000.p/6".into(), bundle);
    files.insert(
        "b/tile/0/000.p/6".into(),
        builder.partial()[0].bytes.clone(),
    );
    files.insert(
        "b/checkpoint".into(),
        sign(&format!("o/b\n6\n{}\n", builder.root()), &[&signer]),
    );
    let mut shards = shards;
    shards[1].length = Some(6);
    audit(&mut files, &shards).unwrap();
    let error = auditor.audit(&mut files, &shards, |_| Ok(())).unwrap_err();
    assert!(
        error.to_string().contains("rewritten below size 5"),
        "{error}"
    );
}
