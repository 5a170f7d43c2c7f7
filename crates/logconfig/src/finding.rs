//! The faults of a document, their places and remedies. Codes are stable: scripts and tests compare them. Texts are for people
//! and quote what the document says, shortened and with control characters escaped, so that a hostile document cannot write to
//! a terminal.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable identifier in kebab-case; scripts compare it.
    pub code: &'static str,
    /// The fault, a lowercase fragment.
    pub message: String,
    /// JSON pointer (RFC 6901) into the document; empty for the whole of it.
    pub pointer: String,
    /// 1-based line, when the document was read from text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based column, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The remedy, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding that does not follow from the document alone, such as one of the running server.
    #[must_use]
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        pointer: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Problem::new(code, message).hint(hint).at(pointer)
    }
}

impl fmt::Display for Finding {
    /// `3:5: unknown key `generatoin` (did you mean `generation`?)`; the position only when known, else the pointer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "{line}:{column}: ")?,
            _ if !self.pointer.is_empty() => write!(f, "{}: ", self.pointer)?,
            _ => {}
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A finding without a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn at(self, pointer: impl Into<String>) -> Finding {
        Finding {
            code: self.code,
            message: self.message,
            pointer: pointer.into(),
            line: None,
            column: None,
            hint: self.hint,
        }
    }
}

/// Text from a document, fit for a message: in backquotes, escaped, at most 80 characters.
pub(crate) fn quote(text: &str) -> String {
    format!("`{}`", harmless(text, 80))
}

/// Text that may hold parts of a document, escaped and shortened.
pub(crate) fn harmless(text: &str, most: usize) -> String {
    let mut quoted = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == most {
            quoted.push('…');
            break;
        }
        // Bidirectional overrides and the like are not control characters, but reorder what a terminal shows.
        if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// A JSON pointer one step further down.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quote("a\u{1b}[31m\n\u{202e}"), "`a\\u{1b}[31m\\n\\u{202e}`");
        assert!(quote(&"x".repeat(1000)).chars().count() <= 83);
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(join("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
