//! How far the log is on this replica, from ordered to published, and what this process does for it.

pub(crate) mod view;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::metrics::LogMetrics;
use crate::pending::Pending;

use view::MergeView;

pub(crate) struct Progress {
    pub(crate) pending: Arc<Pending>,
    /// How far the trees here are, as a global index.
    pub(crate) integrated: watch::Sender<u64>,
    pub(crate) published: watch::Sender<u64>,
    /// Counts the changes that the publisher reacts to: cuts, sizes that secondaries verified, configurations.
    pub(crate) merged: watch::Sender<u64>,
    /// The merge as it stood lately.
    pub(crate) view: ArcSwap<MergeView>,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Progress {
    pub(crate) fn new(pending: Arc<Pending>, metrics: Arc<LogMetrics>) -> Self {
        Self {
            pending,
            integrated: watch::Sender::new(0),
            published: watch::Sender::new(0),
            merged: watch::Sender::new(0),
            view: ArcSwap::default(),
            metrics,
        }
    }
}
