//! `logctl load import`, resolved.

use std::path::PathBuf;

use super::File;
use crate::args::{EntryFormat, ImportArgs};
use crate::import::UploadId;
use crate::import::entries::Format;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadImport {
    /// Where the entries are.
    pub(crate) file: File,
    /// How they stand there.
    pub(crate) format: Format,
    /// Whether the bytes are taken as they are, whatever they look like.
    pub(crate) raw: bool,
    /// `Priority`.
    pub(crate) priority: Option<u8>,
    /// `Merge-By`, as typed: the server reads it.
    pub(crate) merge_by: Option<String>,
    /// `Log-Shard`.
    pub(crate) shard: Option<String>,
    /// Where the writer's token is.
    pub(crate) token_file: Option<PathBuf>,
    /// The upload to go on with.
    pub(crate) resume: Option<UploadId>,
    /// Where the log is.
    pub(crate) url: Option<String>,
}

impl From<ImportArgs> for LoadImport {
    fn from(args: ImportArgs) -> Self {
        Self {
            file: args.file.into(),
            format: match args.format {
                EntryFormat::Lines => Format::Lines,
                EntryFormat::Ndjson => Format::Ndjson,
                EntryFormat::Bundle => Format::Bundle,
            },
            raw: args.raw,
            priority: args.priority,
            merge_by: args.merge_by,
            shard: args.shard,
            token_file: args.writer_token_file,
            resume: args.resume,
            url: args.url,
        }
    }
}
