//! The crates of the product and which one uses which, from `cargo metadata`. An arrow that others imply is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{Fill, Svg, width};
use crate::checks::{self, Package};

const HEIGHT: f64 = 44.0;
const STEP: f64 = 92.0;
const GAP: f64 = 28.0;
/// How wide an arrow is where it passes between boxes.
const PASS: f64 = 8.0;

/// For each crate the crates that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

pub(super) fn draw() -> Result<String> {
    let packages = checks::product()?;
    let uses = reduced(&uses(&packages));
    let rows = layout(&uses);
    let says: BTreeMap<_, _> = packages
        .iter()
        .map(|(name, package)| (name.as_str(), brief(name, &package.description)))
        .collect();
    let wide = |item: &Item| match item {
        Item::Crate(name) => width(&[name.as_str(), &says[name.as_str()]]),
        Item::Pass(..) => PASS,
    };
    let total = |row: &[Item]| row.iter().map(|item| wide(item) + GAP).sum::<f64>() - GAP;
    let size = (
        rows.iter().map(|row| total(row)).fold(0.0, f64::max) + 4.0,
        STEP * rows.len() as f64 - STEP + HEIGHT + 4.0,
    );
    let mut centres = BTreeMap::new();
    for (level, row) in rows.iter().enumerate() {
        // The leftover is spread, so that no row is a narrow tower.
        let gap = (size.0 - 4.0 - total(row)) / (row.len() as f64 + 1.0);
        let mut x = 2.0 + gap;
        for item in row {
            let y = size.1 - 2.0 - HEIGHT / 2.0 - STEP * level as f64;
            centres.insert(item.clone(), (x + wide(item) / 2.0, y));
            x += wide(item) + GAP + gap;
        }
    }
    let mut svg = Svg::new(
        "The crates, and which one uses which; green ones are pure",
        size,
    );
    let arrows = uses
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    for (from, to) in arrows {
        let (mut start, mut end) = (
            centres[&Item::Crate(from.clone())],
            centres[&Item::Crate(to.clone())],
        );
        start.1 += HEIGHT / 2.0;
        end.1 -= HEIGHT / 2.0;
        let mut points = vec![start];
        for level in (0..rows.len()).rev() {
            if let Some((x, y)) = centres.get(&Item::Pass(from.clone(), to.clone(), level)) {
                // Straight down beside the boxes, so that it crosses none.
                points.extend([(*x, y - HEIGHT / 2.0), (*x, y + HEIGHT / 2.0)]);
            }
        }
        points.push(end);
        svg.arrow(&points);
    }
    for (item, centre) in &centres {
        if let Item::Crate(name) = item {
            let fill = if checks::PURE.contains(&name.as_str()) {
                Fill::Green
            } else {
                Fill::Blue
            };
            let lines = [name.as_str(), &says[name.as_str()]];
            svg.boxed(*centre, (wide(item), HEIGHT), fill, &lines);
        }
    }
    Ok(svg.text())
}

/// An item of a row: a crate, or an arrow that passes through the row on its way down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Crate(String),
    Pass(String, String, usize),
}

fn uses(packages: &BTreeMap<String, Package>) -> Uses {
    let uses = |package: &Package| {
        let direct = package.uses.iter().filter(|(_, dev)| !dev);
        direct
            .map(|(name, _)| name.clone())
            .filter(|name| packages.contains_key(name))
            .collect()
    };
    packages
        .iter()
        .map(|(name, package)| (name.clone(), uses(package)))
        .collect()
}

/// All that a crate uses, directly or not.
fn reach(all: &Uses, from: &str) -> BTreeSet<String> {
    let further = all[from].iter().flat_map(|to| reach(all, to));
    further.chain(all[from].iter().cloned()).collect()
}

/// Without what another direct use brings anyway.
fn reduced(all: &Uses) -> Uses {
    let needed = |direct: &BTreeSet<String>| {
        let implied: BTreeSet<_> = direct.iter().flat_map(|to| reach(all, to)).collect();
        direct.difference(&implied).cloned().collect()
    };
    all.iter()
        .map(|(name, direct)| (name.clone(), needed(direct)))
        .collect()
}

/// Rows from the bottom up: each crate above all that it uses, near those that it is joined with.
fn layout(uses: &Uses) -> Vec<Vec<Item>> {
    fn level(uses: &Uses, name: &str) -> usize {
        let below = uses[name].iter().map(|to| level(uses, to) + 1);
        below.max().unwrap_or(0)
    }
    let mut rows: Vec<Vec<Item>> = Vec::new();
    let mut joined: Vec<(Item, Item)> = Vec::new();
    for (from, direct) in uses {
        let top = level(uses, from);
        rows.resize(rows.len().max(top + 1), Vec::new());
        rows[top].push(Item::Crate(from.clone()));
        for to in direct {
            let bottom = level(uses, to);
            let mut lower = Item::Crate(to.clone());
            for (row, items) in rows.iter_mut().enumerate().take(top).skip(bottom + 1) {
                let pass = Item::Pass(from.clone(), to.clone(), row);
                items.push(pass.clone());
                joined.push((pass.clone(), lower));
                lower = pass;
            }
            joined.push((Item::Crate(from.clone()), lower));
        }
    }
    for round in 0..8 {
        let places: BTreeMap<Item, f64> = rows
            .iter()
            .flat_map(|row| {
                let middle = row.len() as f64 / 2.0;
                row.iter()
                    .enumerate()
                    .map(move |(n, item)| (item.clone(), n as f64 + 0.5 - middle))
            })
            .collect();
        // Down the rows, then up, each time by the mean of the neighbours on that side.
        let wish = |item: &Item| {
            let near: Vec<f64> = joined
                .iter()
                .filter_map(|(upper, lower)| match round % 2 {
                    0 if upper == item => Some(places[lower]),
                    1 if lower == item => Some(places[upper]),
                    _ => None,
                })
                .collect();
            if near.is_empty() {
                places[item]
            } else {
                near.iter().sum::<f64>() / near.len() as f64
            }
        };
        for row in &mut rows {
            row.sort_by(|a, b| wish(a).total_cmp(&wish(b)));
        }
    }
    rows
}

/// A crate in a few words: its description up to the first stop, without its own name.
fn brief(name: &str, description: &str) -> String {
    let own = format!("{name}: ");
    let text = description.strip_prefix(&own).unwrap_or(description);
    let end = text.find([':', ';', '.', ',']).unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_imply_is_left_out_and_each_crate_is_above_what_it_uses() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let uses = Uses::from([
            ("roof".to_owned(), set(&["wall", "ground", "door"])),
            ("wall".to_owned(), set(&["ground"])),
            ("door".to_owned(), set(&["wall"])),
            ("ground".to_owned(), set(&[])),
            ("shed".to_owned(), set(&["ground", "roof"])),
        ]);
        let fewer = reduced(&uses);
        assert_eq!(fewer["roof"], set(&["door"]));
        assert_eq!(fewer["shed"], set(&["roof"]));
        let rows = layout(&fewer);
        let names: Vec<_> = rows.iter().map(|row| &row[0]).collect();
        let named = |name: &str| Item::Crate(name.to_owned());
        let expected = ["ground", "wall", "door", "roof", "shed"].map(named);
        assert_eq!(names, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_description_is_cut_at_its_first_stop() {
        assert_eq!(brief("x", "x: does this, and that."), "does this");
        assert_eq!(brief("x", "Formats: all of them. Pure."), "Formats");
    }
}
