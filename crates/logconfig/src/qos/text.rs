//! Numbers with a unit, as an operator writes them. Equal values have equal text, and no reader has to guess a unit.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A share of the whole, `0%` to `100%`, in steps of a tenth of a percent: `3%`, `0.5%`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Percent {
    /// Tenths of a percent, at most 1000.
    tenths: u16,
}

/// Entries in a second: `5000/s`. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u64);

/// Bytes in a second: `512KiB/s`, `10MiB/s`. Never zero. Its text uses the largest unit that divides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteRate(u64);

/// Values of `Priority: u=N` (RFC 9218), 0 most urgent: `3`, `1-2`, or `none` of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Urgency(Option<(u8, u8)>);

/// A text that is not a [`Percent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is 0% to 100%, with at most one digit after the point, for example 3% or 0.5%")]
pub struct PercentError;

/// A text that is not a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a whole number of entries a second from 1 to 1000000000, for example 5000/s")]
pub struct RateError;

/// A text that is not a [`ByteRate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate of bytes is a whole number and a unit (B/s, KiB/s, MiB/s or GiB/s), from 1B/s to 1024GiB/s, for example 10MiB/s"
)]
pub struct ByteRateError;

/// A text that is not an [`Urgency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a priority is a digit from 0 to 7, a range of them such as 1-2, or none")]
pub struct UrgencyError;

/// Highest rate: more than any machine takes, and far from where sums of rates overflow.
const MAX_RATE: u64 = 1_000_000_000;
/// Units of bytes, largest first.
const UNITS: [(&str, u64); 4] = [
    ("GiB/s", 1 << 30),
    ("MiB/s", 1 << 20),
    ("KiB/s", 1 << 10),
    ("B/s", 1),
];
/// Highest rate of bytes.
const MAX_BYTE_RATE: u64 = 1 << 40;

impl Percent {
    /// That many percent, at most 100.
    #[must_use]
    pub(crate) const fn whole(percent: u16) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self {
            tenths: percent * 10,
        }
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.tenths) / 1000.0
    }

    /// The share in tenths of a percent, 0 ..= 1000: for sums that must be exact.
    #[must_use]
    pub const fn tenths(self) -> u16 {
        self.tenths
    }
}

impl Rate {
    /// Entries in a second, at least 1.
    #[must_use]
    pub const fn per_second(self) -> u64 {
        self.0
    }
}

impl ByteRate {
    /// Bytes in a second, at least 1.
    #[must_use]
    pub const fn per_second(self) -> u64 {
        self.0
    }
}

impl Urgency {
    /// From the one to the other, both included.
    pub(crate) const fn range(least: u8, most: u8) -> Self {
        Self(Some((least, most)))
    }

    /// Whether `Priority: u=N` with this N is one of them.
    #[must_use]
    pub const fn contains(self, urgency: u8) -> bool {
        match self.0 {
            Some((least, most)) => least <= urgency && urgency <= most,
            None => false,
        }
    }

    /// The lowest and the highest of them; `None` when it is none.
    #[must_use]
    pub const fn bounds(self) -> Option<(u8, u8)> {
        self.0
    }
}

/// A decimal number as these texts write it: digits only, no leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Writes `1000` tenths as `100`, `5` as `0.5`.
fn write_tenths(tenths: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (tenths / 10, tenths % 10) {
        (whole, 0) => write!(f, "{whole}%"),
        (whole, tenth) => write!(f, "{whole}.{tenth}%"),
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_tenths(u64::from(self.tenths), f)
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let share = text.strip_suffix('%').ok_or(PercentError)?;
        let (whole, tenth) = share.split_once('.').unwrap_or((share, "0"));
        let whole = number(whole).filter(|whole| *whole <= 100);
        let tenth = number(tenth).filter(|tenth| *tenth < 10);
        let tenths = whole
            .zip(tenth)
            .map(|(whole, tenth)| whole * 10 + tenth)
            .filter(|tenths| *tenths <= 1000);
        let tenths = tenths.and_then(|tenths| u16::try_from(tenths).ok());
        Ok(Self {
            tenths: tenths.ok_or(PercentError)?,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        text.strip_suffix("/s")
            .and_then(number)
            .filter(|rate| (1..=MAX_RATE).contains(rate))
            .map(Self)
            .ok_or(RateError)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .into_iter()
            .find(|(_, size)| self.0.is_multiple_of(*size))
            .unwrap_or(("B/s", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for ByteRate {
    type Err = ByteRateError;

    fn from_str(text: &str) -> Result<Self, ByteRateError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let size = UNITS.into_iter().find(|(name, _)| *name == unit);
        number(count)
            .zip(size)
            .and_then(|(count, (_, size))| count.checked_mul(size))
            .filter(|rate| (1..=MAX_BYTE_RATE).contains(rate))
            .map(Self)
            .ok_or(ByteRateError)
    }
}

impl fmt::Display for Urgency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some((least, most)) if least == most => write!(f, "{least}"),
            Some((least, most)) => write!(f, "{least}-{most}"),
        }
    }
}

impl FromStr for Urgency {
    type Err = UrgencyError;

    fn from_str(text: &str) -> Result<Self, UrgencyError> {
        let digit = |b: &u8| b.checked_sub(b'0').filter(|digit| *digit <= 7);
        let bounds = match text.as_bytes() {
            b"none" => return Ok(Self(None)),
            [one] => digit(one).map(|one| (one, one)),
            [least, b'-', most] => digit(least).zip(digit(most)),
            _ => None,
        };
        bounds
            .filter(|(least, most)| least <= most)
            .map(|bounds| Self(Some(bounds)))
            .ok_or(UrgencyError)
    }
}

macro_rules! textual {
    ($($type:ident, $error:ident, $format:literal, $pattern:literal;)+) => {$(
        impl TryFrom<String> for $type {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern })
            }
        }
    )+};
}

textual! {
    Percent, PercentError, "percent", "^(100(\\.0)?|[1-9]?[0-9](\\.[0-9])?)%$";
    Rate, RateError, "rate", "^[1-9][0-9]{0,9}/s$";
    ByteRate, ByteRateError, "byte-rate", "^[1-9][0-9]{0,12}(B|KiB|MiB|GiB)/s$";
    Urgency, UrgencyError, "urgency", "^([0-7]|[0-7]-[0-7]|none)$";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, fraction) in [("0%", 0.0), ("3%", 0.03), ("0.5%", 0.005), ("100%", 1.0)] {
            let percent: Percent = text.parse().unwrap();
            assert!((percent.fraction() - fraction).abs() < 1e-9);
            assert_eq!(percent.to_string(), text);
        }
        for (text, bytes) in [("1B/s", 1), ("1536B/s", 1536), ("10MiB/s", 10 << 20)] {
            let rate: ByteRate = text.parse().unwrap();
            assert_eq!(
                (rate.per_second(), rate.to_string().as_str()),
                (bytes, text)
            );
        }
        assert_eq!(
            "1024KiB/s".parse::<ByteRate>().unwrap().to_string(),
            "1MiB/s"
        );
        assert_eq!("5000/s".parse::<Rate>().unwrap().per_second(), 5000);
        let range: Urgency = "1-2".parse().unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|n| range.contains(n)),
            [false, true, true, false]
        );
        assert_eq!("4-4".parse::<Urgency>().unwrap().to_string(), "4");
        assert!((0..8).all(|n| !Urgency::default().contains(n)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "%", "3", "101%", "100.1%", "3.25%", "-1%", "3 %", ".5%", "3.%", "03%",
        ] {
            assert_eq!(Percent::from_str(text), Err(PercentError), "{text}");
        }
        for text in [
            "",
            "/s",
            "0/s",
            "5000",
            "5k/s",
            "1.5/s",
            "1000000001/s",
            "5/m",
            "+5/s",
        ] {
            assert_eq!(Rate::from_str(text), Err(RateError), "{text}");
        }
        for text in [
            "",
            "0B/s",
            "10MB/s",
            "10MiB",
            "1025GiB/s",
            "99999999999999GiB/s",
            "1.5MiB/s",
        ] {
            assert_eq!(ByteRate::from_str(text), Err(ByteRateError), "{text}");
        }
        for text in [
            "", "8", "-", "1-", "2-1", "0-8", "1-2-3", "None", "1 - 2", "٣",
        ] {
            assert_eq!(Urgency::from_str(text), Err(UrgencyError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(tenths in 0u16..=1000, rate in 1..=MAX_RATE, bytes in 1..=MAX_BYTE_RATE, unit in 0usize..4, urgency in proptest::option::of((0u8..8, 0u8..8))) {
            let percent = Percent { tenths };
            prop_assert_eq!(percent.to_string().parse(), Ok(percent));
            prop_assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
            let bytes = ByteRate(bytes.next_multiple_of(UNITS[unit].1));
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
            let urgency = Urgency(urgency.map(|(a, b)| (a.min(b), a.max(b))));
            prop_assert_eq!(urgency.to_string().parse(), Ok(urgency));
        }
    }
}
