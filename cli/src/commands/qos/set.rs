//! `logctl qos set`: edits the running document, and makes a token.
//!
//! What must never happen: a token's text is in the document, or anywhere but once in the requested place.

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;
use logconfig::{ByteRate, Percent, QosConfig, Rate, Span, TenantName, TierName, Urgency};
use logconfig::{WriterToken, token_hash, token_text};
use serde_json::json;
use wire::routes::Name;

use super::edit;
use crate::cli::parse_between;
use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::token::reserve;
use crate::commands::{Session, now, rfc3339};
use crate::complete;
use crate::error::Error;
use crate::report::{Block, Outcome, Page};

/// The part of the document that `logctl qos set` changes.
#[derive(Debug, Subcommand)]
pub(crate) enum QosSet {
    /// Change a tier; a new one needs --for, which names the tenants that may use it
    #[command(after_help = "Examples:
  logctl qos set tier interactive --weight 4 --latency-target 20ms
  logctl qos set tier nightly --max-merge-delay 12h --floor 2% --for default
  logctl qos set tier nightly --remove")]
    Tier(TierArgs),
    /// Change a tenant and its tokens; a new one needs --tiers
    #[command(after_help = "Examples:
  logctl qos set tenant backfill --tiers bulk,scavenger --bytes 50MiB/s
  logctl qos set tenant backfill --add-token importer --expires 30d --out importer.token
  logctl qos set tenant backfill --remove-token importer
  logctl qos set tenant backfill --remove")]
    Tenant(TenantArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("tier_edit").multiple(true).required(true))]
pub(crate) struct TierArgs {
    /// Tier to change or add
    #[arg(add = ArgValueCompleter::new(complete::tiers))]
    pub(super) name: TierName,
    #[command(flatten)]
    pub(super) edit: TierEdit,
    /// Remove the tier, from its tenants too; promises to work that waits in it are kept
    #[arg(long, group = "tier_edit", conflicts_with_all = ["weight", "floor", "burst", "max_merge_delay", "latency_target", "priority", "tenants"])]
    pub(super) remove: bool,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("tenant_edit").multiple(true).required(true))]
pub(crate) struct TenantArgs {
    /// Tenant to change or add
    #[arg(add = ArgValueCompleter::new(complete::tenants))]
    pub(super) name: TenantName,
    #[command(flatten)]
    pub(super) edit: TenantEdit,
    /// Remove the tenant and its tokens
    #[arg(long, group = "tenant_edit", conflicts_with_all = ["tiers", "rate", "bytes", "weight", "anonymous", "add_token", "remove_token"])]
    pub(super) remove: bool,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// The settings of a tier to change.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TierEdit {
    /// Share of the capacity that the floors leave, relative to the other tiers: 1 to 1000
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(super) weight: Option<u32>,
    /// Share that the tier gets whatever the others do: 3%, 0.5%
    #[arg(long, value_name = "SHARE", group = "tier_edit")]
    pub(super) floor: Option<Percent>,
    /// Entries that a tenant may send at once beyond its rate
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(super) burst: Option<u64>,
    /// Promise: accepted writes are published within this time; `none` for no promise
    #[arg(long, value_name = "TIME", group = "tier_edit", value_parser = or_none::<Span>)]
    pub(super) max_merge_delay: Option<OrNone<Span>>,
    /// Elastic work gives way so that the tier's writes are durable within this time; `none` for no target
    #[arg(long, value_name = "TIME", group = "tier_edit", value_parser = or_none::<Span>)]
    pub(super) latency_target: Option<OrNone<Span>>,
    /// Values N of the advice `Priority: u=N` that select the tier: 3, 1-2 or none
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(super) priority: Option<Urgency>,
    /// Let these tenants use the tier, too
    #[arg(long = "for", value_name = "TENANT", value_delimiter = ',', group = "tier_edit", add = ArgValueCompleter::new(complete::tenants))]
    pub(super) tenants: Vec<TenantName>,
}

/// The settings of a tenant to change.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TenantEdit {
    /// All tiers that the tenant may use; the first is for writes without advice
    #[arg(long, value_name = "TIER", value_delimiter = ',', group = "tenant_edit", add = ArgValueCompleter::new(complete::tiers))]
    pub(super) tiers: Vec<TierName>,
    /// Highest rate of entries: 5000/s; `none` for no limit
    #[arg(long, value_name = "RATE", group = "tenant_edit", value_parser = or_none::<Rate>)]
    pub(super) rate: Option<OrNone<Rate>>,
    /// Highest rate of bytes: 10MiB/s; `none` for no limit
    #[arg(long, value_name = "RATE", group = "tenant_edit", value_parser = or_none::<ByteRate>)]
    pub(super) bytes: Option<OrNone<ByteRate>>,
    /// Share of each tier, relative to the other tenants: 1 to 1000
    #[arg(long, value_name = "N", group = "tenant_edit")]
    pub(super) weight: Option<u32>,
    /// Whether writers without a token belong to this tenant; at most one tenant has this
    #[arg(long, value_name = "BOOL", group = "tenant_edit")]
    pub(super) anonymous: Option<bool>,
    #[command(flatten)]
    pub(super) token: AddToken,
    /// Revoke a token: its writers are refused as soon as the change runs
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        group = "tenant_edit"
    )]
    pub(super) remove_token: Vec<String>,
}

/// A token to make, if it has a name.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AddToken {
    /// Make a token for writers of the tenant; its text is shown once and cannot be shown again
    #[arg(
        long,
        value_name = "NAME",
        group = "tenant_edit",
        conflicts_with = "dry_run"
    )]
    add_token: Option<String>,
    /// Lifetime of the new token: 90d; by default it is valid until it is removed
    #[arg(long, value_name = "TIME", requires = "add_token", value_parser = parse_expiry)]
    expires: Option<Duration>,
    /// Write the new token's text to a new file that only you can read, instead of standard output
    #[arg(long, value_name = "FILE", requires = "add_token", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// A value, or the word `none`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrNone<T>(pub(super) Option<T>);

fn or_none<T: FromStr<Err: Display>>(text: &str) -> Result<OrNone<T>, String> {
    match text {
        "none" => Ok(OrNone(None)),
        _ => text
            .parse()
            .map(|value| OrNone(Some(value)))
            .map_err(|error: T::Err| format!("{error}, or none")),
    }
}

/// At least a minute, at most ten years.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(3650 * 86_400);
    parse_between(text, Duration::from_secs(60), most, "from 1m to 3650d")
}

pub(super) async fn run(session: &Session<'_>, edit: QosSet) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?;
    let fresh = match &edit {
        QosSet::Tenant(args) => Fresh::make(&args.edit.token)?,
        QosSet::Tier(_) => None,
    };
    let mut next = running.config;
    let admitted = admits(&next.qos);
    edit::apply(
        &mut next.qos,
        &edit,
        fresh.as_ref().map(|fresh| fresh.token.clone()),
    )?;
    if let QosSet::Tenant(args) = &edit
        && args.edit.rate.is_some()
    {
        bursts(session, &next.qos, &args.name);
    }
    if admitted && !admits(&next.qos) {
        session.ui.warn(&format!(
            "nobody can write to {log} after this: no tenant has a token, and none is anonymous; `logctl qos set tenant NAME --add-token` or `--anonymous true` lets writers in"
        ));
    }
    let (what, name, remove, trial) = match &edit {
        QosSet::Tier(args) => ("tier", args.name.as_str(), args.remove, args.trial),
        QosSet::Tenant(args) => ("tenant", args.name.as_str(), args.remove, args.trial),
    };
    let does = if remove { "remove" } else { "change" };
    let call = Call::new(Name::PutConfig, &log, &next)?;
    let consent = Consent {
        question: Some(format!("{does} {what} {name} of {log}?")),
        base: Some(running.etag),
        typed: None,
        preview: true,
        trial,
        log,
    };
    // Kept before the change: a token whose text cannot be written would be lost.
    let kept = fresh.map(Fresh::keep).transpose()?;
    let made = change::carry_out(session, &server, call, consent).await;
    match kept {
        None => made,
        Some(kept) => kept.tell(session, made),
    }
}

/// Whether any writer belongs to a tenant.
fn admits(qos: &QosConfig) -> bool {
    qos.tenants
        .iter()
        .any(|tenant| tenant.anonymous || !tenant.tokens.is_empty())
}

/// A burst of this many seconds at a tenant's rate is worth a note.
const LONG_BURST: u64 = 5;

/// Says for how long a tenant may write faster than its rate: the burst belongs to the tier, and may be far above a low rate.
fn bursts(session: &Session<'_>, qos: &QosConfig, name: &TenantName) {
    let Some((tenant, rate)) = qos
        .tenant(name)
        .and_then(|tenant| Some((tenant, tenant.rate?.per_second())))
    else {
        return;
    };
    for tier in qos
        .tiers
        .iter()
        .filter(|tier| tenant.tiers.contains(&tier.name))
    {
        let seconds = tier.burst / rate.max(1);
        if seconds > LONG_BURST {
            session.ui.note(&format!(
                "tier {} lets {name} send {} entries at once, which is {seconds} s at its rate: `logctl qos set tier {} --burst N` changes that",
                tier.name, tier.burst, tier.name
            ));
        }
    }
}

/// A new token. It contains the text, so it has no `Debug` form.
struct Fresh {
    token: WriterToken,
    text: String,
    out: Option<PathBuf>,
}

impl Fresh {
    fn make(wanted: &AddToken) -> Result<Option<Self>, Error> {
        let Some(name) = &wanted.add_token else {
            return Ok(None);
        };
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Error::Bug(format!("no random numbers: {error}")))?;
        let text = token_text(&secret);
        let expires = wanted.expires.map(|lifetime| {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
            rfc3339(now().saturating_add(seconds))
        });
        Ok(Some(Self {
            token: WriterToken {
                name: name.clone(),
                sha256: token_hash(&text),
                expires,
            },
            text,
            out: wanted.out.clone(),
        }))
    }

    /// Puts its text into its file, if it has one.
    fn keep(self) -> Result<Self, Error> {
        if let Some(path) = &self.out {
            let mut file = reserve(path)?;
            let text = format!("{}\n", self.text);
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| Error::Write {
                    what: path.display().to_string(),
                    source,
                })?;
        }
        Ok(self)
    }

    /// The result of the change, with the token if it is in force or may be.
    fn tell(self, session: &Session<'_>, made: Result<Outcome, Error>) -> Result<Outcome, Error> {
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let open = session.ui.has_made()
                    || matches!(error, Error::OutcomeUnknown { .. } | Error::TimedOut { .. });
                if let (false, Some(path)) = (open, &self.out) {
                    // It is our own file, and its token is worthless.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
        };
        let name = &self.token.name;
        let until = match &self.token.expires {
            Some(expires) => format!("until {expires}"),
            None => "until it is removed".to_owned(),
        };
        Ok(match &self.out {
            Some(path) => {
                let path = path.display().to_string();
                let about = format!(
                    "token {name} is good {until}; its text is in {path}, which only you can read"
                );
                let page = made.report.page().clone().text(about);
                // The same command again would make another token.
                session.ui.made(
                    format!("token {name} was added"),
                    format!("its text is in {path}"),
                );
                made.with("/tokenFile", json!(path), page)
            }
            None => {
                let about = Page::new().text(format!("token {name} is good {until}:"));
                session.ui.show(&made.report.page().clone().then(about));
                session.ui.made(
                    format!("token {name} was added, and its text is lost"),
                    format!("remove it (`logctl qos set tenant TENANT --remove-token {name}`) and add it again"),
                );
                // Alone on standard output, so that a script can read it into a variable.
                let page = Page::new().with(Block::Verbatim(format!("{}\n", self.text)));
                made.with("/secret", json!(self.text), page)
            }
        })
    }
}
