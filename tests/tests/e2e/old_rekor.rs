//! A small Rekor of the first version, in a few hundred lines of its own: shards, each with an ECDSA key, entries with their times and
//! signatures, and the three requests that an import makes. It shares no code with the product.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tests::merkle::Builder;

/// The name in its tree heads.
pub(crate) const HOST: &str = "rekor.old.example";
/// Entries of one request.
const AT_ONCE: usize = 10;

/// An entry as it is answered.
#[derive(Clone, Debug)]
pub(crate) struct OldEntry {
    /// The artifact that it is about: its SHA-256, hex.
    pub artifact: String,
    pub leaf: Vec<u8>,
    /// Tree ID and leaf hash, hex.
    pub id: String,
    pub time: u64,
    pub log_id: String,
    /// The signature over leaf, time and index, base64.
    pub timestamp: String,
}

/// A shard with all of its entries.
pub(crate) struct OldShard {
    pub tree: u64,
    pub pem: String,
    pub log_id: String,
    pub root: String,
    pub note: String,
    pub entries: Vec<OldEntry>,
}

/// What it serves; a test may change it.
pub(crate) struct State {
    pub shards: Vec<OldShard>,
    /// Entries that are answered in place of others, by index.
    pub swapped: HashMap<u64, OldEntry>,
    /// Each of as many requests is refused for now.
    pub refuse_every: u64,
    /// After so many more questions about the log, it has these shards.
    pub grows: Option<(u64, Vec<OldShard>)>,
}

/// A Rekor that answers until it is dropped.
pub(crate) struct OldRekor {
    pub address: SocketAddr,
    pub state: Arc<Mutex<State>>,
    /// Requests for entries so far.
    pub asked: Arc<AtomicU64>,
    /// It refuses everything after as many requests for entries.
    pub most: Arc<AtomicU64>,
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl OldShard {
    /// A shard of `count` entries that follow `before` others in the log.
    pub(crate) fn new(tree: u64, before: u64, count: u64) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::of(&key, tree, before, count)
    }

    pub(crate) fn of(key: &KeyPair, tree: u64, before: u64, count: u64) -> Result<Self> {
        let der = key.subject_public_key_info();
        let log_id = hex(Sha256::digest(&der));
        let mut entries = Vec::new();
        let mut builder = Builder::default();
        for n in 0..count {
            let index = before + n;
            let artifact = hex(Sha256::digest(format!("artifact {tree} {n}")));
            // Of many lengths, so that no two bundles are alike.
            let content = STANDARD.encode("s".repeat(1 + (n as usize * 37) % 200));
            // Some with a key of a kind that the new log refuses.
            let (kind, public) = match n % 100 {
                50 => ("rekord", "-----BEGIN PGP PUBLIC KEY BLOCK-----".to_owned()),
                _ => ("hashedrekord", key.public_key_pem()),
            };
            let leaf = json!({
                "apiVersion": "0.0.1",
                "kind": kind,
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": artifact}},
                    "signature": {"content": content, "publicKey": {"content": STANDARD.encode(public)}},
                },
            });
            let leaf = leaf.to_string().into_bytes();
            let entry = Self::signed(key, tree, index, 1_600_000_000 + n / 3, artifact, leaf)?;
            builder.push(tlog_tiles::record_hash(&entry.leaf), &mut Vec::new());
            entries.push(entry);
        }
        let root = builder.root().0;
        let text = format!("{HOST} - {tree}\n{count}\n{}\n", STANDARD.encode(root));
        let id = &Sha256::digest(&der)[..4];
        let signature = [id, &key.sign(text.as_bytes())?].concat();
        Ok(Self {
            tree,
            pem: key.public_key_pem(),
            log_id,
            root: hex(root),
            note: format!("{text}\n\u{2014} {HOST} {}\n", STANDARD.encode(signature)),
            entries,
        })
    }

    fn signed(
        key: &KeyPair,
        tree: u64,
        index: u64,
        time: u64,
        artifact: String,
        leaf: Vec<u8>,
    ) -> Result<OldEntry> {
        let log_id = hex(Sha256::digest(key.subject_public_key_info()));
        let text = format!(
            "{{\"body\":\"{}\",\"integratedTime\":{time},\"logID\":\"{log_id}\",\"logIndex\":{index}}}",
            STANDARD.encode(&leaf)
        );
        Ok(OldEntry {
            artifact,
            id: format!("{tree:016x}{}", hex(tlog_tiles::record_hash(&leaf).0)),
            timestamp: STANDARD.encode(key.sign(text.as_bytes())?),
            leaf,
            time,
            log_id,
        })
    }

    /// Another entry, signed for the place of the one with this index in the tree.
    pub(crate) fn forged(key: &KeyPair, tree: u64, index: u64) -> Result<OldEntry> {
        Self::signed(
            key,
            tree,
            index,
            1_600_000_000,
            String::new(),
            b"{}".to_vec(),
        )
    }
}

impl OldRekor {
    /// Begins to answer. The last shard is the active one.
    pub(crate) fn start(shards: Vec<OldShard>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let rekor = Self {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(State {
                shards,
                swapped: HashMap::new(),
                refuse_every: 0,
                grows: None,
            })),
            asked: Arc::default(),
            most: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let (state, asked, most) = (
            Arc::clone(&rekor.state),
            Arc::clone(&rekor.asked),
            Arc::clone(&rekor.most),
        );
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, asked, most) =
                    (Arc::clone(&state), Arc::clone(&asked), Arc::clone(&most));
                std::thread::spawn(move || {
                    // A client that hangs up is none of a test's business.
                    let _ = serve(stream, &state, &asked, &most);
                });
            }
        });
        Ok(rekor)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn serve(
    stream: TcpStream,
    state: &Mutex<State>,
    asked: &AtomicU64,
    most: &AtomicU64,
) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let target = first.split(' ').nth(1).context("a request has a target")?;
        let (status, kind, body) = answer(target, &body, state, asked, most)?;
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nretry-after: 0\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
    }
}

type Reply = (u16, &'static str, Vec<u8>);

fn answer(
    target: &str,
    body: &[u8],
    state: &Mutex<State>,
    asked: &AtomicU64,
    most: &AtomicU64,
) -> Result<Reply> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let json = |value: &Value| (200, "application/json", value.to_string().into_bytes());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(match path {
        "/api/v1/log" => {
            state.grows = match state.grows.take() {
                Some((0, shards)) => {
                    state.shards = shards;
                    None
                }
                grows => grows.map(|(left, shards)| (left - 1, shards)),
            };
            let tree = |shard: &OldShard| {
                json!({
                    "rootHash": shard.root,
                    "treeSize": shard.entries.len(),
                    "signedTreeHead": shard.note,
                    "treeID": shard.tree.to_string(),
                })
            };
            let (active, inactive) = state.shards.split_last().context("it has a shard")?;
            let mut info = tree(active);
            info["inactiveShards"] = inactive.iter().map(tree).collect();
            json(&info)
        }
        "/api/v1/log/publicKey" => {
            let tree: u64 = query.strip_prefix("treeID=").context("a tree")?.parse()?;
            let shard = state.shards.iter().find(|shard| shard.tree == tree);
            let pem = shard.context("its tree")?.pem.clone();
            (200, "application/x-pem-file", pem.into_bytes())
        }
        "/api/v1/log/entries/retrieve" => {
            let number = asked.fetch_add(1, SeqCst) + 1;
            if number > most.load(SeqCst) {
                return Ok((403, "application/json", b"{}".to_vec()));
            }
            if state.refuse_every > 0 && number.is_multiple_of(state.refuse_every) {
                let status = if number.is_multiple_of(2) { 429 } else { 503 };
                return Ok((status, "application/json", b"{}".to_vec()));
            }
            let request: Value = serde_json::from_slice(body)?;
            let indexes = request["logIndexes"].as_array().context("indexes")?;
            if indexes.len() > AT_ONCE {
                return Ok((422, "application/json", b"{}".to_vec()));
            }
            let mut found = Vec::new();
            // In another order than they were asked for.
            for index in indexes.iter().rev() {
                let index = index.as_u64().context("a number")?;
                let mut rest = usize::try_from(index)?;
                for shard in &state.shards {
                    if let Some(entry) = shard.entries.get(rest) {
                        let entry = state.swapped.get(&index).unwrap_or(entry);
                        found.push(answered(entry, index, rest));
                        break;
                    }
                    rest -= shard.entries.len();
                }
            }
            json(&Value::Array(found))
        }
        _ => (404, "application/json", b"{}".to_vec()),
    })
}

fn answered(entry: &OldEntry, index: u64, leaf: usize) -> Value {
    json!({entry.id.clone(): {
        "body": STANDARD.encode(&entry.leaf),
        "integratedTime": entry.time,
        "logID": entry.log_id,
        "logIndex": index,
        "attestation": {},
        "verification": {
            "inclusionProof": {"logIndex": leaf, "hashes": [], "rootHash": "", "treeSize": 0, "checkpoint": ""},
            "signedEntryTimestamp": entry.timestamp,
        },
    }})
}
