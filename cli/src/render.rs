//! From values to text: pages, errors. Pure, so that every width and colour can be tested.
//!
//! What must never happen: a control character from a server or a file reaches the terminal, where it could hide or rewrite what the
//! operator confirms.

use comfy_table::{
    Attribute, Cell as TableCell, CellAlignment, Color, ColumnConstraint, ContentArrangement,
    Table, TableStyle,
};
use console::{Style, measure_text_width};
use wire::Finding;

use crate::error::{Error, FindingPlace};
use crate::exit;
use crate::report::{Block, Cell, Page, Tone};

/// The abilities of the output: its width and colours.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Columns; `None` for no limit.
    pub width: Option<u16>,
    /// Whether ANSI colours may be used.
    pub color: bool,
}

/// A page as text, ending with a newline unless it is empty.
pub fn page(page: &Page, look: Look) -> String {
    let mut text = String::new();
    for (index, block) in page.blocks.iter().enumerate() {
        let tabular = |block: &Block| matches!(block, Block::Table { .. } | Block::Fields(_));
        if index > 0 && (tabular(block) || page.blocks.get(index - 1).is_some_and(tabular)) {
            text.push('\n');
        }
        match block {
            Block::Text(line) => text.push_str(&clean(line)),
            Block::Verbatim(document) => text.push_str(document),
            Block::Table {
                header,
                rows,
                spare,
            } => text.push_str(&table(header, rows, *spare, look)),
            Block::Fields(fields) => text.push_str(&self::fields(fields, look)),
        }
        if !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// An error with its findings and its hint, as for standard error.
pub(crate) fn error(error: &Error, look: Look) -> String {
    let red = style(look).red().bold();
    let mut text = format!("{} {}\n", red.apply_to("error:"), clean(&error.to_string()));
    match error {
        Error::Invalid { subject, findings } => text.push_str(&self::findings(subject, findings)),
        Error::Problem(problem) => {
            // The detail of a single finding is its message, and its hint is the hint.
            if !matches!(problem.findings.as_slice(), [only] if only.message == problem.detail) {
                text.push_str(&findings("the request", &problem.findings));
            }
            if let (Some(etag), Some(by), Some(at)) = (
                &problem.current_etag,
                &problem.changed_by,
                &problem.changed_at,
            ) {
                text.push_str(&format!(
                    "  now {}, changed by {} at {}\n",
                    clean(etag),
                    clean(by),
                    clean(at)
                ));
            }
            if !problem.differences.is_empty() {
                let page = Page::new().with(crate::commands::differences(&problem.differences));
                for line in self::page(&page, look).lines() {
                    text.push_str(&format!("  {line}\n"));
                }
            }
        }
        Error::Stale(stale) => {
            let page = Page::new().with(crate::commands::moved(&stale.moved));
            for line in self::page(&page, look).lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        _ => {}
    }
    let hint = exit::row(error).hint;
    text.push_str(&format!(
        "{} {}\n",
        style(look).cyan().apply_to("hint:"),
        clean(&hint)
    ));
    text
}

/// A line on standard error that is neither a result nor the end.
pub(crate) fn remark(warning: bool, text: &str, look: Look) -> String {
    let word = if warning {
        style(look).yellow().bold().apply_to("warning:")
    } else {
        style(look).cyan().apply_to("note:")
    };
    format!("{word} {}\n", clean(text))
}

fn findings(subject: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let place = clean(&FindingPlace { subject, finding }.to_string());
        text.push_str(&format!(
            "  {place}: {} [{}]\n",
            clean(&finding.message),
            clean(&finding.code)
        ));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("      {}\n", clean(hint)));
        }
    }
    text
}

/// Text without control characters (line ends stay) and without what reorders a line on a terminal.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if !text.contains(hostile) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if hostile(c) {
            cleaned.extend(c.escape_default())
        } else {
            cleaned.push(c)
        }
    }
    cleaned
}

fn style(look: Look) -> Style {
    Style::new().force_styling(look.color)
}

fn table(header: &[&'static str], rows: &[Vec<Cell>], spare: usize, look: Look) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    if look.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let widths = widths(header, rows);
    let shown = shown(&widths, spare, look.width);
    table.set_header(
        header
            .iter()
            .take(shown)
            .map(|name| TableCell::new(name).add_attribute(Attribute::Bold)),
    );
    for row in rows {
        table.add_row(row.iter().take(shown).map(table_cell));
    }
    match look.width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    // Names and numbers stay whole as long as the last column, where sentences are, has room to wrap.
    let firm: usize = widths
        .iter()
        .take(shown.saturating_sub(1))
        .map(|width| width + GAP)
        .sum();
    let wraps_last = look
        .width
        .is_some_and(|width| firm + LAST <= usize::from(width));
    for (index, column) in table.column_iter_mut().enumerate() {
        let last = index + 1 == shown;
        column.set_padding((0, if last { 0 } else { GAP as u16 }));
        if wraps_last && !last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if rows
            .first()
            .and_then(|row| row.get(index))
            .is_some_and(|cell| cell.right)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Columns between two columns.
const GAP: usize = 2;
/// A last column narrower than this is no place for a sentence.
const LAST: usize = 12;

/// The natural width of each column.
fn widths(header: &[&'static str], rows: &[Vec<Cell>]) -> Vec<usize> {
    let widest = |index: usize| {
        rows.iter()
            .filter_map(|row| row.get(index))
            .map(|cell| measure_text_width(&cell.text))
            .max()
    };
    header
        .iter()
        .enumerate()
        .map(|(index, name)| name.len().max(widest(index).unwrap_or(0)))
        .collect()
}

/// How many columns to show: all that fit, and never fewer than all but the spare ones.
fn shown(widths: &[usize], spare: usize, limit: Option<u16>) -> usize {
    let all = widths.len();
    let Some(limit) = limit else { return all };
    let needs =
        |count: usize| widths.iter().take(count).sum::<usize>() + GAP * count.saturating_sub(1);
    (all.saturating_sub(spare)..=all)
        .rev()
        .find(|count| needs(*count) <= usize::from(limit))
        .unwrap_or(all.saturating_sub(spare))
}

fn table_cell(cell: &Cell) -> TableCell {
    let text = TableCell::new(clean(&cell.text));
    match cell.tone {
        Tone::Plain => text,
        Tone::Good => text.fg(Color::Green),
        Tone::Next => text.fg(Color::Cyan),
        Tone::Past => text.add_attribute(Attribute::Dim),
        Tone::Bad => text.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

fn fields(fields: &[(&'static str, Cell)], look: Look) -> String {
    let widest = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, cell) in fields {
        let tone = match cell.tone {
            Tone::Plain => style(look),
            Tone::Good => style(look).green(),
            Tone::Next => style(look).cyan(),
            Tone::Past => style(look).dim(),
            Tone::Bad => style(look).red().bold(),
        };
        let name = style(look).bold().apply_to(format!("{name:widest$}"));
        // Values such as keys are for copying: they are never broken.
        text.push_str(&format!("{name}  {}\n", tone.apply_to(clean(&cell.text))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Page {
        let row = |name: &str, state: Cell, length| {
            vec![
                Cell::from(name),
                state,
                Cell::number(length),
                "a sentence of several words".into(),
            ]
        };
        Page::new()
            .text("before")
            .with(Block::Table {
                header: vec!["NAME", "STATE", "LENGTH", "SUMMARY"],
                rows: vec![
                    row("2026a", Cell::toned("frozen", Tone::Past), Some(1_048_576)),
                    row(
                        "a-shard-with-a-rather-long-name",
                        Cell::toned("active", Tone::Good),
                        Some(7),
                    ),
                    row("2026c", Cell::toned("planned", Tone::Next), None),
                ],
                spare: 0,
            })
            .with(Block::Fields(vec![
                ("origin", "log.example.org/argon/2026a".into()),
                ("root", Cell::maybe(None)),
            ]))
    }

    #[test]
    fn every_width() {
        for width in [None, Some(60), Some(200)] {
            let text = page(
                &sample(),
                Look {
                    width,
                    color: false,
                },
            );
            insta::assert_snapshot!(format!("page_{}", width.unwrap_or(0)), text);
        }
    }

    #[test]
    fn tables_fit() {
        let table = Page {
            blocks: sample()
                .blocks
                .into_iter()
                .filter(|block| matches!(block, Block::Table { .. }))
                .collect(),
        };
        for width in 30..120 {
            for line in page(
                &table,
                Look {
                    width: Some(width),
                    color: false,
                },
            )
            .lines()
            {
                assert!(
                    line.chars().count() <= usize::from(width),
                    "{width}: {line}"
                );
            }
        }
    }

    #[test]
    fn colours_only_when_wanted() {
        assert!(
            !page(
                &sample(),
                Look {
                    width: None,
                    color: false
                }
            )
            .contains('\u{1b}')
        );
        let colored = page(
            &sample(),
            Look {
                width: None,
                color: true,
            },
        );
        assert!(colored.contains('\u{1b}'));
        let plain = page(
            &sample(),
            Look {
                width: None,
                color: false,
            },
        );
        let trimmed = |text: &str| {
            text.lines()
                .map(|line| line.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            trimmed(&console::strip_ansi_codes(&colored)),
            trimmed(&plain)
        );
    }

    #[test]
    fn nothing_from_outside_controls_the_terminal() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\rd";
        let all = Page::new()
            .text(hostile)
            .with(Block::Table {
                header: vec!["A"],
                rows: vec![vec![hostile.into()]],
                spare: 0,
            })
            .with(Block::Fields(vec![("a", hostile.into())]));
        let text = page(
            &all,
            Look {
                width: Some(80),
                color: false,
            },
        ) + &error(
            &Error::Bug(hostile.into()),
            Look {
                width: None,
                color: false,
            },
        );
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text:?}");
    }
}
