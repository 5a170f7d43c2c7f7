//! `logctl import rekor`: imports the shards of an old Rekor as the first shards of a new log.
//!
//! The entries are copied beside the stores' logs first, where no reader sees them, and the log is created with them at the end, by the
//! same steps as every log. What is copied is kept: the same command continues it.

mod copy;
mod hints;
mod shown;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueHint;
use futures_util::StreamExt as _;
use logconfig::{LogConfig, ShardConfig, ShardName, ShardState};
use wire::routes::Name;
use wire::{CreateLogRequest, ImportRequest, ImportShard};

use super::change::{self, ChangeArgs, Consent, Trial};
use super::document::{self, Document, wire_finding};
use super::{Session, log_name, now};
use crate::client::Call;
use crate::error::{Error, SourceFault};
use crate::file::File;
use crate::import::folder::Folder;
use crate::import::shard::OldShard;
use crate::import::source::Source;
use crate::numbers::grouped;
use crate::report::{Outcome, Present as _};
use copy::{Shown, copy, done};
use hints::{Refusal, drop_command, other_log, trusted, unimportable, unverified};
use shown::{Dropped, Planned, Saved};

/// Where an import comes from, if not from a file.
#[derive(Debug, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum ImportSource {
    /// Import the shards of an old Rekor as the first shards of a new log
    ///
    /// Creates the log that FILE describes, with the shards of the old Rekor before its own: frozen, under their tree IDs, indexes and
    /// entry IDs, with their signatures and public keys. The entries are copied first, and readers do not see them. The server checks each
    /// signed entry timestamp, and each root against the signed tree head, and creates the log only if all of them are right. Nobody may
    /// write to the old Rekor any more. If an import is interrupted, run the same command again.
    #[command(after_help = "Examples:
  logctl import rekor neon.yaml --from https://rekor.example.org --dry-run
  logctl import rekor neon.yaml --from https://rekor.example.org
  logctl import rekor --from https://rekor.example.org --save rekor
  logctl import rekor neon.yaml --from rekor
  logctl import rekor --drop --log neon")]
    Rekor(RekorArgs),
}

/// The arguments of `logctl import rekor`.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct RekorArgs {
    /// The first document of the log, YAML or JSON; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath, required_unless_present_any = ["drop", "save"])]
    pub(crate) file: Option<File>,
    /// The old Rekor: its URL, or a folder that --save wrote
    #[arg(long, value_name = "URL|DIR", required_unless_present = "drop")]
    from: Option<String>,
    /// A PEM file of authorities to trust for the old Rekor, instead of the system's; --ca is for the server
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "drop")]
    from_ca: Option<PathBuf>,
    /// Save the shards and entries of the old Rekor to this folder, and stop; run it again to continue
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["file", "dry_run", "drop"])]
    save: Option<PathBuf>,
    /// Refuse shards whose key is not in this trusted root; use the one that your clients have
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trusted_root: Option<File>,
    /// Leave out the active shard of the old Rekor, which still accepts entries
    #[arg(long)]
    inactive_only: bool,
    /// How many requests to send to the old Rekor at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Show the shards, check that the server can create the log, and stop
    #[arg(long)]
    dry_run: bool,
    /// Delete the entries that were copied for a log that has not been created
    #[arg(long, conflicts_with_all = ["file", "from", "dry_run", "inactive_only", "trusted_root"])]
    drop: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// What the command asks the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RekorAsks {
    /// It only saves the answers of the old Rekor.
    Nothing,
    Preview,
    Drop,
    Import,
}

impl RekorArgs {
    pub(super) fn asks(&self) -> RekorAsks {
        match (self.drop, &self.file, self.dry_run) {
            (true, ..) => RekorAsks::Drop,
            (false, None, _) => RekorAsks::Nothing,
            (false, Some(_), true) => RekorAsks::Preview,
            (false, Some(_), false) => RekorAsks::Import,
        }
    }
}

pub(super) async fn run(session: &Session<'_>, args: RekorArgs) -> Result<Outcome, Error> {
    let Some(from) = &args.from else {
        return drop(session).await;
    };
    let source = Source::new(from, args.from_ca.as_deref(), session.timeout)?;
    let Some(file) = &args.file else {
        return save(session, &source, from, &args).await;
    };
    let document = Document::read(file).await?;
    if let Some(named) = session.overrides.log_flag()
        && named != document.config.log.as_str()
    {
        return Err(other_log(&document, named));
    }
    let shards = shards(session, &source, from, &args).await?;
    let config = with_shards(document.config.clone(), &document.subject, &shards)?;
    let log = config.log.as_str().to_owned();
    if !config.rekor.v1 {
        session.ui.warn("the document does not enable the front for Rekor's version 1 (`rekor: {v1: true}`): clients cannot read the imported entries until it is enabled");
    }
    let request = begins(&config, &shards);
    let server = match session.server() {
        Err(error @ Error::NoEndpoint { .. }) if args.dry_run => {
            session.ui.warn(&format!(
                "it was not checked whether a server can create the log {log}: {error}"
            ));
            return Outcome::done(&Planned::new(&log, from, &shards, None));
        }
        server => server?,
    };
    session.ui.works_on(&log, server.settings.log.as_deref());
    let refusal = Refusal {
        log: &log,
        source: &source,
        shards: &shards,
    };
    // Reports a name or an origin that is in use before hours of copying.
    let there = server
        .admin
        .preview_import(&log, &request, session.deadline())
        .await;
    let there = match there {
        Ok(there) => there,
        Err(error) => {
            let error = document.place_below("/config", error);
            let error = unimportable(session, &server, &request, &document.subject, error).await;
            return Err(refusal.explained(error));
        }
    };
    let planned = Planned::new(&log, from, &shards, Some(done(&there)));
    if args.dry_run {
        return Outcome::done(&planned);
    }
    session.ui.show(&planned.page());
    // Asked now, and only now: after hours of copying, nobody may be there to answer a question.
    session.ui.confirm(&format!(
        "copy the entries of {from} and create the log {log} with these shards?"
    ))?;
    let copied = copy(session, &server, &log, &source, &shards, &request, &args);
    copied
        .await
        .map_err(|error| refusal.after_copying(document.place_below("/config", error)))?;
    unchanged(&source, &shards, &args, Some(&log)).await?;
    let call = Call::new(Name::CreateLog, "", &CreateLogRequest { config })?;
    let consent = Consent {
        question: None,
        log: log.clone(),
        base: None,
        typed: None,
        preview: true,
        trial: Trial::default(),
    };
    // A Rekor that is still open may accept entries meanwhile, and this log would assign their indexes a second time.
    let changed = async || unchanged(&source, &shards, &args, Some(&log)).await;
    change::carry_out_unless(session, &server, call, consent, changed)
        .await
        .map_err(|error| refusal.after_copying(document.place_below("/config", error)))
}

/// The request that begins to import these shards into the log that this document describes.
fn begins(config: &LogConfig, shards: &[OldShard]) -> ImportRequest {
    let shards = shards.iter().map(|shard| ImportShard {
        tree_id: shard.tree_id.clone(),
        public_key: STANDARD.encode(shard.key.bytes()),
        signed_tree_head: shard.note.clone(),
    });
    ImportRequest {
        shards: shards.collect(),
        config: Some(config.clone()),
    }
}

/// The shards that are to be imported; at least one.
async fn shards(
    session: &Session<'_>,
    source: &Source,
    from: &str,
    args: &RekorArgs,
) -> Result<Vec<OldShard>, Error> {
    let _phase = session.ui.phase(&format!("asking {from}"));
    let mut shards = source.shards().await?;
    let left_out = |shard: &OldShard| args.inactive_only && shard.is_active;
    for shard in shards.iter().filter(|shard| left_out(shard)) {
        session.ui.warn(&format!(
            "tree {} with {} entries is left out (--inactive-only): the new log assigns their indexes, from {} on, to other entries",
            shard.tree_id,
            grouped(shard.head.size),
            shard.start
        ));
    }
    shards.retain(|shard| !left_out(shard));
    if shards.is_empty() {
        return Err(Error::Usage {
            message: format!("{from} has no entries to import"),
            hint: "nothing was changed; `logctl log create` creates a log without imported shards"
                .into(),
        });
    }
    if let Some(file) = &args.trusted_root {
        let (subject, root) = document::read(file).await?;
        trusted(&subject, &root, &shards, source)?;
    }
    Ok(shards)
}

/// Saves the answers of the old Rekor to a folder.
async fn save(
    session: &Session<'_>,
    source: &Source,
    from: &str,
    args: &RekorArgs,
) -> Result<Outcome, Error> {
    let Some(path) = &args.save else {
        return Err(Error::Bug("neither a document nor a folder".into()));
    };
    let real = |path: &Path| path.canonicalize().ok();
    if real(Path::new(from)).is_some_and(|from| Some(from) == real(path)) {
        return Err(Error::Usage {
            message: "--from and --save name the same folder".into(),
            hint: "name the old Rekor's URL after --from, or another folder after --save".into(),
        });
    }
    let shards = shards(session, source, from, args).await?;
    let folder = Folder::new(path);
    folder.take(&shards)?;
    let total = shards.iter().map(|shard| shard.head.size).sum();
    let mut shown = Shown::begin(session, source, total);
    for shard in &shards {
        let (mut saved, there) = folder.append(shard)?;
        shown.set(shown.done + there);
        let mut entries = source.entries(shard, there, usize::from(args.connections))?;
        while let Some(some) = entries.next().await.transpose()? {
            shown.set(shown.done + some.len() as u64);
            saved.add(some)?;
        }
        saved.end()?;
    }
    unchanged(source, &shards, args, None).await?;
    // Written last, so that a run that fails leaves an earlier description as it is.
    folder.describe(&shards)?;
    Outcome::done(&Saved {
        folder: path.display().to_string(),
        from: from.to_owned(),
        entries: total,
    })
}

/// The document with the imported shards before its own. It may list the first of them already.
fn with_shards(
    mut config: LogConfig,
    subject: &str,
    shards: &[OldShard],
) -> Result<LogConfig, Error> {
    let frozen = |shard: &ShardConfig| shard.state == ShardState::Frozen;
    // If the document lists no shard that accepts entries, one is added, with the name that the first shard of any new log gets.
    let mut known: Vec<_> = config
        .shards
        .iter()
        .take_while(|s| frozen(s))
        .cloned()
        .collect();
    config.shards.drain(..known.len());
    let mut config = config
        .with_first_shard(now())
        .map_err(|finding| Error::Invalid {
            subject: subject.to_owned(),
            findings: vec![wire_finding(finding)],
        })?;
    known.append(&mut config.shards);
    config.shards = known;
    let listed = config.shards.iter().filter(|shard| frozen(shard)).count();
    let mut trees = shards.iter().map(|shard| shard.tree_id.as_str());
    let mut known = config.shards.iter().take(listed);
    if !known.all(|shard| frozen(shard) && trees.next() == Some(shard.name.as_str())) {
        return Err(Error::Usage {
            message: format!("the frozen shards in {subject} are not those that are imported"),
            hint: "leave the frozen shards out of the document: the import adds them".into(),
        });
    }
    for (at, shard) in shards.iter().enumerate().skip(listed) {
        let name: ShardName = shard.tree_id.parse().map_err(|error| {
            Error::Bug(format!(
                "tree {} cannot be a shard's name: {error}",
                shard.tree_id
            ))
        })?;
        config
            .shards
            .insert(at, ShardConfig::new(name, ShardState::Frozen));
    }
    // The server compares these with what it has: the log is made with what was shown, or not at all.
    for (shard, old) in config.shards.iter_mut().zip(shards) {
        shard.length.get_or_insert(old.head.size);
        shard
            .root_hash
            .get_or_insert_with(|| old.head.root.to_string());
    }
    Ok(config)
}

/// Refuses a Rekor that has accepted entries since, or shows other trees now.
async fn unchanged(
    source: &Source,
    shards: &[OldShard],
    args: &RekorArgs,
    log: Option<&str>,
) -> Result<(), Error> {
    let mut now = source.shards().await?;
    now.retain(|shard| !(args.inactive_only && shard.is_active));
    let same = |one: &OldShard, other: &OldShard| {
        (&one.tree_id, &one.head, &one.key) == (&other.tree_id, &other.head, &other.key)
    };
    let changed = now.iter().zip(shards).find(|(now, then)| !same(now, then));
    let what = match changed {
        None if now.len() == shards.len() => return Ok(()),
        Some((now, then)) if now.tree_id == then.tree_id => format!(
            "tree {} had {} entries when this command began and has {} now",
            then.tree_id, then.head.size, now.head.size
        ),
        _ => "it shows other trees than when this command began".to_owned(),
    };
    let stop = "stop the writes to it, and run the same command again to continue";
    let again = match log {
        None => "save to another folder".to_owned(),
        Some(log) => format!("run {}, then this command", drop_command(log)),
    };
    Err(Error::Source {
        fault: SourceFault::Changed,
        message: format!("the old Rekor has changed: {what}"),
        hint: match args.inactive_only {
            true => stop.to_owned(),
            false => format!(
                "{stop}. Only if it stays in use: {again} with --inactive-only, which begins again without its active shard; both then assign the same indexes"
            ),
        },
    })
}

async fn drop(session: &Session<'_>) -> Result<Outcome, Error> {
    // The log that the context names may not be the one that the user wants to delete.
    let Some(log) = session.overrides.log_flag() else {
        return Err(Error::Usage {
            message: "--drop needs --log with the name of the log that the import was for".into(),
            hint: "name it with --log NAME; nothing was deleted".into(),
        });
    };
    let server = session.server()?;
    let log = log_name(log)?;
    session.ui.confirm(&format!(
        "delete the entries that were copied for the log {log}?"
    ))?;
    let answer = server.admin.drop_import(&log, session.deadline()).await?;
    Outcome::done(&Dropped {
        log: answer.log,
        dropped: answer.dropped,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use logconfig::LogName;
    use tlog::{Checkpoint, Signer};

    use super::*;

    pub(super) fn old(tree: u64, start: u64, size: u64) -> OldShard {
        let signer = Signer::from_p256("rekor.example.org", &[tree as u8; 32]).unwrap();
        OldShard {
            tree_id: tree.to_string(),
            is_active: false,
            start,
            head: Checkpoint {
                origin: format!("rekor.example.org - {tree}"),
                size,
                root: tlog::Hash([tree as u8; 32]),
                extensions: Vec::new(),
            },
            note: String::new(),
            key: signer.verifier().clone(),
        }
    }

    /// A document may list no shards, an imported one, its own, or both: the request names the imported ones as they were shown, and one
    /// that accepts entries.
    #[test]
    fn the_document_says_what_was_shown() {
        let name: LogName = "neon".parse().unwrap();
        let base = LogConfig::new(name, "log.example.org".to_owned(), "own".parse().unwrap());
        let all = [old(7, 0, 300), old(9, 300, 5)];
        let frozen = || ShardConfig::new("7".parse().unwrap(), ShardState::Frozen);
        for (listed, own) in [(0, true), (0, false), (1, true), (1, false)] {
            let mut config = base.clone();
            if !own {
                config.shards.clear();
            }
            if listed == 1 {
                config.shards.insert(0, frozen());
            }
            let made = with_shards(config, "neon.yaml", &all).unwrap();
            assert!(made.active().is_some(), "{listed} {own}");
            assert_eq!(made.shards.len(), 3);
            assert!(made.validate().is_empty(), "{:?}", made.validate());
            for (shard, old) in made.shards.iter().zip(&all) {
                assert_eq!(shard.name.as_str(), old.tree_id);
                assert_eq!(shard.length, Some(old.head.size));
                assert_eq!(shard.root_hash, Some(old.head.root.to_string()));
            }
        }
        let mut other = base;
        other.shards.insert(
            0,
            ShardConfig::new("8".parse().unwrap(), ShardState::Frozen),
        );
        assert!(with_shards(other, "neon.yaml", &all).is_err());
    }
}
