//! Interrupts: Ctrl-C, or SIGTERM from a supervisor.

use tokio::signal::unix::{SignalKind, signal};

/// Listens from the call on, not from the first poll; resolves when this process is told to end. If the system gives no signals, it never
/// resolves.
pub fn ended() -> impl Future<Output = ()> {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
