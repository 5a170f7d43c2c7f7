//! Plots as SVG. Pure; no script, no font, no other file: a report is one file that opens anywhere.
//!
//! What must never happen: text from a server or a scenario that becomes markup.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 62.0;

/// Told apart by most people, in print too.
const COLORS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f",
];

#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// Below the horizontal axis.
    pub(crate) x_label: &'static str,
    /// Above the vertical axis.
    pub(crate) y_label: &'static str,
    /// How the horizontal axis is read.
    pub(crate) x: Axis,
    /// Each power of ten of the vertical axis takes the same room.
    pub(crate) log_y: bool,
    /// Areas on top of each other, instead of lines.
    pub(crate) stacked: bool,
    pub(crate) series: Vec<Series>,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// The name in the legend.
    pub(crate) name: String,
    /// In order of x.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a horizontal axis is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Seconds from the left.
    Time,
    /// Shares of all writes: 90 %, 99 %, 99.9 % at even distances.
    Percentile,
}

impl Plot {
    pub(crate) fn svg(&self) -> String {
        let lines = if self.stacked {
            stack(&self.series)
        } else {
            self.series.clone()
        };
        let scale = Scale::new(self, &lines);
        let mut out = String::new();
        // Writing to a string can't fail.
        let _ = write!(
            out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="system-ui, sans-serif" font-size="12"><title>{title}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{LEFT}" y="18" font-size="14" font-weight="600" fill="#222">{title}</text>"##,
            title = escape(&self.title)
        );
        self.grid(&scale, &mut out);
        for (nth, line) in lines.iter().enumerate().rev() {
            let color = COLORS[nth % COLORS.len()];
            let points: Vec<String> = line
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y)))
                .collect();
            let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else {
                continue;
            };
            if self.stacked {
                let floor = scale.y(scale.low);
                let _ = write!(
                    out,
                    r#"<polygon points="{:.1},{floor:.1} {} {:.1},{floor:.1}" fill="{color}"/>"#,
                    scale.x(first.0),
                    points.join(" "),
                    scale.x(last.0)
                );
            } else {
                let _ = write!(
                    out,
                    r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="1.8" stroke-linejoin="round"/>"#,
                    points.join(" ")
                );
            }
        }
        self.legend(&mut out);
        out.push_str("</svg>\n");
        out
    }

    fn grid(&self, scale: &Scale, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for value in scale.y_ticks() {
            let y = scale.y(value);
            let _ = write!(
                out,
                r##"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#444">{}</text>"##,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            );
        }
        for (value, text) in scale.x_ticks() {
            let x = scale.x(value);
            let _ = write!(
                out,
                r##"<line x1="{x:.1}" y1="{bottom}" x2="{x:.1}" y2="{:.1}" stroke="#888"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#444">{text}</text>"##,
                bottom + 4.0,
                bottom + 17.0
            );
        }
        let _ = write!(
            out,
            r##"<line x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#888"/><text x="{right}" y="{:.1}" text-anchor="end" fill="#666">{}</text><text x="{right}" y="18" text-anchor="end" fill="#666">{}</text>"##,
            bottom + 32.0,
            self.x_label,
            self.y_label
        );
    }

    fn legend(&self, out: &mut String) {
        let mut x = LEFT;
        for (nth, series) in self.series.iter().enumerate() {
            let name: String = series.name.chars().take(24).collect();
            let width = 26.0 + 7.0 * name.chars().count() as f64;
            if x + width > WIDTH - RIGHT {
                break;
            }
            let _ = write!(
                out,
                r##"<rect x="{x:.1}" y="{:.1}" width="12" height="12" fill="{}"/><text x="{:.1}" y="{:.1}" fill="#222">{}</text>"##,
                HEIGHT - 20.0,
                COLORS[nth % COLORS.len()],
                x + 17.0,
                HEIGHT - 10.0,
                escape(&name)
            );
            x += width;
        }
    }
}

/// Each series on top of those before it. All have their points at the same places.
fn stack(series: &[Series]) -> Vec<Series> {
    let mut below: Vec<f64> = Vec::new();
    series
        .iter()
        .map(|series| {
            below.resize(series.points.len().max(below.len()), 0.0);
            let points = series.points.iter().zip(&mut below).map(|((x, y), below)| {
                *below += y;
                (*x, *below)
            });
            Series {
                name: series.name.clone(),
                points: points.collect(),
            }
        })
        .collect()
}

struct Scale {
    axis: Axis,
    x_most: f64,
    low: f64,
    high: f64,
    log_y: bool,
}

/// Nines of a share: 0.9 is 1, 0.99 is 2; the largest shown is 0.9999.
fn nines(share: f64) -> f64 {
    -(1.0 - share).max(1e-4).log10()
}

impl Scale {
    fn new(plot: &Plot, lines: &[Series]) -> Self {
        let points = || lines.iter().flat_map(|series| &series.points);
        let most = |value: fn(&(f64, f64)) -> f64| points().map(value).fold(0.0, f64::max);
        let highest = most(|point| point.1);
        let x_most = match plot.x {
            Axis::Percentile => 4.0,
            Axis::Time => most(|point| point.0).max(1.0),
        };
        let (low, high) = if plot.log_y {
            let lowest = points()
                .map(|point| point.1)
                .filter(|y| *y > 0.0)
                .fold(f64::INFINITY, f64::min);
            let lowest = if lowest.is_finite() { lowest } else { 1.0 };
            let low = 10f64.powf(lowest.log10().floor());
            (low, 10f64.powf(highest.max(low * 10.0).log10().ceil()))
        } else {
            (0.0, nice(highest / 4.0) * 4.0)
        };
        Self {
            axis: plot.x,
            x_most,
            low,
            high,
            log_y: plot.log_y,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let value = if self.axis == Axis::Percentile {
            nines(value)
        } else {
            value
        };
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.x_most).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let part = if self.log_y {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        let bottom = HEIGHT - BOTTOM;
        bottom - (bottom - TOP) * part.clamp(0.0, 1.0)
    }

    fn y_ticks(&self) -> Vec<f64> {
        if self.log_y {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|n| self.low * 10f64.powi(n)).collect();
        }
        (0..=4).map(|n| self.high / 4.0 * f64::from(n)).collect()
    }

    fn x_ticks(&self) -> Vec<(f64, String)> {
        match self.axis {
            Axis::Percentile => [
                (0.0, "0"),
                (0.5, "50"),
                (0.9, "90"),
                (0.99, "99"),
                (0.999, "99.9"),
                (0.9999, "100"),
            ]
            .map(|(share, text)| (share, format!("{text} %")))
            .to_vec(),
            Axis::Time => {
                let step = nice(self.x_most / 8.0);
                let count = (self.x_most / step).floor() as u32;
                (0..=count)
                    .map(|n| {
                        (
                            f64::from(n) * step,
                            format!("{} s", short(f64::from(n) * step)),
                        )
                    })
                    .collect()
            }
        }
    }
}

/// The next larger of 1, 2, 2.5, 5 times a power of ten.
fn nice(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps
        .iter()
        .map(|step| step * power)
        .find(|step| *step >= value * 0.999_999)
        .unwrap_or(power * 10.0)
}

/// `1.5`, `250`, `50k`, `2M`.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", (value * 1e3).round() / 1e3)
}

/// Text that is only text, in HTML and in SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML knows no others.
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(series: Vec<Series>) -> Plot {
        Plot {
            title: "a <b> & c".into(),
            x_label: "time",
            y_label: "entries/s",
            x: Axis::Time,
            log_y: false,
            stacked: false,
            series,
        }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series {
            name: name.into(),
            points: points.to_vec(),
        }
    }

    /// All coordinates of a drawing.
    fn coordinates(svg: &str) -> Vec<(f64, f64)> {
        svg.split("points=\"")
            .skip(1)
            .flat_map(|rest| rest.split('"').next().unwrap_or_default().split(' '))
            .map(|pair| pair.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect()
    }

    #[test]
    fn nothing_is_drawn_outside_and_text_stays_text() {
        for (log_y, stacked) in [(false, false), (true, false), (false, true)] {
            for x in [Axis::Time, Axis::Percentile] {
                let strange = series(
                    "</svg><script>",
                    &[(0.0, 0.0), (0.5, 1e12), (1.0, f64::NAN), (1.0, 3.0)],
                );
                let svg = Plot {
                    log_y,
                    stacked,
                    x,
                    ..plot(vec![strange, series("none", &[])])
                }
                .svg();
                assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
                for (x, y) in coordinates(&svg)
                    .into_iter()
                    .filter(|(x, y)| x.is_finite() && y.is_finite())
                {
                    assert!(
                        (LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y),
                        "{x},{y}"
                    );
                }
            }
        }
    }

    #[test]
    fn areas_stand_on_each_other() {
        let stacked = stack(&[
            series("a", &[(0.0, 1.0), (1.0, 2.0)]),
            series("b", &[(0.0, 3.0), (1.0, 4.0)]),
        ]);
        assert_eq!(stacked[1].points, [(0.0, 4.0), (1.0, 6.0)]);
    }

    #[test]
    fn shares_get_even_room_for_each_nine() {
        let scale = Scale {
            axis: Axis::Percentile,
            x_most: 4.0,
            low: 0.0,
            high: 1.0,
            log_y: false,
        };
        let at = [0.9, 0.99, 0.999, 0.9999].map(|share| scale.x(share));
        let steps: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(
            steps.iter().all(|step| (step - steps[0]).abs() < 0.01),
            "{steps:?}"
        );
        assert_eq!(scale.x(1.0), at[3]);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            [0.0, 0.3, 1.0, 1.2, 2.2, 26.0, 600.0].map(nice),
            [1.0, 0.5, 1.0, 2.0, 2.5, 50.0, 1000.0]
        );
        assert_eq!(
            [0.5, 250.0, 50_000.0, 2e6].map(short),
            ["0.5", "250", "50k", "2M"]
        );
    }
}
