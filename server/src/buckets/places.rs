//! The places of storage nodes and frontends: folders as the engine knows them, and buckets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ::engine::{Folders, Opening, Places};
use ::store::Objects;
use futures_util::future::BoxFuture;
use logconfig::{BucketUrl, FrontendConfig};

use super::{Bucket, BucketSettings, Clients};
use crate::error::Error;

/// Finds the stores of storage nodes and frontends. Everything that `logd.toml` does not name is refused.
pub(crate) struct AllPlaces {
    folders: Folders,
    /// Storage nodes that are in buckets.
    nodes: BTreeMap<String, BucketUrl>,
    /// Frontends are within one of these.
    allowed: Vec<BucketUrl>,
    buckets: Arc<Buckets>,
}

/// How buckets are reached, and those that were opened.
struct Buckets {
    settings: BTreeMap<BucketUrl, BucketSettings>,
    clients: Clients,
    open: Mutex<BTreeMap<BucketUrl, Arc<Bucket>>>,
}

impl fmt::Debug for AllPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllPlaces")
            .field("folders", &self.folders)
            .field("nodes", &self.nodes)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl AllPlaces {
    /// Made from the settings: folders, nodes in buckets, the buckets that frontends may be in, and how buckets are reached.
    ///
    /// # Errors
    /// Authorities for HTTPS can't be read.
    pub(crate) fn new(
        folders: Folders,
        nodes: BTreeMap<String, BucketUrl>,
        allowed: Vec<BucketUrl>,
        settings: BTreeMap<BucketUrl, BucketSettings>,
    ) -> Result<Self, Error> {
        let named = settings.values().map(|settings| settings.ca.as_deref());
        // Without a bucket, no client and no authorities of the platform are needed.
        let used = !nodes.is_empty() || !allowed.is_empty();
        let clients = match used {
            true => Clients::new(named.chain([None]))?,
            false => Clients::new(std::iter::empty())?,
        };
        Ok(Self {
            folders,
            nodes,
            allowed,
            buckets: Arc::new(Buckets {
                settings,
                clients,
                open: Mutex::default(),
            }),
        })
    }

    fn bucket(&self, url: BucketUrl) -> Opening<'_> {
        let buckets = Arc::clone(&self.buckets);
        // Keys may be read from files.
        let opening = tokio::task::spawn_blocking(move || buckets.open(&url));
        Box::pin(async { opening.await.map_err(|e| e.to_string())? })
    }

    /// Why a bucket is no place for a frontend.
    fn refuses(&self, url: &BucketUrl) -> Option<String> {
        let allowed = self.allowed.iter().any(|allowed| url.within(allowed));
        (!allowed).then(|| {
            format!(
                "{url} is not within a bucket that logd.toml of this server allows ([merge] frontends)"
            )
        })
    }
}

impl Buckets {
    fn open(&self, url: &BucketUrl) -> Result<Arc<dyn Objects>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(url) {
            return Ok(Arc::clone(known) as Arc<dyn Objects>);
        }
        let none = BucketSettings::default();
        let settings = self.settings.get(&url.whole()).unwrap_or(&none);
        let opened = self.clients.open(url, settings);
        let opened = opened.map_err(|why| format!("{url}: {why}"))?;
        let opened = Arc::new(Bucket::new(opened, url));
        open.insert(url.clone(), Arc::clone(&opened));
        Ok(opened)
    }
}

impl Places for AllPlaces {
    fn node(&self, name: &str) -> Opening<'_> {
        match self.nodes.get(name) {
            Some(url) => self.bucket(url.clone()),
            None => self.folders.node(name),
        }
    }

    fn frontend(&self, frontend: &FrontendConfig) -> Opening<'_> {
        match frontend.bucket() {
            None => self.folders.frontend(frontend),
            Some(url) => match self.refuses(&url) {
                Some(why) => Box::pin(std::future::ready(Err(why))),
                None => self.bucket(url),
            },
        }
    }

    fn refuses_node(&self, name: &str) -> Option<String> {
        match self.nodes.get(name) {
            Some(_) => None,
            None => self.folders.refuses_node(name),
        }
    }

    fn refuses_frontend(&self, frontend: &FrontendConfig) -> BoxFuture<'_, Option<String>> {
        match frontend.bucket() {
            None => self.folders.refuses_frontend(frontend),
            Some(url) => Box::pin(std::future::ready(self.refuses(&url))),
        }
    }
}
