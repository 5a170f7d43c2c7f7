//! `logd dev --rekor`: two logs that Sigstore's clients write to, one for each of Rekor's APIs, and the files that clients are configured with.

use std::path::Path;
use std::sync::Arc;

use engine::Engine;
use logconfig::{Algorithm, LogConfig, OriginForm};
use rekor::export::{Shard, SigningConfig, TrustedRoot, WriteUrl};
use tlog::VerifierKey;

use super::{failed, first_shard, replace};
use crate::error::{Error, at};

/// The names of the logs, by the version of the API.
pub(crate) const LOGS: [(u8, &str); 2] = [(1, "rekor-v1"), (2, "rekor")];
/// The files, beside `logctl.toml`.
const TRUSTED_ROOT: &str = "trusted_root.json";
const SIGNING_CONFIG: &str = "signing_config.json";

/// The first configurations of the logs.
pub(crate) fn configs() -> Result<Vec<LogConfig>, Error> {
    let config = |(version, name): (u8, &str)| {
        let failed = |detail: String| failed(name, detail);
        let log = name
            .parse()
            .map_err(|e: logconfig::NameError| failed(e.to_string()))?;
        let shard = first_shard(name)?;
        let mut config = LogConfig::new(log, format!("{name}.localhost"), shard);
        config.origin_form = OriginForm::Host;
        config.key.algorithm = Algorithm::EcdsaP256;
        for shard in &mut config.shards {
            shard.key = config.key;
        }
        (config.rekor.v1, config.rekor.v2) = (version == 1, version == 2);
        Ok(config)
    };
    LOGS.into_iter().map(config).collect()
}

/// Writes a TrustedRoot with the keys of both logs, and a SigningConfig with their addresses: those of now.
pub(crate) async fn write(dir: &Path, engine: &Arc<Engine>, url: &str) -> Result<(), Error> {
    let (mut keys, mut urls): (Vec<(VerifierKey, u64)>, Vec<_>) = (Vec::new(), Vec::new());
    for (version, name) in LOGS {
        let log = engine.log(name).filter(|log| {
            let rekor = log.rekor();
            !log.is_deleted() && (rekor.v1 && version == 1 || rekor.v2 && version == 2)
        });
        let Some(log) = log else {
            tracing::warn!(
                "the log {name} does not answer at /api/v{version}: open its front with `rekor: {{v{version}: true}}`, or start in a new folder"
            );
            continue;
        };
        let failed = |detail: String| failed(name, detail);
        let history = log.history().await.map_err(|e| failed(e.to_string()))?;
        let since = history.first().map_or(0, |made| made.time_ms.get());
        for shard in log.config().shards {
            if let Some(vkey) = shard.ecdsa_vkey {
                let key = vkey
                    .parse()
                    .map_err(|e: tlog::NoteError| failed(e.to_string()))?;
                keys.push((key, since));
            }
        }
        urls.push((version, format!("{url}/{name}"), since));
    }
    let shards = keys.iter().map(|(key, valid_from)| Shard {
        key,
        valid_from: *valid_from,
    });
    let urls = urls.iter().map(|(version, url, since)| WriteUrl {
        version: *version,
        url,
        since: *since,
    });
    let (shards, urls): (Vec<_>, Vec<_>) = (shards.collect(), urls.collect());
    let now = crate::clock::now_ms();
    update(&dir.join(TRUSTED_ROOT), |found| {
        Ok(TrustedRoot::new(&shards, found)?.to_json())
    })?;
    update(&dir.join(SIGNING_CONFIG), |found| {
        Ok(SigningConfig::new(&urls, "localhost", found, now)?.to_json())
    })?;
    tracing::info!(
        "Rekor's APIs: {url}/api/v1 and {url}/api/v2; clients are configured with {TRUSTED_ROOT} and {SIGNING_CONFIG} in {}",
        dir.display()
    );
    Ok(())
}

/// Writes a file again; what others have put into it stays.
fn update(
    path: &Path,
    text: impl Fn(Option<&str>) -> Result<String, rekor::export::ExportError>,
) -> Result<(), Error> {
    let found = match std::fs::read_to_string(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(at("read", path)(source)),
    };
    match text(found.as_deref()) {
        Ok(fresh) if found.as_ref() == Some(&fresh) => Ok(()),
        Ok(fresh) => replace(path, &fresh, 0o644),
        Err(error) => {
            tracing::warn!(
                "{} stays as it is, and may lack the newest keys: {error}",
                path.display()
            );
            Ok(())
        }
    }
}
