//! Base64 in the spellings that Sigstore's clients send; the log itself always writes the standard one.

use std::borrow::Cow;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use serde::de::{Deserializer, Error, Visitor};

/// Characters of a line.
const COLUMNS: usize = 64;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PADDED: GeneralPurposeConfig =
    LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
/// Go's `base64.StdEncoding` is as lenient about the bits after the last byte.
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDED);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDED);
const ANY_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const ANY_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends the standard, padded spelling of the bytes.
pub(crate) fn encode(bytes: &[u8], out: &mut String) {
    STANDARD.encode_string(bytes, out);
}

/// Appends the same text in lines of 64 characters, as Go writes them, each with a line end.
pub(crate) fn encode_lines(bytes: &[u8], out: &mut String) {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    encode(bytes, &mut text);
    out.reserve(text.len() + text.len().div_ceil(COLUMNS));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(COLUMNS));
        out.push_str(line);
        out.push('\n');
        rest = next;
    }
}

/// Decodes as protojson does for bytes: both alphabets, with or without padding.
pub(crate) fn decode_any(text: &str) -> Option<Vec<u8>> {
    let url_safe = text.bytes().any(|c| c == b'-' || c == b'_');
    decode(
        if url_safe {
            &ANY_URL_SAFE
        } else {
            &ANY_STANDARD
        },
        text,
    )
}

/// Decodes as Go's `base64.StdEncoding` does: the standard alphabet with padding.
pub(crate) fn decode_standard(text: &str) -> Option<Vec<u8>> {
    decode(&STANDARD, text)
}

/// Decodes as DSSE allows for payloads and signatures: either alphabet, with padding.
pub(crate) fn decode_either(text: &str) -> Option<Vec<u8>> {
    decode_standard(text).or_else(|| decode(&URL_SAFE, text))
}

fn decode(engine: &impl Engine, text: &str) -> Option<Vec<u8>> {
    engine.decode(one_line(text).as_bytes()).ok()
}

/// The text without line breaks, which Go's decoders skip.
fn one_line(text: &str) -> Cow<'_, str> {
    const BREAKS: [char; 2] = ['\r', '\n'];
    if text.contains(BREAKS) {
        return Cow::Owned(text.replace(BREAKS, ""));
    }
    Cow::Borrowed(text)
}

/// Bytes in any spelling, for `deserialize_with`; null is no bytes.
pub(crate) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_any(Text(decode_any))
}

/// Bytes in standard base64, for `deserialize_with`; null is no bytes.
pub(crate) fn standard<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_any(Text(decode_standard))
}

/// Turns a JSON string into bytes without a copy of the string.
struct Text(fn(&str) -> Option<Vec<u8>>);

impl Visitor<'_> for Text {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        (self.0)(text).ok_or_else(|| E::custom("invalid base64"))
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<u8>, E> {
        Ok(Vec::new())
    }
}
