//! Separate hosts: each secondary in a network namespace of its own, the primary in this one, and the cables between them cut.
//! Needs root and `ip`; skipped, and said so, where they are missing.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};
use tests::auditor::Auditor;
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::Logd;
use tests::secondary::{Secondary, StartSecondary};
use tests::skip::{campaign, skip};
use tests::wait;

use crate::copies::{audit_copies, configure, replication_key};
use crate::{Done, folder};

/// A host: a namespace and the cable to it. Both go with it.
struct Host {
    name: String,
    address: String,
}

fn ip(words: &str) -> Result<bool> {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .context("run ip")?;
    Ok(output.status.success())
}

fn must(words: &str) -> Done {
    ensure!(ip(words)?, "ip {words}");
    Ok(())
}

impl Host {
    /// Makes a host; nothing where that is not possible here.
    fn new() -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let pid = std::process::id();
        let name = format!("lg{:x}x{number}", pid & 0xf_ffff);
        if !rustix::process::geteuid().is_root()
            || !matches!(ip(&format!("netns add {name}")), Ok(true))
        {
            return Ok(None);
        }
        // One of the private networks, somewhere in it by the process id.
        let net = format!(
            "10.{}.{}",
            64 + (pid >> 6) % 64,
            ((pid & 63) << 2) + (number & 3)
        );
        let host = Self {
            address: format!("{net}.2"),
            name,
        };
        let name = &host.name;
        if !ip(&format!(
            "link add {name} type veth peer name eth0 netns {name}"
        ))? {
            return Ok(None);
        }
        must(&format!("addr add {net}.1/24 dev {name}"))?;
        must(&format!("link set {name} up"))?;
        must(&format!(
            "netns exec {name} ip addr add {net}.2/24 dev eth0"
        ))?;
        must(&format!("netns exec {name} ip link set eth0 up"))?;
        must(&format!("netns exec {name} ip link set lo up"))?;
        Ok(Some(host))
    }

    /// Cuts the cable: at this end, or, so that packets vanish without a word, behind it.
    fn cut(&self, silently: bool) -> Done {
        match silently {
            true => must(&format!("netns exec {} ip addr flush dev eth0", self.name)),
            false => must(&format!("link set {} down", self.name)),
        }
    }

    fn mend(&self) -> Done {
        must(&format!("link set {} up", self.name))?;
        let name = &self.name;
        // It may have its address still.
        let _ = ip(&format!(
            "netns exec {name} ip addr add {}/24 dev eth0",
            self.address
        ))?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}", self.name));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

#[test]
fn partitions_between_a_primary_and_its_secondaries() -> Done {
    let (Some(a), Some(b)) = (Host::new()?, Host::new()?) else {
        skip("partitions", "network namespaces need root and iproute2");
        return Ok(());
    };
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("primary"))?;
    let key = replication_key(&logd)?;
    let start = |host: &Host, name: &str| -> Result<Secondary> {
        let dir = folder.path().join(name);
        Secondary::key(&dir, &format!("{name}.example.org"))?;
        let wrapper = ["ip", "netns", "exec", &host.name]
            .map(str::to_owned)
            .to_vec();
        let how = StartSecondary {
            wrapper,
            listen: Some(format!("{}:7080", host.address)),
        };
        Secondary::start(&dir, std::slice::from_ref(&key), &how)
    };
    let (ams, fra) = (start(&a, "ams")?, start(&b, "fra")?);
    let named = [
        ("ams", ams.address.to_string(), ams.vkey.clone()),
        ("fra", fra.address.to_string(), fra.vkey.clone()),
    ];
    configure(&logd, &named, 1, "")?;
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    for round in 0..campaign("TESTS_PARTITIONS", 4) {
        let silently = round % 2 == 1;
        let load = Load::start(Plan::synthetic(logd.address, 4, &format!("p{round}")));
        // One of them away: the other one is enough.
        let (cut, other) = if round % 4 < 2 { (&a, &b) } else { (&b, &a) };
        cut.cut(silently)?;
        let before = logd.watermarks()?.ordered;
        load.reach(load.acknowledged() + 50)?;
        wait::until("one secondary is enough", || {
            Ok((logd.watermarks()?.published > before).then_some(()))
        })?;
        // Both away: the order goes on, publication waits.
        other.cut(silently)?;
        load.reach(load.acknowledged() + 50)?;
        ledger.add(load.stop()?)?;
        let at = logd.watermarks()?;
        ensure!(at.published <= at.ordered);
        cut.mend()?;
        other.mend()?;
        tests::verify::whole(&logd, &mut auditor, &mut ledger)
            .with_context(|| format!("round {round}"))?;
        let published = logd.watermarks()?.published;
        for one in [&ams, &fra] {
            wait::until("both have caught up", || {
                Ok((audit_copies(&logd, &mut auditor, one, &key)? >= published).then_some(()))
            })?;
        }
    }
    Ok(())
}
