//! Two restored primaries at once: somebody else restores the lost log as well, and lets a server run on the result.
//!
//! One of them publishes at most: the secondaries take the later one and refuse the other, which halts for good. What that one has
//! acknowledged since is lost, as its operators are told. Or the earlier one signs before the later one has come, which then waits for good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use bytes::Bytes;
use engine::{AppendError, Restored};
use qos::Advice;
use tlog::UnixMillis;

use crate::disaster::{self, ORIGIN};
use crate::loss;
use crate::older;
use crate::server::{Role, Server, Site};
use crate::world::World;
use crate::writer::LOG;

/// What a log says that learns of a later life of itself.
pub const ELSEWHERE: &str = "restored elsewhere";

/// What a log says that was restored from less than another copy of it has done.
pub const BEHIND: &str = "knows a later state of this log";

/// What a log says of a secondary that has taken such a copy.
pub const FUTILE: &str = "it says that the log was restored elsewhere, and has no manifest";

/// The other restored primary, if there is one.
#[derive(Default)]
pub struct Twins(Mutex<Option<Twin>>);

struct Twin {
    restored: Restored,
    server: Arc<Server>,
    /// The life of the log that it is a twin of.
    life: u64,
}

impl Twins {
    /// Whoever restored it sees the mistake, and stops it for good.
    pub fn stop(&self) {
        let twin = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(twin) = &*twin {
            twin.server.hold();
        }
    }
}

/// Restores the log once more, from all of its secondaries, and runs it for a while.
pub async fn restore(world: Arc<World>, number: u64) {
    let (signed, life) = (world.judge.signed_below(ORIGIN), world.primary.lives());
    let process = disaster::process(&world, &format!("twin-{number}"));
    let (site, trusted) = (Site::new(), disaster::trusted(&world, u32::MAX));
    let made = tokio::select! {
        () = process.dead() => return,
        made = disaster::restore(&world, &process, &site, trusted, false) => made,
    };
    let restored = match made {
        Ok(restored) => restored,
        Err(error) => return world.trace.say(format_args!("{}: {error}", process.name)),
    };
    let same = disaster::trusted(&world, u32::MAX) == trusted && world.primary.lives() == life;
    if !same || world.primary.is_lost() || world.is_calm() {
        return;
    }
    let found = (&restored, &*site.objects);
    disaster::check(&world, &process.name, &signed, found, None).await;
    let sizes = restored.shards.iter();
    let sizes = sizes.map(|(shard, size, _)| (format!("{ORIGIN}/{shard}"), size.get()));
    world.network.copies.restored_too(sizes.collect());
    let clocks = Moved::over(world.clocks.time());
    let server = Server::new(process.name.clone(), Role::Twin, site, clocks);
    tokio::spawn(Arc::clone(&server).live(Arc::clone(&world)));
    let twin = Twin {
        restored,
        server: Arc::clone(&server),
        life,
    };
    let Twins(known) = &world.twins;
    *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(twin);
    let mut dice = world.dice(&process.name);
    for number in 0..dice.between(1, 40) {
        tokio::time::sleep(dice.span(1, 5_000)).await;
        write(&world, &server, number).await;
        let runs = world.servers.iter().filter_map(|server| server.running());
        let mut logs = runs.filter_map(|running| running.engine.log(LOG));
        let superseded = |why: String| why.contains(ELSEWHERE);
        if logs.any(|log| log.halted().is_some_and(superseded)) {
            adopt(&world);
            return;
        }
    }
    world.twins.stop();
}

/// Somebody writes to the other primary, and believes nothing that it says.
async fn write(world: &World, server: &Server, number: u64) {
    let Some(running) = server.running() else {
        return;
    };
    let entry = Bytes::from(format!("{} {number}", server.name));
    world.judge.asked(LOG, &entry);
    let written = async {
        let log = running.engine.log(LOG).ok_or(AppendError::Closing)?;
        let tenant = log
            .policy()
            .tenant(None, UnixMillis::ZERO)
            .map_err(|_| AppendError::Closing)?;
        let ticket = log.submit(entry, tenant, &Advice::default())?;
        ticket.answer.await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), written).await;
}

/// The primary that all write to is the earlier one, and is halted for good: they go to the later one. False where there is none.
pub fn adopt(world: &World) -> bool {
    let Twins(known) = &world.twins;
    let twin = known.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(twin) = twin.filter(|twin| twin.life == world.primary.lives()) else {
        return false;
    };
    if !world.primary.lose() {
        return false;
    }
    world.trace.say(format_args!(
        "{} is the primary from now on",
        twin.server.name
    ));
    twin.server.hold();
    world.servers.iter().for_each(|server| server.hold());
    if let Some(first) = world.servers.first() {
        let store = Arc::clone(&first.site().coordination);
        for secondary in &world.network.secondaries {
            secondary.forget_known(crate::copies::storage_number(&store, &secondary.name));
        }
    }
    let site = twin.server.site();
    loss::begin_again(world, &twin.restored, &site, None);
    // What it has published is decided.
    let published = older::published(&site.coordination.rows()).into_iter();
    let published = published.map(|(shard, size)| (format!("{ORIGIN}/{shard}"), size));
    world.network.copies.restored_too(published.collect());
    true
}
