//! Plain tables for terminals, and Markdown ones for documents.

/// Rows of equal length; numbers (and only they) are aligned to the right.
pub(crate) fn plain(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths = widths(header, rows);
    let mut text = String::new();
    let head: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| pad(cell, *width))
            .collect();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    text
}

/// The same as a Markdown table.
pub(crate) fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths = widths(header, rows);
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| pad(cell, *width))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let head: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(&head) + &line(&rule) + &rows
}

fn widths(header: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let longest = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    header
        .iter()
        .enumerate()
        .map(|(at, cell)| cell.chars().count().max(longest(at).unwrap_or(0)))
        .collect()
}

fn pad(cell: &str, width: usize) -> String {
    let number = cell.starts_with(|c: char| c.is_ascii_digit())
        && !cell.contains(|c: char| c.is_alphabetic());
    if number {
        format!("{cell:>width$}")
    } else {
        format!("{cell:<width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".into(), "1,000".into()],
            vec!["long name".into(), "7".into()],
        ];
        assert_eq!(
            plain(&["what", "n"], &rows),
            "  what       n\n  a          1,000\n  long name      7\n"
        );
        assert_eq!(
            markdown(&["what", "n"], &rows[..1]),
            "| what | n     |\n| ---- | ----- |\n| a    | 1,000 |\n"
        );
    }
}
