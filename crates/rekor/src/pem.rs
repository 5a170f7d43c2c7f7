//! PEM (RFC 7468) as Go's `encoding/pem` reads and writes it: a log keeps keys in the spelling that Rekor would keep.

use crate::base64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// What Go takes out of lines; it skips line ends as well.
const SPACE: [char; 2] = [' ', '\t'];

/// A block of PEM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Vec<u8>,
}

/// A line as Go's `getLine` reads it, without spaces and tabs at its end, and the text behind it.
fn line(text: &str) -> (&str, &str) {
    let (line, rest) = match text.split_once('\n') {
        Some((line, rest)) => (line.strip_suffix('\r').unwrap_or(line), rest),
        None => (text, ""),
    };
    (line.trim_end_matches(SPACE), rest)
}

/// The first block and the text behind it. Lines before it and its headers are skipped. Where Go would skip a broken block and read
/// the next one, there is none: nobody may find another key in a text than the one that was verified here. Versions of Go disagree about where
/// a block begins if the words that begin or end one stand in a comment, in a header or on one line, so such a text has no block either.
pub(crate) fn decode(text: &str) -> Option<(Block<'_>, &str)> {
    let begin = if text.starts_with(BEGIN) {
        0
    } else {
        text.find("\n-----BEGIN ")? + 1
    };
    let (first, mut body) = line(&text[begin + BEGIN.len()..]);
    let label = first.strip_suffix(DASHES)?;
    let mut has_headers = false;
    while let (header, rest) = line(body)
        && header.contains(':')
    {
        (body, has_headers) = (rest, true);
    }
    let (body, rest) = match body.strip_prefix(END) {
        Some(rest) if !has_headers => ("", rest),
        _ => body.split_once("\n-----END ")?,
    };
    let (end, rest) = line(rest.strip_prefix(label)?.strip_prefix(DASHES)?);
    if !end.is_empty() {
        return None;
    }
    let read = &text[..text.len() - rest.len()];
    if [BEGIN, END].map(|word| read.matches(word).count()) != [1, 1] {
        return None;
    }
    let der = base64::decode_standard(&body.replace(SPACE, ""))?;
    Some((Block { label, der }, rest))
}

/// Appends a block without headers.
pub(crate) fn encode(label: &str, der: &[u8], out: &mut String) {
    for part in [BEGIN, label, DASHES, "\n"] {
        out.push_str(part);
    }
    base64::encode_lines(der, out);
    for part in [END, label, DASHES, "\n"] {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_reads_what_go_reads() {
        let expected = Block {
            label: "PUBLIC KEY",
            der: b"key".to_vec(),
        };
        for text in [
            "-----BEGIN PUBLIC KEY-----\na2V5\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\r\na2 V5\r\n-----END PUBLIC KEY-----",
            "a comment\n-----BEGIN PUBLIC KEY----- \t\r\nProc-Type: 4\nX: y\r\n\na2\n\tV5\n-----END PUBLIC KEY----- \n",
        ] {
            assert_eq!(
                decode(text),
                Some((
                    Block {
                        label: expected.label,
                        der: expected.der.clone()
                    },
                    "",
                )),
                "{text}"
            );
        }
        for text in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN PUBLIC KEY-----\na2V5\n-----END CERTIFICATE-----\n",
            "-----BEGIN PUBLIC KEY-----\na2V5=\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\na2V5\n-----END PUBLIC KEY-----x\n",
            "x-----BEGIN PUBLIC KEY-----\na2V5\n-----END PUBLIC KEY-----\n",
            // Go skips these blocks.
            "-----BEGIN PUBLIC KEY-----\n\nX: y\na2V5\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\na2\u{c}V5\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\u{c}\na2V5\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nX: y\n-----END PUBLIC KEY-----\n",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    /// Each text holds the block `aaaa`, and some version of Go does not find it, or finds another one first.
    #[test]
    fn a_text_that_versions_of_go_read_differently_has_no_block() {
        let block = |key: &str| format!("-----BEGIN C-----\n{key}\n-----END C-----\n");
        let (a, b) = (block("aaaa"), block("bbbb"));
        let in_header = |word: &str| a.replacen('\n', &format!("\nX: {word}y\n"), 1);
        for text in [
            in_header(BEGIN) + &b,
            in_header(END) + &b,
            format!("a comment {BEGIN}x\n{a}"),
            format!("a comment {END}x\n{a}"),
            format!("{END}{b}{a}"),
            format!("-----END C-----\n{a}"),
        ] {
            assert_eq!(decode(&text), None, "{text}");
        }
        let (first, rest) = decode(&in_header(""))
            .map(|(block, rest)| (block.der, rest.to_owned()))
            .unwrap();
        assert_eq!((first.len(), rest.as_str()), (3, ""));
        assert_eq!(decode(&(a + &b)).unwrap().1, b);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der: Vec<u8>, rest in "[a-z]{0,5}") {
            let mut text = String::new();
            encode("CERTIFICATE", &der, &mut text);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            text.push_str(&rest);
            prop_assert_eq!(decode(&text), Some((Block { label: "CERTIFICATE", der }, rest.as_str())));
        }

        #[test]
        fn no_text_makes_the_reader_fall(text in "(-----(BEGIN|END) [A-Z]{0,2}(-----)?|[a-zA-Z=: \r\n]){0,12}") {
            let _ = decode(&text);
        }
    }
}
