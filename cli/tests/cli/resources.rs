//! Logs, tokens, and lists of shards from elsewhere.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fake::{Answer, Fake, operation, problem, problem_with, running};
use crate::runner::Bench;

#[test]
fn logs() {
    let (bench, fake) = Bench::served();
    bench.write("first.yaml", &running().stripped().to_yaml());
    for (request, action) in [
        ("POST /logs", "create"),
        ("DELETE /logs/dev", "delete"),
        ("POST /logs/dev/undelete", "undelete"),
    ] {
        let mut done = operation(action, "done", [0, 1]);
        done["differences"] = json!([]);
        fake.says(request, [Answer::Json(200, done.clone())]);
        done["state"] = json!("planned");
        fake.says(&format!("{request}?dryRun=true"), [Answer::Json(200, done)]);
    }
    let mut shown = String::new();
    for line in [
        "log list",
        "log create first.yaml --dry-run",
        "log create first.yaml --yes",
        "log delete dev --yes",
        "log undelete dev --yes",
        "log create first.yaml",
        "log delete dev",
        "log delete ../dev --yes",
    ] {
        shown.push_str(&bench.run(line).shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("logs", shown);
    assert_eq!(bench.run("log list -o json").json()["kind"], "LogList");
    let post = &fake.asked("POST")[1];
    assert_eq!(
        post.body["config"],
        serde_json::to_value(running().stripped()).unwrap()
    );
    assert_eq!(post.headers["idempotency-key"].len(), 32);
    assert_eq!(fake.asked("DELETE").len(), 1);
}

#[test]
fn a_refused_log_is_refused_where_it_is_written() {
    let (bench, fake) = Bench::served();
    bench.write("first.yaml", &running().stripped().to_yaml());
    let findings = json!({ "findings": [{ "code": "origin-taken", "message": "another log has this origin", "pointer": "/config/origin" }] });
    fake.says(
        "POST /logs?dryRun=true",
        [problem_with(422, "invalid", "1 finding", findings)],
    );
    let ran = bench.run("log create first.yaml --yes");
    assert_eq!(ran.code, Some(6), "{}", ran.shown());
    insta::assert_snapshot!("log_refused", ran.shown());
}

const SECRET: &str = "lct_5up3r53cr3t";

fn token(name: &str) -> Value {
    json!({ "name": name, "scopes": ["shard:rotate:dev"], "expiresAt": "2026-12-21T08:00:00Z", "createdBy": "uid:0",
        "createdAt": "2026-11-21T08:00:00Z", "revocable": true })
}

fn tokens() -> (Bench, Fake) {
    let (bench, fake) = Bench::served();
    fake.says(
        "POST /tokens",
        [Answer::Json(
            200,
            json!({ "secret": SECRET, "token": token("ci") }),
        )],
    );
    let by_hand = json!({ "name": "admin", "scopes": ["*:*:*"], "expiresAt": "2027-01-01T00:00:00Z", "revocable": false });
    fake.says(
        "GET /tokens",
        [Answer::Json(
            200,
            json!({ "tokens": [by_hand, token("ci")] }),
        )],
    );
    fake.says(
        "DELETE /tokens/ci",
        [Answer::Json(200, json!({ "name": "ci" }))],
    );
    (bench, fake)
}

#[test]
fn a_token_is_shown_once_or_goes_to_a_private_file() {
    let (bench, fake) = tokens();
    let line = "token create ci --scope shard:rotate:dev,log:read:dev --scope shard:plan:dev --expires 7d --yes";
    let printed = bench.run(line);
    assert_eq!(printed.out, format!("{SECRET}\n"), "alone, for a variable");
    assert!(!printed.err.contains(SECRET));
    insta::assert_snapshot!("token", printed.shown());
    let request = &fake.asked("POST")[0];
    assert_eq!(
        request.body,
        json!({ "name": "ci", "scopes": ["shard:rotate:dev", "log:read:dev", "shard:plan:dev"], "lifetimeSeconds": 7 * 86400 })
    );
    let json = bench.run(&format!("{line} -o json"));
    assert_eq!(json.json()["secret"], SECRET);
    assert_eq!(json.json()["kind"], "NewToken");
    assert!(!json.err.contains(SECRET));

    let kept = bench.run(&format!("{line} --out ci.token -o json"));
    assert!(
        !kept.out.contains(SECRET) && !kept.err.contains(SECRET),
        "{}",
        kept.shown()
    );
    assert_eq!(kept.json()["file"], "ci.token");
    assert_eq!(bench.read("ci.token"), format!("{SECRET}\n"));
    let mode = std::fs::metadata(bench.path("ci.token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // The file there is not lost, and no token is made without use.
    let posts = fake.asked("POST").len();
    let again = bench.run(&format!("{line} --out ci.token"));
    assert_eq!(again.code, Some(2), "{}", again.shown());
    let nowhere = bench.run(&format!("{line} --out nowhere/ci.token"));
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.shown());
    assert_eq!(fake.asked("POST").len(), posts);
}

#[test]
fn a_token_that_was_not_made_leaves_no_file() {
    let (bench, fake) = tokens();
    let line = "token create ci --scope shard:rotate:dev --yes --out ci.token";
    for (answer, code) in [
        (problem(409, "conflict", "there is a token ci already"), 5),
        (
            problem(
                403,
                "forbidden",
                "you do not have shard:rotate:dev yourself",
            ),
            4,
        ),
        (
            Answer::Json(
                200,
                json!({ "secret": format!("{SECRET}\u{1b}[2J"), "token": token("ci") }),
            ),
            11,
        ),
        (
            Answer::Json(200, json!({ "secret": [SECRET], "token": token("ci") })),
            8,
        ),
    ] {
        fake.says("POST /tokens", [answer]);
        // An answer that is not understood is asked for until the limit.
        let ran = match code {
            8 => bench.cut_off(line, |ran| ran.ended(&[11])),
            _ => bench.run(line),
        };
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
        assert!(!ran.shown().contains(SECRET), "{}", ran.shown());
        assert!(!bench.path("ci.token").exists());
    }
}

#[test]
fn listing_and_revoking_tokens() {
    let (bench, fake) = tokens();
    let mut shown = String::new();
    for line in [
        "token list",
        "token revoke ci --yes",
        "token revoke ci",
        "token create ci --scope shard:rotate:dev",
        "token create ci",
        "token create CI --scope shard:rotate:dev --yes",
        "token create ci --scope a:b:c --expires 10s",
        "token create ci --scope a:b:c --expires 366d",
        "token revoke ../logs --yes",
        "token revoke other --yes",
    ] {
        shown.push_str(&bench.run(line).shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("tokens", shown);
    assert_eq!(
        bench.run("token list -o json").json()["tokens"][1]["name"],
        "ci"
    );
    assert_eq!(bench.run("token list -o name").out, "admin\nci\n");
    assert_eq!(fake.asked("POST").len(), 0);
}

const LIST: &str = "- treeID: 3904496407287907110
  treeLength: 100
  encodedPublicKey: LS0tLS1C
- treeID: 2605736670972794746
  treeLength: 23
  grpcEndpoint: {Address: trillian, Port: 8090}
";

#[test]
fn shards_from_rekor_and_back() {
    let bench = Bench::new();
    bench.write("sharding.yaml", LIST);
    let line = "shard --create-config first.yaml --from rekor:sharding.yaml --log dev --origin log.example.org";
    let ran = bench.run(line);
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    insta::assert_snapshot!("from_rekor", ran.shown());
    let dropped = &bench.run(&format!("{line} --force -o json")).json()["dropped"];
    assert_eq!(
        (dropped[0]["code"].as_str(), dropped[0]["line"].as_u64()),
        (Some("unknown-key"), Some(3))
    );
    let first = logconfig::parse(&bench.read("first.yaml")).unwrap();
    let places: Vec<_> = first
        .shards
        .iter()
        .map(|shard| (shard.tree_id.as_deref(), shard.start_index, shard.length))
        .collect();
    assert_eq!(places[0], (Some("3904496407287907110"), Some(0), Some(100)));
    assert_eq!(
        places[1],
        (Some("2605736670972794746"), Some(100), Some(23))
    );
    assert_eq!(first.shards[2].state, logconfig::ShardState::Active);

    let (served, fake) = Bench::served();
    let answer = json!({ "etag": first.etag(1), "config": first });
    fake.says("GET /logs/dev/config", [Answer::Json(200, answer)]);
    let exported = served.run("shard export --format rekor");
    insta::assert_snapshot!("to_rekor", exported.shown());
    assert_eq!(
        logconfig::read_rekor(&exported.out).unwrap().shards,
        first.shards[..2]
    );
    let json = served.run("shard export --format rekor -o json").json();
    assert_eq!(json["kind"], "RekorShards");
    assert!(
        json["shardingConfig"]
            .as_str()
            .unwrap()
            .contains("treeLength: 23")
    );
}

#[test]
fn a_list_from_an_address() {
    let bench = Bench::new();
    let (fake, port) = Fake::on_loopback();
    fake.says("GET /sharding.yaml", [Answer::File(LIST.into())]);
    let from = |path: &str| {
        bench.run(&format!(
            "shard --create-config - --log dev --from rekor:http://127.0.0.1:{port}/{path}"
        ))
    };
    let ran = from("sharding.yaml");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    assert!(
        ran.err.contains("sharding.yaml:3:3: `encodedPublicKey`"),
        "{}",
        ran.shown()
    );
    assert_eq!(logconfig::parse(&ran.out).unwrap().shards.len(), 3);
    assert_eq!(from("missing").code, Some(11));
    // Another Rekor is named as for `import rekor`, and so is a folder with its answers.
    let log = json!({"treeID": "9", "inactiveShards": [{"treeID": "7", "treeSize": 3}]});
    fake.says("GET /neon/api/v1/log", [Answer::Json(200, log.clone())]);
    std::fs::create_dir(bench.path("saved")).unwrap();
    bench.write("saved/log.json", &log.to_string());
    let url = format!("http://127.0.0.1:{port}/neon");
    for from in [
        url.clone(),
        format!("{url}/api/v1"),
        format!("rekor:{url}/api/v1/log"),
        "saved".to_owned(),
        "rekor:saved/log.json".to_owned(),
    ] {
        let ran = bench.run(&format!("shard --create-config - --log dev --from {from}"));
        assert_eq!(ran.code, Some(0), "{}", ran.shown());
        let shards = logconfig::parse(&ran.out).unwrap().shards;
        assert_eq!(shards[0].tree_id.as_deref(), Some("7"), "{from}");
    }
}

/// The server's answers for a log whose origins are host names, made at noon.
fn hosts(fake: &Fake) {
    let signer = tlog::Signer::from_seed("2026a.log.example.org", &[7; 32]).unwrap();
    let mut config = logconfig::LogConfig::new(
        "dev".parse().unwrap(),
        "log.example.org".to_owned(),
        "2026a".parse().unwrap(),
    );
    config.origin_form = logconfig::OriginForm::Host;
    config.shards[0].vkey = Some(signer.verifier().to_string());
    let answer = json!({ "etag": config.etag(1), "config": config });
    fake.says("GET /logs/dev/config", [Answer::Json(200, answer)]);
    let shard = json!({"name": "2026a", "state": "active", "treeId": "7", "origin": "2026a.log.example.org", "vkey": signer.verifier().to_string()});
    let status = json!({"log": "dev", "condition": "open", "generation": 1, "etag": config.etag(1),
        "watermarks": {"ordered": 0, "integrated": 0, "published": 0}, "shards": [shard]});
    fake.says("GET /logs/dev", [Answer::Json(200, status)]);
    let made = json!({"generation": 1, "action": "create", "time": "2026-01-02T12:00:00.5Z", "slot": 0, "atIndex": 0,
        "operation": "op", "summary": "created", "etag": config.etag(1), "differences": []});
    fake.says(
        "GET /logs/dev/history",
        [Answer::Json(200, json!({ "history": [made] }))],
    );
}

#[test]
fn the_files_that_clients_of_sigstore_are_configured_with() {
    let (served, fake) = Bench::served();
    hosts(&fake);
    let ran = served.run("shard export --format trusted-root");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let root: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let log = &root["tlogs"][0];
    assert_eq!(log["baseUrl"], "https://2026a.log.example.org");
    assert_eq!(
        log["publicKey"]["validFor"],
        json!({"start": "2026-01-02T12:00:00Z"})
    );
    assert!(ran.err.contains("certificate authority"), "{}", ran.err);

    // Only the operator knows the URL for writes.
    let ran = served.run("shard export --format signing-config");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(ran.err.contains("--write-url https://"), "{}", ran.err);
    let with_api =
        "shard export --format signing-config --write-url https://log.example.org/dev/api/v2";
    let ran = served.run(with_api);
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(
        ran.err.contains("in front of /api/v1 or /api/v2"),
        "{}",
        ran.err
    );
    let ran =
        served.run("shard export --format signing-config --write-url https://log.example.org/dev");
    let config: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        config["rekorTlogUrls"][0]["url"],
        "https://log.example.org/dev"
    );

    // logctl refuses a flag that the format ignores, and warns of a URL at which the log answers no client.
    assert!(ran.err.contains("does not enable"), "{}", ran.err);
    for useless in [
        "shard export --format vkeys --write-url https://log.example.org/dev",
        "shard export --format rekor --merge sharding.yaml",
        "shard rotate --dry-run --settle 1d",
        "shard plan --dry-run --seen-at root.json",
    ] {
        let ran = served.run(useless);
        assert_eq!(ran.code, Some(2), "{useless}: {}", ran.shown());
    }

    // Merged with itself it stays as it is.
    let root = served.run("shard export --format trusted-root").out;
    served.write("root.json", &root);
    let merged = served.run("shard export --format trusted-root --merge root.json");
    assert_eq!(merged.out, root);
    served.write("other.json", "{}");
    let refused = served.run("shard export --format trusted-root --merge other.json");
    assert_eq!(refused.code, Some(2), "{}", refused.shown());
}

#[test]
fn each_key_of_a_shard_is_exported() {
    let (served, fake) = Bench::served();
    hosts(&fake);
    let key = |seed| tlog::Signer::from_p256("2026a.log.example.org", &[seed; 32]).unwrap();
    let ed25519 = |seed| tlog::Signer::from_seed("2026a.log.example.org", &[seed; 32]).unwrap();
    let (ecdsa, first, second) = (key(7), ed25519(8), ed25519(9));
    let [ecdsa, first, second] = [ecdsa, first, second].map(|key| key.verifier().to_string());
    let shards = json!([
        {"name": "2026a", "state": "frozen", "treeId": "7", "origin": "2026a.log.example.org", "vkey": first, "ecdsaVkey": ecdsa},
        {"name": "2026b", "state": "active", "treeId": "8", "origin": "2026b.log.example.org", "vkey": second},
    ]);
    let status = json!({"log": "dev", "condition": "open", "generation": 1, "etag": "\"1-0\"",
        "watermarks": {"ordered": 0, "integrated": 0, "published": 0}, "shards": shards});
    fake.says("GET /logs/dev", [Answer::Json(200, status)]);
    let ran = served.run("shard export --format vkeys");
    assert_eq!(
        ran.out,
        format!("{ecdsa}\n{first}\n{second}\n"),
        "{}",
        ran.shown()
    );
}

#[test]
fn what_rekor_would_not_read() {
    let bench = Bench::new();
    bench.write("bad.yaml", "- treeID: 1\n- treeID: 1\n- treeLenght: 3\n");
    let mut shown = String::new();
    for line in [
        "shard --create-config a.yaml --log dev --from rekor:bad.yaml",
        "shard --create-config a.yaml --log dev --from rekor:missing.yaml",
        "shard --create-config a.yaml --log dev --from trillian:bad.yaml",
        "shard --create-config a.yaml --log dev --from rekor:",
        "shard --create-config a.yaml --from rekor:bad.yaml",
        "shard --use-config a.yaml --from rekor:bad.yaml",
        "shard export",
        "shard export --format trillian",
    ] {
        let ran = bench.run(line);
        assert!(matches!(ran.code, Some(2 | 6)), "{}", ran.shown());
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
    }
    insta::assert_snapshot!("no_rekor", shown);
}
