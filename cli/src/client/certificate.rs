//! When a server's certificate ends (RFC 5280 section 4.1.2.5).
//!
//! Only the two dates are read, from bytes that the TLS library has already verified; anything unexpected gives no answer.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::{Admin, Deadline};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Admin {
    /// When the endpoint's certificate expires; `None` without TLS.
    pub(crate) async fn certificate_end(&self, deadline: Deadline) -> Option<Timestamp> {
        let request = self.http.get(format!("{}/whoami", self.base));
        let answer = self.send(request, deadline).await.ok()?.ok()?;
        let info = answer.extensions().get::<reqwest::tls::TlsInfo>()?;
        not_after(info.peer_certificate()?)
    }
}

fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut body, _) = element(certificate)?;
    if *body.first()? == VERSION {
        body = element(body)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        body = element(body)?.2;
    }
    let (SEQUENCE, validity, _) = element(body)? else {
        return None;
    };
    let (tag, text, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        // Years 50 to 99 are those of the last century.
        UTC_TIME if text >= "5" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(time.in_tz("UTC").ok()?.timestamp())
}

/// The first element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_real_certificates() {
        let key = rcgen::KeyPair::generate().unwrap();
        for year in [2027, 2049, 2050, 2400] {
            let mut params = rcgen::CertificateParams::new(vec!["log.example.org".into()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 3, 4);
            let der = params.self_signed(&key).unwrap();
            let end = not_after(der.der()).unwrap().to_string();
            assert_eq!(end, format!("{year}-03-04T00:00:00Z"));
            for length in 0..der.der().len() {
                not_after(&der.der()[..length]);
            }
        }
    }
}
