//! Values of DER (X.690), as strict as Go's `cryptobyte`, on which Go's `x509` is built: one spelling of each length, number, identifier, boolean and
//! time, and no tags above 30.

use jiff::civil::{Date, date};

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const NUMERIC_STRING: u8 = 0x12;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const T61_STRING: u8 = 0x14;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const BMP_STRING: u8 = 0x1e;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The bits of a tag that say that more bytes of it follow.
const LONG_TAG: u8 = 0x1f;
const EPOCH: Date = date(1970, 1, 1);
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// A value of DER inside the bytes that it was read from.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    /// The value with its tag and length.
    pub(super) raw: &'a [u8],
    pub(super) content: &'a [u8],
}

/// Reads values one after another. After a `None` the rest has no meaning.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the next value has this tag.
    pub(super) fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The next value, whatever its tag.
    pub(super) fn any(&mut self) -> Option<Value<'a>> {
        let [tag, length, rest @ ..] = self.0 else {
            return None;
        };
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        let (length, content) = match length {
            0..0x80 => (usize::from(*length), rest),
            _ => {
                let (bytes, content) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let is_shortest = match bytes {
                    [] | [0, ..] | [_, _, _, _, _, ..] => false,
                    [length] => *length >= 0x80,
                    _ => true,
                };
                let length = bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte));
                (is_shortest.then_some(length)?, content)
            }
        };
        let (content, rest) = content.split_at_checked(length)?;
        let raw = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Value {
            tag: *tag,
            raw,
            content,
        })
    }

    /// The next value with its tag and length.
    pub(super) fn raw(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|it| it.tag == tag).map(|it| it.raw)
    }

    /// The content of the next value.
    pub(super) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any().filter(|it| it.tag == tag).map(|it| it.content)
    }

    /// The values inside of the next value.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.content(tag).map(Self)
    }

    /// The values inside of the next value, if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<Self>> {
        match self.is_next(tag) {
            true => self.inside(tag).map(Some),
            false => Some(None),
        }
    }

    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.content(BOOLEAN)? {
            [0] => Some(false),
            [0xff] => Some(true),
            _ => None,
        }
    }

    /// A number in two's complement, of any size, in as few bytes as it needs.
    pub(super) fn number(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.content(tag)
            .filter(|bytes| !matches!(bytes, [] | [0, 0..0x80, ..] | [0xff, 0x80..=0xff, ..]))
    }

    /// A number of 64 bits.
    pub(super) fn integer(&mut self, tag: u8) -> Option<i64> {
        let bytes = self.number(tag).filter(|bytes| bytes.len() <= 8)?;
        let sign = if bytes[0] < 0x80 { 0 } else { -1 };
        Some(
            bytes
                .iter()
                .fold(sign, |number, byte| number << 8 | i64::from(*byte)),
        )
    }

    /// The bits, and how many of the last byte are unused; those are zero.
    pub(super) fn bits(&mut self) -> Option<(&'a [u8], u8)> {
        let (unused, bytes) = self.content(BIT_STRING)?.split_first()?;
        let is_zero = match bytes.last() {
            None => *unused == 0,
            Some(last) => *unused < 8 && last.trailing_zeros() >= u32::from(*unused),
        };
        is_zero.then_some((bytes, *unused))
    }

    /// An object identifier whose parts have at most 31 bits each.
    pub(super) fn oid(&mut self) -> Option<&'a [u8]> {
        self.content(OID).filter(|bytes| is_oid(bytes, Some(31)))
    }

    /// A time, in seconds since 1970.
    pub(super) fn time(&mut self) -> Option<i64> {
        let value = self.any()?;
        let text = str::from_utf8(value.content).ok()?;
        match value.tag {
            UTC_TIME => {
                let (year, rest) = text.split_at_checked(2)?;
                let year = digits(year)?;
                let century = if year < 50 { 2000 } else { 1900 };
                seconds(century + year, rest, true)
            }
            GENERALIZED_TIME => {
                let (year, rest) = text.split_at_checked(4)?;
                seconds(digits(year)?, rest, false)
            }
            _ => None,
        }
    }
}

/// Whether each part of an identifier is written in as few bytes as it needs, ends, and has no more bits than the limit, if there is one.
pub(super) fn is_oid(bytes: &[u8], max_bits: Option<u32>) -> bool {
    let mut part = 0_u64;
    let mut is_first = true;
    for byte in bytes {
        if is_first && *byte == 0x80 {
            return false;
        }
        part = part << 7 | u64::from(byte & 0x7f);
        if max_bits.is_some_and(|bits| part >> bits != 0) {
            return false;
        }
        is_first = byte & 0x80 == 0;
        if is_first {
            part = 0;
        }
    }
    is_first && !bytes.is_empty()
}

fn digits(text: &str) -> Option<i16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)?.parse().ok()
}

/// The time that a text behind a year says: month, day, hour, minute, second, zone. Go accepts UTC times without seconds, and zones.
fn seconds(year: i16, text: &str, may_lack_seconds: bool) -> Option<i64> {
    let (text, zone) = text.split_at(text.find(['Z', '+', '-'])?);
    let parts: Option<Vec<_>> = (0..text.len().div_ceil(2))
        .map(|at| digits(text.get(2 * at..2 * at + 2)?)?.try_into().ok())
        .collect();
    let (month, day, [hour, minute, second]) = match parts?[..] {
        [month, day, hour, minute, second] => (month, day, [hour, minute, second]),
        [month, day, hour, minute] if may_lack_seconds => (month, day, [hour, minute, 0]),
        _ => return None,
    };
    let day: Date = Date::new(year, month, day).ok()?;
    let time = clock(hour, minute, second).filter(|_| hour < 24)?;
    let zone = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, zone) if zone.len() == 4 => {
            // Two bytes may be a part of one character.
            let (hour, minute) = zone.split_at_checked(2)?;
            let hour = digits(hour)?.try_into().ok()?;
            let minute = digits(minute)?.try_into().ok()?;
            let zone = clock(hour, minute, 0).filter(|zone| *zone != 0)?;
            if sign == "-" { -zone } else { zone }
        }
        _ => return None,
    };
    let days = (day - EPOCH).get_days();
    Some(i64::from(days) * SECONDS_PER_DAY + time - zone)
}

/// A time of day. Zones have up to 24 hours.
fn clock(hour: i8, minute: i8, second: i8) -> Option<i64> {
    let is_valid = hour <= 24 && minute < 60 && second < 60;
    let [hour, minute, second] = [hour, minute, second].map(i64::from);
    is_valid.then_some((hour * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_spelling_and_a_tag_one_byte() {
        let long = [&[4, 0x81, 0x80][..], &[7; 0x80]].concat();
        for (bytes, content) in [
            (&[4, 0][..], Some(&[][..])),
            (&[4, 2, 7, 7], Some(&[7, 7])),
            (&long, Some(&[7; 0x80])),
            (&[4], None),
            (&[4, 2, 7], None),
            (&[4, 0x80, 0, 0], None),
            (&[4, 0x81, 1, 7], None),
            (&[4, 0x82, 0, 0x80], None),
            (&[4, 0xff], None),
            (&[4, 0x85, 1, 0, 0, 0, 0], None),
            (&[0x1f, 0x04, 0], None),
        ] {
            let found = Reader(bytes).any().map(|value| value.content);
            assert_eq!(found, content, "{bytes:02x?}");
        }
    }

    #[test]
    fn numbers_and_identifiers_have_one_spelling() {
        for (bytes, number) in [
            (&[2, 0][..], None),
            (&[2, 1, 0], Some(0)),
            (&[2, 2, 0, 0x7f], None),
            (&[2, 2, 0, 0x80], Some(0x80)),
            (&[2, 2, 0xff, 0x80], None),
            (&[2, 2, 0xff, 0x7f], Some(-0x81)),
            (&[2, 1, 0xff], Some(-1)),
            (&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0], None),
            (&[4, 1, 0], None),
        ] {
            assert_eq!(Reader(bytes).integer(INTEGER), number, "{bytes:02x?}");
        }
        for (bytes, is_right, is_small) in [
            (&[0x55, 0x1d, 0x11][..], true, true),
            (&[0x55, 0x80, 0x11], false, false),
            (&[0x55, 0x81, 0x80, 0x01], true, true),
            (&[0x55, 0x81], false, false),
            (&[], false, false),
            (&[0x2a, 0x87, 0xff, 0xff, 0xff, 0x7f], true, true),
            (&[0x2a, 0x88, 0x80, 0x80, 0x80, 0x00], true, false),
            (&[&[0x2a][..], &[0xff; 20], &[0]].concat(), true, false),
        ] {
            assert_eq!(is_oid(bytes, None), is_right, "{bytes:02x?}");
            assert_eq!(is_oid(bytes, Some(31)), is_small, "{bytes:02x?}");
        }
    }

    #[test]
    fn unused_bits_are_zero_and_booleans_are_one_of_two() {
        for (bytes, bits) in [
            (&[3, 1, 0][..], Some((&[][..], 0))),
            (&[3, 2, 7, 0x80], Some((&[0x80], 7))),
            (&[3, 2, 7, 0], Some((&[0], 7))),
            (&[3, 2, 7, 0x40], None),
            (&[3, 2, 8, 0], None),
            (&[3, 1, 1], None),
            (&[3, 0], None),
        ] {
            assert_eq!(Reader(bytes).bits(), bits, "{bytes:02x?}");
        }
        for (byte, boolean) in [(0, Some(false)), (0xff, Some(true)), (1, None)] {
            assert_eq!(Reader(&[1, 1, byte]).boolean(), boolean);
        }
    }

    #[test]
    fn a_time_is_what_go_takes_for_one() {
        let day = 1_582_934_400;
        for (tag, text, time) in [
            (UTC_TIME, "200229000000Z", Some(day)),
            (UTC_TIME, "200229010203Z", Some(day + 3723)),
            (UTC_TIME, "2002290102Z", Some(day + 3720)),
            (UTC_TIME, "200229010000+0100", Some(day)),
            (UTC_TIME, "200228230000-0100", Some(day)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20200229000000Z", Some(day)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "202002290000Z", None),
            (UTC_TIME, "200229000000+0000", None),
            (UTC_TIME, "200229000000-0000", None),
            (UTC_TIME, "200229000000+2500", None),
            (UTC_TIME, "200229000000+0160", None),
            (UTC_TIME, "200229000000", None),
            (UTC_TIME, "200229000000ZZ", None),
            (UTC_TIME, "200229240000Z", None),
            (UTC_TIME, "200229000060Z", None),
            (UTC_TIME, "210229000000Z", None),
            (UTC_TIME, "201301000000Z", None),
            (UTC_TIME, "20010100000Z", None),
            (UTC_TIME, "200229000000.5Z", None),
            (UTC_TIME, "+10229000000Z", None),
            (UTC_TIME, "ä0229000000Z", None),
            (UTC_TIME, "200229000000+0ä1", None),
            (GENERALIZED_TIME, "20200229000000+0ä1", None),
            (GENERALIZED_TIME, "200229000000Z", None),
            (IA5_STRING, "200229000000Z", None),
        ] {
            let length = u8::try_from(text.len()).unwrap();
            let der = [&[tag, length], text.as_bytes()].concat();
            assert_eq!(Reader(&der).time(), time, "{text}");
        }
    }
}
