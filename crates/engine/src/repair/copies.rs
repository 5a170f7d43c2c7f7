//! The places of other copies of a published object: frontends and secondaries. The caller checks each copy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tlog::mirror::origin_hash;
use tlog::{Hash, TileKind, TilePath, bundle};

use crate::peers::Peers;
use crate::running::Running;
use crate::shard::Shard;
use mirror::PeerRequest;
use mirror::Tiles;
use store::Objects;

/// Time for one request.
const COPY_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that may have a copy.
pub(crate) enum Source {
    /// A folder or bucket that `distribute` pushes to.
    Frontend {
        name: String,
        place: Arc<dyn Objects>,
    },
    /// The copy of the shard that a secondary serves.
    Secondary { name: String, base: String },
}

impl Source {
    /// All servers that the running configuration names and this process may use.
    pub(crate) async fn all(running: &Running, shard: &Shard) -> Vec<Self> {
        let config = running.config();
        let mut all = Vec::new();
        for frontend in &config.merge.frontends {
            let name = format!("frontend {}", frontend.name);
            match running.merge.places.frontend(frontend).await {
                Ok(place) => all.push(Self::Frontend { name, place }),
                Err(error) => tracing::debug!(name, error, "cannot be asked for a copy"),
            }
        }
        let hash = origin_hash(&shard.identity.origin);
        for secondary in &config.merge.secondaries {
            all.push(Self::Secondary {
                name: format!("secondary {}", secondary.name),
                base: format!("{}/{hash}", secondary.url.trim_end_matches('/')),
            });
        }
        all
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Frontend { name, .. } | Self::Secondary { name, .. } => name,
        }
    }

    /// Its copy of a tile or bundle, unchecked.
    pub(crate) async fn get(&self, peers: &Peers, folder: &str, path: TilePath) -> Option<Bytes> {
        match self {
            Self::Frontend { name, place } => {
                let tiles = Tiles {
                    objects: &**place,
                    folder,
                };
                let read = tiles.get(path).await;
                read.inspect_err(|error| tracing::debug!(name, %path, %error, "has no copy"))
                    .ok()
            }
            Self::Secondary { base, .. } => match self.ask(peers, base, path).await {
                Some(bytes) => Some(bytes),
                None if path.is_partial() => {
                    let full = self.ask(peers, base, path.full()).await?;
                    beginning(path, &full)
                }
                None => None,
            },
        }
    }

    async fn ask(&self, peers: &Peers, base: &str, path: TilePath) -> Option<Bytes> {
        let request = PeerRequest {
            url: format!("{base}/{path}"),
            body: None,
            timeout: COPY_TIMEOUT,
            most: 256 * (bundle::MAX_ENTRY + 2),
            life: None,
        };
        match peers.client.send(request).await {
            Ok(answer) if answer.status == 200 => Some(answer.body),
            Ok(answer) => {
                tracing::debug!(name = self.name(), %path, said = answer.words(), "has no copy");
                None
            }
            Err(error) => {
                tracing::debug!(name = self.name(), %path, %error, "has no copy");
                None
            }
        }
    }
}

/// A partial tile or bundle, from the full one that begins with it.
fn beginning(path: TilePath, full: &Bytes) -> Option<Bytes> {
    let width = usize::from(path.width);
    let length = match path.kind {
        TileKind::Hashes(_) => width * Hash::LEN,
        TileKind::Entries => {
            let entries = bundle::entries(full).ok()?;
            entries.get(..width)?.iter().map(|e| e.len() + 2).sum()
        }
    };
    (full.len() >= length).then(|| full.slice(..length))
}
