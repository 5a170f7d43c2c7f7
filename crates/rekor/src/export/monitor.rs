//! The monitor's configuration (`dev.sigstore.monitor.v1`): the address at which each shard is read, which does not follow from the write
//! URL.

use serde::{Deserialize, Serialize};

use super::{ExportError, Shard, pretty, read};

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MonitorConfig {
    #[serde(default)]
    rekor_logs: Vec<RekorLog>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RekorLog {
    read_url: String,
    log_origin: String,
    major_api_version: u8,
}

/// The configuration for all shards, given oldest first, that speak one version of the API. The other logs of a file to merge with stay,
/// and come first.
///
/// # Errors
/// [`ExportError`] says what of the shards or of the file is wrong.
pub fn monitor_config(
    shards: &[Shard<'_>],
    version: u8,
    merge: Option<&str>,
) -> Result<String, ExportError> {
    if !(1..=2).contains(&version) {
        return Err(ExportError::Version(version));
    }
    let mut config: MonitorConfig = merge.map_or_else(
        || Ok(MonitorConfig::default()),
        |text| read("monitor configuration", text),
    )?;
    for shard in shards {
        let log_origin = shard.host()?.to_owned();
        config
            .rekor_logs
            .retain(|log| log.log_origin != log_origin || log.major_api_version != version);
        config.rekor_logs.push(RekorLog {
            read_url: shard.url()?,
            log_origin,
            major_api_version: version,
        });
    }
    Ok(pretty(&config))
}
