//! The four programs by name: which of them a process runs, what one did, and what delays one.

use std::fmt;
use std::sync::Arc;

use crate::places::{Folders, Places};
use mirror::{NoPeerClient, PeerClient};
use store::StoreError;

/// One of the four programs of the merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// Hashes ordered entries into the trees.
    Integrate,
    /// Copies to the secondaries.
    Replicate,
    /// Signs and publishes checkpoints.
    Publish,
    /// Pushes to the frontends.
    Distribute,
}

impl Program {
    /// All, in the order of the pipeline.
    pub const ALL: [Self; 4] = [
        Self::Integrate,
        Self::Replicate,
        Self::Publish,
        Self::Distribute,
    ];

    /// The program's name in commands and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integrate => "integrate",
            Self::Replicate => "replicate",
            Self::Publish => "publish",
            Self::Distribute => "distribute",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the four a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs([bool; 4]);

impl Programs {
    /// All four: the default of a server.
    pub const ALL: Self = Self([true; 4]);
    /// None: they run elsewhere.
    pub const NONE: Self = Self([false; 4]);

    /// Whether `program` is among them.
    pub const fn has(self, program: Program) -> bool {
        self.0[program as usize]
    }
}

impl FromIterator<Program> for Programs {
    fn from_iter<T: IntoIterator<Item = Program>>(programs: T) -> Self {
        let mut set = Self::NONE;
        for program in programs {
            set.0[program as usize] = true;
        }
        set
    }
}

/// How a process takes part in the merge.
#[derive(Clone)]
pub struct MergeOptions {
    /// The programs that it runs.
    pub programs: Programs,
    /// Whether it takes writes. A process that only merges commits nothing and releases no promised work.
    pub writes: bool,
    /// The client for secondaries and witnesses.
    pub peers: Arc<dyn PeerClient>,
    /// The places of storage nodes and frontends.
    pub places: Arc<dyn Places>,
}

impl Default for MergeOptions {
    fn default() -> Self {
        Self {
            programs: Programs::ALL,
            writes: true,
            peers: Arc::new(NoPeerClient),
            places: Arc::new(Folders::default()),
        }
    }
}

/// The progress of a program with a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Entries that its position moved by, over all shards and peers.
    pub entries: u64,
    /// Positions that moved, over all shards and peers.
    pub positions: u64,
}

impl Done {
    /// Counts a step of this many entries and positions.
    pub fn add(&mut self, entries: u64, positions: u64) {
        self.entries += entries;
        self.positions += positions;
    }
}

/// Why a program is stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The reason, in words for an operator.
    pub why: String,
    /// The kind, which decides what writers and readers are told.
    pub kind: TroubleKind,
}

/// The kinds of trouble that a program can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// A store has no space.
    Full,
    /// The program works, and waits for others.
    Waits,
    /// A store or a peer failed.
    Failed,
}

impl Trouble {
    /// A delay because of a failure.
    pub fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            kind: TroubleKind::Failed,
        }
    }

    /// It waits for others.
    pub fn waits(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            kind: TroubleKind::Waits,
        }
    }

    pub(crate) fn of(error: &StoreError) -> Self {
        let kind = match error {
            StoreError::Full(_) => TroubleKind::Full,
            _ => TroubleKind::Failed,
        };
        Self {
            why: error.to_string(),
            kind,
        }
    }
}

/// The result for a log when a program was asked to finish its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The name of the log.
    pub log: String,
    /// The program that did the work.
    pub program: Program,
    /// How far the program moved its positions.
    pub done: Done,
    /// Why it did not do everything.
    pub trouble: Option<Trouble>,
    /// The peers that it could not reach, with the reasons.
    pub peers: Vec<(String, String)>,
}
