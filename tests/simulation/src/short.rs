//! Short lives: small windows of slots, eager writers and storms of events, so that rare orders of events become common.
//!
//! All of it is a stream of its own, so an ordinary life of the same seed is as it was.

use std::sync::Arc;
use std::time::Duration;

use order::WINDOW;
use order::mutant::Mutant;

use crate::importer;
use crate::plan::{self, Action, Change, Event, Habit, Plan, Writer};
use crate::process::Lag;
use crate::random::Dice;
use crate::shapes;
use crate::world::World;
use crate::writer::LOG;

/// What a server says that stood still for a whole window of slots.
pub const RESTART: &str = "restart it (nothing is lost)";

/// How a life differs from an ordinary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// For how many slots an announcement counts.
    pub window: u64,
    /// Writers send the same to two servers at once, give up soon, and ask again for what they wrote before.
    pub eager: bool,
    /// Operators have names as long as names may be.
    pub names: bool,
    /// The rule that is left out, if one is.
    pub mutant: Option<Mutant>,
}

impl Default for Short {
    fn default() -> Self {
        Self {
            window: WINDOW,
            eager: false,
            names: false,
            mutant: None,
        }
    }
}

/// Events that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storm {
    /// The log is frozen and unfrozen, again and again.
    Freezes,
    /// One rotation after the other.
    Rotations,
    /// Changes on probation, and servers that stand still meanwhile.
    Probations,
    /// Wall clocks that are weeks ahead for a while.
    Clocks,
    /// Servers that stand still or die, one after the other.
    Standstills,
    /// Many write while the log is frozen and unfrozen.
    Crowds,
    /// Many write while one server is far slower than the others.
    Lags,
}

impl Plan {
    /// Whether it is a short life.
    pub fn is_short(&self) -> bool {
        self.short != Short::default()
    }

    /// The short life of a seed, with this rule left out.
    pub fn short(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut plan = Self::drawn(seed, false);
        let mut dice = Dice::new(seed).fork("short");
        plan.short = Short {
            window: dice.spread(4, WINDOW - 1),
            eager: dice.chance(800_000),
            names: false,
            mutant,
        };
        if dice.chance(600_000) {
            plan.short.window = dice.between(4, 12);
        }
        if dice.chance(750_000) {
            plan.servers = plan.servers.max(2);
        }
        if dice.chance(600_000) {
            let wild = dice.between(1, 3);
            plan.rates = plan::rates(&mut dice, wild);
        }
        for writer in &mut plan.writers {
            writer.requests = writer.requests.min(150);
            if dice.chance(400_000) {
                writer.pause_ms = dice.spread(1, 30);
            }
            if dice.chance(300_000) {
                let habits = [Habit::Keyed, Habit::Promised, Habit::Upload, Habit::Sharded];
                writer.habit = dice.pick(&habits).copied().unwrap_or(writer.habit);
            }
        }
        plan.events.truncate(60);
        for _ in 0..dice.between(1, 3) {
            let at = dice.between(0, plan.events.len() as u64);
            let at = usize::try_from(at).unwrap_or(0);
            let storm = storm(&mut dice, &plan);
            plan.events.splice(at..at, storm);
        }
        if dice.chance(300_000) {
            let at = dice.between(0, plan.events.len() as u64);
            let at = usize::try_from(at).unwrap_or(0);
            let taken = at_once(Action::Change(Change::Taken, 1));
            plan.events.insert(at, taken);
        }
        shapes::join(&mut plan, &mut dice);
        importer::join(&mut plan, importer::SHORT);
        plan
    }
}

/// Starts servers again that stood still for a whole window of slots, which is soon in a short life: their operators are told to.
pub async fn restart(world: Arc<World>) {
    while !world.is_calm() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for server in &world.servers {
            let log = server.running().and_then(|running| running.engine.log(LOG));
            let why = log.and_then(|log| log.halted());
            if why.is_some_and(|why| why.contains(RESTART)) {
                server.stop(Duration::from_millis(100));
            }
        }
    }
}

fn storm(dice: &mut Dice, plan: &Plan) -> Vec<Event> {
    let storms = [
        Storm::Freezes,
        Storm::Rotations,
        Storm::Probations,
        Storm::Clocks,
        Storm::Standstills,
        Storm::Crowds,
        Storm::Crowds,
        Storm::Lags,
        Storm::Lags,
    ];
    let storm = dice.pick(&storms).copied().unwrap_or(Storm::Freezes);
    let mut events = Vec::new();
    let times = dice.between(3, if storm == Storm::Clocks { 4 } else { 15 });
    let pause = dice.spread(20, 4_000);
    let processes = plan.processes() as u64;
    let rates = begin(dice, plan, storm, &mut events);
    for _ in 0..times {
        let who = usize::try_from(dice.between(0, processes - 1)).unwrap_or(0);
        let mut then = |after: Duration, what: Action| events.push(Event { after, what });
        match storm {
            Storm::Freezes | Storm::Crowds => {
                let freeze = Change::Freeze {
                    now: dice.chance(800_000),
                };
                then(dice.span(1, pause), Action::Change(freeze, 1));
                let unfreeze = Action::Change(Change::Unfreeze, 1);
                then(dice.span(1, pause), unfreeze);
            }
            Storm::Rotations => {
                let rotate = Action::Change(Change::Rotate, 1);
                then(dice.span(1, pause), rotate);
            }
            Storm::Probations => {
                let probation = Change::Probation(dice.between(1_000, 2_000), false);
                then(dice.span(500, 12_000), Action::Change(probation, 1));
                if dice.chance(500_000) {
                    let still = Action::Pause(who, dice.span(500, 10_000));
                    then(dice.span(1, 200), still);
                }
            }
            Storm::Clocks => {
                let ahead = dice.between(8, 400) * 86_400_000;
                let ahead = i64::try_from(ahead).unwrap_or(0);
                then(dice.span(1, 5_000), Action::Clock(who, ahead));
                then(dice.span(31_000, 70_000), Action::Clock(who, 0));
            }
            Storm::Standstills => {
                let long = dice.span(100, 20_000);
                let what = match dice.chance(700_000) {
                    true => Action::Pause(who, long),
                    false => Action::Crash(who, long),
                };
                then(dice.span(1, pause), what);
            }
            Storm::Lags => {
                let changes = [
                    Change::Rotate,
                    Change::Freeze { now: true },
                    Change::Unfreeze,
                    Change::Unfreeze,
                    Change::Probation(1_000, false),
                ];
                let change = dice.pick(&changes).copied().unwrap_or(Change::Rotate);
                then(dice.span(1, pause), Action::Change(change, 1));
            }
        }
    }
    events.push(Event {
        after: dice.span(1, 1_000),
        what: Action::Change(Change::Unfreeze, 1),
    });
    events.extend(rates);
    events
}

/// What a storm begins with; returns what ends it.
fn begin(dice: &mut Dice, plan: &Plan, storm: Storm, events: &mut Vec<Event>) -> Option<Event> {
    let mut rates = plan.rates.clone();
    match storm {
        Storm::Probations if dice.chance(500_000) => rates.probations = 300_000,
        Storm::Crowds | Storm::Lags | Storm::Clocks => {
            for _ in 0..dice.between(2, 4) {
                let writer = crowd(dice);
                events.push(at_once(Action::Crowd(writer)));
            }
        }
        _ => {}
    }
    events.extend(opened(dice));
    let servers = plan.servers as u64;
    match storm {
        Storm::Crowds => {
            rates.latency_ms = dice.spread(1, 40);
            if dice.chance(500_000) {
                rates.unknown = u32::try_from(dice.spread(1_000, 200_000)).unwrap_or(0);
            }
        }
        Storm::Lags => {
            rates.latency_ms = dice.between(0, 3);
            if dice.chance(500_000) {
                rates.unknown = u32::try_from(dice.spread(1_000, 400_000)).unwrap_or(0);
            }
        }
        _ => {}
    }
    let least = match storm {
        Storm::Lags => Some(50),
        Storm::Probations if dice.chance(700_000) => Some(2_000),
        _ => None,
    };
    if let Some(least) = least {
        let who = usize::try_from(dice.between(0, servers - 1)).unwrap_or(0);
        let most = dice.spread(least, 8_000);
        let (all, writes, answers) = (dice.chance(330_000), dice.chance(500_000), most);
        // A change on probation whose row is not known to be there is not proposed.
        let lost = match dice.chance(500_000) && storm != Storm::Probations {
            true => u32::try_from(dice.spread(50_000, 500_000)).unwrap_or(0),
            false => 0,
        };
        let lag = Lag {
            reads: if all { most } else { 0 },
            writes: if all || writes { most } else { 0 },
            answers,
            lost,
        };
        let lag = Action::Lag(who, lag, dice.span(5_000, 120_000));
        events.push(at_once(lag));
    }
    (rates != plan.rates).then(|| {
        events.push(at_once(Action::Rates(rates)));
        Event {
            after: dice.span(1, 5_000),
            what: Action::Rates(plan.rates.clone()),
        }
    })
}

/// A log that is deleted or frozen tries nothing.
pub(crate) fn opened(dice: &mut Dice) -> impl Iterator<Item = Event> {
    [Change::Undelete, Change::Unfreeze]
        .into_iter()
        .map(|change| {
            let after = dice.span(1, 200);
            let what = Action::Change(change, 1);
            Event { after, what }
        })
}

pub(crate) fn at_once(what: Action) -> Event {
    Event {
        after: Duration::from_millis(1),
        what,
    }
}

/// Somebody who writes fast, for some seconds.
fn crowd(dice: &mut Dice) -> Writer {
    let habits = [
        Habit::Plain,
        Habit::Keyed,
        Habit::Promised,
        Habit::Promised,
        Habit::Upload,
    ];
    Writer {
        requests: dice.spread(30, 400),
        pause_ms: dice.spread(1, 60),
        habit: dice.pick(&habits).copied().unwrap_or(Habit::Plain),
    }
}
