//! The progress of the log on this replica, from ordered to published.

pub(crate) mod view;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::metrics::LogMetrics;
use crate::pending::Pending;

use tlog::GlobalIndex;
use view::MergeView;

pub(crate) struct Progress {
    pub(crate) pending: Arc<Pending>,
    /// How far the trees here are, as a global index.
    pub(crate) integrated: watch::Sender<GlobalIndex>,
    pub(crate) published: watch::Sender<GlobalIndex>,
    /// Counts the changes that the publisher reacts to: cuts, sizes that secondaries verified, configurations.
    pub(crate) merged: watch::Sender<u64>,
    /// A recent view of the merge.
    pub(crate) view: ArcSwap<MergeView>,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Progress {
    pub(crate) fn new(pending: Arc<Pending>, metrics: Arc<LogMetrics>) -> Self {
        Self {
            pending,
            integrated: watch::Sender::new(GlobalIndex::ZERO),
            published: watch::Sender::new(GlobalIndex::ZERO),
            merged: watch::Sender::new(0),
            view: ArcSwap::default(),
            metrics,
        }
    }
}
