//! A mirror against a primary that behaves, lies, repeats itself or is cut off, and against its own crashes.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use store::fault::{Fault, Faults, FaultyCoordination, Operation};
use store::{
    Coordination, Directory, MemoryCoordination, MemoryObjects, Objects, Sqlite, StoreError,
};
use tlog::mirror::{AddCheckpoint, EntriesHead, origin_hash, packages};
use tlog::{Checkpoint, Cosigner, Note, ShardTree, Signer, TileKind, TilePath, TreeSize};

use crate::*;

const ORIGIN: &str = "example.org/log/1";
const LOG: &str = "example.org/log";

/// A shard whose entries, tiles and roots are all known.
struct Primary {
    objects: MemoryObjects,
    tree: ShardTree,
    signer: Signer,
    entries: Vec<String>,
    /// Another salt is another history.
    salt: u64,
    /// Which life of the log it is.
    life: u64,
    /// With how many entries its manifests say that this began.
    began: u64,
    /// What its manifests have settled: the life, in one generation.
    settled: Option<u64>,
}

impl Primary {
    fn new() -> Self {
        Self {
            objects: MemoryObjects::new(),
            tree: ShardTree::default(),
            signer: Signer::from_seed(LOG, &[1; 32]).unwrap(),
            entries: Vec::new(),
            salt: 0,
            life: 0,
            began: u64::MAX,
            settled: None,
        }
    }

    /// Lost, and there again with the first `size` entries: what follows is another history.
    async fn restored(mut self, size: u64) -> Self {
        self.entries.truncate(size as usize);
        let mut restored = Self {
            salt: self.salt + 1,
            life: self.life,
            entries: self.entries,
            ..Self::new()
        };
        restored.grow(size).await;
        restored
    }

    /// The manifest after so many slots.
    fn manifest(&self, len: u64, restored: u64) -> Vec<u8> {
        self.edition(len, restored, 0)
    }

    fn edition(&self, len: u64, restored: u64, edition: u64) -> Vec<u8> {
        let stamp = Stamp {
            restored,
            entries: self.began,
            edition,
            settled: Settled {
                life: self.settled.unwrap_or(restored),
                generation: 1,
            },
        };
        SignedManifest::sign(b"sealed", len, stamp, &self.signer).unwrap()
    }

    async fn grow(&mut self, to: u64) {
        let mut out = Vec::new();
        for i in self.tree.size()..to {
            if i == self.entries.len() as u64 {
                self.entries.push(format!("{} {i}", self.salt));
            }
            self.tree
                .push(self.entries[i as usize].as_bytes(), &mut out);
        }
        out.extend(self.tree.partials());
        let objects = out
            .into_iter()
            .map(|(path, bytes)| (format!("x/{path}"), bytes));
        Objects::put(&self.objects, objects.collect())
            .await
            .unwrap();
    }

    fn tiles(&self) -> Tiles<'_> {
        Tiles {
            objects: &self.objects,
            folder: "x",
        }
    }

    async fn note(&self, size: u64) -> String {
        let text = Checkpoint {
            origin: ORIGIN.into(),
            size,
            root: self.tiles().root(TreeSize::new(size)).await.unwrap(),
            extensions: Vec::new(),
        }
        .to_text();
        tlog::sign(&text, &[&self.signer]).unwrap()
    }

    async fn pending(&self, mirror: &Mirror, old: u64, size: u64) -> Result<(), Refusal> {
        let body = AddCheckpoint {
            old,
            proof: self
                .tiles()
                .consistency(TreeSize::new(old), TreeSize::new(size))
                .await
                .unwrap(),
            checkpoint: self.note(size).await,
        };
        mirror.add_checkpoint(&body.to_body(), self.life).await
    }

    fn head(&self, start: u64, end: u64) -> EntriesHead {
        EntriesHead {
            origin: ORIGIN.into(),
            start,
            end,
            ticket: Vec::new(),
        }
    }

    /// Sends one request, cut off after `cut` bytes of packages, `step` bytes at a time.
    async fn send(
        &self,
        mirror: &Mirror,
        start: u64,
        end: u64,
        cut: usize,
        step: usize,
    ) -> Result<Ended, Refusal> {
        let head = self.head(start, end);
        let (body, _) = self.tiles().request(&head).await.unwrap();
        let (read, used) = EntriesHead::read(&body).unwrap().unwrap();
        assert_eq!(read, head);
        let body = body.slice(used..);
        feed(
            mirror,
            self.life,
            &head,
            body.slice(..cut.min(body.len())),
            step,
        )
        .await
    }

    /// All of it, in as many requests as it takes.
    async fn copy(&self, mirror: &Mirror, end: u64) -> String {
        let mut start = mirror.status().first().map_or(0, |s| s.next.get());
        loop {
            match self
                .send(mirror, start, end, usize::MAX, 1 << 20)
                .await
                .unwrap()
            {
                Ended::Cosigned(line) => return line,
                Ended::Partial(info) => {
                    assert!(info.next > start && info.size == end);
                    start = info.next;
                }
            }
        }
    }
}

async fn feed(
    mirror: &Mirror,
    life: u64,
    head: &EntriesHead,
    body: Bytes,
    step: usize,
) -> Result<Ended, Refusal> {
    let mut upload = mirror.begin(head, life).await?;
    let (mut buffer, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        buffer.extend(rest.split_to(step.min(rest.len())));
        let used = upload.write(Bytes::copy_from_slice(&buffer)).await?;
        buffer.drain(..used);
        assert!(
            buffer.len() <= upload.expects(),
            "never more than a package"
        );
    }
    upload.end().await
}

async fn open(dir: &Path) -> Result<Arc<Mirror>, StoreError> {
    open_for(dir, LOG).await
}

async fn open_for(dir: &Path, log: &str) -> Result<Arc<Mirror>, StoreError> {
    let mirror = Mirror::open(MirrorOptions {
        disk: Arc::new(Folder::new(dir)),
        logs: vec![Signer::from_seed(log, &[1; 32]).unwrap().verifier().clone()],
        cosigner: Cosigner::from_seed("mirror", &[2; 32]).unwrap(),
        rows: Arc::new(Sqlite::open(&dir.join("rows.db")).unwrap()),
        objects: Arc::new(Directory::open(&dir.join("objects")).unwrap()),
        min_free: 0,
        ambient: ambient::Ambient::unset(),
    });
    mirror.await.map(Arc::new)
}

fn checked(mirror: &Mirror, note: &str, size: u64) {
    let parsed = Note::parse(note).unwrap();
    assert!(mirror.verifier().find(&parsed).unwrap().is_some());
    assert_eq!(Checkpoint::parse(parsed.text).unwrap().size, size);
}

#[tokio::test]
async fn entries_are_copied_cosigned_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    let hash = origin_hash(ORIGIN);
    assert!(mirror.checkpoint(&hash).await.is_none());
    let mut old = 0;
    for size in [1, 255, 256, 257, 700, 9_000, 66_000] {
        primary.grow(size).await;
        primary.pending(&mirror, old, size).await.unwrap();
        let line = primary.copy(&mirror, size).await;
        assert!(line.starts_with("\u{2014} mirror "));
        checked(&mirror, &mirror.checkpoint(&hash).await.unwrap(), size);
        // Asked again, it signs again.
        let again = primary.send(&mirror, size, size, 0, 1).await.unwrap();
        assert!(matches!(again, Ended::Cosigned(_)));
        old = size;
    }
    for path in [
        TilePath::entries(0, 256),
        TilePath::hashes(0, 257, 208),
        TilePath::entries(257, 208),
        TilePath::hashes(1, 1, 1),
        TilePath::hashes(2, 0, 1),
    ] {
        let theirs = mirror.tile(&hash, path).await.unwrap();
        assert_eq!(
            theirs,
            Some(primary.tiles().get(path).await.unwrap()),
            "{path}"
        );
    }
    for path in [
        TilePath::entries(257, 209),
        TilePath::hashes(3, 0, 1),
        TilePath::entries(258, 1),
    ] {
        assert_eq!(mirror.tile(&hash, path).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_origin_is_of_the_log_whose_shard_it_names() {
    for (log, origin, own) in [
        (LOG, "example.org/log/1", true),
        (LOG, "example.org/log", false),
        (LOG, "example.org/log/", false),
        (LOG, "example.org/other/1", false),
        // A host begins with a shard only where the log's name is a host.
        (LOG, "1.example.org/log", false),
        ("example.org", "example.org/1", true),
        ("example.org", "1.example.org", true),
        ("example.org", "example.org", false),
        ("example.org", ".example.org", false),
        ("example.org", "1example.org", false),
        ("example.org", "1.2.example.org", false),
        ("example.org", "1/2.example.org", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mirror = open_for(dir.path(), log).await.unwrap();
        assert_eq!(mirror.key(origin).is_some(), own, "{log}: {origin}");
    }
}

#[tokio::test]
async fn who_may_not_and_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(600).await;
    let body = async |old, note: String| {
        let proof = if old == TreeSize::ZERO {
            Vec::new()
        } else {
            primary
                .tiles()
                .consistency(old, TreeSize::new(600))
                .await
                .unwrap()
        };
        mirror
            .add_checkpoint(
                &AddCheckpoint {
                    old: old.get(),
                    proof,
                    checkpoint: note,
                }
                .to_body(),
                0,
            )
            .await
    };
    let text = |origin: &str| {
        let note = Checkpoint {
            origin: origin.into(),
            size: 600,
            root: primary.tree.root(),
            extensions: vec![],
        };
        tlog::sign(&note.to_text(), &[&primary.signer]).unwrap()
    };
    for origin in [
        "example.org/log",
        "example.org/log/",
        "example.org/logs/1",
        "other",
    ] {
        assert!(
            matches!(
                body(TreeSize::ZERO, text(origin)).await,
                Err(Refusal::Unknown)
            ),
            "{origin}"
        );
    }
    let good = text(ORIGIN);
    let other = Signer::from_seed(LOG, &[9; 32]).unwrap();
    let forged = tlog::sign(Note::parse(&good).unwrap().text, &[&other]).unwrap();
    assert!(matches!(
        body(TreeSize::ZERO, forged).await,
        Err(Refusal::Unsigned(_))
    ));
    assert!(matches!(
        body(TreeSize::new(601), good.clone()).await,
        Err(Refusal::Malformed(_))
    ));
    let mut other_log = primary.head(0, 600);
    other_log.origin = "other/1".into();
    assert!(matches!(
        mirror.begin(&other_log, 0).await,
        Err(Refusal::Unknown)
    ));
    // C2SP tlog-mirror, "add-entries": a log that is known and has no pending checkpoint is a 422.
    assert!(matches!(
        mirror.begin(&primary.head(0, 600), primary.life).await,
        Err(Refusal::Wrong(_))
    ));
    assert!(mirror.status().is_empty(), "strangers leave nothing behind");
    assert!(matches!(
        body(TreeSize::new(5), good.clone()).await,
        Err(Refusal::Size(0))
    ));
    body(TreeSize::ZERO, good.clone()).await.unwrap();
    assert!(matches!(
        body(TreeSize::ZERO, good.clone()).await,
        Err(Refusal::Size(600))
    ));
    for (start, end) in [(0, 500), (1, 600), (0, 0)] {
        let Err(Refusal::GoOn(info)) = mirror.begin(&primary.head(start, end), primary.life).await
        else {
            panic!("{start} {end}")
        };
        assert_eq!((info.size, info.next), (600, 0));
    }
    // A changed byte anywhere in the packages is refused, and nothing of that package stays.
    let (whole, _) = primary
        .tiles()
        .request(&primary.head(0, 600))
        .await
        .unwrap();
    let used = EntriesHead::read(&whole).unwrap().unwrap().1;
    let packages = whole.slice(used..);
    for at in (2..packages.len()).step_by(97) {
        let mut bad = packages.to_vec();
        bad[at] ^= 1;
        let ended = feed(&mirror, 0, &primary.head(0, 600), bad.into(), 1 << 20).await;
        assert!(
            ended.is_err() || matches!(ended, Ok(Ended::Partial(_))),
            "byte {at}: {ended:?}"
        );
    }
    assert_eq!(mirror.status()[0].mirrored, TreeSize::ZERO);
    let next = mirror.status()[0].next;
    assert!(next < TreeSize::new(600) && next.get() % 256 == 0);
    primary.copy(&mirror, 600).await;
}

#[tokio::test]
async fn a_second_root_is_an_alarm_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let (mut good, mut bad) = (Primary::new(), Primary::new());
    // A size is a checkpoint's only where the primary stopped: partial tiles are made there.
    good.grow(700).await;
    good.grow(900).await;
    good.grow(1000).await;
    bad.grow(300).await;
    let mut bad = bad.restored(300).await;
    bad.grow(900).await;
    bad.grow(2000).await;
    good.pending(&mirror, 0, 1000).await.unwrap();
    good.copy(&mirror, 1000).await;
    // An older size of the same history is no alarm, only late.
    assert!(matches!(
        good.pending(&mirror, 0, 700).await,
        Err(Refusal::Size(1000))
    ));
    // A larger size of another history does not follow, which is no proof of anything.
    assert!(matches!(
        bad.pending(&mirror, 1000, 2000).await,
        Err(Refusal::Wrong(_))
    ));
    assert!(mirror.status()[0].alarm.is_none());
    // C2SP tlog-witness, "add-checkpoint": an old size that is not the newest is a 409, whatever else is wrong. What was seen
    // is an alarm anyway.
    assert!(matches!(
        bad.pending(&mirror, 0, 900).await,
        Err(Refusal::Size(1000))
    ));
    let alarm = mirror.status()[0].alarm.clone().unwrap();
    assert_eq!(
        (alarm.size.get(), alarm.ours),
        (900, good.tiles().root(TreeSize::new(900)).await.unwrap())
    );
    let before = mirror.checkpoint(&origin_hash(ORIGIN)).await;
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    assert_eq!(mirror.status()[0].alarm.as_ref(), Some(&alarm));
    good.grow(1100).await;
    assert!(matches!(
        good.pending(&mirror, 1000, 1100).await,
        Err(Refusal::Alarm(_))
    ));
    assert!(matches!(
        mirror.begin(&good.head(1000, 1000), good.life).await,
        Err(Refusal::Alarm(_))
    ));
    assert_eq!(
        mirror.checkpoint(&origin_hash(ORIGIN)).await,
        before,
        "what was said stays said"
    );
}

/// C2SP tlog-mirror, "add-entries": a log that was met and has nothing pending any more is a 422 as well.
#[tokio::test]
async fn what_was_let_go_leaves_nothing_pending() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(300).await;
    primary.pending(&mirror, 0, 300).await.unwrap();
    primary.life = 77;
    let restored = primary.manifest(9, 77);
    mirror.put_manifest(&restored, None).await.unwrap();
    let begun = mirror.begin(&primary.head(0, 300), primary.life).await;
    assert!(matches!(begun, Err(Refusal::Wrong(_))));
}

/// A client that hangs up between the row of an alarm and the memory of it: nothing of the log is taken any more anyway.
#[tokio::test]
async fn an_alarm_does_not_need_the_client_that_raised_it() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut good = Primary::new();
    good.grow(300).await;
    let mut bad = Primary::new().restored(0).await;
    bad.grow(300).await;
    good.pending(&mirror, 0, 300).await.unwrap();
    good.copy(&mirror, 300).await;
    good.grow(400).await;
    let forged = AddCheckpoint {
        old: 300,
        proof: Vec::new(),
        checkpoint: bad.note(300).await,
    };
    let forged = forged.to_body();
    let mut asked = Box::pin(mirror.add_checkpoint(&forged, 0));
    assert!(futures_util::poll!(asked.as_mut()).is_pending());
    drop(asked);
    let next = good.pending(&mirror, 300, 400).await;
    assert!(matches!(next, Err(Refusal::Alarm(_))), "{next:?}");
    assert!(mirror.status()[0].alarm.is_some());
}

#[tokio::test]
async fn a_restored_log_frees_what_was_never_copied() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut lost = Primary::new();
    let first = lost.manifest(1, 0);
    mirror.put_manifest(&first, None).await.unwrap();
    for size in [700, 900, 1000] {
        lost.grow(size).await;
    }
    lost.pending(&mirror, 0, 700).await.unwrap();
    lost.copy(&mirror, 700).await;
    let cosigned = mirror.checkpoint(&origin_hash(ORIGIN)).await;
    // One is copied in part, one only announced; an upload is under way.
    lost.pending(&mirror, 700, 900).await.unwrap();
    let part = lost.send(&mirror, 700, 900, 1_000, 1 << 20).await;
    assert!(matches!(part, Ok(Ended::Partial(_))), "{part:?}");
    lost.pending(&mirror, 900, 1000).await.unwrap();
    let mut late = mirror
        .begin(&lost.head(768, 1000), lost.life)
        .await
        .unwrap();

    let further = lost.manifest(99, 0);
    let mut primary = lost.restored(700).await;
    primary.life = 77;
    for size in [750, 980, 1000] {
        primary.grow(size).await;
    }
    let bound = primary.pending(&mirror, 700, 980).await;
    assert!(matches!(bound, Err(Refusal::Size(1000))), "{bound:?}");
    // The lost primary's manifest again frees nothing, the restored one's does, once.
    mirror.put_manifest(&first, None).await.unwrap();
    assert_eq!(mirror.status()[0].pending, TreeSize::new(1000));
    mirror
        .put_manifest(&primary.manifest(9, 77), None)
        .await
        .unwrap();
    let status = mirror.status().remove(0);
    assert_eq!(
        (
            status.pending.get(),
            status.next.get(),
            status.mirrored.get()
        ),
        (700, 700, 700)
    );
    assert_eq!(mirror.checkpoint(&origin_hash(ORIGIN)).await, cosigned);
    assert!(matches!(
        late.write(Bytes::from_static(&[0; 9])).await,
        Err(Refusal::Superseded(PeerLife { id: 77, .. }))
    ));
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    primary.pending(&mirror, 700, 750).await.unwrap();
    mirror
        .put_manifest(&primary.manifest(10, 77), None)
        .await
        .unwrap();
    assert_eq!(mirror.status()[0].pending, TreeSize::new(750));
    primary.copy(&mirror, 750).await;
    primary.pending(&mirror, 750, 1000).await.unwrap();
    primary.copy(&mirror, 1000).await;
    // The lost one is not heard any more, however far it had come.
    assert!(matches!(
        mirror.put_manifest(&further, None).await,
        Err(Refusal::Superseded(PeerLife { id: 77, .. }))
    ));
    // Cosigned entries bind the restored log as any other. It is restored from a manifest that is older than the one here.
    let mut forked = primary.restored(740).await;
    forked.life = 78;
    mirror
        .put_manifest(&forked.manifest(8, 78), None)
        .await
        .unwrap();
    let kept = mirror.manifest(&origin_hash(LOG)).await.unwrap().unwrap();
    let kept = SignedManifest::parse(&kept).unwrap();
    assert_eq!((kept.number, kept.restored), (8, 78));
    forked.grow(750).await;
    assert!(matches!(
        forked.pending(&mirror, 1000, 750).await,
        Err(Refusal::Malformed(_))
    ));
    assert!(matches!(
        forked.pending(&mirror, 0, 750).await,
        Err(Refusal::Size(1000))
    ));
    assert!(mirror.status()[0].alarm.is_some());
}

/// What a life did without an entry binds those that are restored as well as entries do.
#[tokio::test]
async fn a_life_that_was_restored_from_an_outdated_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(300).await;
    primary.pending(&mirror, 0, 300).await.unwrap();
    primary.copy(&mirror, 300).await;
    let put = async |life, by, number| {
        let mut primary = Primary::new();
        primary.settled = Some(by);
        mirror
            .put_manifest(&primary.manifest(number, life), None)
            .await
    };
    put(0, 0, 5).await.unwrap();
    // Two are restored from it; neither may sign, so the later one counts.
    put(7, 0, 20).await.unwrap();
    put(8, 0, 20).await.unwrap();
    assert!(matches!(put(7, 0, 21).await, Err(Refusal::Superseded(_))));
    put(8, 8, 20).await.unwrap();
    let missed = put(9, 0, 20).await;
    assert!(
        matches!(
            missed,
            Err(Refusal::Outdated(PeerLife {
                id: 8,
                entries: 300
            }))
        ),
        "{missed:?}"
    );
    // Another process of the same life does not know yet that it may sign.
    assert!(matches!(put(8, 0, 99).await, Err(Refusal::Size(20))));
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    let put = async |life, by, number| {
        let mut primary = Primary::new();
        primary.settled = Some(by);
        mirror
            .put_manifest(&primary.manifest(number, life), None)
            .await
    };
    assert!(matches!(put(9, 7, 20).await, Err(Refusal::Outdated(_))));
    put(9, 8, 20).await.unwrap();
    // What was settled before it stays settled while it cannot sign itself.
    assert!(matches!(put(10, 7, 20).await, Err(Refusal::Outdated(_))));
    put(10, 8, 20).await.unwrap();
}

/// C2SP tlog-mirror, "add-entries": `upload_end` may be that of a previously valid pending checkpoint, and the mirror checkpoint's
/// size is one, however many pending ones came after it.
#[tokio::test]
async fn the_mirror_checkpoint_stays_a_valid_end() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(300).await;
    primary.pending(&mirror, 0, 300).await.unwrap();
    primary.copy(&mirror, 300).await;
    for size in 301..=340 {
        primary.grow(size).await;
        primary.pending(&mirror, size - 1, size).await.unwrap();
    }
    let again = primary.send(&mirror, 300, 300, 0, 1).await;
    assert!(matches!(again, Ok(Ended::Cosigned(_))), "{again:?}");
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    let again = primary.send(&mirror, 300, 300, 0, 1).await;
    assert!(matches!(again, Ok(Ended::Cosigned(_))), "{again:?}");
    assert!(matches!(
        mirror.begin(&primary.head(299, 299), 0).await,
        Err(Refusal::GoOn(_))
    ));
    assert_eq!(mirror.status()[0].pending, TreeSize::new(340));
}

/// C2SP tlog-mirror, "Processing": where no package came, a range that is not empty is a 400, also when its entries are here.
#[tokio::test]
async fn a_range_without_packages_is_no_upload() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(300).await;
    primary.pending(&mirror, 0, 300).await.unwrap();
    let empty = primary.send(&mirror, 0, 300, 0, 1).await;
    assert!(matches!(empty, Err(Refusal::Malformed(_))), "{empty:?}");
    primary.copy(&mirror, 300).await;
    let empty = primary.send(&mirror, 256, 300, 0, 1).await;
    assert!(matches!(empty, Err(Refusal::Malformed(_))), "{empty:?}");
}

/// Readers know the shard's key: what they get is the newest mirror checkpoint that it has signed. A restore gets the newest.
#[tokio::test]
async fn readers_get_what_the_shard_has_signed() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let (mut primary, hash) = (Primary::new(), origin_hash(ORIGIN));
    let shard = Signer::from_seed(ORIGIN, &[3; 32]).unwrap();
    let key = mirror.verifier().clone();
    let verifies = |note: String| {
        let parsed = Note::parse(&note).unwrap();
        let cosigned = key.find(&parsed).unwrap().is_some();
        let lines = parsed.signatures.iter().filter(|s| s.name == "mirror");
        assert!(cosigned && lines.count() == 1, "{note}");
        parsed.verify(&[shard.verifier()]).is_ok()
    };
    primary.grow(300).await;
    primary.pending(&mirror, 0, 300).await.unwrap();
    primary.copy(&mirror, 300).await;
    assert!(!verifies(mirror.checkpoint(&hash).await.unwrap()));
    // Published, it is shown again with the shard's signature, and no entries.
    let note = primary.note(300).await;
    let text = Note::parse(&note).unwrap().text;
    let signed = tlog::sign(text, &[&shard]).unwrap();
    let line = signed.lines().last().unwrap();
    let body = AddCheckpoint {
        old: 300,
        proof: Vec::new(),
        checkpoint: tlog::attach(&note, [line]).unwrap(),
    };
    mirror.add_checkpoint(&body.to_body(), 0).await.unwrap();
    let again = primary.send(&mirror, 300, 300, 0, 1).await;
    assert!(matches!(again, Ok(Ended::Cosigned(_))), "{again:?}");
    assert!(verifies(mirror.checkpoint(&hash).await.unwrap()));
    primary.grow(310).await;
    primary.pending(&mirror, 300, 310).await.unwrap();
    primary.copy(&mirror, 310).await;
    let read = mirror.checkpoint(&hash).await.unwrap();
    checked(&mirror, &read, 300);
    assert!(verifies(read.clone()));
    checked(
        &mirror,
        &mirror.cosigned_checkpoint(&hash).await.unwrap().unwrap(),
        310,
    );
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    assert_eq!(mirror.checkpoint(&hash).await.unwrap(), read);
}

#[tokio::test]
async fn a_lost_disk_is_another_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let first = mirror.incarnation().to_owned();
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    assert_eq!(mirror.incarnation(), first);
    drop(mirror);
    // The entries are gone, the rows are not.
    std::fs::remove_dir_all(dir.path().join(format!("data-{first}"))).unwrap();
    let error = open(dir.path()).await.err().unwrap();
    assert!(error.to_string().contains("start again"), "{error}");
    for file in ["rows.db", "rows.db-wal", "rows.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    assert_ne!(open(dir.path()).await.unwrap().incarnation(), first);
}

/// Rows that were lost, or copied in part: what was cosigned is not forgotten without a word.
#[tokio::test]
async fn copies_without_their_rows_are_not_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let data = dir.path().join(format!("data-{}", mirror.incarnation()));
    drop(mirror);
    let without_rows = async || {
        for file in ["rows.db", "rows.db-wal", "rows.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(file));
        }
        open(dir.path()).await
    };
    // A crash at the first start leaves this.
    assert!(without_rows().await.is_ok());
    std::fs::write(data.join("x"), "copied").unwrap();
    let refused = without_rows().await.err().unwrap().to_string();
    assert!(refused.contains("mirror.db-wal"), "{refused}");
    std::fs::remove_dir_all(&data).unwrap();
    assert!(open(dir.path()).await.is_ok());
}

/// Rows that were put back from an older copy, with the files of today: nothing that was cosigned is cut off.
#[tokio::test]
async fn rows_that_are_older_than_the_files_cut_nothing_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut primary = Primary::new();
    let rows = |name: &str| dir.path().join(name);
    let mirror = open(dir.path()).await.unwrap();
    mirror.rest().await;
    // It does not even know the log.
    std::fs::copy(rows("rows.db"), rows("rows.0")).unwrap();
    for (old, size) in [(0, 300), (300, 600)] {
        primary.grow(size).await;
        primary.pending(&mirror, old, size).await.unwrap();
        primary.copy(&mirror, size).await;
        mirror.rest().await;
        std::fs::copy(rows("rows.db"), rows(&format!("rows.{size}"))).unwrap();
    }
    drop(mirror);
    let back = |size: u64| {
        for file in ["rows.db-wal", "rows.db-shm"] {
            let _ = std::fs::remove_file(rows(file));
        }
        std::fs::copy(rows(&format!("rows.{size}")), rows("rows.db")).unwrap();
    };
    for known in [0, 300] {
        back(known);
        let refused = open(dir.path()).await.err().unwrap().to_string();
        let known = format!("knows of {known}:");
        assert!(
            refused.contains("size 600 was cosigned here") && refused.contains(&known),
            "{refused}"
        );
    }
    back(600);
    let mirror = open(dir.path()).await.unwrap();
    assert_eq!(mirror.status()[0].mirrored, TreeSize::new(600));
    primary.grow(700).await;
    primary.pending(&mirror, 600, 700).await.unwrap();
    primary.copy(&mirror, 700).await;
}

#[tokio::test]
async fn manifests_only_get_newer() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let made = |len, seed| {
        let mut primary = Primary::new();
        primary.signer = Signer::from_seed(LOG, &[seed; 32]).unwrap();
        primary.manifest(len, 0)
    };
    let hash = origin_hash(LOG);
    assert_eq!(mirror.manifest(&hash).await.unwrap(), None);
    assert!(matches!(
        mirror.put_manifest(&made(5, 9), None).await,
        Err(Refusal::Unsigned(_))
    ));
    assert!(matches!(
        mirror.put_manifest(b"x", None).await,
        Err(Refusal::Malformed(_))
    ));
    for number in [5, 5, 7] {
        mirror.put_manifest(&made(number, 1), None).await.unwrap();
    }
    assert!(matches!(
        mirror.put_manifest(&made(6, 1), None).await,
        Err(Refusal::Size(7))
    ));
    let kept = mirror.manifest(&hash).await.unwrap().unwrap();
    assert_eq!(SignedManifest::parse(&kept).unwrap().number, 7);
    // After one slot there are several: what the newest says is not taken back by one that anybody has read and sends again.
    let primary = Primary::new();
    let (early, late) = (primary.edition(7, 0, 3), primary.edition(7, 0, 4));
    for newer in [&early, &late, &late] {
        mirror.put_manifest(newer, None).await.unwrap();
    }
    for replayed in [&early, &primary.manifest(7, 0)] {
        let refused = mirror.put_manifest(replayed, None).await;
        assert!(matches!(refused, Err(Refusal::Size(7))), "{refused:?}");
    }
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    let refused = mirror.put_manifest(&early, None).await;
    assert!(matches!(refused, Err(Refusal::Size(7))), "{refused:?}");
    assert_eq!(&mirror.manifest(&hash).await.unwrap().unwrap()[..], late);
    assert_eq!(mirror.manifest("../../etc").await.unwrap(), None);
}

#[tokio::test]
async fn one_damaged_copy_is_no_reason_to_refuse_a_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    for size in [600, 700] {
        primary.grow(size).await;
    }
    primary.pending(&mirror, 0, 600).await.unwrap();
    primary.copy(&mirror, 600).await;
    primary.pending(&mirror, 600, 700).await.unwrap();
    let data = dir.path().join(format!("data-{}", mirror.incarnation()));
    drop(mirror);
    // A hash of the first tile changes on the disk.
    let folder = data.join(origin_hash(ORIGIN));
    let hashes = std::fs::read_dir(&folder).unwrap();
    let mut hashes: Vec<_> = hashes.map(|file| file.unwrap().path()).collect();
    hashes.retain(|path| path.file_name().unwrap().to_str().unwrap().contains('0'));
    for path in &hashes {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[599 * 32] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let mirror = open(dir.path()).await.unwrap();
    assert!(mirror.status()[0].broken.is_some(), "{hashes:?}");
    let other = primary.manifest(9, 77);
    mirror.put_manifest(&other, None).await.unwrap();
    assert!(mirror.manifest(&origin_hash(LOG)).await.unwrap().is_some());
    // It is made up for when the copy is whole again.
    drop(mirror);
    for path in &hashes {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[599 * 32] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let mirror = open(dir.path()).await.unwrap();
    assert_eq!(mirror.status()[0].pending, TreeSize::new(600));
}

#[tokio::test]
async fn of_two_lives_only_the_later_one_is_heard_and_never_with_less_than_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut first = Primary::new();
    for size in [500, 700, 800] {
        first.grow(size).await;
    }
    first.pending(&mirror, 0, 700).await.unwrap();
    first.copy(&mirror, 700).await;
    first.pending(&mirror, 700, 800).await.unwrap();
    // Restored with less: it does not know what is cosigned here. The other one continues.
    first.began = 699;
    // The sender adds more, unsigned.
    let less = first.manifest(9, 5);
    let less = mirror.put_manifest(&less, Some(9_999)).await;
    assert!(
        matches!(
            less,
            Err(Refusal::Ahead(PeerLife {
                id: 0,
                entries: 700
            }))
        ),
        "{less:?}"
    );
    let mut late = mirror.begin(&first.head(700, 800), 0).await.unwrap();
    let (body, _) = first.tiles().request(&first.head(700, 800)).await.unwrap();
    let (_, used) = EntriesHead::read(&body).unwrap().unwrap();
    late.write(body.slice(used..)).await.unwrap();
    // All has come and nothing is cosigned when the later life is heard: it never is.
    first.began = 700;
    let heard = mirror.put_manifest(&first.manifest(9, 5), None).await;
    assert_eq!(
        heard.unwrap(),
        PeerLife {
            id: 5,
            entries: 700
        }
    );
    let ended = late.end().await;
    assert!(matches!(ended, Err(Refusal::Superseded(_))), "{ended:?}");
    let late = first.pending(&mirror, 700, 800).await;
    assert!(
        matches!(late, Err(Refusal::Superseded(PeerLife { id: 5, .. }))),
        "{late:?}"
    );
    assert!(matches!(
        mirror.begin(&first.head(700, 700), 4).await.err(),
        Some(Refusal::Superseded(_))
    ));
    drop(mirror);
    let mirror = open(dir.path()).await.unwrap();
    let again = mirror.put_manifest(&first.manifest(99, 4), Some(700)).await;
    assert!(matches!(again, Err(Refusal::Superseded(_))), "{again:?}");
    first.life = 5;
    first.pending(&mirror, 700, 800).await.unwrap();
    first.copy(&mirror, 800).await;
}

#[derive(Clone, Debug)]
enum Step {
    Grow(u64),
    Pending,
    /// From so far below the next entry, towards the newest or an older pending size, cut off after so many bytes.
    Send {
        below: u64,
        older: bool,
        cut: usize,
        step: usize,
    },
    Crash,
    /// The primary is lost, and restored from what was cosigned.
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1..700u64).prop_map(Step::Grow),
        2 => Just(Step::Pending),
        4 => (0..300u64, any::<bool>(), prop_oneof![Just(usize::MAX), 0..20_000usize], 1..30_000usize)
            .prop_map(|(below, older, cut, step)| Step::Send { below, older, cut, step }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever happens in whatever order: the position never goes back over a crash, what was cosigned not even when the primary is
    /// restored, a cosignature is over entries that are there, and in the end everything can be copied.
    #[test]
    fn any_course_of_events(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut mirror = open(dir.path()).await.unwrap();
            let mut primary = Primary::new();
            let mut pendings = vec![0];
            let (mut next, mut mirrored, mut restored) = (0, 0, 0);
            for step in steps {
                match step {
                    Step::Grow(more) => primary.grow(primary.tree.size() + more).await,
                    Step::Pending => {
                        let old = *pendings.last().unwrap();
                        if primary.tree.size() > 0 {
                            primary.pending(&mirror, old, primary.tree.size()).await.unwrap();
                            pendings.push(primary.tree.size());
                        }
                    }
                    Step::Send { below, older, cut, step } => {
                        let end = pendings[pendings.len() - if older { 2.min(pendings.len()) } else { 1 }];
                        let start = u64::saturating_sub(next, below).min(end);
                        if end > 0 {
                            match primary.send(&mirror, start, end, cut, step).await {
                                Ok(Ended::Cosigned(_)) => mirrored = end,
                                Ok(Ended::Partial(info)) => assert!(info.next >= next),
                                Err(Refusal::GoOn(_)) => assert!(end <= mirrored),
                                Err(Refusal::Malformed(_)) => assert!(cut < usize::MAX),
                                Err(e) => panic!("{e}"),
                            }
                        }
                    }
                    Step::Crash => {
                        drop(mirror);
                        mirror = open(dir.path()).await.unwrap();
                    }
                    Step::Restore => {
                        primary = primary.restored(mirrored).await;
                        restored += 1;
                        primary.life = restored;
                        // From an older manifest each time.
                        mirror.put_manifest(&primary.manifest(100 - restored, restored), None).await.unwrap();
                        // Of the sizes that were pending it knows the one that it restored.
                        pendings.retain(|&size| size == 0 || size == mirrored);
                        next = mirrored;
                        assert!(mirror.status().iter().all(|s| (s.pending.get(), s.next.get()) == (mirrored, mirrored)));
                    }
                }
                if let Some(status) = mirror.status().first() {
                    assert!(status.next >= TreeSize::new(next) && status.mirrored == TreeSize::new(mirrored) && status.mirrored <= status.next);
                    next = status.next.get();
                    if mirrored > 0 {
                        checked(&mirror, &mirror.checkpoint(&origin_hash(ORIGIN)).await.unwrap(), mirrored);
                    }
                    for package in packages(0, next) {
                        let path = TilePath::at(TileKind::Entries, package.base / 256, next).unwrap();
                        let here = mirror.tile(&origin_hash(ORIGIN), path).await.unwrap().unwrap();
                        let mut oracle = Vec::new();
                        let entries = &primary.entries[package.base as usize..package.end as usize];
                        entries.iter().for_each(|entry| assert!(tlog::bundle::push(&mut oracle, entry.as_bytes())));
                        assert_eq!(here, oracle);
                    }
                }
            }
            let size = primary.tree.size();
            if size > 0 {
                primary.pending(&mirror, *pendings.last().unwrap(), size).await.unwrap();
                primary.copy(&mirror, size).await;
                assert_eq!(mirror.status()[0].mirrored, TreeSize::new(size));
            }
        });
    }
}

/// A manifest that could not be kept leaves the earlier life as it was: nothing on disk says that there is a later one.
#[tokio::test]
async fn a_life_whose_manifest_is_not_kept_silences_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = open(dir.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(10).await;
    primary.grow(20).await;
    primary.pending(&mirror, 0, 10).await.unwrap();
    primary.copy(&mirror, 10).await;
    let folder = dir.path().join("objects/manifest");
    // No folder can be made there.
    std::fs::write(&folder, "").unwrap();
    let failed = mirror.put_manifest(&primary.manifest(9, 77), None).await;
    assert!(matches!(failed, Err(Refusal::Storage(_))), "{failed:?}");
    primary.pending(&mirror, 10, 20).await.unwrap();
    primary.copy(&mirror, 20).await;
    std::fs::remove_file(&folder).unwrap();
    mirror
        .put_manifest(&primary.manifest(9, 77), None)
        .await
        .unwrap();
    primary.grow(30).await;
    let late = primary.pending(&mirror, 20, 30).await;
    assert!(matches!(late, Err(Refusal::Superseded(_))), "{late:?}");
}

/// A client that hangs up in the middle leaves the rows and the memory of one mind: the manifest is taken to the end.
#[tokio::test]
async fn a_manifest_is_taken_to_the_end_whoever_hangs_up() {
    let mut primary = Primary::new();
    primary.grow(10).await;
    let lost = primary.restored(10).await;
    for polls in 1..12 {
        let dir = tempfile::tempdir().unwrap();
        let mirror = open(dir.path()).await.unwrap();
        let mut primary = Primary::new();
        primary.grow(10).await;
        primary.grow(20).await;
        primary.pending(&mirror, 0, 10).await.unwrap();
        primary.copy(&mirror, 10).await;
        primary.pending(&mirror, 10, 20).await.unwrap();
        let manifest = lost.manifest(9, 77);
        {
            let mut put = std::pin::pin!(mirror.put_manifest(&manifest, None));
            for _ in 0..polls {
                if futures_util::poll!(&mut put).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let kept = async {
            let hash = origin_hash(LOG);
            while mirror.manifest(&hash).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        };
        let kept = tokio::time::timeout(std::time::Duration::from_secs(20), kept).await;
        assert!(kept.is_ok(), "dropped after {polls}");
        let early = primary.pending(&mirror, 10, 20).await;
        assert!(matches!(early, Err(Refusal::Superseded(_))), "{early:?}");
    }
}

/// A mirror on one thread: its folder and its stores are in memory.
async fn open_memory(
    disk: &MemoryDisk,
    rows: &Arc<impl Coordination + 'static>,
) -> Result<Arc<Mirror>, StoreError> {
    let mirror = Mirror::open(MirrorOptions {
        disk: Arc::new(disk.clone()),
        logs: vec![Signer::from_seed(LOG, &[1; 32]).unwrap().verifier().clone()],
        cosigner: Cosigner::from_seed("mirror", &[2; 32]).unwrap(),
        rows: Arc::clone(rows) as Arc<dyn Coordination>,
        objects: Arc::new(MemoryObjects::new()),
        min_free: 0,
        ambient: ambient::Ambient::simulated(1, 1_800_000_000_000),
    });
    mirror.await.map(Arc::new)
}

/// What a mirror wrote without knowing it stands against nothing later: neither to a primary that continues, nor to one that was restored
/// with less. Simulated life 33863818880065.
#[tokio::test(start_paused = true)]
async fn a_pending_checkpoint_of_unknown_outcome_is_found() {
    for restored in [false, true] {
        let faults = Faults::new();
        let rows = FaultyCoordination::new(Arc::new(MemoryCoordination::new()), faults.clone());
        let mirror = open_memory(&MemoryDisk::new(), &Arc::new(rows)).await;
        let mirror = mirror.unwrap();
        let mut primary = Primary::new();
        for size in [10, 15, 20] {
            primary.grow(size).await;
        }
        primary.pending(&mirror, 0, 10).await.unwrap();
        primary.copy(&mirror, 10).await;
        faults.nth_write(0, Fault::Unknown);
        let unknown = primary.pending(&mirror, 10, 20).await;
        assert!(matches!(unknown, Err(Refusal::Storage(_))), "{unknown:?}");
        faults.clear();
        if restored {
            primary = primary.restored(10).await;
            primary.life = 77;
            mirror
                .put_manifest(&primary.manifest(9, 77), None)
                .await
                .unwrap();
            primary.grow(15).await;
            primary.pending(&mirror, 10, 15).await.unwrap();
            primary.copy(&mirror, 15).await;
        } else {
            let smaller = primary.pending(&mirror, 10, 15).await;
            assert!(matches!(smaller, Err(Refusal::Size(20))), "{smaller:?}");
            primary.copy(&mirror, 20).await;
        }
    }
}

/// A write of which nobody knows whether it is there says neither that nothing was cosigned nor lets another life begin; the next start knows.
#[tokio::test(start_paused = true)]
async fn what_may_be_cosigned_is_not_denied() {
    let (faults, disk) = (Faults::new(), MemoryDisk::new());
    let rows = FaultyCoordination::new(Arc::new(MemoryCoordination::new()), faults.clone());
    let rows = Arc::new(rows);
    let mirror = open_memory(&disk, &rows).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(10).await;
    primary.pending(&mirror, 0, 10).await.unwrap();
    faults.nth_write(0, Fault::Unknown);
    let sent = primary.send(&mirror, 0, 10, usize::MAX, 99).await;
    assert!(matches!(sent, Err(Refusal::Storage(_))), "{sent:?}");
    faults.clear();
    let hash = origin_hash(ORIGIN);
    mirror.cosigned_checkpoint(&hash).await.unwrap_err();
    let mut lost = primary.restored(0).await;
    lost.began = 0;
    let refused = mirror.put_manifest(&lost.manifest(9, 77), Some(0)).await;
    assert!(matches!(refused, Err(Refusal::Storage(_))), "{refused:?}");
    drop(mirror);
    let mirror = open_memory(&disk, &rows).await.unwrap();
    assert!(mirror.cosigned_checkpoint(&hash).await.unwrap().is_some());
    let refused = mirror.put_manifest(&lost.manifest(9, 77), Some(0)).await;
    assert!(matches!(refused, Err(Refusal::Ahead(_))), "{refused:?}");
}

/// What a lost primary announced must be gone before its successor is accepted. Where that fails, the shard is refused until the next start.
#[tokio::test(start_paused = true)]
async fn a_shard_whose_announcements_cannot_be_dropped_is_refused() {
    let (faults, disk) = (Faults::new(), MemoryDisk::new());
    let rows = FaultyCoordination::new(Arc::new(MemoryCoordination::new()), faults.clone());
    let rows = Arc::new(rows);
    let mirror = open_memory(&disk, &rows).await.unwrap();
    let mut primary = Primary::new();
    for size in [10, 20] {
        primary.grow(size).await;
    }
    primary.pending(&mirror, 0, 10).await.unwrap();
    primary.copy(&mirror, 10).await;
    faults.nth_write(0, Fault::Unknown);
    primary.pending(&mirror, 10, 20).await.unwrap_err();
    let mut primary = primary.restored(10).await;
    primary.life = 77;
    primary.grow(15).await;
    let io = || Fault::Fail(StoreError::Io("injected".into()));
    faults.plan(move |_, operation| matches!(operation, Operation::Scan(_)).then(io));
    let manifest = primary.manifest(9, 77);
    mirror.put_manifest(&manifest, None).await.unwrap();
    faults.clear();
    let refused = primary.pending(&mirror, 10, 15).await;
    assert!(matches!(refused, Err(Refusal::Storage(_))), "{refused:?}");
    drop(mirror);
    let mirror = open_memory(&disk, &rows).await.unwrap();
    primary.pending(&mirror, 10, 15).await.unwrap();
    primary.copy(&mirror, 15).await;
}

/// The disk fails at its n-th operation, for each n, and then the power goes: what was cosigned is there again, and the copy can be finished.
#[tokio::test(start_paused = true)]
async fn what_was_cosigned_survives_a_power_cut_at_any_operation() {
    let mut primary = Primary::new();
    let sizes = [10, 300, 700];
    for size in sizes {
        primary.grow(size).await;
    }
    let random = ambient::Random::seeded(3);
    for n in 0.. {
        let (disk, rows) = (MemoryDisk::new(), Arc::new(MemoryCoordination::new()));
        disk.fail(n);
        let mut cosigned = 0;
        if let Ok(mirror) = open_memory(&disk, &rows).await {
            for size in sizes {
                let sent = match primary.pending(&mirror, cosigned, size).await {
                    Ok(()) => primary.send(&mirror, cosigned, size, usize::MAX, 99).await,
                    Err(refusal) => Err(refusal),
                };
                match sent {
                    Ok(Ended::Cosigned(_)) => cosigned = size,
                    Ok(Ended::Partial(_)) => panic!("it was sent in full"),
                    Err(_) => break,
                }
            }
        }
        let whole = disk.operations() <= n;
        let disk = disk.crash(&random).unwrap();
        let mirror = open_memory(&disk, &rows).await.unwrap();
        let (pending, mirrored) = mirror.status().first().map_or((0, 0), |status| {
            (status.pending.get(), status.mirrored.get())
        });
        assert_eq!(mirrored, cosigned, "operation {n}");
        if cosigned > 0 {
            let note = mirror.checkpoint(&origin_hash(ORIGIN)).await.unwrap();
            checked(&mirror, &note, cosigned);
        }
        primary.pending(&mirror, pending, 700).await.unwrap();
        primary.copy(&mirror, 700).await;
        if whole {
            assert_eq!(cosigned, 700);
            break;
        }
    }
}

#[tokio::test]
async fn times_are_kept_as_the_log_signed_them_and_never_change() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = open(folder.path()).await.unwrap();
    let mut primary = Primary::new();
    primary.grow(300).await;
    let note = |origin: &str, bundle, of: &[u64], signer: &Signer| {
        let bundle = TilePath::entries(bundle, of.len() as u16);
        let times: Vec<u8> = of.iter().flat_map(|time| time.to_be_bytes()).collect();
        SignedTimes::sign(origin, bundle, &times, signer).unwrap()
    };
    let own = |bundle, of: &[u64]| note(ORIGIN, bundle, of, &primary.signer);
    let hash = origin_hash(ORIGIN);
    // A shard that was never met has no readers yet; another log's key signs nothing here.
    assert_eq!(mirror.last_times(&hash).await.unwrap(), None);
    primary.pending(&mirror, 0, 300).await.unwrap();
    let other = Signer::from_seed(LOG, &[9; 32]).unwrap();
    for (note, wrong) in [
        (note(ORIGIN, 0, &[7], &other), "Unsigned"),
        (note("example.com/x", 0, &[7], &other), "Unknown"),
        ("x".to_owned(), "Malformed"),
    ] {
        let refused = format!("{:?}", mirror.put_times(&note).await.unwrap_err());
        assert!(refused.starts_with(wrong), "{refused}");
    }
    let (first, wider) = (own(0, &[7; 256]), own(1, &[8, 0, 9]));
    for note in [&first, &own(1, &[8]), &wider, &own(1, &[8]), &wider] {
        mirror.put_times(note).await.unwrap();
    }
    assert_eq!(mirror.last_times(&hash).await.unwrap(), Some(1));
    let changed = mirror.put_times(&own(1, &[5, 0, 9])).await;
    assert!(matches!(changed, Err(Refusal::Wrong(_))), "{changed:?}");
    drop(mirror);
    let mirror = open(folder.path()).await.unwrap();
    assert_eq!(mirror.last_times(&hash).await.unwrap(), Some(1));
    for (bundle, note) in [(0, Some(first)), (1, Some(wider)), (2, None)] {
        let kept = mirror.times(&hash, bundle).await.unwrap();
        assert_eq!(kept, note.map(Bytes::from), "{bundle}");
    }
    assert_eq!(mirror.times("../manifest", 0).await.unwrap(), None);
}
