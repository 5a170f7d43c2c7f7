//! The queues in `logctl top`: the waiting work in each tier for each tenant. Pure.

use logconfig::text::bytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Span;
use ratatui::widgets::{Block, Cell, Row, Table};

use super::state::{Queue, State};
use super::view::{WIDE, bold, rate, right, top};
use crate::numbers::{latency, thousands};
use crate::render::clean;

pub(super) fn draw(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let Some(rows) = state.queues() else {
        return;
    };
    let wide = area.width >= WIDE;
    let ordered = |queue: &Queue| {
        state
            .queue_rate(queue, |queue| queue.ordered)
            .unwrap_or(0.0)
    };
    let all: f64 = rows.iter().map(ordered).sum();
    let table_rows = rows.iter().map(|queue| {
        let share = if all > 0.0 {
            format!("{:.0} %", ordered(queue) / all * 100.0)
        } else {
            "-".into()
        };
        let refused = state
            .queue_rate(queue, |queue| queue.refused)
            .unwrap_or(0.0);
        let mut cells = vec![
            Cell::new(clean(&queue.tier)),
            Cell::new(clean(&queue.tenant)),
            right(thousands(queue.entries as f64)),
            right(latency(queue.oldest.as_secs_f64() * 1e3)),
            right(share),
            right(Span::styled(
                thousands(refused),
                if refused > 0.0 {
                    Style::new().fg(Color::Red)
                } else {
                    Style::new()
                },
            )),
            right(Span::styled(
                queue
                    .missed
                    .map_or_else(String::new, |n| thousands(n as f64)),
                if queue.missed.unwrap_or(0) > 0 {
                    Style::new().fg(Color::Red)
                } else {
                    Style::new()
                },
            )),
        ];
        if wide {
            cells.push(right(thousands(ordered(queue))));
            cells.push(right(rate(state.queue_rate(queue, |queue| queue.accepted))));
            cells.push(right(bytes(queue.bytes)));
            cells.push(right(thousands(queue.refused as f64)));
        }
        Row::new(cells)
    });
    let mut header = vec![
        Cell::new("TIER"),
        Cell::new("TENANT"),
        right("QUEUED"),
        right("WAIT"),
        right("SHARE"),
        right("REFUSED/S"),
        right("MISSED"),
    ];
    let mut widths = [11, 7, 9, 7, 5, 9, 6].map(Constraint::Length).to_vec();
    if wide {
        header.extend(["ORDERED/S", "ACCEPTED/S", "BYTES", "REFUSED"].map(right));
        widths = [20, 20, 12, 12, 8, 12, 12, 12, 12, 12, 14]
            .map(Constraint::Length)
            .to_vec();
    }
    let table = Table::new(table_rows, widths)
        .header(Row::new(header).style(bold()))
        .block(Block::new().padding(top()));
    frame.render_widget(table, area);
}
