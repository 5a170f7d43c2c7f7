//! Packets (RFC 9580 section 4) and the numbers in them.

pub(super) const SIGNATURE: u8 = 2;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const MARKER: u8 = 10;
/// What a marker is.
pub(super) const MARK: &[u8] = b"PGP";
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;
pub(super) const PADDING: u8 = 21;
/// Readers skip packets of unknown types from this one on.
pub(super) const UNCRITICAL: u8 = 40;

/// Bytes that are too short for what they should be, or of a form that keys and signatures do not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) const TRUNCATED: Malformed = Malformed("invalid data: unexpected EOF");

/// A packet without its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn short(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    pub(super) fn long(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    /// A number of section 3.2, big-endian, without the zeros at its beginning.
    pub(super) fn number(&mut self) -> Result<&'a [u8], Malformed> {
        let bits = self.short()?;
        let number = self.take(bits.div_ceil(8))?;
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        Ok(&number[zeros..])
    }

    /// A number with the zeros at its beginning: a point of a curve, or the signature of RSA.
    pub(super) fn padded(&mut self) -> Result<&'a [u8], Malformed> {
        let bits = self.short()?;
        self.take(bits.div_ceil(8))
    }

    /// Checks that nothing is left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Malformed("invalid data: bytes behind the end of a packet")),
        }
    }

    /// The next packet; `None` at the end. Bodies of unknown length are for artifacts, which keys and signatures lack.
    pub(super) fn packet(&mut self) -> Result<Option<Packet<'a>>, Malformed> {
        const STREAMED: Malformed = Malformed("unsupported feature: packet of unknown length");
        if self.0.is_empty() {
            return Ok(None);
        }
        let header = self.byte()?;
        if header & 0x80 == 0 {
            return Err(Malformed("invalid data: tag byte does not have MSB set"));
        }
        let (tag, length) = if header & 0x40 == 0 {
            let length = match header & 3 {
                0 => usize::from(self.byte()?),
                1 => self.short()?,
                2 => self.long()?,
                _ => return Err(STREAMED),
            };
            ((header & 0x3f) >> 2, length)
        } else {
            let length = match usize::from(self.byte()?) {
                length @ ..192 => length,
                first @ 192..224 => ((first - 192) << 8) + usize::from(self.byte()?) + 192,
                224..255 => return Err(STREAMED),
                _ => self.long()?,
            };
            (header & 0x3f, length)
        };
        let body = self.take(length)?;
        Ok(Some(Packet { tag, body }))
    }
}

/// Appends a packet whose body is in parts.
pub(super) fn write(tag: u8, body: &[&[u8]], out: &mut Vec<u8>) {
    out.push(0xc0 | tag);
    let length = body.iter().map(|part| part.len()).sum();
    write_length(length, 8384, out);
    body.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends a length in one octet, in two if it is below a limit, or in five.
pub(super) fn write_length(length: usize, below: usize, out: &mut Vec<u8>) {
    // Nothing here is longer than a request.
    let long = u32::try_from(length).unwrap_or(u32::MAX);
    let [_, _, high, low] = long.wrapping_sub(192).to_be_bytes();
    match length {
        ..192 => out.push(long.to_be_bytes()[3]),
        _ if length < below => out.extend_from_slice(&[high + 192, low]),
        _ => {
            out.push(255);
            out.extend_from_slice(&long.to_be_bytes());
        }
    }
}
