//! `logctl qos`, resolved.

use std::path::PathBuf;
use std::time::Duration;

use logconfig::{ByteRate, Percent, Rate, Span, TenantName, TierName, Urgency};

use super::File;
use crate::args::{How, QosCommand, QosSet, TenantArgs, TierArgs};

/// What to do with quality of service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QosRequest {
    /// `qos list`.
    List,
    /// `qos show`.
    Show {
        /// A tier or a tenant.
        name: String,
    },
    /// `qos set`.
    Set {
        /// The edit of the document.
        edit: QosEdit,
        /// Only a preview.
        dry_run: bool,
        /// On probation for so long.
        confirm_within: Option<Duration>,
    },
    /// `qos simulate`.
    Simulate {
        /// Where the document is.
        file: File,
        /// How far back.
        since: Span,
    },
}

/// An edit of the document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QosEdit {
    /// `qos set tier`.
    Tier {
        /// The tier to change, add or remove.
        name: TierName,
        /// What to change in it; nothing: it goes.
        edit: Option<TierEdit>,
    },
    /// `qos set tenant`.
    Tenant {
        /// The tenant to change, add or remove.
        name: TenantName,
        /// What to change in it; nothing: it goes.
        edit: Option<TenantEdit>,
    },
}

/// What is to be different in a tier. Of two options the outer says whether it was asked for, the inner whether there is one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TierEdit {
    pub(crate) weight: Option<u32>,
    pub(crate) floor: Option<Percent>,
    pub(crate) burst: Option<u64>,
    pub(crate) max_merge_delay: Option<Option<Span>>,
    pub(crate) latency_target: Option<Option<Span>>,
    pub(crate) priority: Option<Urgency>,
    /// Who may use it, too.
    pub(crate) tenants: Vec<TenantName>,
}

/// What is to be different in a tenant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantEdit {
    /// All that it may use; none: as it is.
    pub(crate) tiers: Vec<TierName>,
    pub(crate) rate: Option<Option<Rate>>,
    pub(crate) bytes: Option<Option<ByteRate>>,
    pub(crate) weight: Option<u32>,
    pub(crate) anonymous: Option<bool>,
    pub(crate) add_token: Option<AddToken>,
    pub(crate) remove_tokens: Vec<String>,
}

/// A token to make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddToken {
    /// The new token's name.
    pub(crate) name: String,
    /// For how long; until it is removed when absent.
    pub(crate) lifetime: Option<Duration>,
    /// Where its text goes; standard output when absent.
    pub(crate) out: Option<PathBuf>,
}

impl From<QosCommand> for QosRequest {
    fn from(command: QosCommand) -> Self {
        match command {
            QosCommand::List => Self::List,
            QosCommand::Show { name } => Self::Show { name },
            QosCommand::Set(QosSet::Tier(args)) => tier(args),
            QosCommand::Set(QosSet::Tenant(args)) => tenant(args),
            QosCommand::Simulate { file, since } => Self::Simulate {
                file: file.into(),
                since,
            },
        }
    }
}

fn set(edit: QosEdit, how: How) -> QosRequest {
    QosRequest::Set {
        edit,
        dry_run: how.dry_run,
        confirm_within: how.confirm_within,
    }
}

fn tier(args: TierArgs) -> QosRequest {
    let edit = TierEdit {
        weight: args.weight,
        floor: args.floor,
        burst: args.burst,
        max_merge_delay: args.max_merge_delay.map(|given| given.0),
        latency_target: args.latency_target.map(|given| given.0),
        priority: args.priority,
        tenants: args.tenants,
    };
    let edit = QosEdit::Tier {
        name: args.name,
        edit: (!args.remove).then_some(edit),
    };
    set(edit, args.how)
}

fn tenant(args: TenantArgs) -> QosRequest {
    let (lifetime, out) = (args.expires, args.out);
    let edit = TenantEdit {
        tiers: args.tiers,
        rate: args.rate.map(|given| given.0),
        bytes: args.bytes.map(|given| given.0),
        weight: args.weight,
        anonymous: args.anonymous,
        add_token: args.add_token.map(|name| AddToken {
            name,
            lifetime,
            out,
        }),
        remove_tokens: args.remove_token,
    };
    let edit = QosEdit::Tenant {
        name: args.name,
        edit: (!args.remove).then_some(edit),
    };
    set(edit, args.how)
}

impl QosRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show { .. } => "show",
            Self::Set {
                edit: QosEdit::Tier { .. },
                ..
            } => "set tier",
            Self::Set { .. } => "set tenant",
            Self::Simulate { .. } => "simulate",
        }
    }
}
