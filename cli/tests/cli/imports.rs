//! `logctl import` against an address that answers as a script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::runner::Bench;

const ID: &str = "9f86d081884c7d659a2feaa0c55ad015";

/// One request, read to its end, answered, and its connection closed.
fn answer(stream: TcpStream, status: &str, body: &str) {
    let mut input = BufReader::new(&stream);
    let mut line = String::new();
    let mut chunked = false;
    while input.read_line(&mut line).is_ok() && line != "\r\n" {
        chunked |= line
            .to_ascii_lowercase()
            .starts_with("transfer-encoding: chunked");
        line.clear();
    }
    while chunked {
        line.clear();
        input.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        input.read_exact(&mut vec![0; size + 2]).unwrap();
        chunked = size > 0;
    }
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    (&stream).write_all(text.as_bytes()).unwrap();
}

/// A bench whose context names an address that gives these answers, one after the other, and then none. `more` is more of the context.
fn serving(answers: &'static [(&'static str, &'static str)], more: &str) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Without an answer nobody is there.
    let listener = (!answers.is_empty()).then_some(listener);
    thread::spawn(move || {
        for ((status, body), listener) in answers.iter().zip(listener.iter().cycle()) {
            let (stream, _) = listener.accept().unwrap();
            answer(stream, status, body);
        }
    });
    let mut bench = Bench::new();
    bench.context(&format!(
        "log = \"dev\"\nurl = \"http://{address}\"\n{more}"
    ));
    bench.write("entries", "one\ntwo\nthree\n");
    bench
}

const TWO: (&str, &str) = (
    "200 OK",
    r#"{"accepted":2,"ranges":[{"first":0,"index":0,"entries":2}]}"#,
);
const THREE: (&str, &str) = (
    "200 OK",
    r#"{"accepted":3,"ranges":[{"first":0,"index":0,"entries":3}]}"#,
);
/// Not a log's answer, and none that another attempt would change.
const FOREIGN: (&str, &str) = ("505 HTTP Version Not Supported", "");

#[test]
fn an_import_that_ends_early_is_not_one_that_changed_nothing() {
    let bench = serving(&[TWO, FOREIGN], "");
    let ran = bench.run("import entries -o json");
    let error = &ran.json()["error"];
    assert_eq!(ran.code, Some(8), "{}", ran.shown());
    assert_eq!(error["code"], "after-change");
    let message = error["message"].as_str().unwrap();
    let hint = error["hint"].as_str().unwrap();
    assert!(
        message.starts_with("2 entries are in the log, but"),
        "{message}"
    );
    assert!(
        hint.contains("`--resume ") && hint.contains("nothing is written twice"),
        "{hint}"
    );
    assert!(ran.err.contains("--resume "), "{}", ran.shown());

    // None was accepted, and the answer says so.
    let bench = serving(&[FOREIGN], "");
    let ran = bench.run("import entries");
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
    // Nobody is there.
    let ran = serving(&[], "").run("import entries");
    assert_eq!(ran.code, Some(11), "{}", ran.shown());
}

#[test]
fn a_protected_context_wants_its_name_for_an_import() {
    let bench = serving(&[THREE], "protected = true\n");
    for line in [
        "import entries",
        "import entries --yes",
        "import entries --confirm prod",
        &format!("import entries --upload {ID} --yes"),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        assert!(ran.err.contains("nothing was changed"), "{}", ran.shown());
    }
    let ran = bench.run("import entries --confirm dev");
    assert_eq!(ran.code, Some(0), "{}", ran.shown());
    // Elsewhere nothing is asked, and a name that is given must be the right one.
    let bench = serving(&[THREE], "");
    assert_eq!(bench.run("import entries --confirm prod").code, Some(2));
    assert_eq!(bench.run("import entries").code, Some(0));
}

/// An address that accepts connections and says nothing, or none.
#[test]
fn another_rekor_that_does_not_answer_is_waited_for_as_long_as_was_said() {
    let bench = Bench::new();
    bench.write("neon.yaml", "apiVersion: logctl/v1\nkind: LogConfig\nlog: neon\norigin: log.example.org\nshards: [{name: 2026a, state: active}]\n");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = |listener: &TcpListener| listener.local_addr().unwrap();
    let (silent_at, busy_at, nobody_at) = (at(&silent), at(&busy), at(&nobody));
    drop(nobody);
    thread::spawn(move || {
        for stream in busy.incoming() {
            answer(stream.unwrap(), "503 Busy", "");
        }
    });
    for address in [silent_at, busy_at, nobody_at] {
        let began = Instant::now();
        let line = format!("import rekor neon.yaml --from http://{address} --timeout 2s");
        let ran = bench.run(&line);
        assert_eq!(ran.code, Some(11), "{}", ran.shown());
        assert!(began.elapsed() < Duration::from_secs(20), "{line}");
        assert!(
            ran.err.contains("--timeout waits longer than 2 s") && ran.err.contains("check --from"),
            "{}",
            ran.shown()
        );
    }
    drop(silent);
}

const NEON: &str = "apiVersion: logctl/v1\nkind: LogConfig\nlog: neon\norigin: log.example.org\nshards: [{name: 2026a, state: active}]\n";

#[test]
fn a_named_log_must_be_the_one_of_the_document() {
    let (bench, fake) = Bench::served();
    bench.write("neon.yaml", NEON);
    let from = crate::fake::nowhere();
    let line = format!("import rekor neon.yaml --from {from} --timeout 2s");
    let ran = bench.run(&format!("{line} --log other"));
    assert_eq!(ran.code, Some(6), "{}", ran.shown());
    assert!(
        ran.err.contains("other-log")
            && ran
                .err
                .contains("the document is for the log neon, and --log names other"),
        "{}",
        ran.shown()
    );
    assert!(fake.asked("POST").is_empty());
    // The log of the context is only a default: the file names the new one. So is the right name.
    for line in [line.clone(), format!("{line} --log neon")] {
        assert_eq!(bench.run(&line).code, Some(11), "{line}");
    }
}

/// Neither the context nor the environment names what is deleted.
#[test]
fn what_is_dropped_is_named() {
    let (mut bench, fake) = Bench::served();
    bench.env("LOGCTL_LOG", "dev");
    let ran = bench.run("import rekor --drop --yes");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(ran.err.contains("--drop needs --log"), "{}", ran.shown());
    assert!(fake.asked("DELETE").is_empty() && fake.asked("POST").is_empty());
}
