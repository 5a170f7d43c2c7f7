//! Checks that a file has the expected form. A file that looks like a mistake (compressed, another encoding, other line ends) is refused
//! before its entries are in the log forever.

use super::entries::{Broken, Format};

/// Length of the longest file signature.
pub(super) const MAGIC: usize = 6;

/// Refuses a beginning of at most [`MAGIC`] bytes that shows another form.
pub(super) fn plain(beginning: &[u8], format: Format) -> Result<(), Broken> {
    const COMPRESSED: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "the file is compressed (gzip)"),
        (b"\x28\xb5\x2f\xfd", "the file is compressed (zstd)"),
        (b"\xfd7zXZ\0", "the file is compressed (xz)"),
        (b"BZh", "the file is compressed (bzip2)"),
        (b"PK\x03\x04", "the file is an archive (zip)"),
    ];
    let begins = |magic: &[u8]| beginning.starts_with(magic);
    // `BZh` can begin a line of text.
    let magic = COMPRESSED
        .iter()
        .find(|(magic, _)| begins(magic) && (*magic != b"BZh" || beginning.contains(&0)));
    if let Some((_, what)) = magic {
        return Err(Broken::Form {
            what,
            hint: "pass its content to the command, for example `zcat FILE | logctl import -`; --raw imports the bytes as they are",
        });
    }
    if format == Format::Bundle {
        return Ok(());
    }
    if begins(b"\xff\xfe") || begins(b"\xfe\xff") {
        return Err(Broken::Form {
            what: "the file is UTF-16 text",
            hint: "convert it first: `iconv -f UTF-16 -t UTF-8 FILE`; --raw takes the bytes as they are",
        });
    }
    if begins(b"\xef\xbb\xbf") {
        return Err(Broken::Form {
            what: "the file begins with a byte-order mark, which would be part of the first entry",
            hint: "take it out first: `tail -c +4 FILE`; --raw takes the bytes as they are",
        });
    }
    if format == Format::Lines && beginning.ends_with(b"\r") {
        return Err(Broken::Form {
            what: "the lines end with CR LF, so each entry would end with a carriage return",
            hint: "convert the file first: `tr -d '\\r' < FILE`; --raw takes the bytes as they are",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::entries::tests::read;
    use super::super::entries::{Entries, Notes};
    use super::*;

    #[test]
    fn a_file_that_is_not_what_it_was_taken_for_is_refused_before_its_first_entry() {
        let words: [(&[u8], Format, &str); 9] = [
            (b"one\r\ntwo\r\n", Format::Lines, "CR LF"),
            (b"\r\ntwo\r\n", Format::Lines, "CR LF"),
            (b"\xef\xbb\xbfone\n", Format::Lines, "byte-order mark"),
            (b"\xef\xbb\xbf{}\n", Format::Ndjson, "byte-order mark"),
            (b"\xff\xfeo\0n\0", Format::Lines, "UTF-16"),
            (b"\x1f\x8b\x08\0\0\0\0\0", Format::Lines, "gzip"),
            (b"\x1f\x8b\x08\0\0\0\0\0", Format::Bundle, "gzip"),
            (b"\x28\xb5\x2f\xfd\0\0\0\0", Format::Ndjson, "zstd"),
            (b"BZh91AY&SY\0\0", Format::Lines, "bzip2"),
        ];
        for (file, format, word) in words {
            for drip in [1, usize::MAX] {
                let (entries, _, end) = read(file, format, drip);
                assert!(entries.is_empty(), "{word}: {entries:?}");
                assert!(
                    end.as_ref().is_some_and(|end| end.contains(word)),
                    "{word}: {end:?}"
                );
            }
            let mut raw = Entries::new(file, format).raw(true);
            let first = raw.next();
            assert!(!matches!(first, Err(Broken::Form { .. })), "{word}");
        }
        // Later lines are used unchanged, and counted; text that only begins like another format is text.
        let mut mixed = Entries::new(&b"one\ntwo\r\nBZh\n"[..], Format::Lines);
        while mixed.next().unwrap().is_some() {}
        assert_eq!(
            mixed.notes(),
            Notes {
                empty: 0,
                returns: 1
            }
        );
        assert_eq!(read(b"BZh\n", Format::Lines, 1).0, vec![b"BZh".to_vec()]);
    }
}
