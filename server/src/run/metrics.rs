//! The metrics listener: a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use engine::Faults;
use plane_http::{Limits, Listener, Watch};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::metrics::Exporter;
use crate::settings;

/// Connections of the metrics listener.
const SCRAPERS: usize = 16;

/// Serves metrics on a separate thread, so that a saturated data plane can still be observed.
pub(crate) fn export(
    listener: Listener,
    exporter: Exporter,
    faults: Faults,
) -> Result<CancellationToken, Error> {
    let failed = |source| Error::System {
        what: "cannot start the metrics listener",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let watch = Watch::new(Limits {
        connections: SCRAPERS,
        ..settings::Bounds::default().listener()
    });
    let serve = move || {
        runtime.block_on(async {
            let exporter = Arc::new(exporter);
            match plane_http::serve(listener, exporter, watch, stopped, Duration::ZERO) {
                Ok(serving) => faults.watch("the metrics listener", serving).await,
                Err(error) => faults.report(format!("the metrics listener: {error}")),
            }
        });
    };
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(serve)
        .map_err(failed)?;
    Ok(stop)
}
