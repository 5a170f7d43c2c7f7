//! Counting what passed, failed and was skipped. A skip is never silent and never counts as a pass.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::run::shown;

/// The totals and one line per step.
pub(crate) struct Summary {
    passed: u64,
    failed: u64,
    skipped: u64,
    lines: Vec<String>,
    /// When the last step ended.
    ended: Instant,
}

/// The totals of the test programs that one `cargo test` ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Summary {
    /// Nothing is done yet, and the first step begins.
    pub(crate) fn begin() -> Self {
        Self {
            passed: 0,
            failed: 0,
            skipped: 0,
            lines: Vec::new(),
            ended: Instant::now(),
        }
    }

    /// The line of a step that ends now, with the seconds that it took.
    fn ends(&mut self, line: &str) {
        let took = self.ended.elapsed().as_secs();
        self.ended = Instant::now();
        self.lines.push(format!("{line}, {took} s"));
    }

    /// A step of its own, such as the format check.
    pub(crate) fn step(&mut self, name: &str, outcome: Result<bool>) {
        let verdict = match outcome {
            Ok(true) => {
                self.passed += 1;
                "passed".to_owned()
            }
            Ok(false) => {
                self.failed += 1;
                "FAILED".to_owned()
            }
            Err(error) => {
                self.failed += 1;
                println!("{name}: {error:#}");
                format!("FAILED: {error:#}")
            }
        };
        self.ends(&format!("{name}: {verdict}"));
    }

    /// A step that can't be done here.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("SKIPPED {name}: {why}");
        self.skipped += 1;
        self.lines.push(format!("{name}: SKIPPED: {why}"));
    }

    /// A `cargo test`; `skips` is the file that its tests write one line per skipped check to.
    pub(crate) fn tests(&mut self, name: &str, command: &mut Command, skips: &Path) -> Result<()> {
        println!("$ {}", shown(command));
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", shown(command)))?;
        let mut totals = Totals::default();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                totals.add(&line);
                println!("{line}");
            }
        }
        let succeeded = child.wait()?.success();
        let skipped: Vec<String> = std::fs::read_to_string(skips)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        // A test that skipped its check ended as a pass.
        let passed = totals.passed.saturating_sub(skipped.len() as u64);
        self.passed += passed;
        // A failure to compile is a failure too, though no test program has counted it.
        let failed = if succeeded {
            totals.failed
        } else {
            totals.failed.max(1)
        };
        self.failed += failed;
        self.skipped += totals.ignored + skipped.len() as u64;
        let verdict = if failed == 0 { "passed" } else { "FAILED" };
        self.ends(&format!(
            "{name}: {verdict} ({passed} passed, {failed} failed)"
        ));
        self.lines.extend(skipped);
        Ok(())
    }

    /// Prints all of it, the totals last and alone on their line; true when nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!();
        for line in &self.lines {
            println!("  {line}");
        }
        println!();
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        self.failed == 0
    }
}

impl Totals {
    /// `test result: ok. 13 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.58s`
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let Some((_, counts)) = rest.split_once(". ") else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_result_lines() {
        let mut totals = Totals::default();
        totals.add("test result: ok. 13 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.58s");
        totals.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.01s");
        totals.add("test a::b ... ok");
        assert_eq!(
            totals,
            Totals {
                passed: 15,
                failed: 3,
                ignored: 1
            }
        );
    }
}
