//! The few values of DER (X.690) that this crate writes.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const SEQUENCE: u8 = 0x30;

/// A value whose content is given in parts.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    match (length, &bytes[zeros..]) {
        (..0x80, _) => out.push(bytes[bytes.len() - 1]),
        (_, long) => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A sequence of numbers, which are not negative.
pub(crate) fn numbers(numbers: &[&[u8]]) -> Vec<u8> {
    let values = numbers.iter().map(|number| {
        let sign: &[u8] = match number.first() {
            Some(..0x80) => &[],
            _ => &[0],
        };
        value(INTEGER, &[sign, number])
    });
    value(SEQUENCE, &[&values.collect::<Vec<_>>().concat()])
}
