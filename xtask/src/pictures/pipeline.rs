//! From a write to a reader: what each part does, which outsider takes part, and what is durable afterwards.

use super::{Fill, Svg};

/// A part of the pipeline, in the order in which an entry passes them.
struct Part {
    /// Its name, and the folder in which it is.
    name: &'static str,
    folder: &'static str,
    does: &'static str,
    /// The other party that takes part, and its contribution.
    with: [&'static str; 2],
    /// Rows of the coordination store and objects that it leaves.
    leaves: [&'static str; 2],
}

const PIPELINE: [Part; 6] = [
    Part {
        name: "accept",
        folder: "engine/src/{ingest,promise,uploads}, qos",
        does: "grants a tier, refuses what is too much, releases by turns",
        with: ["writers", "POST /{log}/add, add-batch"],
        leaves: [
            "a promise, if asked for",
            "queue/{tier}/…, a signed receipt",
        ],
    },
    Part {
        name: "order",
        folder: "engine/src/ledger, order",
        does: "decides the next slot: batches, and at most one change",
        with: ["storage nodes", "large batches"],
        leaves: ["ordered: the writer's answer", "slot/{n}, batch/{token}"],
    },
    Part {
        name: "integrate",
        folder: "engine/src/integrate",
        does: "hashes entries into trees; a cut every checkpointInterval",
        with: ["object store", "tiles and entry bundles"],
        leaves: ["integrated", "integrated/{shard}, root/{shard}/{size}"],
    },
    Part {
        name: "replicate",
        folder: "engine/src/replicate",
        does: "copies each cut, at the pace of each secondary",
        with: ["secondaries", "verify, sync, cosign"],
        leaves: ["copied", "verified/…, secondary/…, storage/…"],
    },
    Part {
        name: "publish",
        folder: "engine/src/publish",
        does: "waits for the quorum, makes the position durable, signs",
        with: ["witnesses", "cosign"],
        leaves: ["published", "published/{shard}, the checkpoint"],
    },
    Part {
        name: "distribute",
        folder: "engine/src/distribute.rs",
        does: "pushes tiles, then the checkpoint that covers them",
        with: ["frontends", "folders and buckets, for readers"],
        leaves: ["distributed", "dist/{frontend}/{shard}"],
    },
];

const WIDTHS: [f64; 3] = [210.0, 370.0, 250.0];
const GAP: f64 = 36.0;
const STEP: f64 = 88.0;

pub(super) fn draw() -> String {
    let size = (
        WIDTHS.iter().sum::<f64>() + 2.0 * GAP + 4.0,
        STEP * PIPELINE.len() as f64 - 16.0,
    );
    let mut svg = Svg::new(
        "From a write to a reader: the parts, who takes part, what is durable",
        size,
    );
    let left = 2.0 + WIDTHS[0] / 2.0;
    let middle = 2.0 + WIDTHS[0] + GAP + WIDTHS[1] / 2.0;
    let right = size.0 - 2.0 - WIDTHS[2] / 2.0;
    for (n, part) in PIPELINE.iter().enumerate() {
        let y = 36.0 + STEP * n as f64;
        svg.boxed((left, y), (WIDTHS[0], 44.0), Fill::Grey, &part.with);
        let lines = [part.name, part.does, part.folder];
        svg.boxed((middle, y), (WIDTHS[1], 64.0), Fill::Blue, &lines);
        svg.boxed((right, y), (WIDTHS[2], 44.0), Fill::Green, &part.leaves);
        let (start, end) = (middle - WIDTHS[1] / 2.0, middle + WIDTHS[1] / 2.0);
        let outside = [(left + WIDTHS[0] / 2.0, y), (start, y)];
        if n == 0 {
            svg.arrow(&outside);
        } else {
            svg.arrow(&[outside[1], outside[0]]);
            svg.arrow(&[(middle, y - STEP + 32.0), (middle, y - 32.0)]);
        }
        svg.arrow(&[(end, y), (right - WIDTHS[2] / 2.0, y)]);
    }
    svg.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    /// The folders that a part names, with the braces of `{a,b}` written out.
    fn folders(part: &Part) -> Vec<String> {
        let mut all = Vec::new();
        let mut names = part.folder;
        while !names.is_empty() {
            let end = match (names.find(", "), names.find('}')) {
                (Some(comma), Some(brace)) if comma < brace => comma,
                (_, Some(brace)) => brace + 1,
                (Some(comma), None) => comma,
                (None, None) => names.len(),
            };
            let (name, rest) = names.split_at(end);
            names = rest.trim_start_matches(", ");
            match name.split_once('{') {
                Some((before, list)) => {
                    let list = list.trim_end_matches('}').split(',');
                    all.extend(list.map(|last| format!("{before}{last}")));
                }
                None => all.push(name.to_owned()),
            }
        }
        all
    }

    #[test]
    fn every_folder_is_there() {
        for part in &PIPELINE {
            for folder in folders(part) {
                let path = root().join("crates").join(&folder);
                assert!(path.exists(), "{folder}, of {}", part.name);
            }
        }
    }
}
