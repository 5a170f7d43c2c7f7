//! The result of a run as a page for people.

use logctl::kit::{Block, Cell, Page, Present, Tone, latency, thousands};

use crate::figures::LoadReport;

fn right(text: String, tone: Tone) -> Cell {
    Cell::toned(text, tone).at_right()
}

impl Present for LoadReport {
    const KIND: &'static str = "LoadReport";
    const LIST: Option<&'static str> = Some("streams");
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        let bad = |count: u64| if count > 0 { Tone::Bad } else { Tone::Plain };
        let rows = self.streams.iter().map(|stream| {
            let refused = stream.refused_entries();
            vec![
                stream.name.as_str().into(),
                right(thousands(stream.entries_per_second), Tone::Plain),
                right(thousands(refused as f64), bad(refused)),
                right(latency(stream.ordered.p99_ms), Tone::Plain),
                right(latency(stream.published.p99_ms), Tone::Plain),
                right(
                    thousands(stream.promises.missed as f64),
                    bad(stream.promises.missed),
                ),
                right(thousands(stream.promises.granted as f64), Tone::Plain),
                right(latency(stream.ordered.p50_ms), Tone::Plain),
                right(latency(stream.published.p50_ms), Tone::Plain),
                right(thousands(stream.acknowledged as f64), Tone::Plain),
                stream.pace.as_str().into(),
            ]
        });
        let mut page = Page::new().with(Block::Table {
            header: vec![
                "STREAM",
                "ENTRIES/S",
                "REFUSED",
                "ORDERED P99",
                "PUBLISHED P99",
                "MISSED",
                "PROMISED",
                "ORDERED P50",
                "PUBLISHED P50",
                "ENTRIES",
                "PACE",
            ],
            rows: rows.collect(),
            spare: 6,
        });
        if !self.tiers.is_empty() {
            let rows = self.tiers.iter().map(|tier| {
                vec![
                    tier.tier.as_str().into(),
                    right(thousands(tier.entries as f64), Tone::Plain),
                    right(format!("{:.1} %", tier.share * 100.0), Tone::Plain),
                ]
            });
            page = page.with(Block::Table {
                header: vec!["TIER", "ENTRIES", "SHARE"],
                rows: rows.collect(),
                spare: 0,
            });
        }
        let refused: Vec<Vec<Cell>> = self
            .streams
            .iter()
            .flat_map(|stream| {
                stream.refused.iter().map(|refusal| {
                    vec![
                        stream.name.as_str().into(),
                        Cell::number(Some(refusal.status)),
                        Cell::number(Some(refusal.entries)),
                        refusal.reason.as_str().into(),
                    ]
                })
            })
            .collect();
        if !refused.is_empty() {
            page = page.with(Block::Table {
                header: vec!["STREAM", "STATUS", "REFUSED", "REASON"],
                rows: refused,
                spare: 0,
            });
        }
        for remark in self.remarks() {
            page = page.text(remark);
        }
        if let Some(verified) = self.verified.as_ref().filter(|verified| verified.good()) {
            page = page.text(format!(
                "every one of {} acknowledged entries is at its index",
                thousands(verified.checked as f64)
            ));
        }
        page
    }
}
