//! How numbers are written for people, and which name they may have meant.

use std::fmt::Display;

/// `1 entry`, `2 entries`, `0 storage nodes`.
pub fn count(n: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if n == 1.into() => format!("1 {noun}"),
        Some(stem) => format!("{n} {stem}ies"),
        None => format!("{n} {noun}s"),
    }
}

/// A number with commas between thousands: `5,000,000`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `512 B`, `1.5 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| count >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", count as f64 / (1u64 << shift) as f64),
        None => format!("{count} B"),
    }
}

/// The candidate that the author most likely meant; spelling conventions (`start_index`) count as no difference.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > 64 {
        return None;
    }
    let fold = |text: &str| {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase()
    };
    let folded = fold(text);
    candidates
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&folded, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(3))
        // Of several, the last: shards are listed from the oldest.
        .max_by_key(|(distance, _)| std::cmp::Reverse(*distance))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1u64, "entry"), "1 entry");
        assert_eq!(count(0u64, "entry"), "0 entries");
        assert_eq!(count(2usize, "storage node"), "2 storage nodes");
    }

    #[test]
    fn numbers_for_people() {
        let all = [0, 999, 1000, 5_000_000].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "5,000,000"]);
        let all = [0, 1023, 1024, 3 << 29, 5 << 40].map(bytes);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "5.0 TiB"]);
    }
}
