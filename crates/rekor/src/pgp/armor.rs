//! ASCII armor (RFC 9580 section 6): what is between its lines is found as Rekor finds it. Its checksum is not checked, as
//! the RFC wants it.

use crate::base64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Lines that are longer are not part of an armor.
const MAX_LINE: usize = 96;

/// What an armor has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) label: &'a [u8],
    pub(super) bytes: Vec<u8>,
}

/// The first line and the text behind it; `None` at the end. Its line break is not part of it.
pub(super) fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let (line, rest) = match text.iter().position(|c| *c == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &text[text.len()..]),
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// The first armor of a text, whatever stands before and behind it; nothing if it has none.
///
/// # Errors
/// With what is wrong with the armor.
pub(super) fn decode(mut text: &[u8]) -> Result<Option<Block<'_>>, &'static str> {
    let label = loop {
        let Some((first, rest)) = line(text) else {
            return Ok(None);
        };
        text = rest;
        let first = trimmed(first);
        let Some(label) = first
            .strip_prefix(BEGIN)
            .filter(|label| label.len() > DASHES.len())
        else {
            continue;
        };
        if first.len() > MAX_LINE {
            return Err("invalid data: armor invalid");
        }
        match body(text)? {
            Some(rest) => text = rest,
            None => continue,
        }
        break label
            .strip_suffix(DASHES)
            .ok_or("invalid data: armor invalid")?;
    };
    let mut characters = String::new();
    let mut ended = false;
    while let Some((line, rest)) = line(text) {
        text = rest;
        if let Some(end) = line.strip_prefix(END) {
            if end.trim_ascii_end().strip_suffix(DASHES) != Some(label) {
                break;
            }
            let bytes = base64::decode_standard(&characters);
            let bytes = bytes.ok_or("invalid data: armor invalid")?;
            return Ok(Some(Block { label, bytes }));
        }
        if ended || line.len() > MAX_LINE {
            break;
        }
        if line.len() == 5 && line[0] == b'=' {
            ended = true;
            continue;
        }
        characters.push_str(str::from_utf8(line).map_err(|_| "invalid data: armor invalid")?);
    }
    Err("invalid data: armor invalid")
}

/// A line without white space at its ends, as Go's `bytes.TrimSpace` has it: nobody may see another armor begin in a text than is read here.
fn trimmed(line: &[u8]) -> &[u8] {
    let first = line.utf8_chunks().next();
    let first = first.map_or("", |chunk| chunk.valid());
    let line = &line[first.len() - first.trim_start().len()..];
    let last = line.utf8_chunks().last();
    let last = last.filter(|chunk| chunk.invalid().is_empty());
    let last = last.map_or("", |chunk| chunk.valid());
    &line[..line.len() - (last.len() - last.trim_end().len())]
}

/// The text behind the headers; nothing if these lines are not headers, so that the line before them began no armor.
fn body(mut text: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    while let Some((header, rest)) = line(text) {
        if header.len() > MAX_LINE {
            return Err("invalid data: armor invalid");
        }
        let header = trimmed(header);
        if header.is_empty() {
            return Ok(Some(rest));
        }
        if !header.contains(&b':') {
            return Ok(None);
        }
        text = rest;
    }
    Ok(None)
}

/// Writes bytes as Rekor does: without headers, with a checksum, without a line break at the end.
pub(super) fn encode(label: &str, bytes: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n\n");
    base64::encode_lines(bytes, &mut out);
    if bytes.is_empty() {
        out.push('\n');
    }
    out.push('=');
    let [_, checksum @ ..] = crc24(bytes).to_be_bytes();
    base64::encode(&checksum, &mut out);
    out.push_str(&format!("\n-----END {label}-----"));
    out
}

/// The checksum of RFC 9580 section 6.1.1.
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>, before in "[a-z\n]{0,5}", rest in "[a-z\n]{0,5}") {
            let text = format!("{before}\n{}\n{rest}", encode("PGP X", &bytes));
            let block = Block { label: b"PGP X", bytes };
            prop_assert_eq!(decode(text.as_bytes()), Ok(Some(block)));
        }

        #[test]
        fn no_text_makes_the_reader_fall(text in "(-----(BEGIN|END) [A-Z]{0,2}(-----)?|=[a-z]{4}|[a-zA-Z=: \r\n]){0,12}") {
            let _ = decode(text.as_bytes());
        }
    }

    #[test]
    fn a_checksum_is_that_of_the_rfc() {
        assert_eq!(crc24(b""), 0x00b7_04ce);
        // The check value that catalogues of checksums list for CRC-24/OPENPGP.
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
    }
}
