//! The real binary, without a server: its help, what it refuses, and its exit codes. Runs against a server are in the
//! end-to-end tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

use serde_json::Value;

/// Exit code, standard output and standard error of a line, with nothing of the caller's environment.
fn logload(line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_logload"))
        .args(line.split(' ').filter(|word| !word.is_empty()))
        .env_clear()
        .env("XDG_CONFIG_HOME", "/nowhere")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn every_help() {
    for (name, line) in [("help", "-h"), ("help_run", "run -h")] {
        let (code, out, err) = logload(line);
        assert_eq!((code, err.as_str()), (0, ""));
        insta::assert_snapshot!(name, out);
    }
    assert!(logload("--version").1.starts_with("logload "));
}

#[test]
fn what_cannot_be_run_is_refused_in_every_form() {
    let mut shown = String::new();
    for (line, code) in [
        ("run", 2),
        ("runn", 2),
        ("run --stream rate=5/s --scenario x.yaml", 2),
        ("run --stream rate=5", 2),
        ("run --stream rate=5/s --duration 1ms", 2),
        ("run --scenario /nowhere/x.yaml", 2),
        ("run --stream rate=5/s,token-file=/nowhere/t", 2),
        ("run --stream rate=5/s", 2),
        ("run --stream rate=5/s --log x --url ftp://127.0.0.1", 2),
        ("run --stream rate=5/s --log x --url http://127.0.0.1:1", 11),
    ] {
        let (found, out, err) = logload(line);
        assert_eq!((found, out.as_str()), (code, ""), "{line}: {err}");
        shown.push_str(&format!("$ logload {line}\nexit {found}\n{err}=====\n"));
        let (_, out, _) = logload(&format!("{line} -o json"));
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["error"]["exitCode"], code, "{line}: {out}");
    }
    insta::assert_snapshot!("refused", shown);
}
