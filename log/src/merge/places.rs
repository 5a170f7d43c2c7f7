//! Where things lie that a configuration only names: storage nodes and frontends. Which of them this process may use is said in
//! its own settings, never in a log's configuration: that one comes over the network.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use config::FrontendConfig;

use crate::store::{Directory, Objects};

/// Finds the stores of storage nodes and frontends.
pub trait Places: Send + Sync + 'static {
    /// The storage node of that name, or why there is none. Never asked for `local`.
    fn node(&self, name: &str) -> Result<Arc<dyn Objects>, String>;
    /// The store of a frontend, or why it must not be used. Blocks for some disk accesses.
    fn frontend(&self, frontend: &FrontendConfig) -> Result<Arc<dyn Objects>, String>;
}

/// Local folders.
#[derive(Default)]
pub struct Folders {
    nodes: BTreeMap<String, PathBuf>,
    /// Frontends are below one of these.
    allowed: Vec<PathBuf>,
    open: Mutex<HashMap<PathBuf, Arc<Directory>>>,
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folders")
            .field("nodes", &self.nodes)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl Folders {
    /// Storage nodes by name, and the folders below which frontends may be: none, no frontend.
    pub fn new(nodes: BTreeMap<String, PathBuf>, allowed: Vec<PathBuf>) -> Self {
        Self {
            nodes,
            allowed,
            open: Mutex::default(),
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Objects>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that was taken away and put back is another one: what is open leads nowhere.
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
    fn node(&self, name: &str) -> Result<Arc<dyn Objects>, String> {
        let Some(path) = self.nodes.get(name) else {
            return Err(format!("logd.toml of this server has no [nodes.{name}]"));
        };
        self.open(path)
    }

    fn frontend(&self, frontend: &FrontendConfig) -> Result<Arc<dyn Objects>, String> {
        let Some(folder) = frontend.folder() else {
            return Err(format!("{} is not a folder", frontend.url));
        };
        let path = resolved(Path::new(folder))?;
        let below = |allowed: &PathBuf| {
            let allowed = allowed.canonicalize().unwrap_or_else(|_| allowed.clone());
            path.starts_with(&allowed) && path != allowed
        };
        if !self.allowed.iter().any(below) {
            return Err(format!(
                "{folder} is not below a folder that logd.toml of this server allows ([merge] frontends)"
            ));
        }
        self.open(&path)
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

    #[test]
    fn only_below_what_is_allowed_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (srv, etc) = (dir.join("srv"), dir.join("etc"));
        std::fs::create_dir(&srv).unwrap();
        std::fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink(&etc, srv.join("link")).unwrap();
        let none = Folders::default();
        assert!(none.frontend(&frontend(&srv.join("a"))).is_err());
        let folders = Folders::new(BTreeMap::new(), vec![srv.clone()]);
        assert!(folders.frontend(&frontend(&srv.join("a/b"))).is_ok());
        for bad in [
            srv.clone(),
            etc,
            srv.join("link/a"),
            srv.join("../etc"),
            dir.join("srvx"),
        ] {
            assert!(
                folders.frontend(&frontend(&bad)).is_err(),
                "{}",
                bad.display()
            );
        }
        assert!(
            folders
                .node("b")
                .is_err_and(|why| why.contains("[nodes.b]"))
        );
    }
}
