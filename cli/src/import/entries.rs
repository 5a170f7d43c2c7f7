//! From a file to entries in bundle encoding: 16-bit length and entry, one after the other. Pure but for the reading.

use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tlog::bundle::MAX_ENTRY;
use wire::data::Line;

use super::plain::{MAGIC, plain};

/// Bytes of a block.
const BLOCK: usize = 256 << 10;
/// Bytes read at a time.
const READ: usize = 1 << 20;
/// The longest line that can hold one.
const MAX_LINE: usize = 128 << 10;

/// The format of a file of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Each line is an entry, without its newline; empty lines are passed over
    Lines,
    /// Each line is {"entry":"<base64>"}
    Ndjson,
    /// C2SP bundle encoding: a 16-bit length and the entry, one after the other
    Bundle,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The entries in bundle encoding.
    pub(crate) bytes: Bytes,
    /// How many entries the block has.
    pub(crate) entries: u64,
    /// Bytes of the file that were read when it was full.
    pub(crate) read: u64,
}

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The system reported an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line that is not an entry.
    #[error("line {line}: {what}")]
    Line {
        line: u64,
        /// The fault of the line.
        what: String,
    },
    /// The file's first bytes do not match its form. None of its entries were handed out.
    #[error("{what}")]
    Form {
        /// The apparent form of the file.
        what: &'static str,
        /// The next step for the user.
        hint: &'static str,
    },
    /// A file that is not a bundle.
    #[error("entry {entry} (entries count from 0): {what}")]
    Bundle {
        entry: u64,
        /// The fault of the entry.
        what: String,
    },
}

pub(crate) struct Entries<R> {
    input: R,
    format: Format,
    /// The bytes read; entries are taken from `at` on.
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    /// Bytes of the file that are in blocks.
    read: u64,
    lines: u64,
    entries: u64,
    /// Whether the bytes of the file are used unchanged, whatever they look like.
    raw: bool,
    notes: Notes,
    decoded: Vec<u8>,
}

/// Notes for the user about a file that was read to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Empty lines that were passed over.
    pub(crate) empty: u64,
    /// Entries that end with a carriage return.
    pub(crate) returns: u64,
}

impl<R: Read> Entries<R> {
    pub(crate) fn new(input: R, format: Format) -> Self {
        Self {
            input,
            format,
            buffer: Vec::new(),
            at: 0,
            ended: false,
            read: 0,
            lines: 0,
            entries: 0,
            raw: false,
            notes: Notes::default(),
            decoded: Vec::new(),
        }
    }

    /// Uses the bytes of the file unchanged, whatever they look like.
    pub(crate) fn raw(self, raw: bool) -> Self {
        Self { raw, ..self }
    }

    /// The notes so far.
    pub(crate) fn notes(&self) -> Notes {
        self.notes
    }

    /// The next block; `None` at the end. After an error, the entries before it have been handed out.
    pub(crate) fn next(&mut self) -> Result<Option<Block>, Broken> {
        let mut block = Vec::new();
        let mut entries = 0;
        loop {
            let taken = self.take(&mut block);
            match taken {
                Ok(true) => {
                    entries += 1;
                    if block.len() < BLOCK {
                        continue;
                    }
                }
                Ok(false) if !self.ended => {
                    self.fill()?;
                    continue;
                }
                Ok(false) => {}
                // The error comes again at the next call, after the good entries.
                Err(_) if entries > 0 => {}
                Err(broken) => return Err(broken),
            }
            self.entries += entries;
            return Ok((entries > 0).then(|| Block {
                bytes: block.into(),
                entries,
                read: self.read,
            }));
        }
    }

    /// Moves one entry into the block; `false` when more must be read for that, or nothing is left. An error takes nothing.
    fn take(&mut self, block: &mut Vec<u8>) -> Result<bool, Broken> {
        if block.capacity() == 0 {
            block.reserve(BLOCK + 2 + MAX_ENTRY);
        }
        match self.format {
            Format::Bundle => self.take_encoded(block),
            Format::Lines | Format::Ndjson => self.take_line(block),
        }
    }

    fn take_line(&mut self, block: &mut Vec<u8>) -> Result<bool, Broken> {
        loop {
            let rest = &self.buffer[self.at..];
            let (line, length) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], end + 1),
                None if self.ended && !rest.is_empty() => (rest, rest.len()),
                None if rest.len() > MAX_LINE => {
                    if self.lines == 0 && !self.raw {
                        plain(&rest[..MAX_LINE], self.format)?;
                    }
                    return Err(Broken::Line {
                        line: self.lines + 1,
                        what: format!("longer than {MAX_LINE} bytes"),
                    });
                }
                None => return Ok(false),
            };
            let wrong = |what: String| Broken::Line {
                line: self.lines + 1,
                what,
            };
            if self.lines == 0 && !self.raw {
                plain(line, self.format)?;
            }
            if line.is_empty() {
                self.notes.empty += 1;
            } else if self.format == Format::Lines {
                push(block, line).map_err(wrong)?;
                self.notes.returns += u64::from(line.ends_with(b"\r"));
            } else {
                decode(line, &mut self.decoded).map_err(wrong)?;
                push(block, &self.decoded).map_err(wrong)?;
            }
            let found = !line.is_empty();
            self.lines += 1;
            self.at += length;
            self.read += length as u64;
            if found {
                return Ok(true);
            }
        }
    }

    fn take_encoded(&mut self, block: &mut Vec<u8>) -> Result<bool, Broken> {
        let rest = &self.buffer[self.at..];
        if self.read == 0 && !self.raw && (rest.len() > MAGIC || self.ended) {
            plain(rest, self.format)?;
        }
        let whole = rest
            .split_first_chunk::<2>()
            .and_then(|(length, _)| rest.get(..2 + usize::from(u16::from_be_bytes(*length))));
        let wrong = |what: &str| Broken::Bundle {
            entry: self.entries + count(block),
            what: what.to_owned(),
        };
        match whole {
            Some([_, _]) => Err(wrong("it is empty; an entry has at least one byte")),
            Some(entry) => {
                block.extend_from_slice(entry);
                self.at += entry.len();
                self.read += entry.len() as u64;
                Ok(true)
            }
            None if self.ended && !rest.is_empty() => Err(wrong(
                "the file ends inside it; is a length wrong, or is this not bundle encoding?",
            )),
            None => Ok(false),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + READ, 0);
        let result = loop {
            match self.input.read(&mut self.buffer[have..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer
            .truncate(have + result.as_ref().copied().unwrap_or(0));
        self.ended = result? == 0;
        Ok(())
    }
}

fn push(block: &mut Vec<u8>, entry: &[u8]) -> Result<(), String> {
    let length = u16::try_from(entry.len()).map_err(|_| {
        format!(
            "the entry has {} bytes; it may have {MAX_ENTRY}",
            entry.len()
        )
    })?;
    if length == 0 {
        return Err("the entry is empty; it has at least one byte".into());
    }
    block.extend_from_slice(&length.to_be_bytes());
    block.extend_from_slice(entry);
    Ok(())
}

fn decode(line: &[u8], entry: &mut Vec<u8>) -> Result<(), String> {
    const FORM: &str = r#"each line is {"entry":"<base64>"}"#;
    if line.trim_ascii().first() != Some(&b'{') {
        return Err(format!("not a JSON object; {FORM}"));
    }
    let line: Line<'_> =
        serde_json::from_slice(line).map_err(|error| format!("{error}; {FORM}"))?;
    entry.clear();
    STANDARD
        .decode_vec(line.entry.as_ref(), entry)
        .map_err(|error| format!("`entry` is not base64: {error}"))
}

/// Entries in a block.
fn count(block: &[u8]) -> u64 {
    split(block, u64::MAX).1
}

/// The end of the first `entries` of a block, and how many there were.
pub(crate) fn split(block: &[u8], entries: u64) -> (usize, u64) {
    let (mut at, mut seen) = (0, 0);
    while seen < entries
        && let Some((length, _)) = block[at..].split_first_chunk::<2>()
    {
        at += 2 + usize::from(u16::from_be_bytes(*length));
        seen += 1;
    }
    (at.min(block.len()), seen)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.0.len().min(self.1).min(buffer.len());
            let (now, later) = self.0.split_at(size);
            buffer[..size].copy_from_slice(now);
            self.0 = later;
            Ok(size)
        }
    }

    /// Entries, empty lines, and how it ended.
    pub(in crate::import) fn read(
        file: &[u8],
        format: Format,
        drip: usize,
    ) -> (Vec<Vec<u8>>, u64, Option<String>) {
        let mut reader = Entries::new(Drip(file, drip), format);
        let (mut entries, mut before) = (Vec::new(), 0);
        let end = loop {
            match reader.next() {
                Ok(None) => break None,
                Err(broken) => break Some(broken.to_string()),
                Ok(Some(block)) => {
                    assert!(block.read >= before && block.read <= file.len() as u64);
                    before = block.read;
                    assert_eq!(count(&block.bytes), block.entries);
                    let mut rest = &block.bytes[..];
                    while !rest.is_empty() {
                        let (end, _) = split(rest, 1);
                        entries.push(rest[2..end].to_vec());
                        rest = &rest[end..];
                    }
                }
            }
        };
        if end.is_none() {
            let empty = reader.notes().empty;
            assert!(before + empty >= file.len() as u64);
        }
        (entries, reader.notes().empty, end)
    }

    #[test]
    fn every_form_gives_the_same_entries_however_it_is_read() {
        let entries: Vec<Vec<u8>> = (0..9000u32)
            .map(|n| format!("{n:0width$}", width = 1 + (n % 211) as usize).into_bytes())
            .chain([vec![b'x'; MAX_ENTRY]])
            .collect();
        let (mut lines, mut json, mut bundle) = (Vec::new(), Vec::new(), Vec::new());
        for entry in &entries {
            lines.extend_from_slice(entry);
            lines.push(b'\n');
            json.extend_from_slice(
                format!("{{\"entry\":\"{}\"}}\n", STANDARD.encode(entry)).as_bytes(),
            );
            push(&mut bundle, entry).unwrap();
        }
        for drip in [100, 4097, usize::MAX] {
            for (file, format) in [
                (&lines, Format::Lines),
                (&json, Format::Ndjson),
                (&bundle, Format::Bundle),
            ] {
                assert!(
                    read(file, format, drip) == (entries.clone(), 0, None),
                    "{format:?}"
                );
            }
            // Without the last newline too.
            let short = &lines[..lines.len() - 1];
            assert!(read(short, Format::Lines, drip) == (entries.clone(), 0, None));
        }
    }

    #[test]
    fn empty_lines_are_counted_not_written() {
        let (entries, empty, end) = read(b"\na\n\n\nb\r\n\n", Format::Lines, 1);
        assert_eq!(
            (entries, empty, end),
            (vec![b"a".to_vec(), b"b\r".to_vec()], 4, None)
        );
        assert_eq!(read(b"\n\n", Format::Lines, 5), (vec![], 2, None));
        assert_eq!(read(b"", Format::Bundle, 5), (vec![], 0, None));
    }

    #[test]
    fn what_is_wrong_is_named_after_what_was_good() {
        let long = [b"a\n", &vec![b'x'; MAX_ENTRY + 1][..], b"\n"].concat();
        let endless = [b"a\n", &vec![b'x'; MAX_LINE + 9][..]].concat();
        for (file, format, needle) in [
            (&long[..], Format::Lines, "line 2: the entry has 65536"),
            (&endless, Format::Lines, "line 2: "),
            (
                b"{\"entry\":\"YQ==\"}\n\n{\"entry\":\"YQ\"}\n",
                Format::Ndjson,
                "line 3: `entry` is not base64",
            ),
            (
                b"{\"entry\":\"YQ==\"}\n[1]\n",
                Format::Ndjson,
                "line 2: not a JSON object",
            ),
            (
                b"{\"entry\":\"YQ==\"}\n{\"entry\":\"\"}\n",
                Format::Ndjson,
                "line 2: the entry is empty",
            ),
            (
                b"\x00\x01a\x00\x00",
                Format::Bundle,
                "entry 1 (entries count from 0): it is empty",
            ),
            (
                b"\x00\x01a\x00\x05bc",
                Format::Bundle,
                "entry 1 (entries count from 0): the file ends",
            ),
            (
                b"\x00\x01a\x00",
                Format::Bundle,
                "entry 1 (entries count from 0): the file ends",
            ),
        ] {
            for drip in [3, usize::MAX] {
                let (entries, _, end) = read(file, format, drip);
                assert_eq!(entries, [b"a"], "{needle}");
                let end = end.unwrap();
                assert!(end.contains(needle), "{end}");
            }
        }
    }
}
