//! Being told to end: Ctrl-C, or SIGTERM from whoever runs this.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until this process is told to end. Where signals can't be had it is never told.
pub(crate) async fn ended() {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
