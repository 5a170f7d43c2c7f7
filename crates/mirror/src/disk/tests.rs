//! Both drivers answer alike, and a power cut takes from the one in memory what a disk can lose and nothing else.

use ambient::Random;
use proptest::prelude::*;

use super::*;

const PATHS: [&str; 5] = ["a", "a/b", "a/b/one", "a/two", "three"];

#[derive(Clone, Debug)]
enum Step {
    Make(usize),
    Find(usize),
    List(usize),
    Read(usize),
    SyncFolder(usize),
    Write(usize, u64, Vec<u8>),
    Cut(usize, u64),
    ReadAt(usize, u64, usize),
    Sync(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = 0..PATHS.len();
    let bytes = prop::collection::vec(any::<u8>(), 1..9_000);
    let step = prop_oneof![
        2 => path.clone().prop_map(Step::Make),
        1 => path.clone().prop_map(Step::Find),
        1 => path.clone().prop_map(Step::List),
        1 => path.clone().prop_map(Step::Read),
        1 => path.clone().prop_map(Step::SyncFolder),
        4 => (path.clone(), 0..9_000u64, bytes).prop_map(|(path, at, bytes)| Step::Write(path, at, bytes)),
        1 => (path.clone(), 0..9_000u64).prop_map(|(path, at)| Step::Cut(path, at)),
        1 => (path.clone(), 0..9_000u64, 0..9_000usize).prop_map(|(path, at, length)| Step::ReadAt(path, at, length)),
        1 => path.prop_map(Step::Sync),
    ];
    prop::collection::vec(step, 1..40)
}

/// The result of a step, errors without their texts.
fn answer(disk: &dyn Disk, step: &Step) -> String {
    let file = |path: usize| disk.open(PATHS[path]);
    let done = match step {
        Step::Find(path) => return format!("{:?}", disk.find(PATHS[*path])),
        Step::List(path) => return format!("{:?}", disk.list(PATHS[*path]).ok()),
        Step::Read(path) => return format!("{:?}", disk.read(PATHS[*path]).ok()),
        Step::ReadAt(path, at, length) => {
            let mut bytes = vec![0; *length];
            let read = file(*path).and_then(|file| file.read(&mut bytes, *at));
            return format!("{:?}", read.is_ok().then_some(bytes));
        }
        Step::Make(path) => disk.make(PATHS[*path]),
        Step::SyncFolder(path) => match disk.find(PATHS[*path]) {
            Some(DiskEntry::Folder) => disk.sync(PATHS[*path]),
            _ => Ok(()),
        },
        Step::Write(path, at, bytes) => file(*path).and_then(|file| file.write(bytes, *at)),
        Step::Cut(path, length) => file(*path).and_then(|file| file.cut(*length)),
        Step::Sync(path) => file(*path).and_then(|file| file.sync()),
    };
    format!("{}", done.is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_drivers_answer_alike(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let (folder, memory) = (Folder::new(dir.path()), MemoryDisk::new());
        for step in &steps {
            prop_assert_eq!(answer(&folder, step), answer(&memory, step));
        }
        for other in [memory.copy(), memory.kill()] {
            for path in 0..PATHS.len() {
                for step in [Step::Find(path), Step::List(path), Step::Read(path)] {
                    prop_assert_eq!(answer(&folder, &step), answer(&other, &step));
                }
            }
        }
    }

    /// Bytes and names that were synced are there after any power cut, and bytes that nobody wrote are not.
    #[test]
    fn a_power_cut_takes_nothing_that_was_synced(
        synced in prop::collection::vec(1..=u8::MAX, 1..20_000),
        writes in prop::collection::vec((0..20_000u64, 1..9_000usize), 0..5),
        seed: u64,
    ) {
        let disk = MemoryDisk::new();
        disk.make("a").unwrap();
        let file = disk.open("a/two").unwrap();
        file.write(&synced, 0).unwrap();
        file.sync().unwrap();
        disk.sync("a").unwrap();
        disk.sync("").unwrap();
        for (at, length) in &writes {
            file.write(&vec![0; *length], synced.len() as u64 + at).unwrap();
        }
        let found = disk.crash(&Random::seeded(seed)).unwrap();
        let bytes = found.read("a/two").unwrap().unwrap();
        prop_assert!(bytes.starts_with(&synced) && bytes[synced.len()..].iter().all(|byte| *byte == 0));
        // The earlier process has no way to the disk any more.
        prop_assert!(file.write(b"x", 0).is_err() && file.sync().is_err() && disk.open("a/two").is_err());
    }
}

/// Over many power cuts, everything that is not synced is kept sometimes and lost sometimes.
#[test]
fn a_power_cut_takes_some_of_what_was_not_synced() {
    let random = Random::seeded(1);
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let disk = MemoryDisk::new();
        let file = disk.open("one").unwrap();
        file.write(b"old", 0).unwrap();
        file.sync().unwrap();
        disk.sync("").unwrap();
        file.write(b"new", 0).unwrap();
        file.write(b"!", 8192).unwrap();
        file.cut(2).unwrap();
        disk.open("two").unwrap();
        let after = disk.crash(&random).unwrap();
        let bytes = after.read("one").unwrap().unwrap();
        let (first, length) = (bytes[..2].to_vec(), bytes.len());
        found.insert((first, length, after.find("two").is_some()));
    }
    for first in [b"ol".to_vec(), b"ne".to_vec()] {
        for length in [2, 3, 8193] {
            for named in [false, true] {
                assert!(found.contains(&(first.clone(), length, named)), "{found:?}");
            }
        }
    }
}

#[test]
fn a_disk_is_full_fails_once_or_is_damaged() {
    let disk = MemoryDisk::new();
    let file = disk.open("one").unwrap();
    file.write(b"abcd", 0).unwrap();
    disk.fill(true);
    let full = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
    assert!(full(file.write(b"wxyz", 0)) && full(disk.make("a")));
    assert!(full(disk.open("two").map(drop)));
    disk.fill(false);
    assert_eq!(disk.read("one").unwrap().unwrap(), b"wxcd");
    disk.fail(1);
    assert!(file.length().is_ok() && file.sync().is_err() && file.sync().is_ok());
    // The second sync has not told the truth.
    let random = Random::seeded(2);
    let cut = |disk: &MemoryDisk| disk.copy().crash(&random).unwrap();
    assert_eq!(
        cut(&disk).read("one").unwrap().unwrap(),
        b"wxcd",
        "a copy is whole"
    );
    assert!(disk.flip("one", 3) && !disk.flip("one", 4) && !disk.flip("two", 0));
    assert_eq!(disk.read("one").unwrap().unwrap(), b"wxce");
    assert_eq!(disk.files(), ["one"]);
    let lost = (0..64).any(|seed| {
        let disk = MemoryDisk::new();
        let file = disk.open("one").unwrap();
        disk.sync("").unwrap();
        file.write(b"abcd", 0).unwrap();
        disk.fail(0);
        assert!(file.sync().is_err() && file.sync().is_ok());
        let found = disk.crash(&Random::seeded(seed)).unwrap();
        found.read("one").unwrap().unwrap() != b"abcd"
    });
    assert!(lost);
}
