//! Every help text and every usage error, as they look.

use std::path::Path;

use crate::runner::Bench;

fn all(command: &clap::Command, path: String, found: &mut Vec<String>) {
    for subcommand in command.get_subcommands() {
        all(
            subcommand,
            format!("{path} {}", subcommand.get_name())
                .trim()
                .to_owned(),
            found,
        );
    }
    found.push(path);
}

#[test]
fn every_help() {
    let mut commands = Vec::new();
    all(&logctl::command(), String::new(), &mut commands);
    let bench = Bench::new();
    for command in commands {
        let short = bench.run(&format!("{command} -h"));
        assert_eq!((short.code, short.err.as_str()), (Some(0), ""));
        assert!(
            short.out.contains("Example"),
            "no example in the help of `{command}`"
        );
        insta::assert_snapshot!(format!("help_{}", command.replace(' ', "_")), short.out);
        assert_eq!(bench.run(&format!("{command} --help")).code, Some(0));
    }
}

#[test]
fn usage_errors() {
    let bench = Bench::new();
    let lines = [
        "",
        "shard",
        "rotate",
        "shard rotat",
        "shard --create-config a --use-config b",
        "shard --use-config a list",
        "shard --use-config a --force",
        "shard --dry-run rotate --yes",
        "shard --force",
        "shard -y",
        "shard --create-config a --origin example.org/new",
        "shard show",
        "status --timeout 60",
        "status --output yaml",
        "status --tokenfile x",
        "load run --stream name=live,rate=5/s --duration 30s --verify",
        "load commits --writers 64",
        "completions tcsh",
        "man shard rotat",
        "op wait 17",
        "shard list --log ../dev --admin unix:x",
        "shard list --admin http://192.0.2.1:7071",
        "shard list --admin 127.0.0.1:7071",
    ];
    let mut shown = String::new();
    for line in lines {
        let ran = bench.run(line);
        shown.push_str(&ran.shown());
        shown.push_str("\n=====\n");
        assert!(matches!(ran.code, Some(2 | 6)), "{}", ran.shown());
        if !line.is_empty() {
            let json = bench.run(&format!("{line} -o json"));
            // A job that keeps the document in a file has the error in its log.
            assert!(!json.err.is_empty(), "{}", json.shown());
            assert_eq!(
                json.json()["error"]["exitCode"],
                ran.code.unwrap(),
                "{}",
                json.shown()
            );
        }
    }
    insta::assert_snapshot!("usage", shown);
}

#[test]
fn hidden_commands_are_not_listed() {
    let bench = Bench::new();
    for line in ["help nosuch", "man nosuch"] {
        let ran = bench.run(&format!("{line} -o json"));
        let hint = ran.json()["error"]["hint"].as_str().unwrap().to_owned();
        let listed: Vec<&str> = hint.split([',', ':']).map(str::trim).collect();
        assert!(listed.contains(&"import"), "{hint}");
        assert!(!listed.contains(&"load"), "{hint}");
    }
    assert_eq!(bench.run("help load").code, Some(0), "it is still there");
}

#[test]
fn help_and_version_as_json() {
    let bench = Bench::new();
    assert!(
        bench.run("shard -o json --help").json()["text"]
            .as_str()
            .unwrap()
            .contains("--create-config")
    );
    assert!(
        bench.run("-o json --version").json()["text"]
            .as_str()
            .unwrap()
            .starts_with("logctl ")
    );
}

#[test]
fn global_options_stand_anywhere() {
    let (bench, _fake) = Bench::served();
    let wanted = bench.run("shard list -o json").out;
    for line in [
        "-o json shard list",
        "shard -o json list",
        "shard --output=json list",
        "-ojson shard list",
    ] {
        assert_eq!(bench.run(line).out, wanted, "{line}");
    }
}

#[test]
fn completions_and_manual_come_from_the_program() {
    let bench = Bench::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let checked_in = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    for (shell, file) in [
        ("bash", "logctl.bash"),
        ("zsh", "_logctl"),
        ("fish", "logctl.fish"),
    ] {
        let fixed = bench.run(&format!("completions {shell} --static")).out;
        assert_eq!(fixed, checked_in(&format!("completions/{file}")));
        // The script that asks the program.
        let live = bench.run(&format!("completions {shell}")).out;
        assert!(
            live.contains("LOGCTL_COMPLETE") && !live.contains("target"),
            "{live}"
        );
    }
    assert_eq!(bench.run("man").out, checked_in("man/logctl.1"));
    assert_eq!(
        bench.run("man shard rotate").out,
        checked_in("man/logctl-shard-rotate.1")
    );
    assert_eq!(
        bench.run("completions bash -o json").json()["kind"],
        "Completions"
    );
}

#[test]
fn an_unknown_word_or_option_gets_no_wrong_advice() {
    let mut bench = Bench::new();
    bench.env("LOGCTL_CONFIG", "logctl.toml");
    let ran = bench.run("op wait");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(
        ran.err.contains("Usage: logctl op wait <ID>"),
        "{}",
        ran.shown()
    );
    for (line, hint) in [
        ("shard help", "hint: `logctl help shard`"),
        ("config help", "hint: `logctl help config`"),
    ] {
        let ran = bench.run(line);
        assert_eq!(ran.code, Some(2), "{}", ran.shown());
        assert!(ran.err.contains(hint), "{}", ran.shown());
    }
    let ran = bench.run("log freeze --dry-run");
    assert_eq!(ran.code, Some(2), "{}", ran.shown());
    assert!(!ran.err.contains("tip:"), "{}", ran.shown());
    // What is only misspelled is still named.
    let ran = bench.run("shard rotate --dry-rum");
    assert!(ran.err.contains("'--dry-run'"), "{}", ran.shown());
}
