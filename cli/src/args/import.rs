//! `logctl load import`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use crate::import::UploadId;

/// `load import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The entries; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// How they stand in it
    #[arg(long, value_name = "FORM", value_enum, default_value_t = EntryFormat::Lines)]
    pub(crate) format: EntryFormat,
    /// Take the bytes as they are, also where lines end with CR LF, a byte-order mark stands before them, or they look compressed
    #[arg(long)]
    pub(crate) raw: bool,
    /// How urgent they are, 0 (most) to 7; the log's tiers say what that means. Without it a writer gets its first tier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=7))]
    pub(crate) priority: Option<u8>,
    /// When they must be published: 5s, 24h, or a time such as 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) merge_by: Option<String>,
    /// Only into this shard, while it is the active one
    #[arg(long, value_name = "NAME")]
    pub(crate) shard: Option<String>,
    /// File with the writer's token; must not be readable by others
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) writer_token_file: Option<PathBuf>,
    /// Go on with an import that ended early
    #[arg(long, value_name = "ID")]
    pub(crate) resume: Option<UploadId>,
    /// Where writers reach the log; else as the context or the server says
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

/// How entries stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EntryFormat {
    /// Each line is an entry, without its newline; empty lines are passed over
    Lines,
    /// Each line is {"entry":"<base64>"}
    Ndjson,
    /// C2SP bundle encoding: a 16-bit length and the entry, one after the other
    Bundle,
}
