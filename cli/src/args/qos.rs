//! `logctl qos`: tiers, tenants and the tokens of writers, as edits of the running document.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::ArgValueCompleter;
use logconfig::{ByteRate, Percent, Rate, Span, TenantName, TierName, Urgency};

use super::ChangeArgs;
use crate::complete;

/// What to do with quality of service.
#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once in the life of a process"
)]
pub(crate) enum QosCommand {
    /// List the tiers and tenants of a log
    #[command(after_help = "Example:
  logctl qos list")]
    List,
    /// Show a tier or a tenant: its settings, and how its writers fare right now
    #[command(after_help = "Examples:
  logctl qos show interactive
  logctl qos show default -o json")]
    Show {
        /// The tier or tenant
        #[arg(value_name = "TIER|TENANT", add = ArgValueCompleter::new(complete::qos))]
        name: String,
    },
    /// Change, add or remove a tier or a tenant, or the tokens of a tenant
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  logctl qos set tier interactive --weight 4
  logctl qos set tenant default --rate 5000/s"
    )]
    Set(QosSet),
    /// Send recorded writes through the settings of FILE and through those that run, and compare
    #[command(after_help = "Examples:
  logctl config show > next.yaml     # edit it, then
  logctl qos simulate next.yaml --since 24h")]
    Simulate {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// How far back: 1m to 7d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_since)]
        since: Span,
    },
}

/// What `logctl qos set` changes.
#[derive(Debug, Subcommand)]
pub(crate) enum QosSet {
    /// Change a tier; a new one needs --for, which says who may use it
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

/// `qos set tier`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("tier_edit").multiple(true).required(true))]
pub(crate) struct TierArgs {
    /// The tier
    #[arg(add = ArgValueCompleter::new(complete::tiers))]
    pub(crate) name: TierName,
    /// Share of what is left to share, against the other tiers: 1 to 1000
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(crate) weight: Option<u32>,
    /// Share that it gets whatever the others do: 3%, 0.5%
    #[arg(long, value_name = "SHARE", group = "tier_edit")]
    pub(crate) floor: Option<Percent>,
    /// Entries that a tenant may send at once beyond its rate
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(crate) burst: Option<u64>,
    /// What is promised: accepted writes are published within this; `none` for no promise
    #[arg(long, value_name = "TIME", group = "tier_edit", value_parser = or_none::<Span>)]
    pub(crate) max_merge_delay: Option<OrNone<Span>>,
    /// Bulk work gives way so that its writes are durable within this; `none` if it need not
    #[arg(long, value_name = "TIME", group = "tier_edit", value_parser = or_none::<Span>)]
    pub(crate) latency_target: Option<OrNone<Span>>,
    /// Advice `Priority: u=N` that asks for it: 3, 1-2 or none
    #[arg(long, value_name = "N", group = "tier_edit")]
    pub(crate) priority: Option<Urgency>,
    /// Let these tenants use it, too
    #[arg(long = "for", value_name = "TENANT", value_delimiter = ',', group = "tier_edit", add = ArgValueCompleter::new(complete::tenants))]
    pub(crate) tenants: Vec<TenantName>,
    /// Take it away, from its tenants too; work that waits in it keeps its promise
    #[arg(long, group = "tier_edit", conflicts_with_all = ["weight", "floor", "burst", "max_merge_delay", "latency_target", "priority", "tenants"])]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// `qos set tenant`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("tenant_edit").multiple(true).required(true))]
pub(crate) struct TenantArgs {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete::tenants))]
    pub(crate) name: TenantName,
    /// Tiers it may ask for, all of them; the first is for writes without advice
    #[arg(long, value_name = "TIER", value_delimiter = ',', group = "tenant_edit", add = ArgValueCompleter::new(complete::tiers))]
    pub(crate) tiers: Vec<TierName>,
    /// Most entries: 5000/s; `none` for no limit
    #[arg(long, value_name = "RATE", group = "tenant_edit", value_parser = or_none::<Rate>)]
    pub(crate) rate: Option<OrNone<Rate>>,
    /// Most bytes of entries: 10MiB/s; `none` for no limit
    #[arg(long, value_name = "RATE", group = "tenant_edit", value_parser = or_none::<ByteRate>)]
    pub(crate) bytes: Option<OrNone<ByteRate>>,
    /// Share of each tier, against the other tenants: 1 to 1000
    #[arg(long, value_name = "N", group = "tenant_edit")]
    pub(crate) weight: Option<u32>,
    /// Whether writers without a token are this tenant; no other tenant is then
    #[arg(long, value_name = "BOOL", group = "tenant_edit")]
    pub(crate) anonymous: Option<bool>,
    /// Make a token for its writers; its text is shown once, now, and never again
    #[arg(
        long,
        value_name = "NAME",
        group = "tenant_edit",
        conflicts_with = "dry_run"
    )]
    pub(crate) add_token: Option<String>,
    /// For how long the new token is good: 90d; until it is removed when absent
    #[arg(long, value_name = "TIME", requires = "add_token", value_parser = parse_expiry)]
    pub(crate) expires: Option<Duration>,
    /// Write the new token's text to a new file that only you can read, instead of standard output
    #[arg(long, value_name = "FILE", requires = "add_token", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Revoke a token: a writer with it is refused as soon as the change runs
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        group = "tenant_edit"
    )]
    pub(crate) remove_token: Vec<String>,
    /// Take it away with its tokens
    #[arg(long, group = "tenant_edit", conflicts_with_all = ["tiers", "rate", "bytes", "weight", "anonymous", "add_token", "remove_token"])]
    pub(crate) remove: bool,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// How to make the change.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct How {
    /// Show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
    pub(crate) confirm_within: Option<Duration>,
}

/// A value, or the word `none`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

fn or_none<T: FromStr<Err: Display>>(text: &str) -> Result<OrNone<T>, String> {
    match text {
        "none" => Ok(OrNone(None)),
        _ => text
            .parse()
            .map(|value| OrNone(Some(value)))
            .map_err(|error: T::Err| format!("{error}, or none")),
    }
}

/// What the server keeps.
fn parse_since(text: &str) -> Result<Span, String> {
    let week = Duration::from_secs(7 * 86_400);
    super::parse_between(text, Duration::from_secs(60), week, "from 1m to 7d")?;
    text.parse()
        .map_err(|error: logconfig::SpanError| error.to_string())
}

/// At least a minute, at most ten years.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(3650 * 86_400);
    super::parse_between(text, Duration::from_secs(60), most, "from 1m to 3650d")
}
