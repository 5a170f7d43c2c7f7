//! The merge in `logctl top`: programs and peers, and their troubles. Pure.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Span;
use ratatui::widgets::{Block, Cell, Row, Table};
use wire::{MergeStatus, PeerStatus};

use super::view::{WIDE, bold, right};
use crate::numbers::thousands;
use crate::render::clean;
use tlog::GlobalIndex;

/// One program or peer.
pub(super) struct Peer {
    name: String,
    kind: &'static str,
    has: Option<u64>,
    /// Entries, of a storage node objects, that it has not yet.
    behind: Option<u64>,
    lag_millis: u64,
    /// One word for a fault, and its full text.
    trouble: Option<(&'static str, String)>,
}

/// Programs in trouble and all peers, those in trouble first. Empty if there is only the server's own store.
pub(super) fn rows(status: &MergeStatus) -> Vec<Peer> {
    let marks = &status.watermarks;
    let peer = |kind, of: u64, peer: &PeerStatus| {
        let trouble = match (&peer.alarm, &peer.trouble, &peer.away) {
            (Some(alarm), _, _) => Some(("ALARM", alarm)),
            (None, Some(trouble), _) => Some(("away", trouble)),
            (None, None, Some(away)) => Some(("waits", away)),
            (None, None, None) => None,
        };
        Peer {
            name: peer.name.clone(),
            kind,
            has: peer.position.map(GlobalIndex::get),
            behind: Some(of.saturating_sub(peer.position.unwrap_or(GlobalIndex::ZERO).get())),
            lag_millis: peer.lag_millis,
            trouble: trouble.map(|(word, why)| (word, why.clone())),
        }
    };
    let secondaries = status.secondaries.iter();
    let secondaries = secondaries.map(|at| peer("secondary", marks.integrated.get(), at));
    let frontends = status.frontends.iter();
    let frontends = frontends.map(|at| peer("frontend", marks.published.get(), at));
    let nodes = status.nodes.iter().map(|node| Peer {
        name: node.name.clone(),
        kind: "node",
        has: None,
        behind: Some(node.missed),
        lag_millis: 0,
        trouble: node.trouble.clone().map(|why| ("down", why)),
    });
    let nodes = nodes.filter(|node| status.nodes.len() > 1 || node.trouble.is_some());
    let witnesses = status.witnesses.iter().map(|witness| Peer {
        name: witness.name.clone(),
        kind: "witness",
        has: None,
        behind: None,
        lag_millis: 0,
        trouble: witness.trouble.clone().map(|why| ("fails", why)),
    });
    let programs = status.programs.iter().filter_map(|program| {
        Some(Peer {
            name: program.program.clone(),
            kind: "program",
            has: None,
            behind: None,
            lag_millis: 0,
            trouble: Some(("waits", program.trouble.clone()?)),
        })
    });
    let peers = secondaries.chain(frontends).chain(nodes).chain(witnesses);
    let mut all: Vec<Peer> = programs.chain(peers).collect();
    // Stable: the order of the document otherwise.
    all.sort_by_key(|peer| peer.trouble.is_none());
    all
}

/// The quorum, for the heading.
fn quorum(status: &MergeStatus) -> String {
    match status.backup_quorum {
        0 => "no backup quorum".to_owned(),
        needed => format!(
            "backup quorum {needed} of {}, {} live",
            status.secondaries.len(),
            status.live
        ),
    }
}

pub(super) fn draw(status: &MergeStatus, peers: &[Peer], frame: &mut Frame<'_>, area: Rect) {
    let wide = area.width >= WIDE;
    let number = |number: Option<u64>| number.map_or_else(|| "-".into(), |n| thousands(n as f64));
    let hidden = peers
        .len()
        .saturating_sub(usize::from(area.height).saturating_sub(2));
    let rows = peers.iter().map(|peer| {
        let lag = match peer.lag_millis {
            0 => "-".to_owned(),
            millis => format!("{:.1} s", millis as f64 / 1e3),
        };
        let state = match &peer.trouble {
            None => Span::styled("ok", Style::new().fg(Color::Green)),
            Some((word, why)) if wide => {
                let text = format!("{word}: {}", clean(why));
                Span::styled(text, Style::new().fg(Color::Red))
            }
            Some((word, _)) => Span::styled(*word, Style::new().fg(Color::Red)),
        };
        Row::new([
            Cell::new(clean(&peer.name)),
            Cell::new(peer.kind),
            right(number(peer.has)),
            right(number(peer.behind)),
            right(lag),
            Cell::new(state),
        ])
    });
    let short = status.live < status.backup_quorum;
    let tone = match short {
        true => bold().fg(Color::Red),
        false => bold(),
    };
    let more = match hidden {
        0 => String::new(),
        hidden => format!("   {hidden} more below"),
    };
    let widths = if wide {
        [20, 10, 16, 12, 10, 0].map(Constraint::Length)
    } else {
        [13, 9, 12, 9, 7, 5].map(Constraint::Length)
    };
    let mut widths = widths.to_vec();
    if wide {
        widths[5] = Constraint::Min(20);
    }
    let header = ["MERGE", "KIND", "HAS", "BEHIND", "LAG", "STATE"];
    let header = header.iter().enumerate().map(|(at, name)| match at {
        2..=4 => right(*name),
        _ => Cell::new(*name),
    });
    let title = format!("{}{more}", quorum(status));
    let block = Block::new().title(Span::styled(title, tone));
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(bold()))
        .block(block);
    frame.render_widget(table, area);
}
