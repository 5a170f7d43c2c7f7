//! The audit trail as a client sees it: proofs, pins, and what a rewrite looks like.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tlog::{Checkpoint, RightEdge, Signer, TilePath, TileSet, bundle, inclusion_proof, leaf_hash};

use crate::fake::{Answer, Fake, OPERATION, operation, problem};
use crate::runner::{Bench, timeless};

const SHARD: &str = "2026a";

/// A trail as a server keeps it, or as one that lies does.
struct Trail {
    signer: Signer,
    entries: Vec<Vec<u8>>,
}

impl Trail {
    /// Of `size` entries; another `history` is another past.
    fn new(seed: u8, history: &str, size: usize) -> Self {
        let entry = |index| {
            json!({ "kind": "intent", "operation": OPERATION, "history": history, "index": index })
                .to_string()
                .into_bytes()
        };
        Self {
            signer: Signer::from_seed("system/2026a", &[seed; 32]).unwrap(),
            entries: (0..size).map(entry).collect(),
        }
    }

    /// The tile of leaf hashes: fewer than 256, so it is the whole tree.
    fn tile(&self) -> Vec<u8> {
        self.entries
            .iter()
            .flat_map(|entry| leaf_hash(entry).0)
            .collect()
    }

    fn checkpoint(&self) -> String {
        let mut edge = RightEdge::new();
        for entry in &self.entries {
            edge.push(leaf_hash(entry));
        }
        let checkpoint = Checkpoint {
            origin: "system/2026a".into(),
            size: self.entries.len() as u64,
            root: edge.root(),
            extensions: vec![],
        };
        checkpoint.sign(&self.signer).unwrap()
    }

    fn width(&self) -> u16 {
        u16::try_from(self.entries.len()).unwrap()
    }

    /// That the last entry is in it.
    fn receipt(&self) -> Value {
        let size = self.entries.len() as u64;
        let mut tiles = TileSet::new();
        tiles
            .insert(TilePath::hashes(0, 0, self.width()), &self.tile())
            .unwrap();
        let proof = inclusion_proof(size - 1, size, &tiles).unwrap();
        let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
        json!({ "index": size - 1, "shard": SHARD, "leafIndex": size - 1, "proof": proof,
            "entry": String::from_utf8(self.entries.last().unwrap().clone()).unwrap(),
            "checkpoint": self.checkpoint(), "vkey": self.signer.verifier().to_string() })
    }

    /// The fake serves it, and gives its proof with each rotation.
    fn served_by(&self, fake: &Fake) {
        self.tree_served_by(fake);
        let mut rotated = operation("rotate", "done", [7, 8]);
        rotated["auditIndex"] = json!(self.entries.len() - 1);
        rotated["audit"] = self.receipt();
        fake.says("POST /logs/dev/rotations", [Answer::Json(200, rotated)]);
    }

    fn tree_served_by(&self, fake: &Fake) {
        let mut entries = Vec::new();
        for entry in &self.entries {
            bundle::push(&mut entries, entry);
        }
        let list = json!([{ "name": SHARD, "state": "active", "treeId": "42", "origin": "system/2026a",
            "vkey": self.signer.verifier().to_string(), "startIndex": 0 }]);
        fake.says("GET /audit/tree/shards", [Answer::Json(200, list)]);
        for (path, bytes) in [
            ("checkpoint".to_owned(), self.checkpoint().into_bytes()),
            (
                TilePath::hashes(0, 0, self.width()).to_string(),
                self.tile(),
            ),
            (TilePath::entries(0, self.width()).to_string(), entries),
        ] {
            fake.says(
                &format!("GET /audit/tree/{SHARD}/{path}"),
                [Answer::File(bytes)],
            );
        }
    }
}

/// A bench with somewhere to keep pins, and a fake with a trail of 5 entries that was pinned.
fn pinned() -> (Bench, Fake) {
    let (bench, fake) = kept();
    Trail::new(1, "true", 5).served_by(&fake);
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    (bench, fake)
}

fn kept() -> (Bench, Fake) {
    let (mut bench, fake) = Bench::served();
    let state = bench.path("state");
    bench.env("XDG_STATE_HOME", state.to_str().unwrap());
    (bench, fake)
}

fn pin(bench: &Bench) -> Value {
    let folder = bench.path("state/logctl/pins");
    let mut files = std::fs::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap()
}

#[test]
fn the_first_contact_pins_and_later_ones_move_the_pin() {
    let (bench, fake) = kept();
    Trail::new(1, "true", 5).served_by(&fake);
    let first = bench.run("shard rotate --yes");
    insta::assert_snapshot!("pinned_first", timeless(&first.shown()));
    assert_eq!(pin(&bench)["shards"][0]["pinned"]["size"], 5);

    Trail::new(1, "true", 9).served_by(&fake);
    let second = bench.run("shard rotate --yes -o json");
    assert_eq!(second.json()["operation"]["audit"]["leafIndex"], 8);
    assert!(!second.err.contains("first contact"), "{}", second.shown());
    let kept = pin(&bench);
    assert_eq!(kept["shards"][0]["pinned"]["size"], 9);
    assert!(kept["shards"][0]["unproven"].is_null());
    // The same checkpoint again proves the same.
    assert_eq!(bench.run("shard rotate --yes").code, Some(0));
    assert_eq!(pin(&bench), kept);
}

#[test]
fn a_rewritten_trail_is_named() {
    let mut shown = String::new();
    for (what, trail, code) in [
        ("another past", Trail::new(1, "false", 9), "audit-rewritten"),
        (
            "another past, as long",
            Trail::new(1, "false", 5),
            "audit-rewritten",
        ),
        ("an old backup", Trail::new(1, "true", 3), "audit-shorter"),
        ("an empty trail", Trail::new(1, "true", 0), "audit-shorter"),
        (
            "another server",
            Trail::new(2, "true", 9),
            "audit-key-changed",
        ),
    ] {
        let (bench, fake) = pinned();
        let before = pin(&bench);
        match trail.entries.len() {
            0 => trail.tree_served_by(&fake),
            _ => trail.served_by(&fake),
        }
        let made = fake.asked("POST").len();
        // A trail that is too short may still grow: the limit ends the wait for that.
        let run = |line: &str| match what {
            "an old backup" | "an empty trail" => bench.cut_off(line, |ran| ran.ended(&[11])),
            _ => bench.run(line),
        };
        let ran = run("shard rotate --yes");
        assert_eq!(ran.code, Some(12), "{what}: {}", ran.shown());
        shown.push_str(&timeless(&format!("{what}\n{}\n=====\n", ran.shown())));
        let json = run("shard rotate --yes -o json").json();
        assert_eq!(json["error"]["code"], code);
        assert_eq!(fake.asked("POST").len(), made, "nothing was changed");
        let doctor = bench.run("doctor -o json").json();
        let checks = doctor["checks"].as_array().unwrap().iter();
        let mut checks = checks.filter(|check| check["result"]["check"] == "audit-trail");
        let check = &checks.next().unwrap()["result"];
        assert_eq!(check["severity"], "critical", "{what}: {check}");
        // What is missing may come back: it is not given up.
        let lost = code == "audit-shorter";
        assert_eq!(
            check["remedy"].as_str().unwrap().contains("--repin"),
            !lost,
            "{check}"
        );
        if code != "audit-key-changed" {
            assert_eq!(json["error"]["pinned"]["size"], 5);
            assert_eq!(json["error"]["served"]["size"], trail.entries.len());
        }
        assert_eq!(pin(&bench), before, "the pin stays");

        let verified = bench.run("audit verify -o json");
        assert_eq!(
            verified.json()["error"]["code"],
            code,
            "{}",
            verified.shown()
        );
        assert_eq!(verified.json()["verified"], false);
        assert_eq!(pin(&bench), before, "the pin stays");
        let verified = bench.run("audit verify");
        shown.push_str(&timeless(&format!("{}\n=====\n", verified.shown())));
        // On purpose.
        let repinned = bench.run("audit verify --repin --yes");
        if lost {
            assert_eq!(repinned.code, Some(12), "{}", repinned.shown());
            assert!(
                repinned
                    .err
                    .contains("shows fewer entries of its audit trail than were pinned")
                    && !repinned.err.contains("--repin"),
                "{}",
                repinned.shown()
            );
            assert_eq!(pin(&bench), before, "the pin stays");
            continue;
        }
        assert_eq!(repinned.code, Some(0), "{}", repinned.shown());
        assert_eq!(bench.run("shard rotate --yes").code, Some(0));
    }
    insta::assert_snapshot!("rewritten", shown);
}

#[test]
fn what_could_not_be_compared_is_kept_for_later() {
    let (bench, fake) = pinned();
    let hidden = |fake: &Fake, trail: &Trail| {
        trail.served_by(fake);
        let path = TilePath::hashes(0, 0, trail.width());
        fake.says(
            &format!("GET /audit/tree/{SHARD}/{path}"),
            [problem(403, "forbidden", "not you")],
        );
    };
    hidden(&fake, &Trail::new(1, "true", 7));
    assert_eq!(bench.run("shard rotate --yes").code, Some(0));
    let kept = pin(&bench);
    assert_eq!(kept["shards"][0]["pinned"]["size"], 5);
    assert_eq!(kept["shards"][0]["unproven"][0]["size"], 7);
    // The checkpoint that was noted then counts as soon as the caller may read the trail.
    let other = Trail::new(1, "false", 9);
    other.served_by(&fake);
    assert_eq!(bench.run("shard rotate --yes").code, Some(12));
    Trail::new(1, "true", 9).served_by(&fake);
    let verified = bench.run("audit verify");
    assert_eq!(verified.code, Some(0), "{}", verified.shown());
    assert_eq!(pin(&bench)["shards"][0]["pinned"]["size"], 9);
}

#[test]
fn a_wrong_proof() {
    let (bench, fake) = kept();
    let trail = Trail::new(1, "true", 5);
    let mut shown = String::new();
    for (field, value) in [
        ("entry", json!("{\"kind\":\"intent\"}")),
        ("leafIndex", json!(3)),
        ("proof", json!(["00"])),
        ("proof", json!([])),
        ("checkpoint", json!("system/2026a\n5\nAAAA\n")),
        (
            "vkey",
            json!(Trail::new(2, "true", 1).signer.verifier().to_string()),
        ),
        ("vkey", json!("no key")),
    ] {
        trail.served_by(&fake);
        let mut rotated = operation("rotate", "done", [7, 8]);
        rotated["audit"] = trail.receipt();
        rotated["audit"][field] = value;
        fake.says("POST /logs/dev/rotations", [Answer::Json(200, rotated)]);
        let ran = bench.run("shard rotate --yes");
        assert_eq!(ran.code, Some(12), "{}", ran.shown());
        shown.push_str(&ran.err);
        // Each run is the first of its kind.
        std::fs::remove_dir_all(bench.path("state/logctl/unfinished")).unwrap();
    }
    // Sound, but of another operation.
    let mut rotated = operation("rotate", "done", [7, 8]);
    rotated["id"] = json!("f".repeat(32));
    rotated["audit"] = trail.receipt();
    fake.says("POST /logs/dev/rotations", [Answer::Json(200, rotated)]);
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(12), "{}", ran.shown());
    shown.push_str(&ran.err);
    insta::assert_snapshot!("wrong_proof", timeless(&shown));
    assert!(
        !bench.path("state/logctl/pins").exists(),
        "nothing is pinned"
    );
}

#[test]
fn no_proof_is_a_warning() {
    let (bench, fake) = pinned();
    fake.says(
        "POST /logs/dev/rotations",
        [Answer::Json(200, operation("rotate", "done", [7, 8]))],
    );
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(
        ran.err.contains("warning: the server gave no proof"),
        "{}",
        ran.shown()
    );

    let (bench, fake) = Bench::served();
    Trail::new(1, "true", 5).served_by(&fake);
    let ran = bench.run("shard rotate --yes");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(ran.err.contains("nowhere to pin"), "{}", ran.shown());
}

#[test]
fn damaged_pins() {
    let (bench, _fake) = pinned();
    let folder = bench.path("state/logctl/pins");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    std::fs::write(file.path(), "{").unwrap();
    let ran = bench.run("audit verify -o json");
    assert_eq!(
        ran.json()["error"]["code"],
        "pins-unreadable",
        "{}",
        ran.shown()
    );
    assert_eq!(bench.run("audit verify --repin --yes").code, Some(0));
    assert_eq!(bench.run("audit verify").code, Some(0));
}

#[test]
fn verifying() {
    let (bench, fake) = kept();
    Trail::new(1, "true", 5).tree_served_by(&fake);
    let mut shown = timeless(&bench.run("audit verify").shown());
    shown.push_str("\n=====\n");
    Trail::new(1, "true", 6).tree_served_by(&fake);
    shown.push_str(&timeless(&bench.run("audit verify").shown()));
    insta::assert_snapshot!("audit_verify", shown);
    let json = bench.run("audit verify -o json").json();
    assert_eq!(json["kind"], "AuditVerification");
    assert_eq!(json["pins"][0]["contained"], true);
    assert_eq!(json["entries"], 6);

    // An entry that was changed after it was hashed.
    let trail = Trail::new(1, "true", 6);
    let path = TilePath::entries(0, 6);
    let mut lie = Trail::new(1, "true", 6);
    lie.entries[2] = b"{}".to_vec();
    let mut entries = Vec::new();
    for entry in &lie.entries {
        bundle::push(&mut entries, entry);
    }
    trail.tree_served_by(&fake);
    fake.says(
        &format!("GET /audit/tree/{SHARD}/{path}"),
        [Answer::File(entries)],
    );
    let ran = bench.run("audit verify");
    assert_eq!(ran.code, Some(12), "{}", ran.shown());
    insta::assert_snapshot!("audit_verify_failed", timeless(&ran.shown()));

    // An endpoint that does not list the shards of its trail: those that are pinned.
    trail.tree_served_by(&fake);
    fake.says(
        "GET /audit/tree/shards",
        [problem(404, "not-found", "no such object")],
    );
    assert_eq!(bench.run("audit verify").code, Some(0));
    let (bare, fake) = kept();
    let ran = bare.run("audit verify");
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
    fake.says(
        "GET /audit/tree/shards",
        [problem(501, "unsupported", "there is no audit trail")],
    );
    let ran = bare.run("audit verify");
    assert!(
        ran.err.contains("there is no audit trail"),
        "{}",
        ran.shown()
    );
}

#[test]
fn listing() {
    let (mut bench, fake) = Bench::served();
    let page = json!({ "size": 12, "next": 9, "entries": [
        { "index": 11, "kind": "outcome", "time": "2026-11-21T08:00:01Z", "operation": OPERATION, "result": "decided", "intent": 10, "generation": 8 },
        { "index": 10, "kind": "intent", "time": "2026-11-21T08:00:00Z", "actor": "uid:0", "action": "rotate", "log": "dev", "operation": OPERATION },
        { "index": 9, "kind": "event", "time": "2026-11-21T07:00:00Z", "actor": "token:ci", "action": "login-failed", "detail": "an unknown token" } ] });
    fake.says("GET /audit?limit=50", [Answer::Json(200, page.clone())]);
    fake.says(
        "GET /audit?limit=3&before=12&log=dev",
        [Answer::Json(200, page)],
    );
    let mut shown = String::new();
    for columns in ["60", "200"] {
        bench.env("COLUMNS", columns);
        shown.push_str(&bench.run("audit list").shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("audit_list", shown);
    let json = bench
        .run("audit list --limit 3 --before 12 --log dev -o json")
        .json();
    assert_eq!(
        (json["kind"].as_str(), json["next"].as_u64()),
        (Some("AuditList"), Some(9))
    );
    for line in ["audit list --limit 0", "audit list --limit 1001"] {
        assert_eq!(bench.run(line).code, Some(2));
    }
}

#[test]
fn a_verdict_needs_no_place_to_keep_it() {
    let (mut bench, fake) = Bench::served();
    bench.env("XDG_STATE_HOME", "/proc/nowhere");
    Trail::new(1, "true", 5).served_by(&fake);
    let ran = bench.run("audit verify -o json");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert_eq!(ran.json()["verified"], true);
    assert_eq!(ran.json()["pinned"], false);
    assert!(ran.err.contains("is not pinned"), "{}", ran.shown());
    let doctor = bench.run("doctor");
    assert!(
        doctor.out.contains("nothing is pinned, and nothing can be")
            && doctor.out.contains("/proc/nowhere"),
        "{}",
        doctor.shown()
    );
    let again = bench.run("audit verify --repin --yes -o json");
    assert_eq!(
        again.code,
        Some(2),
        "what was asked for failed: {}",
        again.shown()
    );
    assert_eq!(again.json()["verified"], true);
}
