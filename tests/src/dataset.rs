//! The Debian package index as entries: `package TAB version TAB architecture TAB sha256`, one per package.
//! Real data of a kind that transparency logs are for: which bytes did the archive publish under which name.

use std::collections::HashMap;
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A sample of the index, for machines that have none.
const SAMPLE: &[u8] = include_bytes!("../data/debian-packages.tsv.gz");

/// The source of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `apt-cache dumpavail` of this machine.
    ThisMachine,
    /// The sample that comes with the source.
    Sample,
}

/// The index of this machine's package manager if it has a good one, else the sample; without duplicate lines.
///
/// # Errors
/// When the sample is damaged.
pub fn packages() -> Result<(Origin, Vec<String>)> {
    if let Some(lines) = dumpavail().filter(|lines| lines.len() >= 10_000) {
        return Ok((Origin::ThisMachine, lines));
    }
    Ok((Origin::Sample, sample()?))
}

/// The sample.
///
/// # Errors
/// When it is damaged.
pub fn sample() -> Result<Vec<String>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(SAMPLE)
        .read_to_string(&mut text)
        .context("unpack the package sample")?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "the package sample is empty");
    Ok(lines)
}

fn dumpavail() -> Option<Vec<String>> {
    let output = Command::new("apt-cache")
        .arg("dumpavail")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .split("\n\n")
        .filter_map(line)
        .collect();
    lines.sort_unstable();
    lines.dedup();
    Some(lines)
}

/// One paragraph of the index as a line; nothing when a field is missing.
fn line(paragraph: &str) -> Option<String> {
    let fields: HashMap<&str, &str> = paragraph
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let field = |name| fields.get(name).map(|value: &&str| value.trim());
    Some(
        [
            field("Package")?,
            field("Version")?,
            field("Architecture")?,
            field("SHA256")?,
        ]
        .join("\t"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole() {
        let lines = sample().unwrap();
        assert_eq!(lines.len(), 63_440);
        assert!(
            lines
                .iter()
                .all(|line| line.split('\t').count() == 4 && line.len() < 65_535)
        );
    }

    #[test]
    fn a_paragraph_becomes_a_line() {
        let paragraph =
            "Package: 0ad\nVersion: 0.0.26-3\nArchitecture: amd64\nTag: a,\n b\nSHA256: 3a21\n";
        assert_eq!(line(paragraph).unwrap(), "0ad\t0.0.26-3\tamd64\t3a21");
        assert_eq!(line("Package: 0ad\nVersion: 1\n"), None);
    }
}
