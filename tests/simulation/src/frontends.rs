//! Frontends: stores that the log pushes tiles and checkpoints to, and the judge of what their readers find.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use logconfig::{FrontendConfig, LogConfig};
use store::{MemoryObjects, Objects};
use tlog::{Checkpoint, Note, TilePath, tiles_between};

use crate::judge::Judge;
use crate::nodes::{self, Ailment};
use crate::plan::{Action, Change, Event, Plan};
use crate::process::Process;
use crate::random::Dice;
use crate::remote::Remote;
use crate::stores::Watcher;
use crate::writer::LOG;

/// Something that happens to a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendAction {
    /// It refuses connections, is full, answers late or not at all, for this time.
    Ails(usize, Ailment, Duration),
    /// It has another disk, which is empty.
    Loses(usize),
}

/// Adds frontends, and what happens to them, to a plan.
pub fn join(plan: &mut Plan, wild: u64) {
    let mut dice = Dice::new(plan.seed).fork("frontends");
    if !dice.chance(333_333) {
        return;
    }
    let count = dice.between(1, 2);
    plan.frontends = u32::try_from(count).unwrap_or(1);
    let mut events = Vec::new();
    for event in std::mem::take(&mut plan.events) {
        events.push(event);
        if dice.chance(200_000) {
            events.push(Event {
                after: dice.span(1, 3_000),
                what: action(&mut dice, count, wild),
            });
        }
    }
    plan.events = events;
}

fn action(dice: &mut Dice, count: u64, wild: u64) -> Action {
    let who = usize::try_from(dice.between(0, count - 1)).unwrap_or(0);
    match dice.between(0, 7) {
        0..=3 if wild > 0 => {
            let ailment = nodes::ailment(dice);
            Action::Frontend(FrontendAction::Ails(who, ailment, dice.span(1, 120_000)))
        }
        4 | 5 if wild > 0 => Action::Frontend(FrontendAction::Loses(who)),
        _ => {
            let named = dice.between(0, (1 << count) - 1);
            Action::Change(Change::Frontends(u32::try_from(named).unwrap_or(0)), 1)
        }
    }
}

/// The frontends of one life.
pub struct Frontends {
    all: Vec<Arc<Remote>>,
    judge: Arc<Judge>,
}

fn url(name: &str) -> String {
    format!("file:///srv/{name}")
}

impl Frontends {
    /// So many empty ones.
    pub fn new(count: u32, judge: &Arc<Judge>) -> Arc<Self> {
        let remote = |n| Remote::new(format!("cdn-{n}"), Arc::default());
        Arc::new(Self {
            all: (0..count).map(remote).collect(),
            judge: Arc::clone(judge),
        })
    }

    /// Those whose bit is set, in a document.
    pub fn config(&self, named: u32) -> Vec<FrontendConfig> {
        let all = self.all.iter().enumerate();
        let named = all.filter(|(at, _)| named & (1 << at) != 0);
        let config = named.filter_map(|(_, remote)| {
            Some(FrontendConfig {
                name: remote.name.parse().ok()?,
                url: url(&remote.name),
            })
        });
        config.collect()
    }

    /// Names all of them in a document.
    pub fn describe(&self, config: &mut LogConfig) {
        config.merge.frontends = self.config(u32::MAX);
    }

    /// Lets something happen to a frontend.
    pub fn act(&self, what: FrontendAction) {
        match what {
            FrontendAction::Ails(at, ailment, time) => {
                let Some(remote) = self.all.get(at).cloned() else {
                    return;
                };
                remote.ails(Some(ailment));
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    remote.ails(None);
                });
            }
            FrontendAction::Loses(at) => {
                if let Some(remote) = self.all.get(at) {
                    remote.replace(Arc::default());
                }
            }
        }
    }

    /// All are well again.
    pub fn heal_all(&self) {
        self.all.iter().for_each(|remote| remote.ails(None));
    }

    /// The frontend of a document's URL.
    pub fn at(&self, wanted: &str) -> Option<&Arc<Remote>> {
        self.all.iter().find(|remote| url(&remote.name) == wanted)
    }

    /// Looks at each checkpoint that a process puts on a disk: it never goes back, and what it covers already exists.
    pub fn watcher(&self, process: &Process, remote: &Remote) -> Watcher {
        let judge = Arc::clone(&self.judge);
        let (who, disk) = (
            format!("{} at {}", process.name, remote.name),
            remote.disk(),
        );
        Arc::new(move |path, bytes| {
            if path.ends_with("/checkpoint")
                && let Ok(note) = std::str::from_utf8(bytes)
            {
                judge.shown(&who, path, note);
                if let Err(what) = covered(&disk, None, path) {
                    judge.object(COVERED, format!("{who}: {what}"));
                }
            }
        })
    }

    /// What a frontend of this document lacks of what is published; all is calm.
    pub fn lacking(&self, config: &LogConfig, published: &MemoryObjects) -> Option<String> {
        let named = |remote: &&Arc<Remote>| {
            let url = url(&remote.name);
            config.merge.frontends.iter().any(|one| one.url == url)
        };
        let objects = published.objects();
        let notes = objects.iter().filter(|(path, _)| is_checkpoint(path));
        let notes: Vec<_> = notes.collect();
        self.all.iter().filter(named).find_map(|remote| {
            let disk = remote.disk();
            notes.iter().find_map(|(path, note)| {
                let newest = read(note)?;
                let there = get(&disk, path).and_then(|note| read(&note));
                (newest.0 > 0 && there.as_ref() != Some(&newest)).then(|| {
                    let there = there.map(|(size, _)| size);
                    format!("{}: {path}: {there:?} instead of {}", remote.name, newest.0)
                })
            })
        })
    }

    /// Operators delete what an earlier life of the log left on a frontend, where they are told to.
    pub async fn remedy(&self, why: &str) {
        for remote in &self.all {
            let disk = remote.disk();
            let paths = disk.objects().into_keys();
            let left = paths.filter(|path| {
                let folder = path.split('/').take(2).collect::<Vec<_>>().join("/");
                why.contains(&remote.name)
                    && why.contains(&format!("delete the folder {folder} on this frontend"))
            });
            let _ = disk.delete(left.collect()).await;
        }
    }

    /// All is calm: each checkpoint is on top of the same tiles as those that are published.
    pub fn last(&self, published: &MemoryObjects) {
        for remote in &self.all {
            let disk = remote.disk();
            for path in disk.objects().keys().filter(|path| is_checkpoint(path)) {
                if let Err(what) = covered(&disk, Some(published), path) {
                    self.judge
                        .object(COVERED, format!("{}: {what}", remote.name));
                }
            }
        }
    }
}

const COVERED: &str = "a frontend has what its checkpoint covers";

fn is_checkpoint(path: &str) -> bool {
    path.strip_prefix(LOG)
        .is_some_and(|rest| rest.starts_with('/') && rest.ends_with("/checkpoint"))
}

fn get(objects: &MemoryObjects, path: &str) -> Option<bytes::Bytes> {
    objects.get(path).now_or_never()?.ok()?
}

/// The size and the root of a checkpoint.
pub(crate) fn read(note: &[u8]) -> Option<(u64, [u8; 32])> {
    let note = Note::parse(std::str::from_utf8(note).ok()?).ok()?;
    let checkpoint = Checkpoint::parse(note.text).ok()?;
    Some((checkpoint.size, checkpoint.root.0))
}

/// Whether all tiles below a checkpoint are there, or the full ones in place of partial ones; `like` has the same bytes.
pub(crate) fn covered(
    disk: &MemoryObjects,
    like: Option<&MemoryObjects>,
    path: &str,
) -> Result<(), String> {
    let folder = path.trim_end_matches("checkpoint");
    let Some((size, _)) = get(disk, path).and_then(|note| read(&note)) else {
        return Ok(());
    };
    for tile in tiles_between(0, size) {
        let full = TilePath { width: 256, ..tile };
        let found = [tile, full].into_iter().find_map(|tile| {
            let path = format!("{folder}{tile}");
            Some((get(disk, &path)?, path))
        });
        let Some((bytes, path)) = found else {
            return Err(format!(
                "{path} covers {size} entries, and {tile} is missing"
            ));
        };
        let other = like.and_then(|like| get(like, &path));
        if other.is_some_and(|other| other != bytes) {
            return Err(format!("{path}: other bytes than those that are published"));
        }
    }
    Ok(())
}
