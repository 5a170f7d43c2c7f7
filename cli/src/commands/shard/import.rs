//! `logctl shard --create-config FILE --from FILE|DIR|URL`: the first configuration of a log that begins with the shards of an old Rekor.
//! `logctl import rekor` creates it with their entries.

use std::path::{Path, PathBuf};

use logconfig::{Algorithm, OriginForm, RekorShards, ShardState};

use super::create_config::{NewLog, first, may_overwrite, place};
use crate::client::fetch;
use crate::commands::Session;
use crate::commands::document::{read_bytes, wire_finding};
use crate::error::{Error, FindingPlace};
use crate::file::File;
use crate::import::source::{LIST_FORMS, Named};
use crate::report::Outcome;

/// The list of shards that a configuration begins with.
pub(super) struct OldList {
    /// Where it is, as `--from` names it.
    pub(super) from: String,
    /// The authorities to trust for a URL, instead of the system's.
    pub(super) from_ca: Option<PathBuf>,
}

pub(super) async fn run(
    session: &Session<'_>,
    file: File,
    force: bool,
    log: NewLog,
    OldList { from, from_ca }: OldList,
) -> Result<Outcome, Error> {
    let named = Named::parse(&from, LIST_FORMS)?;
    let ca = from_ca.as_deref();
    let overwrite = match &file {
        File::Path(path) => may_overwrite(session, path, force)?,
        File::Standard => false,
    };
    let (source, bytes) = match named {
        Named::Path(path) => {
            let path = match path.is_dir() {
                true => path.join("log.json"),
                false => path,
            };
            read_bytes(&File::from(path), logconfig::MAX_BYTES).await?
        }
        Named::Url(url) => fetched(session, url, ca).await?,
        Named::Rekor(base) => fetched(session, format!("{base}/api/v1/log"), ca).await?,
    };
    let source = source.as_str();
    let text = String::from_utf8_lossy(&bytes);
    let RekorShards { shards, dropped } =
        logconfig::read_rekor(&text).map_err(|findings| Error::Invalid {
            subject: source.to_owned(),
            findings: findings.into_iter().map(wire_finding).collect(),
        })?;
    let mut config = first(log)?;
    // The settings that Rekor's clients need. The frozen shards are those that `logctl import rekor` will import.
    config.origin_form = OriginForm::Host;
    config.key.algorithm = Algorithm::EcdsaP256;
    config.rekor.v1 = true;
    for shard in &mut config.shards {
        shard.key = config.key;
    }
    // The shard that `first` opens comes after the existing ones.
    let place_of_active = config
        .shards
        .iter()
        .position(|shard| shard.state == ShardState::Active)
        .unwrap_or(0);
    config
        .shards
        .splice(place_of_active..place_of_active, shards);
    let findings = config.validate();
    if !findings.is_empty() {
        return Err(Error::Invalid {
            subject: format!("the configuration made from {source}"),
            findings: findings.into_iter().map(wire_finding).collect(),
        });
    }
    let dropped: Vec<_> = dropped.into_iter().map(wire_finding).collect();
    for finding in &dropped {
        let place = FindingPlace {
            subject: source,
            finding,
        };
        let hint = finding
            .hint
            .as_ref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        session
            .ui
            .warn(&format!("{place}: {}{hint}", finding.message));
    }
    place(file, overwrite, config, Vec::new(), dropped)
}

async fn fetched(
    session: &Session<'_>,
    url: String,
    ca: Option<&Path>,
) -> Result<(String, Vec<u8>), Error> {
    let _phase = session.ui.phase(&format!("fetching {url}"));
    let bytes = fetch(&url, ca, logconfig::MAX_BYTES, session.deadline()).await?;
    Ok((url, bytes))
}
