//! A writer of JSON in the one spelling of RFC 8785, for the fixed shapes of this crate.
//!
//! Clients rebuild a leaf from what they sent and hash it, so one byte written otherwise makes their proofs fail. Members
//! must be written in the order of their names; debug builds check it.

use std::fmt::Write as _;

use crate::base64;

/// One object; `members` writes its members.
pub(crate) fn object(capacity: usize, members: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::with_capacity(capacity);
    nested(&mut out, members);
    out
}

/// Appends an object, for instance as an item of an array.
pub(crate) fn nested(out: &mut String, members: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    members(&mut Object { out, last: "" });
    out.push('}');
}

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    last: &'static str,
}

impl Object<'_> {
    fn name(&mut self, name: &'static str) -> &mut String {
        debug_assert!(self.last < name, "{name} after {}", self.last);
        if !self.last.is_empty() {
            self.out.push(',');
        }
        self.last = name;
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        string(self.name(name), value);
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        let _ = write!(self.name(name), "{value}");
    }

    pub(crate) fn null(&mut self, name: &'static str) {
        self.name(name).push_str("null");
    }

    /// Bytes in standard base64.
    pub(crate) fn base64(&mut self, name: &'static str, bytes: &[u8]) {
        let out = self.name(name);
        out.push('"');
        base64::encode(bytes, out);
        out.push('"');
    }

    pub(crate) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        nested(self.name(name), members);
    }

    /// An array; `write` appends one item, which is a JSON value.
    pub(crate) fn array<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut String, T),
    ) {
        let out = self.name(name);
        out.push('[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            write(out, item);
        }
        out.push(']');
    }
}

/// A string as RFC 8785 section 3.2.2.2 writes it.
pub(crate) fn string(out: &mut String, value: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&value[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(&value[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_writes_what_the_canonicalizer_writes(text: String, bytes: Vec<u8>, number in 0..1_u64 << 53) {
            let ours = object(0, |o| {
                o.array("array", [&text, "\u{2028}<&>\u{7f}\u{1}"], string);
                o.base64("bytes", &bytes);
                o.null("null");
                o.number("number", number);
                o.object("object", |o| o.text("text", &text));
            });
            let value: serde_json::Value = serde_json::from_str(&ours).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), ours);
            prop_assert_eq!(value["object"]["text"].as_str(), Some(text.as_str()));
            prop_assert_eq!(base64::decode_any(value["bytes"].as_str().unwrap()), Some(bytes));
        }
    }
}
