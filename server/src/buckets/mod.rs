//! Object stores as storage nodes and frontends: S3 and compatible stores, Google Cloud Storage, Azure Blob Storage.
//!
//! The order and everything that readers are promised never depends on one of them alone: objects are immutable but for a
//! frontend's checkpoints, so no conditional write is needed, and a write whose outcome is unknown is made again.
//!
//! What must never happen: a credential in a settings file, a log line or an error; a request that waits forever; plain HTTP without the
//! operator's permission.

mod open;
mod places;
#[cfg(test)]
mod tests;
mod trouble;

use std::sync::Arc;

use ::store::{Objects, StoreError, valid};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use logconfig::BucketUrl;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt as _, PutOptions};

use plane_http::{BYTES, IMMUTABLE, NEVER, TEXT};

pub(crate) use open::{BucketSettings, Clients};
pub(crate) use places::AllPlaces;

/// Requests of one `put` at a time.
const AT_ONCE: usize = 32;
/// The largest object that is read, bytes: `logd` writes no larger one.
const LARGEST: u64 = 256 << 20;

/// A bucket, or a part of one, as a store of objects.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// Without slashes at either end.
    prefix: String,
}

impl Bucket {
    /// The part of an opened bucket below the URL's prefix.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, url: &BucketUrl) -> Self {
        Self {
            store,
            prefix: url.prefix().to_owned(),
        }
    }

    fn key(&self, path: &str) -> Result<Path, StoreError> {
        valid(path)?;
        let whole = match self.prefix.as_str() {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        };
        Path::parse(whole).map_err(|e| StoreError::Io(e.to_string()))
    }

    async fn put_one(&self, key: Path, attributes: Attributes, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions {
            attributes,
            ..PutOptions::default()
        };
        let put = self.store.put_opts(&key, bytes.into(), options).await;
        put.map(drop)
    }

    async fn get_one(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let failed = |error: Error| trouble::told("reading", path, &error);
        let found = match self.store.get(&self.key(path)?).await {
            Ok(found) => found,
            // A missing bucket is a different error from a missing object.
            Err(error @ Error::NotFound { .. }) => {
                return match trouble::no_bucket(&error) {
                    true => Err(failed(error)),
                    false => Ok(None),
                };
            }
            Err(error) => return Err(failed(error)),
        };
        let size = found.meta.size;
        if size > LARGEST {
            let text = format!("{path}: {size} bytes are none of ours, the most is {LARGEST}");
            return Err(StoreError::Corrupt(text));
        }
        found.bytes().await.map(Some).map_err(failed)
    }
}

/// The headers that readers of a bucket get with an object: the same as from `logd frontend`.
fn attributes(path: &str) -> Attributes {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let (kind, cache) = match name {
        "checkpoint" => (TEXT, NEVER),
        "seal" => (TEXT, IMMUTABLE),
        _ => (BYTES, IMMUTABLE),
    };
    Attributes::from_iter([
        (Attribute::ContentType, kind),
        (Attribute::CacheControl, cache),
    ])
}

impl Objects for Bucket {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // All paths are checked before anything is written.
            let keyed: Vec<_> = objects
                .into_iter()
                .map(|(path, bytes)| Ok((self.key(&path)?, path, bytes)))
                .collect::<Result<_, StoreError>>()?;
            let puts = keyed.into_iter().map(|(key, path, bytes)| async move {
                let put = self.put_one(key, attributes(&path), bytes).await;
                put.map_err(|error| trouble::told("writing", &path, &error))
            });
            stream::iter(puts)
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move { self.get_one(&path).await })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let folder = prefix.trim_end_matches('/').to_owned();
        Box::pin(async move {
            let key = match (folder.as_str(), self.prefix.as_str()) {
                ("", "") => None,
                ("", prefix) => {
                    Some(Path::parse(prefix).map_err(|e| StoreError::Io(e.to_string()))?)
                }
                (folder, _) => Some(self.key(folder)?),
            };
            let own = match self.prefix.as_str() {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            };
            let found = self.store.list(key.as_ref());
            let paths = found.try_filter_map(|meta| {
                let path = meta.location.as_ref().strip_prefix(&own);
                // Objects of other programs are left out.
                let path = path.filter(|path| valid(path).is_ok()).map(str::to_owned);
                async move { Ok(path) }
            });
            let paths: Result<Vec<String>, Error> = paths.try_collect().await;
            paths.map_err(|error| trouble::told("listing", &folder, &error))
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let keys: Vec<_> = paths
                .iter()
                .map(|path| self.key(path).map(Ok))
                .collect::<Result<_, _>>()?;
            let keys = stream::iter(keys).boxed();
            let mut deleted = self.store.delete_stream(keys);
            while let Some(one) = deleted.next().await {
                match one {
                    Err(error @ Error::NotFound { .. }) if !trouble::no_bucket(&error) => {}
                    Err(error) => return Err(trouble::told("deleting", "objects", &error)),
                    Ok(_) => {}
                }
            }
            Ok(())
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}
