//! Messages to the service manager: sd_notify(3), one datagram each, to the socket in `NOTIFY_SOCKET`.
//!
//! Without a manager, nothing happens: a message that cannot be sent is dropped.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The status of a process without halted logs.
const SERVING: &str = "serving";

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Service {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The interval of the watchdog.
    watchdog: Option<Duration>,
}

/// When to send the next `WATCHDOG=1`.
#[derive(Debug)]
pub(crate) struct Alive(Option<tokio::time::Interval>);

impl Alive {
    /// Waits until it is time; forever without a watchdog.
    pub(crate) async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

impl Service {
    /// Reads the environment that systemd sets.
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let interval = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        Self::new(socket.as_deref(), interval.map(Duration::from_micros))
    }

    fn new(socket: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let open = |name: &OsStr| {
            // A name that begins with @ is in the abstract namespace.
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        };
        Self {
            socket: socket.and_then(open),
            watchdog,
        }
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }

    /// The process serves, with the restrictions in `limits`.
    pub(crate) fn ready(&self, limits: Option<&str>) {
        self.tell(&format!("READY=1\nSTATUS={}", limits.unwrap_or(SERVING)));
    }

    pub(crate) fn status(&self, limits: Option<&str>) {
        self.tell(&format!("STATUS={}", limits.unwrap_or(SERVING)));
    }

    /// Whether `NOTIFY_SOCKET` is set.
    pub(crate) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// The process reads settings again; [`Service::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = monotonic_micros().map(|micros| format!("\nMONOTONIC_USEC={micros}"));
        self.tell(&format!("RELOADING=1{}", now.unwrap_or_default()));
    }

    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Half the interval of the watchdog.
    pub(crate) fn watchdog(&self) -> Alive {
        let every = self.watchdog.filter(|_| self.socket.is_some());
        Alive(every.map(|every| {
            let mut interval = tokio::time::interval((every / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            interval
        }))
    }
}

/// CLOCK_MONOTONIC in microseconds. The standard library shows it in this form only; where it does not, a manager of
/// `Type=notify-reload` does not learn of a reload, and one of `Type=notify` needs no time.
fn monotonic_micros() -> Option<u64> {
    let shown = format!("{:?}", Instant::now());
    let number = |name: &str| -> Option<u64> {
        let (_, rest) = shown.split_once(name)?;
        let digits = rest.trim_start_matches([':', ' ']);
        let end = digits.find(|c: char| !c.is_ascii_digit())?;
        digits[..end].parse().ok()
    };
    Some(number("tv_sec")? * 1_000_000 + number("tv_nsec")? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_service_manager_is_told_on_a_path_and_on_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("logd-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&name).unwrap();
        let on_path = UnixDatagram::bind(&path).unwrap();
        let on_name = UnixDatagram::bind_addr(&by_name).unwrap();
        for (manager, said) in [
            (on_path, path.into_os_string()),
            (on_name, format!("@{name}").into()),
        ] {
            let service = Service::new(Some(&said), Some(Duration::from_secs(20)));
            service.ready(None);
            assert_eq!(heard(&manager), "READY=1\nSTATUS=serving");
            service.ready(Some("halted: dev"));
            assert_eq!(heard(&manager), "READY=1\nSTATUS=halted: dev");
            service.status(Some("halted: dev, system"));
            assert_eq!(heard(&manager), "STATUS=halted: dev, system");
            service.reloading();
            let text = heard(&manager);
            let (first, rest) = text.split_once('\n').unwrap();
            let micros = rest.strip_prefix("MONOTONIC_USEC=").unwrap();
            assert!(first == "RELOADING=1" && micros.parse::<u64>().unwrap() > 0);
            service.stopping();
            assert!(heard(&manager).starts_with("STOPPING=1\n"));
            service.watchdog().tick().await;
            service.alive();
            assert_eq!(heard(&manager), "WATCHDOG=1");
            drop(manager);
            service.ready(None);
        }
        let nobody = Service::new(None, Some(Duration::from_secs(20)));
        nobody.ready(None);
        assert!(nobody.watchdog().0.is_none());
    }
}
