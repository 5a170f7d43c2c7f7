//! Draws the state. Pure: from the state to cells, at any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, Wrap};
use wire::{LogCondition, LogStatus, ShardState};

use super::merge;
use super::state::State;
use crate::numbers::thousands;
use crate::render::clean;
use tlog::{GlobalIndex, TreeSize};

/// From this many columns on there is room for everything.
pub(super) const WIDE: u16 = 110;

const KEYS: &str = "\
← → ↑ ↓  another log
?        this explanation
q        end

ORDERED     decided and durable: writers have their answer
INTEGRATED  in the tree
PUBLISHED   covered by a signed checkpoint: readers see it
QUEUED      accepted, waiting before the order
WAIT        how long the oldest of them has waited
SHARE       of the entries ordered since the last refresh
MISSED      promises of the tier that were not kept
MERGE       what each program, node and peer has,
            how far it is behind, since when it is stuck";

pub(crate) fn draw(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    let shards = state.log().map_or(0, |log| log.shards.len());
    // Queues are what moves; the newest shards come before old ones.
    let shown = u16::try_from(shards)
        .unwrap_or(u16::MAX)
        .clamp(1, (area.height / 4).max(2));
    let peers = state.merge().map(merge::rows).unwrap_or_default();
    // Peers in trouble come first, so that they are visible when there is no room for all.
    let merging = match u16::try_from(peers.len()).unwrap_or(u16::MAX) {
        0 => 0,
        rows => rows.min((area.height.saturating_sub(16) / 2).max(1)) + 2,
    };
    let [title, logs, marks, shards, merge, queues, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(shown + 2),
        Constraint::Length(merging),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    self::title(state, frame, title);
    names(state, frame, logs);
    watermarks(state, frame, marks);
    self::shards(state, frame, shards, usize::from(shown));
    if let Some(status) = state.merge().filter(|_| merging > 0) {
        self::merge::draw(status, &peers, frame, merge);
    }
    super::queues::draw(state, frame, queues);
    self::foot(state, frame, foot);
    if state.help {
        help(frame, area);
    }
}

pub(super) fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn title(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let line = Line::from(vec![
        Span::styled("logctl top", bold()),
        Span::raw("  "),
        Span::raw(clean(&state.server)),
        Span::styled(format!("  every {} s", state.interval.as_secs_f64()), dim()),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn names(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let chosen = state.chosen();
    let mut spans = vec![Span::styled("LOG ", bold())];
    for name in state.names() {
        let style = if Some(name) == chosen {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        spans.push(Span::raw(" "));
        spans.push(Span::styled(format!(" {} ", clean(name)), style));
    }
    if let Some(log) = state.log() {
        let (word, color) = match log.condition {
            LogCondition::Open => ("open", Color::Green),
            LogCondition::Closing => ("closing", Color::Cyan),
            LogCondition::Frozen => ("frozen", Color::Blue),
            LogCondition::Halted => ("HALTED", Color::Red),
        };
        spans.push(Span::raw("  "));
        spans.push(Span::styled(word, Style::new().fg(color)));
        spans.push(Span::styled(
            format!("  generation {}", log.generation),
            dim(),
        ));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn watermarks(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let Some(log) = state.log() else {
        frame.render_widget(Paragraph::new("\nwaiting for the server"), area);
        return;
    };
    type Number = fn(&LogStatus) -> GlobalIndex;
    let marks: [(&str, Number); 3] = [
        ("ordered", |log| log.watermarks.ordered),
        ("integrated", |log| log.watermarks.integrated),
        ("published", |log| log.watermarks.published),
    ];
    let rows = marks.map(|(name, number)| {
        let behind = log.watermarks.ordered - number(log);
        Row::new([
            Cell::new(name),
            right(thousands(number(log).get() as f64)),
            right(rate(state.rate(number))),
            right(if name == "ordered" {
                String::new()
            } else {
                thousands(behind as f64)
            }),
        ])
    });
    let [table, graph] =
        Layout::horizontal([Constraint::Length(56), Constraint::Min(0)]).areas(area);
    let widths = [10, 16, 12, 12].map(Constraint::Length);
    let header = Row::new([
        Cell::new("WATERMARK"),
        right("ENTRIES"),
        right("PER SECOND"),
        right("BEHIND"),
    ])
    .style(bold());
    frame.render_widget(
        Table::new(rows, widths)
            .header(header)
            .block(Block::new().padding(top())),
        table,
    );
    if area.width >= WIDE {
        let room = usize::from(graph.width.saturating_sub(2));
        let rates: Vec<u64> = state.rates.iter().rev().take(room).rev().copied().collect();
        let block = Block::bordered()
            .title("ordered per second")
            .border_style(dim());
        frame.render_widget(
            Sparkline::default()
                .data(&rates)
                .style(Style::new().fg(Color::Cyan))
                .block(block),
            graph,
        );
    }
}

pub(super) fn top() -> ratatui::widgets::Padding {
    ratatui::widgets::Padding::top(1)
}

fn shards(state: &State, frame: &mut Frame<'_>, area: Rect, most: usize) {
    let Some(log) = state.log() else {
        return;
    };
    let wide = area.width >= WIDE;
    let hidden = log.shards.len().saturating_sub(most);
    let rows = log.shards.iter().rev().take(most).map(|shard| {
        let (word, color) = match shard.state {
            ShardState::Planned => ("planned", Color::Cyan),
            ShardState::Active => ("active", Color::Green),
            ShardState::Frozen => ("frozen", Color::DarkGray),
        };
        let number =
            |number: Option<u64>| right(number.map_or_else(|| "-".into(), |n| thousands(n as f64)));
        Row::new([
            Cell::new(clean(&shard.name)),
            Cell::new(Span::styled(word, Style::new().fg(color))),
            number(shard.start_index.map(GlobalIndex::get)),
            number(shard.length.map(TreeSize::get)),
            Cell::new(if wide {
                clean(&shard.origin)
            } else {
                String::new()
            }),
        ])
    });
    let widths = [
        Constraint::Length(16),
        Constraint::Length(8),
        Constraint::Length(14),
        Constraint::Length(14),
        if wide {
            Constraint::Min(20)
        } else {
            Constraint::Length(0)
        },
    ];
    let name = if hidden > 0 {
        format!("SHARD ({hidden} older)")
    } else {
        "SHARD".into()
    };
    let header = Row::new([
        Cell::new(name),
        Cell::new("STATE"),
        right("START"),
        right("LENGTH"),
        Cell::new(if wide { "ORIGIN" } else { "" }),
    ]);
    let table = Table::new(rows, widths)
        .header(header.style(bold()))
        .block(Block::new().padding(top()));
    frame.render_widget(table, area);
}

fn foot(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let line = match (
        &state.error,
        state.log().and_then(|log| log.reason.as_deref()),
    ) {
        (Some(error), _) => Line::styled(clean(error), Style::new().fg(Color::Red)),
        (None, Some(reason)) => Line::styled(clean(reason), Style::new().fg(Color::Yellow)),
        (None, None) => Line::styled("q end   ←→ another log   ? help", dim()),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (area.width.min(66), area.height.min(16));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let text = Paragraph::new(KEYS).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title("help")), place);
}

/// A cell whose text ends at its right.
pub(super) fn right<'a>(text: impl Into<Span<'a>>) -> Cell<'a> {
    Cell::new(Line::from(text.into()).right_aligned())
}

pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), thousands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::state::tests::log;
    use crate::top::state::{Key, Queue, Queues, Sample};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;
    use wire::{MergeStatus, NodeStatus, PeerStatus, ProgramStatus, Shard};

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(state, frame)).unwrap();
        terminal.backend().to_string()
    }

    fn sample(seconds: u64, ordered: u64) -> Sample {
        let shard = |name: &str, state, start, length| Shard {
            name: name.into(),
            state,
            origin: format!("log.example.org/argon/{name}"),
            start_index: start,
            length,
            tree_id: "1".into(),
            vkey: String::new(),
            ecdsa_vkey: None,
            imported_vkey: None,
            imported_since: None,
            published: None,
            root_hash: None,
            announced: None,
        };
        let mut argon = log("argon", ordered);
        argon.shards = vec![
            shard(
                "2026a",
                ShardState::Frozen,
                Some(GlobalIndex::ZERO),
                Some(TreeSize::new(1_048_576)),
            ),
            shard(
                "2026b",
                ShardState::Active,
                Some(GlobalIndex::new(1_048_576)),
                None,
            ),
            shard("2026c", ShardState::Planned, None, None),
        ];
        let queue = |tier: &str, tenant: &str, entries, wait, ordered, refused| Queue {
            tier: tier.into(),
            tenant: tenant.into(),
            entries,
            bytes: entries * 114,
            oldest: Duration::from_millis(wait),
            accepted: ordered + entries,
            refused,
            ordered,
            missed: (tenant != "archive").then_some(refused / 100),
        };
        let peer = |name: &str, position, lag_millis| PeerStatus {
            name: name.into(),
            url: format!("https://{name}.example.org"),
            incarnation: Some("6f1e".into()),
            position: Some(position),
            lag_millis,
            ..PeerStatus::default()
        };
        let node = |name: &str, missed, trouble: Option<&str>| NodeStatus {
            name: name.into(),
            up: trouble.is_none(),
            missed,
            trouble: trouble.map(str::to_owned),
            ..NodeStatus::default()
        };
        let away = Some("unreachable: connection refused".to_owned());
        let merge = MergeStatus {
            log: "argon".into(),
            watermarks: argon.watermarks,
            backup_quorum: 2,
            live: 1,
            programs: vec![ProgramStatus {
                program: "publish".into(),
                here: true,
                trouble: Some("1 of the 2 secondaries that backupQuorum asks for".into()),
            }],
            nodes: vec![node("local", 0, None), node("b", 12, Some("no space left"))],
            secondaries: vec![
                peer("ams", GlobalIndex::new(ordered.saturating_sub(100)), 0),
                PeerStatus {
                    trouble: away.clone(),
                    away,
                    ..peer(
                        "fra",
                        GlobalIndex::new(ordered.saturating_sub(90_000)),
                        62_500,
                    )
                },
            ],
            frontends: vec![peer(
                "cdn",
                GlobalIndex::new(ordered.saturating_sub(900)),
                1_200,
            )],
            storage_quorum: 1,
            ..MergeStatus::default()
        };
        Sample {
            merge: Some(merge),
            at: Duration::from_secs(seconds),
            logs: vec![argon, log("xenon", 17)],
            queues: Some(Queues {
                log: "argon".into(),
                rows: vec![
                    queue("interactive", "default", 3, 4, 500 * seconds, 0),
                    queue(
                        "bulk",
                        "archive",
                        1_250_000,
                        17_300,
                        19_500 * seconds,
                        12_000 * seconds,
                    ),
                    queue("scavenger", "default", 0, 0, 0, 0),
                ],
            }),
        }
    }

    fn running() -> State {
        let mut state = State::new(
            "https://log.example.org:7071".into(),
            Duration::from_secs(1),
            None,
        );
        for second in 1..=30 {
            state.learn(Ok(sample(
                second,
                2_000_000 + 20_000 * second + 500 * (second % 5),
            )));
        }
        state
    }

    #[test]
    fn narrow_and_wide() {
        insta::assert_snapshot!("top_60x20", screen(&running(), 60, 20));
        insta::assert_snapshot!("top_60x40", screen(&running(), 60, 40));
        insta::assert_snapshot!("top_200x50", screen(&running(), 200, 50));
    }

    #[test]
    fn help_and_trouble() {
        let mut state = running();
        state.press(Key::Help);
        insta::assert_snapshot!("top_help", screen(&state, 60, 20));
        state.press(Key::Quit);
        state.learn(Err(
            "cannot reach unix:/run/logd.sock: connection refused".into()
        ));
        assert!(screen(&state, 60, 20).contains("connection refused"));
        let nothing = State::new("x".into(), Duration::from_secs(1), None);
        assert!(screen(&nothing, 60, 20).contains("waiting for the server"));
    }

    #[test]
    fn no_size_is_too_small() {
        let mut state = running();
        for help in [false, true] {
            state.help = help;
            for (width, height) in [(1, 1), (2, 30), (59, 3), (300, 2), (10, 10)] {
                screen(&state, width, height);
            }
        }
    }

    #[test]
    fn what_a_server_says_reaches_no_terminal_as_a_command() {
        let mut state = State::new("x\u{1b}[2J".into(), Duration::from_secs(1), None);
        let mut evil = sample(1, 5);
        evil.logs[0].shards[0].name = "\u{1b}]0;x\u{7}".into();
        evil.logs[0].reason = Some("a\u{1b}[31mb".into());
        state.learn(Ok(evil));
        assert!(!screen(&state, 100, 30).contains('\u{1b}'));
    }
}
