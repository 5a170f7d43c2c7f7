//! One leaf: whether it is under the checkpoint that a shard publishes now.
//!
//! The proof is computed here from the shard's tiles and checked against the signed root; nothing that the log says about the
//! leaf is believed.

use tlog::{Checkpoint, Hash, TileSet, VerifierKey};

use super::listing::{self, Listed};
use super::{ROUNDS, Source, SourceError, tree};

/// A leaf that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Included {
    /// Size of the checkpoint that covers it.
    pub(crate) size: u64,
}

/// The verifier key of the shard with this origin, as the log lists it; `None`: it lists no such shard.
///
/// # Errors
/// [`SourceError`] if the list could not be fetched; a list that is none is one too.
pub(crate) async fn key_of<S: Source>(
    source: &S,
    origin: &str,
) -> Result<Option<VerifierKey>, SourceError> {
    let listed = shards(source).await?;
    let shard = listed.into_iter().find(|shard| shard.origin == origin);
    Ok(shard.and_then(|shard| shard.vkey.parse().ok()))
}

async fn shards<S: Source>(source: &S) -> Result<Vec<Listed>, SourceError> {
    let bytes = source.get(listing::PATH).await?;
    listing::parse(bytes.as_deref()).map_err(|message| SourceError::new(listing::PATH, message))
}

/// Whether `leaf` is leaf `index` of a shard, under its newest checkpoint. Evidence against it is returned as text.
///
/// # Errors
/// [`SourceError`] if a file could not be fetched.
pub(crate) async fn included<S: Source>(
    source: &S,
    shard: &str,
    index: u64,
    leaf: &Hash,
) -> Result<Result<Included, String>, SourceError> {
    let listed = shards(source).await?;
    let Some(listed) = listed.iter().find(|listed| listed.name == shard) else {
        return Ok(Err(format!("the log lists no shard {shard}")));
    };
    let key: VerifierKey = match listed.vkey.parse() {
        Ok(key) => key,
        Err(error) => return Ok(Err(format!("the key of shard {shard}: {error}"))),
    };
    let mut rounds = ROUNDS;
    loop {
        rounds -= 1;
        let note = source.get(&listed.checkpoint_path()).await?;
        let checkpoint = match note.map(String::from_utf8) {
            Some(Ok(note)) => Checkpoint::open(&note, &key),
            _ => return Ok(Err(format!("shard {shard} has no checkpoint"))),
        };
        let checkpoint = match checkpoint {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Err(format!("the checkpoint of shard {shard}: {error}"))),
        };
        let size = checkpoint.size;
        if index >= size {
            return Ok(Err(format!(
                "the checkpoint of shard {shard} covers {size} entries; leaf {index} is not among them"
            )));
        }
        match proof(source, shard, index, size).await? {
            Some(proof) => {
                let checked = tlog::verify_inclusion(index, size, leaf, &proof, &checkpoint.root);
                return Ok(checked.map(|()| Included { size }).map_err(|error| {
                    format!("leaf {index} of shard {shard} is another: {error}")
                }));
            }
            // A log that grows deletes the partial tiles of a checkpoint that it has replaced.
            None if rounds > 0 => {}
            None => return Ok(Err(format!("tiles of shard {shard} are missing"))),
        }
    }
}

/// The inclusion proof from the tiles; `None` if one is not there.
async fn proof<S: Source>(
    source: &S,
    shard: &str,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, SourceError> {
    let mut tiles = TileSet::new();
    for path in tlog::inclusion_tiles(index, size) {
        let Some((_, mut bytes)) = tree::read(source, shard, path).await? else {
            return Ok(None);
        };
        // If a full tile is read in place of a partial one, the hashes behind the first ones are not part of this size.
        bytes.truncate(usize::from(path.width) * Hash::LEN);
        if tiles.insert(path, &bytes).is_err() {
            return Ok(None);
        }
    }
    Ok(tlog::inclusion_proof(index, size, &tiles).ok())
}
