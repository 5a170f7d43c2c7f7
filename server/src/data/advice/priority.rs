//! `Priority: u=3` (RFC 9218): a dictionary of structured fields (RFC 9651), of which only the urgency is for us.
//!
//! RFC 9218 has a server ignore what it cannot read. A log makes promises by this header, so it refuses a malformed one instead;
//! members that it does not know are skipped, since clients send `i` and others will come.

/// The fault, in words for a person.
pub(super) type Wrong = String;

/// The highest urgency number, which is the least urgent.
const LEAST_URGENT: i64 = 7;

/// Reads one line of the field. If a member comes twice, the last one counts, over all lines.
pub(super) fn read(line: &str, urgency: &mut Option<u8>) -> Result<(), Wrong> {
    let mut scan = Scan {
        rest: line.trim_matches([' ', '\t']).as_bytes(),
    };
    if scan.rest.is_empty() {
        return Ok(());
    }
    loop {
        let member = scan.member()?;
        if let Some(found) = member {
            *urgency = Some(found);
        }
        scan.skip(b" \t");
        if scan.rest.is_empty() {
            return Ok(());
        }
        if !scan.take(b',') {
            return Err("a comma must stand between two members".into());
        }
        scan.skip(b" \t");
        if scan.rest.is_empty() {
            return Err("nothing follows the last comma".into());
        }
    }
}

/// The value behind a member's name.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Integer(i64),
    Other,
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    /// One member; `Some` when it is the urgency.
    fn member(&mut self) -> Result<Option<u8>, Wrong> {
        let is_urgency = self.key()? == b"u";
        let value = if !self.take(b'=') {
            Value::Other
        } else if self.take(b'(') {
            self.inner_list()?
        } else {
            self.bare()?
        };
        self.parameters()?;
        match (is_urgency, value) {
            (false, _) => Ok(None),
            (true, Value::Integer(number @ 0..=LEAST_URGENT)) => Ok(u8::try_from(number).ok()),
            (true, Value::Integer(_)) => Err("u is from 0 (most urgent) to 7".into()),
            (true, Value::Other) => Err("u is a whole number from 0 (most urgent) to 7".into()),
        }
    }

    fn key(&mut self) -> Result<&[u8], Wrong> {
        let is_first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'*';
        if !self.rest.first().is_some_and(is_first) {
            return Err("a member begins with a lower-case name, as in u=3".into());
        }
        Ok(self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    fn parameters(&mut self) -> Result<(), Wrong> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare()?;
            }
        }
        Ok(())
    }

    /// Reads a list from behind its opening parenthesis.
    fn inner_list(&mut self) -> Result<Value, Wrong> {
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Ok(Value::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return Err("a list in parentheses is not closed".into());
            }
        }
    }

    fn bare(&mut self) -> Result<Value, Wrong> {
        match self.rest.first() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(b':') => {
                self.take(b':');
                self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.end(b':', "a byte sequence is not closed")
            }
            Some(b'?') => {
                self.take(b'?');
                if self.take(b'0') || self.take(b'1') {
                    Ok(Value::Other)
                } else {
                    Err("a boolean is ?0 or ?1".into())
                }
            }
            Some(b'*' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.run(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Ok(Value::Other)
            }
            Some(_) => Err("a member's value is not of a known form".into()),
            None => Err("a member has no value after its equals sign".into()),
        }
    }

    /// An integer of at most 15 digits, or a decimal of at most 12 and 3.
    fn number(&mut self) -> Result<Value, Wrong> {
        let wrong = || Err("a number is out of bounds or ends early".into());
        let negative = self.take(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return wrong();
        }
        let size = whole.len();
        let number = whole
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        if !self.take(b'.') {
            return Ok(Value::Integer(if negative { -number } else { number }));
        }
        if size > 12 || !(1..=3).contains(&self.run(|byte| byte.is_ascii_digit()).len()) {
            return wrong();
        }
        Ok(Value::Other)
    }

    fn string(&mut self) -> Result<Value, Wrong> {
        self.take(b'"');
        loop {
            self.run(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\');
            if !self.take(b'\\') {
                return self.end(b'"', "a string is not closed");
            }
            if !self.take(b'"') && !self.take(b'\\') {
                return Err("a string has a wrong escape".into());
            }
        }
    }

    fn end(&mut self, byte: u8, wrong: &str) -> Result<Value, Wrong> {
        if self.take(byte) {
            Ok(Value::Other)
        } else {
            Err(wrong.into())
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.run(|byte| bytes.contains(&byte));
    }

    /// The longest run of such bytes, which is taken.
    fn run(&mut self, is: impl Fn(u8) -> bool) -> &[u8] {
        let length = self.rest.iter().take_while(|byte| is(**byte)).count();
        let (run, rest) = self.rest.split_at(length);
        self.rest = rest;
        run
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Result<Option<u8>, Wrong> {
        let mut urgency = None;
        read(line, &mut urgency).map(|()| urgency)
    }

    #[test]
    fn urgency_is_found_among_what_is_not_for_us() {
        for (line, expected) in [
            ("u=0", Some(0)),
            ("u=7", Some(7)),
            ("  u=3 \t", Some(3)),
            ("u=3, i", Some(3)),
            ("i, u=3", Some(3)),
            ("i=?0;x=\"a, u=1\";y , \tu=2", Some(2)),
            ("u=5;why=because", Some(5)),
            ("u=1,u=6", Some(6)),
            ("a=(1 \"u=9\";q=:aGk=: tok/en);z, u=4", Some(4)),
            ("a=-12.125, b=*x, u=2", Some(2)),
            ("a=(), u=2", Some(2)),
            ("u=03", Some(3)),
            ("", None),
            ("i", None),
            ("uu=1, u-x=2", None),
        ] {
            assert_eq!(one(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, needle) in [
            ("u", "whole number"),
            ("u=?1", "whole number"),
            ("u=8", "from 0"),
            ("u=-1", "from 0"),
            ("u=3.0", "whole number"),
            ("u=high", "whole number"),
            ("u=\"3\"", "whole number"),
            ("u=(3)", "whole number"),
            ("u=", "no value"),
            ("u=3,", "last comma"),
            ("u=3 i", "comma"),
            ("U=3", "lower-case"),
            ("3", "lower-case"),
            (",u=3", "lower-case"),
            ("u =3", "whole number"),
            ("a =3", "comma"),
            ("u= 3", "known form"),
            ("u=1000000000000000", "out of bounds"),
            ("u=3;", "lower-case"),
            ("a=\"x, u=3", "not closed"),
            ("a=\"\\n\"", "escape"),
            ("a=(1", "not closed"),
            ("a=(1\"x\")", "not closed"),
            ("a=:xx, u=3", "not closed"),
            ("a=?2", "boolean"),
            ("a=1.", "ends early"),
            ("a=1.2345", "out of bounds"),
            ("a=-", "ends early"),
            ("a=@1", "known form"),
        ] {
            let wrong = one(line).unwrap_err();
            assert!(wrong.contains(needle), "{line}: {wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_only_urgencies_come_out(line in "[ -~\t]{0,40}") {
            if let Ok(Some(urgency)) = one(&line) {
                prop_assert!(urgency <= 7 && line.contains("u="));
            }
        }

        #[test]
        fn other_members_change_nothing(
            urgency in 0u8..8,
            before in "([a-t][a-z0-9_.*-]{0,5}(=(\\?[01]|-?[0-9]{1,9}|[a-z]{1,5}|\"[a-z ,=]{0,9}\"))?, ){0,3}",
            after in "(, [a-t]{1,5}(=[0-9]{1,5})?){0,3}",
        ) {
            prop_assert_eq!(one(&format!("{before}u={urgency}{after}")), Ok(Some(urgency)));
        }
    }
}
