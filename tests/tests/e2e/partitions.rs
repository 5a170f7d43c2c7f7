//! Separate hosts: each in a network namespace of its own, and the cables between them cut: between a primary and its secondaries,
//! its witnesses, a frontend, its writers; between one of two replicas and its clients; between an operator and the admin endpoint.
//! Needs root and `ip`; skipped, and said so, where they are missing.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tests::auditor::Auditor;
use tests::bucket::{CREDENTIALS, InBucket, S3};
use tests::cable::{Cable, Is};
use tests::ledger::Ledger;
use tests::load::{Load, Plan};
use tests::process::{Logd, Start};
use tests::secondary::{Secondary, StartSecondary};
use tests::skip::{campaign, skip};
use tests::{notes, wait};

use crate::copies::{audit_copies, checkpoint, configure, replication_key};
use crate::stores::settings;
use crate::witnesses::{Witness, programs, signed_by};
use crate::{Done, does, folder};

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

    /// The words that run a program there.
    fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name]
            .map(str::to_owned)
            .to_vec()
    }

    /// Cuts the cable: at this end, or, so that packets vanish without a word, behind it.
    fn cut(&self, silently: bool) -> Done {
        match silently {
            true => must(&format!("netns exec {} ip addr flush dev eth0", self.name)),
            false => must(&format!("link set {} down", self.name)),
        }
    }

    fn heal(&self) -> Done {
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
        let how = StartSecondary {
            wrapper: host.wrapper(),
            listen: Some(format!("{}:7080", host.address)),
            ..StartSecondary::default()
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
        // Both away: the order continues, publication waits.
        other.cut(silently)?;
        load.reach(load.acknowledged() + 50)?;
        ledger.add(load.stop()?)?;
        let at = logd.watermarks()?;
        ensure!(at.published <= at.ordered);
        cut.heal()?;
        other.heal()?;
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

/// A server on the folder `at`, which `logd dev` has made, that runs on another host; its admin endpoint is a socket of this one.
fn server_on(host: &Host, at: &Path, edits: &[(&str, &str)]) -> Result<Logd> {
    let listen = format!("[data]\nlisten = \"{}:7070\"", host.address);
    let here = [("[data]\nlisten = \"127.0.0.1:0\"", listen.as_str())];
    let edits = [&here[..], edits].concat();
    let how = Start {
        wrapper: host.wrapper(),
        settings: Some(settings(at, "there.toml", &edits, "")?),
        ..Start::default()
    };
    Logd::start_as(at, &how)
}

#[test]
fn partitions_between_writers_and_the_primary() -> Done {
    let Some(host) = Host::new()? else {
        skip(
            "partitions of writers",
            "network namespaces need root and iproute2",
        );
        return Ok(());
    };
    let folder = folder()?;
    let at = folder.path();
    ensure!(Logd::start(at)?.terminate()?.success());
    let logd = server_on(&host, at, &[])?;
    let (mut auditor, mut ledger) = (Auditor::default(), Ledger::default());
    for silently in [false, true] {
        let plan = Plan {
            persist: true,
            ..Plan::synthetic(logd.address, 4, if silently { "silent" } else { "cut" })
        };
        let load = Load::start(plan);
        load.reach(100)?;
        host.cut(silently)?;
        // Entries that arrived are published; operators still reach it.
        wait::until("all that arrived is published", || {
            let status = does(at, "merge status")?;
            let marks = &status["watermarks"];
            Ok((marks["ordered"] == marks["published"]).then_some(()))
        })?;
        host.heal()?;
        load.reach(load.acknowledged() + 100)?;
        ledger.add(load.stop()?)?;
        tests::verify::whole(&logd, &mut auditor, &mut ledger)
            .with_context(|| format!("silently: {silently}"))?;
    }
    Ok(())
}

/// Two replicas on one folder; the clients of one cannot reach it. It continues with its part, and nobody waits for it.
#[test]
fn a_replica_that_its_clients_cannot_reach() -> Done {
    let Some(host) = Host::new()? else {
        skip(
            "a replica cut off from its clients",
            "network namespaces need root and iproute2",
        );
        return Ok(());
    };
    let folder = folder()?;
    let at = folder.path();
    let here = Logd::start(at)?;
    let there = server_on(&host, at, &[("socket = \"admin.sock\"\n", "")])?;
    let plan = |to: &Logd, name: &str| Plan {
        persist: true,
        ..Plan::synthetic(to.address, 4, name)
    };
    let loads = [
        Load::start(plan(&here, "here")),
        Load::start(plan(&there, "there")),
    ];
    for load in &loads {
        load.reach(100)?;
    }
    host.cut(true)?;
    loads[0].reach(loads[0].acknowledged() + 200)?;
    let published = here.watermarks()?.published;
    wait::until("the other one publishes", || {
        Ok((here.watermarks()?.published > published).then_some(()))
    })?;
    host.heal()?;
    loads[1].reach(loads[1].acknowledged() + 100)?;
    let mut ledger = Ledger::default();
    for load in loads {
        ledger.add(load.stop()?)?;
    }
    // The other one learns a moment later what one ordered at last.
    wait::until("both know everything", || {
        Ok((here.settled()? == there.settled()?).then_some(()))
    })?;
    let most = ledger.acknowledged();
    wait::until("everything acknowledged is published", || {
        let published = (here.watermarks()?.published, there.watermarks()?.published);
        Ok((published.0 >= most && published.1 >= most).then_some(()))
    })?;
    let mut auditor = Auditor::default();
    tests::verify::whole(&here, &mut auditor, &mut ledger)?;
    tests::verify::whole(&there, &mut auditor, &mut ledger)?;
    Ok(())
}

#[test]
fn partitions_between_a_primary_and_its_witnesses() -> Done {
    let Some(programs) = programs("partitions of witnesses") else {
        return Ok(());
    };
    let (Some(a), Some(b)) = (Host::new()?, Host::new()?) else {
        skip(
            "partitions of witnesses",
            "network namespaces need root and iproute2",
        );
        return Ok(());
    };
    let folder = folder()?;
    let logd = Logd::start(&folder.path().join("log"))?;
    let shard = logd.shards()?.pop().context("a log has a shard")?;
    let witness = |host: &Host, name: &str| -> Result<Witness> {
        let listen = format!("{}:7090", host.address).parse()?;
        let witness = Witness::start_at(folder.path(), name, &programs, &host.wrapper(), listen)?;
        witness.knows(&shard)?;
        Ok(witness)
    };
    let (one, two) = (witness(&a, "one")?, witness(&b, "two")?);
    let policy = format!(
        "witness one {} {}\nwitness two {} {}\ngroup either any one two\nquorum either\n",
        one.vkey, one.url, two.vkey, two.url
    );
    configure(&logd, &[], 0, &policy)?;
    for (round, (cut, other)) in [(&a, &b), (&b, &a)].into_iter().enumerate() {
        let add = |text: &str| logd.add(format!("{round}: {text}").as_bytes());
        // One of them away: the other one is enough.
        cut.cut(true)?;
        let size = add("one is enough")? + 1;
        let signed = signed_by(&logd, &shard, &[&one, &two], size)?;
        ensure!(signed >= 1, "{signed} cosignatures");
        // Both away: the order continues, readers keep what they have.
        other.cut(false)?;
        let size = add("none is too few")? + 1;
        wait::until("it is said that witnesses are missing", || {
            let status = does(&logd.directory, "merge status")?;
            let witnesses = status["witnesses"].as_array().context("witnesses")?;
            let all = witnesses.iter().all(|w| w["trouble"].is_string());
            Ok(all.then_some(()))
        })?;
        ensure!(add("the order goes on")? == size);
        let note = checkpoint(&logd, &shard)?;
        let head = notes::checkpoint(&note, &shard.origin, &shard.vkey)?;
        ensure!(head.size < size, "{} without a witness", head.size);
        cut.heal()?;
        other.heal()?;
        let signed = signed_by(&logd, &shard, &[&one, &two], size + 1)?;
        ensure!(signed >= 1, "{signed} cosignatures");
    }
    tests::verify::whole(&logd, &mut Auditor::default(), &mut Ledger::default())?;
    Ok(())
}

#[test]
fn partitions_between_a_primary_and_its_frontend() -> Done {
    let Some(host) = Host::new()? else {
        skip(
            "partitions of a frontend",
            "network namespaces need root and iproute2",
        );
        return Ok(());
    };
    let listen = format!("{}:5000", host.address);
    let Some(s3) = S3::start_with(&host.wrapper(), &listen)? else {
        skip("partitions of a frontend", "moto_server is not installed");
        return Ok(());
    };
    let mut cdn = s3.bucket("cdn")?;
    let folder = folder()?;
    let at = folder.path();
    ensure!(Logd::start(at)?.terminate()?.success());
    let allowed = [("frontends = [\"frontends\"]", "frontends = [\"s3://cdn\"]")];
    let more =
        format!("[buckets.\"s3://cdn\"]\nendpoint = \"http://{listen}\"\nallow_http = true\n");
    let how = Start {
        wrapper: CREDENTIALS.map(str::to_owned).to_vec(),
        settings: Some(settings(at, "bucket.toml", &allowed, &more)?),
        ..Start::default()
    };
    let logd = Logd::start_as(at, &how)?;
    tests::secondary::configure(at, |document| {
        document["merge"]["frontends"] = json!([{"name": "cdn", "url": "s3://cdn"}]);
    })?;
    let mut ledger = Ledger::default();
    for silently in [false, true] {
        let load = Load::start(Plan::synthetic(
            logd.address,
            4,
            if silently { "fs" } else { "fc" },
        ));
        host.cut(silently)?;
        load.reach(load.acknowledged() + 300)?;
        ledger.add(load.stop()?)?;
        // Nobody waits for it.
        logd.settled()?;
        host.heal()?;
        let (shards, ordered) = (logd.shards()?, logd.watermarks()?.ordered);
        wait::until("the frontend has everything", || {
            let mut source = InBucket {
                bucket: &mut cdn,
                at: "dev",
            };
            let audited = Auditor::default().audit(&mut source, &shards, |_| Ok(()));
            let whole = audited.is_ok_and(|audited| audited.entries == ordered);
            Ok(whole.then_some(()))
        })?;
    }
    tests::verify::whole(&logd, &mut Auditor::default(), &mut ledger)?;
    Ok(())
}

/// Wherever in a change the cable between an operator and the admin endpoint breaks, what `logctl` says of it is true, and the
/// change is made once or not at all.
#[test]
fn partitions_between_an_operator_and_the_admin_endpoint() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let admin = logd.admin.strip_prefix("https://").context("an address")?;
    let cable = Cable::to(admin.replace("localhost", "127.0.0.1").parse()?)?;
    let through = admin.replace(
        admin.rsplit(':').next().context("a port")?,
        &cable.address.port().to_string(),
    );
    let rotate = || -> Result<tests::process::Ran> {
        let ca = at.join("admin-cert.pem").to_string_lossy().into_owned();
        let token = at.join("admin.token").to_string_lossy().into_owned();
        let address = format!("https://{through}");
        let words = [
            "--admin",
            &address,
            "--ca",
            &ca,
            "--token-file",
            &token,
            "--log",
            "dev",
            "--timeout",
            "3s",
            "shard",
            "rotate",
            "--yes",
        ];
        tests::process::logctl(at, &words)
    };
    let opened = || -> Result<usize> {
        let shards = logd.shards()?;
        Ok(shards.iter().filter(|s| s.state != "planned").count())
    };
    let before = opened()?;
    rotate()?.expect_code(0)?;
    ensure!(opened()? == before + 1);
    let bytes = cable.answered();
    ensure!(bytes > 0, "it went over the cable");
    let mut said = std::collections::BTreeMap::new();
    for step in 0..8 {
        let before = opened()?;
        cable.cut_after(bytes * step / 8);
        let ran = rotate()?;
        cable.set(Is::Whole);
        *said.entry(ran.code).or_insert(0) += 1;
        // Its own effect is complete, or will never be.
        let after = wait::until("the server is reached again", || Ok(opened().ok()))?;
        let made = after - before;
        match ran.code {
            0 | 9 => ensure!(made == 1, "{made} rotations, {ran:?}"),
            11 => ensure!(made == 0, "{made} rotations, {ran:?}"),
            7 | 8 => ensure!(made <= 1, "{made} rotations, {ran:?}"),
            _ => anyhow::bail!("{ran:?}"),
        }
    }
    ensure!(said.keys().any(|code| *code != 0), "never cut: {said:?}");
    tests::verify::whole(&logd, &mut Auditor::default(), &mut Ledger::default())?;
    Ok(())
}
