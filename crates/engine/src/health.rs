//! The faults that keep a log on this replica from its work: a halt, stuck programs, unreachable peers, a full disk, a wrong clock. The one
//! part that finds a fault writes it; admission and status read it. `ingest/full_disk.rs` says what a full disk does.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::halt::Halt;
use crate::program::{Program, Trouble};
use crate::supervise::Faults;

pub(crate) struct Health {
    pub(crate) halt: Arc<Halt>,
    /// The programs that are stuck, with the reasons.
    trouble: Mutex<BTreeMap<Program, Trouble>>,
    /// Wakes the committer when a program gets stuck, or makes progress again.
    pub(crate) turned: Notify,
    /// Secondaries, frontends and the like that a program does not reach, by name.
    peers: Mutex<BTreeMap<(Program, String), String>>,
    /// Why a rotation that is due is not made.
    pub(crate) rotation_held: Mutex<Option<String>>,
    /// A shard that was opened later than now, and the steady time when that was first seen.
    pub(crate) opened_early: Mutex<Option<(String, u64)>>,
    /// Whether less space is free than the operator's reserve ([`crate::ingest::full_disk`]).
    pub(crate) low_space: Arc<AtomicBool>,
    /// The clock; while it is not believed, nothing is proposed here.
    pub(crate) clock: Clock,
    /// Tasks that this process has lost for good.
    pub(crate) faults: Faults,
}

impl Health {
    /// Why a rotation that is due is held back on this replica.
    pub(crate) fn held_rotation(&self) -> Option<String> {
        let held = self.rotation_held.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn new(
        halt: Arc<Halt>,
        low_space: Arc<AtomicBool>,
        clock: Clock,
        faults: Faults,
    ) -> Self {
        Self {
            halt,
            trouble: Mutex::default(),
            turned: Notify::new(),
            peers: Mutex::default(),
            rotation_held: Mutex::default(),
            opened_early: Mutex::default(),
            low_space,
            clock,
            faults,
        }
    }

    pub(crate) fn set_trouble(&self, program: Program, trouble: Option<Trouble>) {
        let changed = {
            let mut all = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            match trouble {
                Some(trouble) => all.insert(program, trouble).is_none(),
                None => all.remove(&program).is_some(),
            }
        };
        if changed {
            self.turned.notify_one();
        }
    }

    /// The trouble that delays publication: that of the first program that has one.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let all = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let publishing = all
            .iter()
            .filter(|(program, _)| **program != Program::Distribute);
        let mut publishing = publishing.filter(|(program, _)| **program != Program::Replicate);
        publishing.next().map(|(_, trouble)| trouble.clone())
    }

    /// Why a program is stuck.
    pub(crate) fn trouble_of(&self, program: Program) -> Option<Trouble> {
        let all = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&program).cloned()
    }

    /// Notes why a program does not reach one of its peers, or that it does.
    pub(crate) fn set_peer(&self, program: Program, name: &str, trouble: Option<String>) {
        let mut all = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (program, name.to_owned());
        match trouble {
            Some(why) => drop(all.insert(key, why)),
            None => drop(all.remove(&key)),
        }
    }

    /// The peers that a program does not reach, with the reasons.
    pub(crate) fn unreached(&self, program: Program) -> Vec<(String, String)> {
        let all = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.iter().filter(|((of, _), _)| *of == program);
        own.map(|((_, name), why)| (name.clone(), why.clone()))
            .collect()
    }
}
