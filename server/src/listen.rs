//! A listener with a certificate of the settings, from its beginning to its end.

use plane_http::{Audience, Listener, Order, Tls, TlsFiles, Watch};
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::life::{Life, Sources};

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

/// Waits until a listener that was asked to stop has served what is in flight; asked again, its connections are closed.
pub(crate) async fn finish(mut serving: JoinHandle<()>, watch: &Watch, life: &mut Life) {
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = life.stop() => {
            tracing::warn!("asked again: closing connections");
            watch.ask_all(Order::Close);
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::error!(%error, "the listener ended badly");
    }
}
