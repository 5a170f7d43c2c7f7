//! Where the shards of another Rekor come from: the Rekor itself, or a folder with what it answered.

use std::path::Path;
use std::pin::Pin;

use futures_util::stream::Stream;
use wire::ImportEntry;

use super::folder::Folder;
use super::rekor::{OldShard, OtherRekor};
use crate::error::Error;

/// Entries, some at a time.
pub(crate) type Pages = Pin<Box<dyn Stream<Item = Result<Vec<ImportEntry>, Error>> + Send>>;

/// A Rekor, or a folder with its answers.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Rekor(OtherRekor),
    Folder(Folder),
}

impl Source {
    /// The one that `--from` names.
    pub(crate) fn new(from: &str, ca: Option<&Path>) -> Result<Self, Error> {
        match from.starts_with("https://") || from.starts_with("http://") {
            true => Ok(Self::Rekor(OtherRekor::new(from, ca)?)),
            false => Ok(Self::Folder(Folder::new(Path::new(from)))),
        }
    }

    /// Its shards, oldest first. One without entries is left out.
    pub(crate) async fn shards(&self) -> Result<Vec<OldShard>, Error> {
        match self {
            Self::Rekor(rekor) => rekor.shards().await,
            Self::Folder(folder) => folder.shards(),
        }
    }

    /// The entries of a shard from one of them on, in order, with so many requests at a time.
    pub(crate) fn entries(
        &self,
        shard: &OldShard,
        from: u64,
        connections: usize,
    ) -> Result<Pages, Error> {
        Ok(match self {
            Self::Rekor(rekor) => Box::pin(rekor.entries(shard, from, connections)),
            Self::Folder(folder) => Box::pin(folder.entries(shard, from)?),
        })
    }
}
