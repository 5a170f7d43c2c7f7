//! The pictures of `docs/architecture.md`, drawn from the sources, so that none of them shows what is no longer there.
//!
//! A picture has no background, each text lies in a box with a light fill, and lines are mid-grey: it can be read on a light page and
//! on a dark one.

mod crates;
mod pipeline;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

const INK: &str = "#1f2328";
const LINE: &str = "#7d8590";
const FONT: &str = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";

/// Every picture: path below the workspace's root, and contents.
pub(crate) fn files() -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let pictures = [
        ("docs/pictures/crates.svg", crates::draw()?),
        ("docs/pictures/pipeline.svg", pipeline::draw()),
    ];
    let files = pictures.map(|(path, text)| (path.into(), text.into_bytes()));
    Ok(files.into())
}

#[derive(Clone, Copy)]
enum Fill {
    Blue,
    Green,
    Grey,
}

impl Fill {
    fn colour(self) -> &'static str {
        match self {
            Self::Blue => "#d3e5f7",
            Self::Green => "#d6edd3",
            Self::Grey => "#e6e8eb",
        }
    }
}

/// A point or a size, in pixels.
type Pair = (f64, f64);

/// A picture that grows by what is drawn.
struct Svg {
    title: &'static str,
    size: Pair,
    body: String,
}

impl Svg {
    fn new(title: &'static str, size: Pair) -> Self {
        Self {
            title,
            size,
            body: String::new(),
        }
    }

    /// A box around `centre`: the first line is its name, the others say more.
    fn boxed(&mut self, centre: Pair, size: Pair, fill: Fill, lines: &[&str]) {
        let (x, y) = (centre.0 - size.0 / 2.0, centre.1 - size.1 / 2.0);
        let _ = write!(
            self.body,
            r#"<rect x="{x:.0}" y="{y:.0}" width="{:.0}" height="{:.0}" rx="6" fill="{}" stroke="{LINE}"/>"#,
            size.0,
            size.1,
            fill.colour()
        );
        let first = centre.1 - 8.0 * (lines.len() as f64 - 1.0) + 4.5;
        for (n, line) in lines.iter().enumerate() {
            let (weight, points) = if n == 0 { (600, 13) } else { (400, 11) };
            let _ = write!(
                self.body,
                r#"<text x="{:.0}" y="{:.1}" font-size="{points}" font-weight="{weight}">{}</text>"#,
                centre.0,
                first + 16.0 * n as f64,
                escaped(line)
            );
        }
        self.body.push('\n');
    }

    /// An arrow over points, the last of which it points at.
    fn arrow(&mut self, points: &[Pair]) {
        let points: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.0},{y:.0}"))
            .collect();
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" fill="none" stroke="{LINE}" stroke-width="1.5" marker-end="url(#tip)"/>"#,
            points.join(" ")
        );
    }

    fn text(&self) -> String {
        let (width, height) = self.size;
        let title = self.title;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" role="img" font-family="{FONT}" text-anchor="middle" fill="{INK}">
<title>{title}</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>
{}</svg>
"#,
            self.body
        )
    }
}

/// About how wide a box is that holds these lines.
fn width(lines: &[&str]) -> f64 {
    let widths = lines.iter().enumerate().map(|(n, line)| {
        let letter = if n == 0 { 8.0 } else { 6.2 };
        line.chars().count() as f64 * letter
    });
    widths.fold(0.0, f64::max) + 20.0
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
