//! The places of storage nodes and frontends, which a configuration only names. The process's own settings say which of them it may use,
//! never a log's configuration, because that comes over the network.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use logconfig::FrontendConfig;

use store::{Directory, Objects};

/// A place that is being opened: its store, or why there is none.
pub type Opening<'a> = BoxFuture<'a, Result<Arc<dyn Objects>, String>>;

/// Finds the stores of storage nodes and frontends.
pub trait Places: Send + Sync + 'static {
    /// The storage node of that name, or why there is none. Never asked for `local`.
    fn node(&self, name: &str) -> Opening<'_>;
    /// The store of a frontend, or why it must not be used.
    fn frontend(&self, frontend: &FrontendConfig) -> Opening<'_>;

    /// Why this process could never use a storage node of that name, even with a sound disk. Opens and makes nothing:
    /// it is asked before a configuration names the node.
    fn refuses_node(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }

    /// The same of a frontend.
    fn refuses_frontend(&self, frontend: &FrontendConfig) -> BoxFuture<'_, Option<String>> {
        let _ = frontend;
        Box::pin(std::future::ready(None))
    }
}

/// Nodes and frontends that are local folders.
#[derive(Clone, Default)]
pub struct Folders(Arc<Inner>);

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<String, PathBuf>,
    /// Frontends are below one of these.
    allowed: Vec<PathBuf>,
    open: Mutex<BTreeMap<PathBuf, Arc<Directory>>>,
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folders")
            .field("nodes", &self.0.nodes)
            .field("allowed", &self.0.allowed)
            .finish_non_exhaustive()
    }
}

impl Folders {
    /// Storage nodes by name, and the folders below which frontends may be: none, no frontend.
    pub fn new(nodes: BTreeMap<String, PathBuf>, allowed: Vec<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            nodes,
            allowed,
            open: Mutex::default(),
        }))
    }

    /// Work that waits for the disk, on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, String> {
        let inner = Arc::clone(&self.0);
        #[expect(clippy::disallowed_methods, reason = "a driver waits for the disk")]
        let working = tokio::task::spawn_blocking(move || work(&inner));
        working.await.map_err(|e| e.to_string())
    }
}

impl Inner {
    /// The folder in which the settings put a storage node.
    fn node_path(&self, name: &str) -> Result<&Path, String> {
        let path = self.nodes.get(name);
        path.map(PathBuf::as_path)
            .ok_or_else(|| format!("logd.toml of this server has no [nodes.{name}]"))
    }

    /// The folder of a frontend, if it is below one that the settings allow.
    fn frontend_path(&self, frontend: &FrontendConfig) -> Result<PathBuf, String> {
        let Some(folder) = frontend.folder() else {
            return Err(format!("{} is not a folder", frontend.url));
        };
        let path = resolved(Path::new(folder))?;
        let below = |allowed: &PathBuf| {
            let allowed = allowed.canonicalize().unwrap_or_else(|_| allowed.clone());
            path.starts_with(&allowed) && path != allowed
        };
        if !self.allowed.iter().any(below) {
            let same = |allowed: &PathBuf| allowed.canonicalize().is_ok_and(|it| it == path);
            if self.allowed.iter().any(same) {
                return Err(format!(
                    "{folder} is the folder itself that [merge] frontends in logd.toml names, and each frontend needs one below it: choose, for example, {folder}/cdn"
                ));
            }
            return Err(format!(
                "{folder} is not below a folder that logd.toml of this server allows ([merge] frontends)"
            ));
        }
        Ok(path)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Objects>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that was removed and put back is another one: the open handle leads nowhere.
        if let Some(known) = open.get(path)
            && known.is_at(path)
        {
            return Ok(Arc::clone(known) as Arc<dyn Objects>);
        }
        open.remove(path);
        let opened = Directory::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let opened = Arc::new(opened);
        open.insert(path.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

/// The path with the links of all that exists of it resolved.
fn resolved(path: &Path) -> Result<PathBuf, String> {
    let plain = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return Err(format!(
            "{} is not an absolute path without dots",
            path.display()
        ));
    }
    for above in path.ancestors() {
        match above.canonicalize() {
            Ok(real) => {
                let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
                return Ok(if rest == Path::new("") {
                    real
                } else {
                    real.join(rest)
                });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("{}: {e}", above.display())),
        }
    }
    Err(format!("{} leads nowhere", path.display()))
}

impl Places for Folders {
    fn node(&self, name: &str) -> Opening<'_> {
        let name = name.to_owned();
        let open = move |inner: &Inner| inner.open(inner.node_path(&name)?);
        Box::pin(async { self.blocking(open).await? })
    }

    fn frontend(&self, frontend: &FrontendConfig) -> Opening<'_> {
        let frontend = frontend.clone();
        let open = move |inner: &Inner| inner.open(&inner.frontend_path(&frontend)?);
        Box::pin(async { self.blocking(open).await? })
    }

    fn refuses_node(&self, name: &str) -> Option<String> {
        self.0.node_path(name).err()
    }

    fn refuses_frontend(&self, frontend: &FrontendConfig) -> BoxFuture<'_, Option<String>> {
        let frontend = frontend.clone();
        // Links are followed on the disk.
        let look = move |inner: &Inner| inner.frontend_path(&frontend).err();
        Box::pin(async { self.blocking(look).await.unwrap_or_else(Some) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontend(path: &Path) -> FrontendConfig {
        FrontendConfig {
            name: "cdn".parse().unwrap(),
            url: format!("file://{}", path.display()),
        }
    }

    #[tokio::test]
    async fn only_below_what_is_allowed_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (srv, etc) = (dir.join("srv"), dir.join("etc"));
        std::fs::create_dir(&srv).unwrap();
        std::fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink(&etc, srv.join("link")).unwrap();
        let none = Folders::default();
        assert!(none.frontend(&frontend(&srv.join("a"))).await.is_err());
        let folders = Folders::new(BTreeMap::new(), vec![srv.clone()]);
        let good = frontend(&srv.join("a/b"));
        assert_eq!(folders.refuses_frontend(&good).await, None);
        assert!(!srv.join("a").exists(), "to ask makes nothing");
        assert!(folders.frontend(&good).await.is_ok());
        for bad in [
            srv.clone(),
            etc,
            srv.join("link/a"),
            srv.join("../etc"),
            dir.join("srvx"),
        ] {
            assert!(
                folders.frontend(&frontend(&bad)).await.is_err(),
                "{}",
                bad.display()
            );
            assert!(folders.refuses_frontend(&frontend(&bad)).await.is_some());
        }
        assert!(
            folders
                .node("b")
                .await
                .is_err_and(|why| why.contains("[nodes.b]"))
        );
    }
}
