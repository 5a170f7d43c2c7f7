//! What a seed decides before a life begins: who takes part, how often things go wrong, and what happens when.
//!
//! A plan is data: a part of it can be left out, and the rest happens as before. So a failing life is made smaller.

use std::time::Duration;

use crate::disaster::Disaster;
use crate::frontends::{self, FrontendAction};
use crate::http::{self, Http};
use crate::importer;
use crate::members::{self, Members};
use crate::nodes::{self, Named, NodeAction, Nodes};
use crate::older;
use crate::peers::{self, Chosen, PeerAction, Peers};
use crate::process::{Lag, Rates};
use crate::random::Dice;
use crate::settings;
use crate::short::Short;
use crate::versions;

/// A life as it is meant to go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that the whole plan follows from.
    pub seed: u64,
    /// Servers, all on the same stores.
    pub servers: usize,
    /// Whether the programs after the order run in processes of their own.
    pub split: bool,
    /// Time between two checkpoints, milliseconds.
    pub interval_ms: u64,
    /// Memory for what waits for publication, bytes.
    pub memory: usize,
    /// How often things go wrong at the beginning.
    pub rates: Rates,
    /// The writers of this life.
    pub writers: Vec<Writer>,
    /// How many readers there are.
    pub readers: usize,
    /// Who copies and cosigns the log.
    pub peers: Peers,
    /// Where large batches are.
    pub nodes: Nodes,
    /// How many frontends there are.
    pub frontends: u32,
    /// How much goes through HTTP.
    pub http: Http,
    /// What makes this life a short one.
    pub short: Short,
    /// Whether the secondaries and witnesses change, and what is restored.
    pub members: Members,
    /// The newest slot format that servers understand until they are started again; 0: that of this version.
    pub older: u32,
    /// Which old log is imported, if one is.
    pub old: Option<usize>,
    /// What happens, one after the other.
    pub events: Vec<Event>,
}

/// A writer, and what it does.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Requests that it sends.
    pub requests: u64,
    /// The longest pause between them, milliseconds.
    pub pause_ms: u64,
    /// The kind of writes that it makes.
    pub habit: Habit,
}

/// How a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// One entry after the other; an unknown outcome is taken for a loss.
    Plain,
    /// With idempotency keys; an unknown outcome is asked again, elsewhere.
    Keyed,
    /// Receipts for entries that come later.
    Promised,
    /// Uploads in parts, which break and are resumed.
    Upload,
    /// Demands the shard that it saw last.
    Sharded,
    /// Many entries at once.
    Burst,
    /// As `Plain`, always to the first server.
    First,
    /// Hundreds at once, each under a key of its own, to all servers, in the shard that is active then.
    Throng,
}

/// Something that happens in a life.
#[derive(Clone, Debug)]
pub struct Event {
    /// After the event before it.
    pub after: Duration,
    /// What happens at that time.
    pub what: Action,
}

/// Something that happens to the system, or that somebody does.
#[derive(Clone, Debug)]
pub enum Action {
    /// A process dies, and is started again after this time.
    Crash(usize, Duration),
    /// A process is stopped as by SIGTERM, and started again after this time.
    Stop(usize, Duration),
    /// A process stands still for this time.
    Pause(usize, Duration),
    /// The operations of a process take longer, for this time.
    Lag(usize, Lag, Duration),
    /// Somebody more writes from now on.
    Crowd(Writer),
    /// The wall clock of a process is set so many milliseconds ahead of the true time.
    Clock(usize, i64),
    /// The whole system stands still for so many milliseconds, as machines do that sleep.
    Skip(u64),
    /// From now on so much goes wrong.
    Rates(Rates),
    /// To a secondary, or to the network.
    Peer(PeerAction),
    /// Something happens to a storage node.
    Node(NodeAction),
    /// Something happens to a frontend.
    Frontend(FrontendAction),
    /// Something that secondaries are there for.
    Disaster(Disaster),
    /// An operator imports the log of an old Rekor, or drops what has begun.
    Import(importer::Step),
    /// An operator wants something, and sends it so many times with one key.
    Change(Change, u64),
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A rotation to the next shard.
    Rotate,
    /// A rotation to a shard whose name is as long as names may be.
    LongName,
    /// A shard in advance.
    Plan,
    /// Another checkpoint interval, milliseconds.
    Interval(u64),
    /// Limits for writers: entries each second; 0 for none.
    Limit(u64),
    /// Shards of so many entries at most; 0 for any number.
    ShardSize(u64),
    /// No entries any more, with or without a wait for promised work.
    Freeze {
        /// Promised work is not waited for.
        now: bool,
    },
    /// The log accepts entries again.
    Unfreeze,
    /// The log is deleted.
    Delete,
    /// The log is shown again.
    Undelete,
    /// Another interval, on probation for so many milliseconds; whether it is confirmed.
    Probation(u64, bool),
    /// A second log is made.
    Create,
    /// A log is made whose origin another one has.
    Taken,
    /// The log has other storage nodes from now on.
    Storage(Named),
    /// Other frontends; bit n stands for frontend n.
    Frontends(u32),
    /// The log has these secondaries, of which so many must have what is published.
    Secondaries(Chosen),
    /// Other tiers and tenants, which follow from the number.
    Tiers(u64),
    /// The settings of an earlier generation, which follows from the number.
    Rollback(u64),
    /// Whether the key of a shard must have been seen before the shard opens.
    Announced(bool),
    /// The key of the next shard has been seen.
    Seen,
    /// A rotation to a shard whose key has been seen for so many milliseconds.
    RotateSeen(u64),
    /// As many of the secondaries that there are.
    Quorum(u32),
    /// These witnesses, of which so many must cosign.
    Policy(Chosen),
}

impl Plan {
    /// The life of a seed.
    pub fn of(seed: u64) -> Self {
        let mut plan = Self::drawn(seed, false);
        importer::join(&mut plan, importer::ORDINARY);
        plan
    }

    /// The life of a seed in which members change, disks are lost and the log is restored.
    pub fn with_members(seed: u64) -> Self {
        Self::drawn(seed, true)
    }

    /// The life of a seed, without an import.
    pub(crate) fn drawn(seed: u64, members: bool) -> Self {
        let mut dice = Dice::new(seed);
        let servers = usize::try_from(dice.between(1, 3)).unwrap_or(1);
        let split = dice.chance(200_000);
        let wild = dice.between(0, 3);
        let rates = rates(&mut dice, wild);
        // Slots and what hangs on them are only deleted in a log with thousands of them.
        let requests = if dice.chance(60_000) { 4_000 } else { 400 };
        let writers = (0..dice.between(1, 5))
            .map(|_| writer(&mut dice, requests))
            .collect();
        let processes = processes(servers, split);
        let events = dice.spread(4, 220);
        let longest = dice.spread(50, 8_000);
        let events = (0..events)
            .map(|_| Event {
                after: dice.span(1, longest),
                what: action(&mut dice, processes, wild),
            })
            .collect();
        let mut plan = Self {
            seed,
            servers,
            split,
            interval_ms: dice.spread(10, 1_000),
            memory: if dice.chance(100_000) {
                1 << 14
            } else {
                1 << 22
            },
            rates,
            writers,
            readers: usize::try_from(dice.between(1, 3)).unwrap_or(1),
            peers: Peers::default(),
            nodes: Nodes::default(),
            frontends: 0,
            http: Http::default(),
            short: Short::default(),
            members: Members::default(),
            older: 0,
            old: None,
            events,
        };
        peers::join(&mut plan, wild);
        nodes::join(&mut plan, wild);
        frontends::join(&mut plan, wild);
        http::join(&mut plan);
        settings::join(&mut plan);
        if members {
            members::join(&mut plan, wild);
            older::join(&mut plan);
        } else {
            versions::join(&mut plan);
        }
        plan
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        processes(self.servers, self.split)
    }
}

fn processes(servers: usize, split: bool) -> usize {
    servers + if split { 4 } else { 0 }
}

fn writer(dice: &mut Dice, most: u64) -> Writer {
    let habits = [
        Habit::Plain,
        Habit::Keyed,
        Habit::Promised,
        Habit::Upload,
        Habit::Sharded,
        Habit::Burst,
    ];
    Writer {
        requests: dice.spread(10, most),
        pause_ms: dice.spread(1, 1_000),
        habit: dice.pick(&habits).copied().unwrap_or(Habit::Plain),
    }
}

/// How often things go wrong in a life that is this wild: 0 (never) to 3.
pub(crate) fn rates(dice: &mut Dice, wild: u64) -> Rates {
    let latency_ms = dice.between(0, 3);
    if wild == 0 {
        return Rates {
            latency_ms,
            ..Rates::default()
        };
    }
    let most = [0, 2_000, 20_000, 100_000][usize::try_from(wild).unwrap_or(0)];
    let mut rate = |part: u64| {
        let on = dice.chance(600_000);
        let rate = dice.spread(1, most / part);
        if on {
            u32::try_from(rate).unwrap_or(0)
        } else {
            0
        }
    };
    Rates {
        fails: rate(1),
        unknown: rate(1),
        reads: rate(1),
        full: rate(4),
        slow: rate(1),
        network: rate(1),
        crash: rate(20),
        slow_ms: dice.spread(10, 20_000),
        latency_ms,
        probations: 0,
    }
}

fn action(dice: &mut Dice, processes: usize, wild: u64) -> Action {
    let who = usize::try_from(dice.between(0, processes as u64 - 1)).unwrap_or(0);
    match dice.between(0, 19) {
        0 | 1 if wild > 0 => Action::Crash(who, dice.span(1, 60_000)),
        2 => Action::Stop(who, dice.span(1, 60_000)),
        3 if wild > 0 => Action::Pause(who, dice.span(1, 120_000)),
        4 if wild > 1 => Action::Clock(who, clock(dice)),
        5 => Action::Skip(dice.spread(1, 90 * 86_400_000)),
        6 if wild > 0 => Action::Rates(rates(dice, wild)),
        _ => {
            let times = if dice.chance(300_000) {
                dice.between(2, 4)
            } else {
                1
            };
            Action::Change(change(dice), times)
        }
    }
}

/// How far a clock is off: back to the true time as often as not, up to ten years.
pub(crate) fn clock(dice: &mut Dice) -> i64 {
    if dice.chance(400_000) {
        return 0;
    }
    let far = i64::try_from(dice.spread(1, 315_360_000_000)).unwrap_or(0);
    if dice.chance(500_000) { far } else { -far }
}

fn change(dice: &mut Dice) -> Change {
    match dice.between(0, 15) {
        0..=4 => Change::Rotate,
        5 => Change::Plan,
        6 => Change::Interval(dice.spread(10, 2_000)),
        7 => Change::Limit(if dice.chance(500_000) {
            0
        } else {
            dice.spread(1, 1_000)
        }),
        8 => Change::ShardSize(if dice.chance(500_000) {
            0
        } else {
            dice.spread(20, 500)
        }),
        9 => Change::Freeze {
            now: dice.chance(500_000),
        },
        10 | 11 => Change::Unfreeze,
        12 => Change::Delete,
        13 => Change::Undelete,
        14 => Change::Probation(dice.spread(1_000, 60_000), dice.chance(500_000)),
        _ => Change::Create,
    }
}
