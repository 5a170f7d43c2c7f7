//! Newline-delimited JSON: one `{"entry":"<base64>"}` a line. Strict: another key, another alphabet, a missing padding or an
//! empty line is an error that names the line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use wire::data::Line;

use super::cut::{Cut, Cutter};
use super::fault::Fault;
use tlog::bundle::MAX_ENTRY;

/// The longest line, bytes: the largest entry in base64, and some space around it.
pub(super) const MAX_LINE: usize = MAX_ENTRY.div_ceil(3) * 4 + 1024;

#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whole lines so far.
    lines: u64,
    /// An entry; kept for its memory.
    entry: Vec<u8>,
}

impl Lines {
    /// Takes lines from the front of `piece`, all of it unless a chunk is full.
    pub(super) fn feed(
        &mut self,
        piece: &mut Bytes,
        cutter: &mut Cutter,
    ) -> Result<Option<Cut>, Fault> {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let line = piece.split_to(end);
            piece.advance(1);
            let cut = if self.begun.is_empty() {
                self.line(&line, cutter)?
            } else {
                self.begin(&line)?;
                self.begun_line(cutter)?
            };
            if cut.is_some() {
                return Ok(cut);
            }
        }
        self.begin(piece)?;
        piece.clear();
        Ok(None)
    }

    /// The last line needs no newline.
    pub(super) fn finish(&mut self, cutter: &mut Cutter) -> Result<Option<Cut>, Fault> {
        if self.begun.is_empty() {
            return Ok(None);
        }
        self.begun_line(cutter)
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.begun.len() + bytes.len() > MAX_LINE {
            return Err(Fault::LongLine {
                line: self.lines + 1,
            });
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn begun_line(&mut self, cutter: &mut Cutter) -> Result<Option<Cut>, Fault> {
        let mut line = std::mem::take(&mut self.begun);
        let cut = self.line(&line, cutter);
        line.clear();
        self.begun = line;
        cut
    }

    fn line(&mut self, line: &[u8], cutter: &mut Cutter) -> Result<Option<Cut>, Fault> {
        self.lines += 1;
        let number = self.lines;
        let wrong = |what: String| Fault::Line { line: number, what };
        if line.len() > MAX_LINE {
            return Err(Fault::LongLine { line: number });
        }
        let what = match line.trim_ascii().first() {
            Some(b'{') => None,
            Some(_) => Some(r#"not a JSON object; each line is {"entry":"<base64>"}"#),
            None => Some(r#"empty; each line is {"entry":"<base64>"}"#),
        };
        if let Some(what) = what {
            return Err(wrong(what.to_owned()));
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
            // Its own line is always the first of one.
            let error = error.to_string();
            let what = error.split(" at line ").next().unwrap_or_default();
            let column = error.rsplit(" column ").next().unwrap_or_default();
            wrong(format!(
                r#"{what} (at column {column}); each line is {{"entry":"<base64>"}}"#
            ))
        })?;
        self.entry.clear();
        STANDARD
            .decode_vec(line.entry.as_ref(), &mut self.entry)
            .map_err(|error| wrong(format!("`entry` is not base64: {error}")))?;
        match self.entry.len() {
            0 => Err(wrong("the entry is empty; it has at least one byte".into())),
            1..=MAX_ENTRY => cutter.entry(&self.entry),
            long => Err(wrong(format!(
                "the entry has {long} bytes; it may have {MAX_ENTRY}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str, piece: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let (mut lines, mut cutter) = (Lines::default(), Cutter::new(64 << 10, 0));
        let mut cuts = Vec::new();
        for piece in body.as_bytes().chunks(piece) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(cut) = lines.feed(&mut piece, &mut cutter)? {
                cuts.push(cut);
            }
        }
        cuts.extend(lines.finish(&mut cutter)?);
        cuts.extend(cutter.finish()?);
        let mut entries = Vec::new();
        for cut in cuts {
            let bundle = order::batch::entries(&cut.bytes).unwrap();
            assert_eq!(bundle.len() as u64, cut.entries);
            entries.extend(bundle.into_iter().map(<[u8]>::to_vec));
        }
        Ok(entries)
    }

    fn line(entry: &[u8]) -> String {
        format!(r#"{{"entry":"{}"}}"#, STANDARD.encode(entry))
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..2000), 0..60),
            piece in prop_oneof![1usize..50, 1000usize..100_000],
            last_newline: bool,
        ) {
            let lines: Vec<String> = entries.iter().map(|entry| line(entry)).collect();
            let mut body = lines.join("\n");
            if last_newline && !entries.is_empty() {
                body.push('\n');
            }
            prop_assert_eq!(read(&body, piece).unwrap(), entries);
        }

        #[test]
        fn nothing_panics(body in "[ -~\n]{0,200}", piece in 1usize..30) {
            let _ = read(&body, piece);
        }
    }

    #[test]
    fn the_largest_entry_fits_and_space_around_it() {
        let largest = vec![0xab; MAX_ENTRY];
        let body = format!(
            "\t{}  \r\n{{ \"entry\" : \"eA==\" }}\n{{\"\\u0065ntry\":\"\\u0065A==\"}}",
            line(&largest)
        );
        let entries = read(&body, 5000).unwrap();
        assert_eq!(entries, [largest, b"x".to_vec(), b"x".to_vec()]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = line(b"x");
        let too_large = line(&vec![0; MAX_ENTRY + 1]);
        let endless = "x".repeat(MAX_LINE + 1);
        for (wrong, needle) in [
            ("", "empty"),
            ("  ", "empty"),
            ("x", "not a JSON object"),
            ("\"eA==\"", "not a JSON object"),
            ("[\"eA==\"]", "not a JSON object"),
            ("{x}", "key must be a string (at column 2)"),
            (r#"{"entry":"eA=="#, "EOF"),
            (r#"{"entry":"eA=="} {"entry":"eA=="}"#, "trailing"),
            (r#"{"entry":"eA==","more":1}"#, "unknown field `more`"),
            (r#"{"entry":"eA==","entry":"eA=="}"#, "duplicate field"),
            (r#"{"entry":7}"#, "invalid type"),
            ("{}", "missing field"),
            (r#"{"entry":""}"#, "at least one byte"),
            (r#"{"entry":"eA"}"#, "not base64"),
            (r#"{"entry":"eB=="}"#, "not base64"),
            (r#"{"entry":"_-=="}"#, "not base64"),
            (&too_large, "65536 bytes"),
            (&endless, "longer than"),
        ] {
            for (body, number) in [
                (format!("{good}\n{wrong}\n{good}\n"), "line 2"),
                (format!("{wrong}\n{good}\n"), "line 1"),
            ] {
                for piece in [7, 1 << 20] {
                    let fault = read(&body, piece).unwrap_err().to_string();
                    assert!(
                        fault.starts_with(number) && fault.contains(needle),
                        "{wrong:.50}: {fault}"
                    );
                }
            }
        }
    }
}
