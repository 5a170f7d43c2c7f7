//! Why a secondary refuses a request, and how HTTP says so.

use store::StoreError;
use tlog::mirror::{INFO_TYPE, MirrorInfo, SIZE_TYPE};

use crate::ask::PeerLife;
use crate::rows::Alarm;

/// Why a request is refused, each with its status in the specification.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 404: not a log that is mirrored here.
    #[error("this log is not mirrored here")]
    Unknown,
    /// 403: not signed by a trusted key, or wrongly.
    #[error("not signed by the key of this log: {0}")]
    Unsigned(String),
    /// 400: the request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// 409, with the size of the pending checkpoint.
    #[error("the checkpoint here has size {0}")]
    Size(u64),
    /// 409, with the entry to continue from.
    #[error("continue at entry {}, towards size {}", .0.next, .0.size)]
    GoOn(MirrorInfo),
    /// 422: a proof or a root is wrong.
    #[error("{0}")]
    Wrong(String),
    /// 410: this mirror has accepted a later life of the log.
    #[error("this log was restored, and an earlier life of it is no longer accepted")]
    Superseded(PeerLife),
    /// 409: more is cosigned here than the life that announces itself was restored with.
    #[error(
        "this secondary has cosigned {} entries of the log, more than it was restored with: another copy of the log has continued; restore it again",
        .0.entries
    )]
    Ahead(PeerLife),
    /// 409: a later state of the log is known here than the one from which the life that announces itself was restored.
    #[error(
        "this secondary knows a later state of the log than the one it was restored from: another copy of the log has continued; restore it again"
    )]
    Outdated(PeerLife),
    /// 422: two roots were seen for one size.
    #[error(
        "alarm: at size {} this secondary has another root ({}); it copies this log no further",
        .0.size, .0.ours
    )]
    Alarm(Box<Alarm>),
    /// 503: the storage does not do its work.
    #[error("the storage failed: {0}")]
    Storage(String),
}

impl Refusal {
    /// The HTTP status that says so, the media type, and the body.
    pub fn answer(&self) -> (u16, &'static str, String) {
        let status = match self {
            Self::Size(size) => return (409, SIZE_TYPE, format!("{size}\n")),
            Self::GoOn(info) => return (409, INFO_TYPE, info.to_body()),
            Self::Unknown => 404,
            Self::Unsigned(_) => 403,
            Self::Malformed(_) => 400,
            Self::Superseded(_) => 410,
            Self::Ahead(_) | Self::Outdated(_) => 409,
            Self::Wrong(_) | Self::Alarm(_) => 422,
            Self::Storage(_) => 503,
        };
        (status, "text/plain; charset=utf-8", format!("{self}\n"))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}
