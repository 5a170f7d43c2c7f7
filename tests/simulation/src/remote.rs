//! Stores on other machines: each is away, silent, slow or full for itself, and may get another disk.
//!
//! What must never happen here: a store answers that something is there, or not there, while it is away; a write to a disk that is gone
//! succeeds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use engine::{Opening, Places};
use futures_util::future::BoxFuture;
use logconfig::FrontendConfig;
use store::{MemoryObjects, Objects, StoreError};
use tokio::sync::watch;

use crate::frontends::Frontends;
use crate::nodes::Ailment;
use crate::process::Process;
use crate::storage::Storage;
use crate::stores::{HeldObjects, Watcher};

/// A store on another machine.
pub struct Remote {
    /// Its name in documents.
    pub name: String,
    disk: Mutex<Arc<MemoryObjects>>,
    ailment: watch::Sender<Option<Ailment>>,
}

impl Remote {
    /// A store that is well.
    pub fn new(name: String, disk: Arc<MemoryObjects>) -> Arc<Self> {
        Arc::new(Self {
            name,
            disk: Mutex::new(disk),
            ailment: watch::Sender::new(None),
        })
    }

    /// The disk that it has now.
    pub fn disk(&self) -> Arc<MemoryObjects> {
        Arc::clone(&self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It has another disk. Whoever has the old one open finds it gone.
    pub fn replace(&self, disk: Arc<MemoryObjects>) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    /// It is ill from now on, or well.
    pub fn ails(&self, ailment: Option<Ailment>) {
        self.ailment.send_replace(ailment);
    }

    /// Opens it for a process that may have it open already; `watcher` is told of every object that is put.
    ///
    /// # Errors
    /// It refuses connections.
    pub fn open(
        at: &Arc<Self>,
        process: &Arc<Process>,
        known: Option<&Arc<HeldRemote>>,
        watcher: &Watcher,
    ) -> Result<Arc<HeldRemote>, String> {
        if *at.ailment.borrow() == Some(Ailment::Away) {
            return Err(format!("{}: connection refused", at.name));
        }
        let disk = at.disk();
        if let Some(known) = known
            && Arc::ptr_eq(&known.disk, &disk)
        {
            return Ok(Arc::clone(known));
        }
        let (process, watcher) = (Arc::clone(process), Arc::clone(watcher));
        Ok(Arc::new(HeldRemote {
            held: HeldObjects::new(Arc::clone(&process), Arc::clone(&disk), watcher),
            process,
            at: Arc::clone(at),
            disk,
        }))
    }
}

/// The hold of a process on one disk of such a store.
pub struct HeldRemote {
    process: Arc<Process>,
    at: Arc<Remote>,
    disk: Arc<MemoryObjects>,
    held: HeldObjects,
}

impl HeldRemote {
    /// Passed before each operation.
    async fn reached(&self) -> Result<(), StoreError> {
        self.process.until_running().await;
        let ailment = *self.at.ailment.borrow();
        let refused = |why: &str| Err(StoreError::Io(format!("{}: {why}", self.at.name)));
        match ailment {
            Some(Ailment::Away) => return refused("connection refused"),
            Some(Ailment::Silent) => {
                let mut ailment = self.at.ailment.subscribe();
                let ended = |now: &Option<Ailment>| *now != Some(Ailment::Silent);
                let _ = ailment.wait_for(ended).await;
            }
            Some(Ailment::Slow(most)) => {
                let time = self.process.dice().span(1, most);
                tokio::time::sleep(time).await;
            }
            Some(Ailment::Full) | None => {}
        }
        match Arc::ptr_eq(&self.disk, &self.at.disk()) {
            true => Ok(()),
            false => refused("its disk is another one"),
        }
    }

    /// Whether a put comes long after its sender has given it up.
    fn comes_late(&self) -> Option<Duration> {
        let rates = self.process.rates();
        let mut dice = self.process.dice();
        let late = dice.chance(rates.unknown) && dice.chance(300_000);
        late.then(|| dice.span(1, 60_000))
    }
}

impl Objects for HeldRemote {
    fn put(&self, objects: Vec<(String, Bytes)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.reached().await?;
            if *self.at.ailment.borrow() == Some(Ailment::Full) {
                return Err(StoreError::Full(format!("{} is full", self.at.name)));
            }
            if let Some(after) = self.comes_late() {
                let disk = Arc::clone(&self.disk);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    let _ = disk.put(objects).await;
                });
                return Err(StoreError::Io("injected".to_owned()));
            }
            self.held.put(objects).await
        })
    }

    fn get(&self, path: &str) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let path = path.to_owned();
        Box::pin(async move {
            self.reached().await?;
            self.held.get(&path).await
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.reached().await?;
            self.held.list(&prefix).await
        })
    }

    fn delete(&self, paths: Vec<String>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.reached().await?;
            self.held.delete(paths).await
        })
    }

    fn free(&self) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        self.held.free()
    }
}

/// The stores that a process has open, by name.
type Open = Mutex<BTreeMap<String, Arc<HeldRemote>>>;

/// The storage nodes and the frontends as a process reaches them.
pub struct Reach {
    process: Arc<Process>,
    storage: Arc<Storage>,
    frontends: Arc<Frontends>,
    open: Open,
}

impl Reach {
    /// A process that has none of them open.
    pub fn new(process: &Arc<Process>, storage: Arc<Storage>, frontends: Arc<Frontends>) -> Self {
        Self {
            process: Arc::clone(process),
            storage,
            frontends,
            open: Mutex::default(),
        }
    }

    fn opened(&self, at: &Arc<Remote>, watcher: &Watcher) -> Result<Arc<dyn Objects>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = Remote::open(at, &self.process, open.get(&at.name), watcher)?;
        open.insert(at.name.clone(), Arc::clone(&opened));
        Ok(opened)
    }
}

impl Places for Reach {
    fn node(&self, name: &str) -> Opening<'_> {
        let name = name.to_owned();
        Box::pin(async move {
            self.process.until_running().await;
            let node = self.storage.named(&name);
            let node = node.ok_or_else(|| format!("{name}: unknown"))?;
            let (storage, who) = (Arc::clone(&self.storage), self.process.name.clone());
            let watcher: Watcher =
                Arc::new(move |path: &str, bytes: &Bytes| storage.put(&who, path, bytes));
            self.opened(node, &watcher)
        })
    }

    fn frontend(&self, frontend: &FrontendConfig) -> Opening<'_> {
        let url = frontend.url.clone();
        Box::pin(async move {
            self.process.until_running().await;
            let at = self.frontends.at(&url);
            let at = at.ok_or_else(|| format!("{url}: unknown"))?;
            self.opened(at, &self.frontends.watcher(&self.process, at))
        })
    }
}
