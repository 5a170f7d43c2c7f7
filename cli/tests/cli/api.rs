//! `logctl api`: one request, in the caller's name.

use serde_json::json;

use crate::fake::{Answer, problem};
use crate::runner::Bench;

#[test]
fn a_read_is_printed_as_it_comes() {
    let (bench, fake) = Bench::served();
    let ran = bench.run("api GET /logs/dev/config");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    let body: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(body["config"]["log"], "dev");
    let json = bench.run("api get admin/v1 -o json");
    assert_eq!(json.code, Some(6), "{}", json.shown());
    let json = bench.run("api get /admin/v1/logs/dev -o json").json();
    assert_eq!(
        (&json["kind"], &json["status"], &json["body"]["log"]),
        (&json!("Answer"), &json!(200), &json!("dev"))
    );
    fake.says(
        "GET /audit/tree/1/tile/0/000",
        [Answer::File(vec![0xff; 32])],
    );
    let ran = bench.run("api GET audit/tree/1/tile/0/000");
    assert_eq!(
        ran.out,
        "200: 32 bytes of application/octet-stream, not shown\n"
    );
}

#[test]
fn a_change_wants_consent_and_carries_what_it_was_given() {
    let (bench, fake) = Bench::served();
    bench.write("body.json", "{\"name\": \"2026c\"}");
    let line = "api POST logs/dev/rotations --body body.json --if-match g7-1a2b3c4d";
    assert_eq!(bench.run(line).code, Some(2));
    assert_eq!(fake.asked("POST").len(), 0);
    assert_eq!(bench.run(&format!("{line} --yes")).code, Some(0));
    let asked = fake.asked("POST").pop().unwrap();
    assert_eq!(asked.body, json!({ "name": "2026c" }));
    assert_eq!(asked.headers["if-match"], "\"g7-1a2b3c4d\"");
    assert_eq!(asked.headers["idempotency-key"].len(), 32);
    let ran = bench.run_with("api POST logs/dev/rotations?dryRun=true --body -", "{}");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
}

#[test]
fn it_fails_as_every_command_does() {
    let (bench, fake) = Bench::served();
    for (answer, code) in [
        (problem(403, "forbidden", "no"), 4),
        (problem(412, "stale", "moved"), 5),
        (problem(503, "halted", "halted"), 13),
        (Answer::Html(404), 11),
        (Answer::HangUp, 8),
    ] {
        fake.says("DELETE /logs/dev", [answer]);
        let ran = bench.run("api DELETE logs/dev --yes");
        assert_eq!(ran.code, Some(code), "{}", ran.shown());
    }
    fake.says("GET /logs/dev", [Answer::HangUp]);
    assert_eq!(bench.run("api GET logs/dev").code, Some(11));
    for path in ["../metrics", "http://example.org/", "logs/../../x"] {
        assert_eq!(
            bench.run(&format!("api GET {path}")).code,
            Some(2),
            "{path}"
        );
    }
}
