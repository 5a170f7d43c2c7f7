//! The example `toy`, run and tried.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};

use wire::{LogCondition, LogStatus, Operation, OperationState, Problem, WhoAmI, codes};

/// A guard against a hang, not a measure.
const HANG_MS: u64 = 60_000;

/// The example, killed when dropped.
struct Toy {
    child: Child,
    folder: tempfile::TempDir,
}

impl Toy {
    fn start() -> Self {
        let me = std::env::current_exe().unwrap();
        // The test is in `deps`, the example beside that folder.
        let target = me.parent().and_then(Path::parent).unwrap();
        let program = target.join("examples/toy");
        // Only `cargo test --test toy` does not build it.
        if !program.is_file() {
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "server-admin"])
                .args(["--example", "toy"])
                .status();
            assert!(built.unwrap().success());
        }
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(&program)
            .current_dir(folder.path())
            .spawn()
            .unwrap();
        let mut toy = Self { child, folder };
        let clock = ambient::Ambient::unset().time;
        let began = clock.steady_ms();
        while toy.connect().is_err() {
            assert!(toy.child.try_wait().unwrap().is_none(), "the toy has ended");
            assert!(
                clock.steady_ms() - began < HANG_MS,
                "the toy takes no connection"
            );
            std::thread::yield_now();
        }
        toy
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.folder.path().join("toy.sock"))
    }

    /// The body of the answer.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect().unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: toy\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, method: &str, path: &str) -> T {
        let body = self.ask(method, &format!("/admin/v1/{path}"));
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_toy_has_a_page_of_its_own_and_is_administered() {
    let toy = Toy::start();
    assert_eq!(toy.ask("GET", "/"), "frozen: false\n");
    let who: WhoAmI = toy.json("GET", "whoami");
    assert!(who.actor.starts_with("uid:"), "{who:?}");

    let preview: Operation = toy.json("POST", "logs/toy/freeze?dryRun=true");
    assert_eq!(preview.state, OperationState::Planned);
    assert_eq!(toy.ask("GET", "/"), "frozen: false\n");
    let done: Operation = toy.json("POST", "logs/toy/freeze");
    assert_eq!(done.state, OperationState::Done);
    assert_eq!(toy.ask("GET", "/"), "frozen: true\n");
    let again: Operation = toy.json("POST", "logs/toy/freeze");
    assert_eq!(again.state, OperationState::Unchanged);
    let status: LogStatus = toy.json("GET", "logs/toy");
    assert_eq!(status.condition, LogCondition::Frozen);

    // A toy reports what it cannot do, and so do the parts of the endpoint without a host.
    for (method, path) in [
        ("POST", "logs/toy/rotations"),
        ("GET", "audit"),
        ("GET", "diagnostics"),
    ] {
        let problem: Problem = toy.json(method, path);
        assert_eq!(problem.code, codes::UNSUPPORTED, "{method} {path}");
    }
}

#[test]
fn it_is_short() {
    let lines = include_str!("../examples/toy.rs").lines().count();
    assert!(lines < 80, "{lines} lines");
}
