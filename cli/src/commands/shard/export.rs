//! `logctl shard export`: the shards as other systems list them, and the files that Sigstore's clients are configured with.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rekor::export::{
    ExportError, Shard, SigningConfig, TrustedRoot, WriteUrl, client_trust_config, monitor_config,
    split_client_trust_config,
};
use serde::Serialize;
use tlog::VerifierKey;

use crate::commands::{Server, Session, document};
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Outcome, Page, Present};

/// Other systems whose list of shards can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Sharding configuration of Rekor: inactive shards, oldest first
    Rekor,
    /// TrustedRoot of Sigstore's clients: the keys of all shards, planned ones too
    TrustedRoot,
    /// SigningConfig of Sigstore's clients: the address for writes; a rotation does not change it
    SigningConfig,
    /// ClientTrustConfig of Sigstore's clients: TrustedRoot and SigningConfig in one file
    ClientTrustConfig,
    /// Configuration of rekor-monitor: the address of each shard for readers
    MonitorConfig,
    /// The verifier keys of all shards, one per line (C2SP signed-note); a shard with an ECDSA key has two, that one first
    Vkeys,
}

/// Flags of `shard export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Format of the output; rekor is the list that Rekor's --trillian_log_server.sharding_config reads
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Format,
    /// A file of the same format, whose other content is kept; `-` is standard input
    #[arg(long, value_name = "FILE")]
    merge: Option<File>,
    /// URL at which clients write entries, without /api/v2; a SigningConfig needs this or --v1-url
    #[arg(long, value_name = "URL")]
    write_url: Option<String>,
    /// URL at which clients write entries of Rekor's first API, without /api/v1; clients take the highest version that they know
    #[arg(long, value_name = "URL")]
    v1_url: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RekorShards {
    log: String,
    /// The value for `--trillian_log_server.tlog_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_tree_id: Option<String>,
    /// The content for `--trillian_log_server.sharding_config`.
    sharding_config: String,
}

#[derive(Debug, Serialize)]
struct ShardExport {
    log: String,
    /// The exact content of the file.
    content: String,
}

impl ExportArgs {
    /// Refuses flags that the format has no use for: somebody expects something of them.
    fn check(&self) -> Result<(), Error> {
        let writes = matches!(
            self.format,
            Format::SigningConfig | Format::ClientTrustConfig
        );
        let merges = !matches!(self.format, Format::Rekor | Format::Vkeys);
        let given = [
            ("--write-url", self.write_url.is_some() && !writes),
            ("--v1-url", self.v1_url.is_some() && !writes),
            ("--merge", self.merge.is_some() && !merges),
        ];
        match given.into_iter().find(|(_, useless)| *useless) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::Usage {
                message: format!("{flag} does nothing for this --format"),
                hint: match flag {
                    "--merge" => "leave it out: this format has no other content",
                    _ => {
                        "leave it out; signing-config and client-trust-config name URLs for writes"
                    }
                }
                .to_owned(),
            }),
        }
    }
}

pub(super) async fn run(session: &Session<'_>, args: ExportArgs) -> Result<Outcome, Error> {
    args.check()?;
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?.config;
    if args.format == Format::Rekor {
        return Outcome::done(&RekorShards {
            log,
            active_tree_id: running.active().and_then(|shard| shard.tree_id.clone()),
            sharding_config: logconfig::write_rekor(&running),
        });
    }
    for (url, is_open, version) in [
        (&args.write_url, running.rekor.v2, 2),
        (&args.v1_url, running.rekor.v1, 1),
    ] {
        if let Some(url) = url.as_ref().filter(|_| !is_open) {
            session.ui.warn(&format!(
                "clients will get no answer at {url}: {log} does not enable the front for Rekor's version {version} (`rekor: {{v{version}: true}}`)"
            ));
        }
    }
    let listed = server.admin.log(&log, server.deadline).await?.shards;
    if args.format == Format::Vkeys {
        let vkeys = listed.iter();
        let vkeys = vkeys.flat_map(|shard| shard.ecdsa_vkey.iter().chain([&shard.vkey]));
        let content = vkeys.map(|vkey| format!("{vkey}\n")).collect();
        return Outcome::done(&ShardExport { log, content });
    }
    let since = since(&server, &log).await?;
    let keys = keys(&listed, since)?;
    let now = Timestamp::now().as_millisecond().unsigned_abs();
    let merge = match &args.merge {
        Some(file) => Some(document::read(file).await?.1),
        None => None,
    };
    let file = Export {
        shards: keys
            .iter()
            .filter(|known| !known.imported || args.format != Format::MonitorConfig)
            .map(|known| Shard {
                key: &known.key,
                valid_from: known.since,
            })
            .collect(),
        operator: &running.origin,
        since,
        now,
        only_v1: running.rekor.v1 && !running.rekor.v2,
        args: &args,
    };
    let (content, warnings) = file.write(merge.as_deref())?;
    for warning in warnings {
        session.ui.warn(&warning);
    }
    Outcome::done(&ShardExport { log, content })
}

/// Since when every shard's key is valid: since the log was made, which is earlier than its first signature, whenever it was planned.
pub(super) async fn since(server: &Server, log: &str) -> Result<u64, Error> {
    let history = server.admin.history(log, server.deadline).await?.history;
    let made = history.last().and_then(|made| made.time.parse().ok());
    Ok(made.map_or(0, |made: Timestamp| made.as_millisecond().unsigned_abs()))
}

/// A key that clients verify with.
pub(super) struct KnownKey {
    pub(super) key: VerifierKey,
    /// Since when it is valid, milliseconds since the Unix epoch.
    pub(super) since: u64,
    /// Whether it is that of another Rekor, whose entries were imported. A monitor finds nothing new there.
    pub(super) imported: bool,
}

/// The keys that clients verify the shards' checkpoints with: ECDSA where a shard has such a key, and for an imported shard that of the Rekor
/// that it comes from, which may have signed for several shards. `since` is when the log was made.
pub(super) fn keys(shards: &[wire::Shard], since: u64) -> Result<Vec<KnownKey>, Error> {
    let mut keys: Vec<KnownKey> = Vec::new();
    for shard in shards {
        let own = shard.ecdsa_vkey.as_ref().unwrap_or(&shard.vkey);
        let vkey = shard.imported_vkey.as_ref().unwrap_or(own);
        let key: VerifierKey = vkey.parse().map_err(|error| Error::Usage {
            message: format!("{vkey} is not a verifier key: {error}"),
            hint: "use a logctl that is at least as new as the server".to_owned(),
        })?;
        let before = shard
            .imported_since
            .as_ref()
            .and_then(|time| time.parse().ok());
        let before = before.map(|time: Timestamp| time.as_millisecond().unsigned_abs());
        let since = before.unwrap_or(since);
        match keys.iter_mut().find(|known| known.key == key) {
            Some(known) => known.since = known.since.min(since),
            None => keys.push(KnownKey {
                key,
                since,
                imported: shard.imported_vkey.is_some(),
            }),
        }
    }
    Ok(keys)
}

struct Export<'a> {
    shards: Vec<Shard<'a>>,
    operator: &'a str,
    /// When the log was made, milliseconds since the Unix epoch, and the current time.
    since: u64,
    now: u64,
    /// Whether the log answers to Rekor's first API alone.
    only_v1: bool,
    args: &'a ExportArgs,
}

impl Export<'_> {
    /// The file, and warnings about parts that some client rejects.
    fn write(&self, merge: Option<&str>) -> Result<(String, Vec<String>), Error> {
        let told = |warnings: Vec<_>| warnings.iter().map(ToString::to_string).collect();
        Ok(match self.args.format {
            Format::Rekor | Format::Vkeys => (String::new(), Vec::new()),
            Format::TrustedRoot => {
                let root = TrustedRoot::new(&self.shards, merge).map_err(refused)?;
                (root.to_json(), told(root.warnings()))
            }
            Format::SigningConfig => {
                let config = self.signing_config(merge)?;
                (config.to_json(), told(config.warnings()))
            }
            Format::ClientTrustConfig => {
                let parts = merge.map(split_client_trust_config).transpose();
                let parts = parts.map_err(refused)?;
                let (root, config) = (parts.map(|(root, _)| root), parts.map(|(_, config)| config));
                let root = TrustedRoot::new(&self.shards, root).map_err(refused)?;
                let config = self.signing_config(config)?;
                let warnings = [root.warnings(), config.warnings()].concat();
                (client_trust_config(&root, &config), told(warnings))
            }
            Format::MonitorConfig => {
                let version = if self.only_v1 { 1 } else { 2 };
                let config = monitor_config(&self.shards, version, merge).map_err(refused)?;
                (config, Vec::new())
            }
        })
    }

    fn signing_config(&self, merge: Option<&str>) -> Result<SigningConfig, Error> {
        let urls = [(2, &self.args.write_url), (1, &self.args.v1_url)];
        let urls = urls.into_iter().filter_map(|(version, url)| {
            let url = url.as_deref()?;
            Some(WriteUrl {
                version,
                url,
                since: self.since,
            })
        });
        let urls: Vec<_> = urls.collect();
        let names_api = |of: &&WriteUrl<'_>| {
            let url = format!("{}/", of.url.trim_end_matches('/'));
            url.contains("/api/v1/") || url.contains("/api/v2/")
        };
        if let Some(of) = urls.iter().find(names_api) {
            return Err(Error::Usage {
                message: format!("{} names the API, which clients add by themselves", of.url),
                hint: "name the URL in front of /api/v1 or /api/v2".to_owned(),
            });
        }
        if urls.is_empty() {
            return Err(Error::Usage {
                message: "a SigningConfig says where clients write, and --write-url is missing"
                    .to_owned(),
                hint: "name the URL in front of /api/v2: --write-url https://log.example.org/argon, or the one in front of /api/v1 with --v1-url"
                    .to_owned(),
            });
        }
        SigningConfig::new(&urls, self.operator, merge, self.now).map_err(refused)
    }
}

pub(super) fn refused(error: ExportError) -> Error {
    let hint = match &error {
        ExportError::Origin(_) => {
            "Sigstore's clients accept only host names as origins: create a log with `originForm: host`"
        }
        ExportError::Merge { .. } => "pass a file of the kind that --format names",
        _ => "see docs/sigstore.md for what clients accept",
    };
    Error::Usage {
        message: error.to_string(),
        hint: hint.to_owned(),
    }
}

impl Present for RekorShards {
    const KIND: &'static str = "RekorShards";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.sharding_config.clone()))
    }
}

impl Present for ShardExport {
    const KIND: &'static str = "ShardExport";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.content.clone()))
    }
}
