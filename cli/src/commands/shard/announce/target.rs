//! The shard whose key is announced, and what is published about it.

use std::collections::HashSet;

use jiff::Timestamp;
use logconfig::{LogConfig, ShardName, Span};
use rekor::export::{Published, Shard, TrustedRoot};
use tlog::VerifierKey;

use super::place::Place;
use super::{AnnounceArgs, Until};
use crate::client::Deadline;
use crate::commands::Session;
use crate::commands::shard::export::{self, KnownKey};
use crate::error::Error;

/// How long a key settles if neither the command nor the configuration says so.
const SETTLE: Span = Span::from_secs(7 * 86_400);

/// The shard whose key is announced.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) key: VerifierKey,
    /// All keys of the log, for the trusted root, and since when this shard's is valid.
    pub(super) keys: Vec<KnownKey>,
    pub(super) since: u64,
    pub(super) settle: Span,
    pub(super) places: Vec<Place>,
    /// The places that are recorded already.
    pub(super) recorded: HashSet<String>,
}

impl Target {
    /// The trusted root with all keys of the log, and the rest of another one.
    pub(super) fn root(&self, merge: Option<&str>) -> Result<TrustedRoot, Error> {
        let keys = self.keys.iter();
        let shards: Vec<_> = keys
            .map(|known| Shard {
                key: &known.key,
                valid_from: known.since,
            })
            .collect();
        TrustedRoot::new(&shards, merge).map_err(export::refused)
    }

    /// A shard with its key, and the places that are named or recorded.
    pub(super) async fn of(
        session: &Session<'_>,
        log: &str,
        name: String,
        until: Until,
        args: &AnnounceArgs,
    ) -> Result<Self, Error> {
        let server = session.server()?;
        let running = server.admin.config(log, server.deadline).await?;
        let running: LogConfig = running.config;
        let since = export::since(&server, log).await?;
        let listed = server.admin.log(log, server.deadline).await?.shards;
        let keys = export::keys(&listed, since)?;
        let shard = ShardName::try_from(name.clone()).ok();
        let shard = shard.and_then(|name| running.shard(&name));
        let Some(shard) = shard else {
            return Err(Error::NotFound {
                kind: "planned shard",
                name,
                known: Vec::new(),
            });
        };
        let origin = running.shard_origin(&name);
        let mut all = keys.iter().map(|known| &known.key);
        let Some(key) = all.find(|key| key.name() == origin).cloned() else {
            return Err(Error::Bug(format!("shard {name} has no key")));
        };
        let id = key.log_id().to_base64();
        let seen = shard.announced.iter().filter(|record| record.key == id);
        let seen = seen.flat_map(|record| &record.seen);
        let recorded: Vec<String> = seen.map(|seen| seen.at.clone()).collect();
        let named = match args.seen_at.is_empty() {
            true => &recorded,
            false => &args.seen_at,
        };
        let places = places(named, args)?;
        if places.is_empty() {
            return Err(nowhere());
        }
        let asked = match until {
            Until::Seen => None,
            Until::Rotated(settle) => settle,
        };
        let settle = asked.or(running.rotate.settle);
        let target = Self {
            name,
            key,
            keys,
            since,
            settle: settle.unwrap_or(SETTLE),
            places,
            recorded: recorded.into_iter().collect(),
        };
        // Keys that no trusted root can have are refused before anything is waited for.
        target.root(None)?;
        Ok(target)
    }

    /// Reads every place once.
    pub(super) async fn look(&self, deadline: Deadline) -> Look {
        let now = Timestamp::now().as_millisecond().unsigned_abs();
        let shard = Shard {
            key: &self.key,
            valid_from: self.since,
        };
        let mut look = Look {
            nothing: true,
            ..Look::default()
        };
        let read = self.places.iter().map(|place| place.read(deadline));
        let read = futures_util::future::join_all(read).await;
        for (place, read) in self.places.iter().zip(read) {
            let why = match read {
                Err(miss) => {
                    look.nothing &= miss.absent;
                    miss.why
                }
                Ok(text) => {
                    look.nothing = false;
                    let found = shard.published_in(&text, now);
                    if look.base.is_none() && TrustedRoot::new(&[], Some(&text)).is_ok() {
                        look.base = Some(text);
                    }
                    match found {
                        Published::Held => continue,
                        Published::Absent => {
                            "the published trusted root does not have it".to_owned()
                        }
                        Published::Unusable(why) => why,
                    }
                }
            };
            look.lacking.push((place.name.clone(), why));
        }
        look
    }
}

/// The published files, as they are now.
#[derive(Default)]
pub(super) struct Look {
    /// A trusted root to which the key can be added.
    pub(super) base: Option<String>,
    /// Whether every place answered that nothing is published.
    pub(super) nothing: bool,
    /// The places that lack the key, and why.
    pub(super) lacking: Vec<(String, String)>,
}

/// The places that are named, each once.
pub(super) fn places(named: &[String], args: &AnnounceArgs) -> Result<Vec<Place>, Error> {
    let mut places: Vec<Place> = Vec::new();
    for text in named {
        let place = Place::parse(text, args.seen_ca.as_deref())?;
        if !places.iter().any(|known| known.name == place.name) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The mistake of naming no place.
pub(super) fn nowhere() -> Error {
    Error::Usage {
        message: "nothing says where clients see the key".into(),
        hint: "name the published trusted root: --seen-at https://HOST/trusted_root.json".into(),
    }
}
