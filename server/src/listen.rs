//! A listener with a certificate of the settings, from its beginning to its end.

use plane_http::{Audience, Listener, Order, Tls, TlsFiles, Watch};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::lifecycle::{Lifecycle, Sources};

/// The listener with its certificate, which SIGHUP reads again; and the scheme of its addresses.
pub(crate) fn secured(
    listener: Listener,
    files: Option<TlsFiles>,
    sources: &mut Sources,
) -> Result<(Listener, &'static str), Error> {
    let Some(files) = files else {
        return Ok((listener, "http"));
    };
    let tls = Tls::open(files, Audience::Everybody)?;
    sources.tls(&tls);
    Ok((listener.with_tls(Some(tls)), "https"))
}

/// Waits until a listener that was asked to stop has served what is in flight; at a second stop signal its connections are closed.
pub(crate) async fn finish(mut serving: JoinHandle<()>, watch: &Watch, lifecycle: &mut Lifecycle) {
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = lifecycle.stop() => {
            tracing::warn!("second stop signal: closing connections");
            watch.ask_all(Order::Close);
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the listener failed while it stopped");
    }
}
