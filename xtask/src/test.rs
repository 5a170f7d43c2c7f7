//! `cargo xtask test`: what a fresh machine has to pass. Every step runs, whatever became of the one before.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::run::{cargo, installed, succeeds, target};
use crate::summary::Summary;
use crate::{
    checks, debian, fuzz, generate, house, licences, python, schemathesis, sigstore, simulate,
    words,
};

/// How much of it.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out the end-to-end campaign
    #[arg(long)]
    quick: bool,
    /// How often the server is killed under load
    #[arg(long, default_value_t = 6)]
    kills: u64,
    /// How many failures of file operations are injected
    #[arg(long, default_value_t = 24)]
    faults: u64,
    /// How many seconds several servers on one folder are abused (paused, killed, rotated, frozen)
    #[arg(long, default_value_t = 10)]
    abuse: u64,
    /// Search the model of the commit protocol within wide bounds, too: for as long and with as much memory as that takes
    #[arg(long)]
    model_long: bool,
}

/// Libraries whose first page and example are written for outsiders.
const LIBRARIES: &[&str] = &[
    "tlog",
    "logconfig",
    "store",
    "order",
    "qos",
    "rekor",
    "rekor-index",
    "wire",
    "mirror",
    "plane-http",
];

/// The test programs that need the binaries as they ship.
const CAMPAIGN: [&str; 3] = ["e2e", "docs", "ci"];

/// `cargo test` on the workspace. Every run of it names the whole: cargo would build the libraries again for the features of a part.
pub(crate) fn whole() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    linted(&mut command);
    command
}

/// Clippy as the compiler of what a command builds of its workspace, and every warning an error: the lints cost no build of their own.
pub(crate) fn linted(command: &mut Command) {
    command
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings");
}

/// Runs everything; true when nothing failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let mut summary = Summary::begin();
    let skips = tempfile::NamedTempFile::new()?;

    summary.step(
        "format",
        succeeds(cargo().args(["fmt", "--all", "--check"])),
    );
    let mut reference = cargo();
    reference.args(["doc", "--no-deps"]);
    for library in LIBRARIES {
        reference.args(["--package", library]);
    }
    reference.env("RUSTDOCFLAGS", "-D warnings");
    summary.step("reference of the libraries", succeeds(&mut reference));
    summary.step("pictures", generate::current());
    summary.step("words", words::check());
    summary.step("layering", checks::layering());
    summary.step("rules of the house", house::check());
    summary.step("licences and bans", licences::check());

    // logctl is tried on real screens and in real shells; where these cannot be had, its tests say so.
    for program in ["tmux", "zsh", "fish"] {
        if let Err(error) = debian::need(program) {
            println!("{error:#}");
        }
    }
    let mut tests = whole();
    tests.args(["--lib", "--bins", "--examples"]);
    for program in checks::test_programs()? {
        if !CAMPAIGN.contains(&program.as_str()) {
            tests.args(["--test", &program]);
        }
    }
    tests.env("TESTS_SKIP_LIST", skips.path());
    summary.tests("lints and unit tests", &mut tests, skips.path())?;
    std::fs::write(skips.path(), "")?;
    summary.tests("examples in docs", whole().arg("--doc"), skips.path())?;

    if options.model_long {
        let mut model = cargo();
        model.args(["test", "--release", "--package", "order", "--lib", "model"]);
        summary.tests(
            "model, wide bounds",
            model.env("MODEL_LONG", "1"),
            skips.path(),
        )?;
    }

    match fuzz::install() {
        Ok(()) => {
            for target in fuzz::TARGETS {
                let name = format!("fuzz target {target}");
                summary.step(&name, fuzz::run(target, fuzz::SECONDS));
            }
        }
        Err(error) => summary.skip("fuzz targets", &format!("{error:#}; their twins ran")),
    }

    summary.step("form of the simulation", simulate::clean());
    summary.step("simulated lives", simulate::lives());

    if options.quick {
        summary.skip("end-to-end campaign", "--quick");
        return Ok(summary.finish());
    }
    // The campaign runs without what this would install, but then it has to say what it could not check.
    for program in ["strace", "curl"] {
        if let Err(error) = debian::need(program) {
            println!("{error:#}");
        }
    }
    for (package, program) in [("iproute2", "ip"), ("openssh-client", "ssh-agent")] {
        if let Err(error) = debian::need_package(package, || installed(program)) {
            println!("{error:#}");
        }
    }
    let torchwood = debian::unpacked("torchwood", "litewitness");
    if let Err(error) = &torchwood {
        println!("{error:#}");
    }
    // A server that speaks S3, for storage nodes and frontends in buckets.
    let moto = python::install("moto[s3]==5.2.5", &["flask==3.1.3", "flask-cors==6.0.5"]);
    if let Err(error) = &moto {
        println!("{error:#}");
    }
    let sigstore = sigstore::install();
    if let Err(error) = &sigstore {
        println!("{error:#}");
    }
    // The binaries as they ship: without the features that tests of other crates switch on.
    let built = succeeds(cargo().args([
        "build",
        "--package",
        "logd",
        "--package",
        "logctl",
        "--package",
        "logload",
    ]));
    let built = built.is_ok_and(|built| built);
    summary.step("build", Ok(built));
    if built {
        let target = target();
        match schemathesis::install() {
            Ok(program) => summary.step(
                "schemathesis",
                schemathesis::check(&program, schemathesis::EXAMPLES),
            ),
            Err(error) => summary.skip("schemathesis", &format!("{error:#}")),
        }
        let mut campaign = whole();
        for program in CAMPAIGN {
            campaign.args(["--test", program]);
        }
        campaign
            .env("TESTS_BINARIES", target.join("debug"))
            .env("TESTS_SKIP_LIST", skips.path());
        campaign
            .env("TESTS_KILLS", options.kills.to_string())
            .env("TESTS_FAULTS", options.faults.to_string())
            .env("TESTS_ABUSE", options.abuse.to_string());
        if let Ok(folder) = torchwood {
            campaign.env("TESTS_TORCHWOOD", folder);
        }
        if let Ok(folder) = moto {
            campaign.env("TESTS_MOTO", folder);
        }
        if let Ok(folder) = sigstore {
            campaign.env("TESTS_SIGSTORE", folder);
        }
        std::fs::write(skips.path(), "")?;
        summary.tests("end-to-end campaign", &mut campaign, skips.path())?;
    }
    Ok(summary.finish())
}
