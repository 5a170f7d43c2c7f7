//! Full bundles of entries, compressed on the wire for clients that ask for it (C2SP tlog-tiles, tlog-mirror: "SHOULD").
//!
//! Only immutable objects that get smaller: hashes do not, and short bundles are sent as they are. What must never happen: reads take the
//! processor from writers. So one bundle is compressed at a time, on a thread of its own, and another client gets its bundle uncompressed
//! meanwhile.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use tlog::{TileKind, TilePath};
use tokio::sync::Semaphore;

/// Shorter bundles are sent as they are.
const WORTH: usize = 4 << 10;

/// Taken while a bundle is compressed.
static TURN: Semaphore = Semaphore::const_new(1);

/// Whether the client takes gzip (RFC 9110, section 12.5.3). A client that says nothing gets the stored bytes.
fn accepted(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).iter();
    let all = all.filter_map(|value| value.to_str().ok());
    let mut codings = all.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let gzip = name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip");
        let none = |part: &str| match part.split_once('=') {
            Some((q, weight)) if q.trim().eq_ignore_ascii_case("q") => weight
                .trim()
                .parse::<f32>()
                .is_ok_and(|weight| weight <= 0.0),
            _ => false,
        };
        gzip && !parts.any(none)
    })
}

/// The compressed bytes, if they are at least an eighth shorter.
fn compressed(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() <= bytes.len() - bytes.len() / 8).then(|| packed.into())
}

/// The answer with `tile`, which is whole, for a client that sent these headers.
pub async fn packed(
    mut response: Response<Bytes>,
    tile: TilePath,
    asked: &HeaderMap,
) -> Response<Bytes> {
    if tile.kind != TileKind::Entries || tile.is_partial() {
        return response;
    }
    // Set even if it is not compressed: a cache must not give this answer to every client.
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if response.body().len() < WORTH || !accepted(asked) {
        return response;
    }
    let Ok(turn) = TURN.try_acquire() else {
        return response;
    };
    let bytes = response.body().clone();
    #[expect(clippy::disallowed_methods, reason = "packing keeps a processor busy")]
    let packed = tokio::task::spawn_blocking(move || {
        // Kept by the thread: a client that hangs up makes no room for the next one.
        let _turn = turn;
        compressed(&bytes)
    });
    if let Ok(Some(packed)) = packed.await {
        *response.body_mut() = packed;
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_who_asks_for_gzip_gets_it() {
        for (values, expected) in [
            (&["gzip"][..], true),
            (&["br, GZIP;q=0.5"], true),
            (&["br", "x-gzip"], true),
            (&[], false),
            (&["*"], false),
            (&["identity"], false),
            (&["gzip;q=0"], false),
            (&["gzip; Q=0.000, br"], false),
            (&["gzipped"], false),
        ] {
            assert_eq!(accepted(&headers(values)), expected, "{values:?}");
        }
    }

    #[tokio::test]
    async fn full_bundles_that_get_shorter_are_compressed_and_nothing_else_is() {
        let text = Bytes::from(b"the same again ".repeat(2_000));
        // No shorter form of this is known.
        let noise: Vec<u8> = (0..600u32)
            .flat_map(|n| tlog::leaf_hash(&n.to_be_bytes()).0)
            .collect();
        let asked = headers(&["gzip"]);
        for (tile, bytes, varies, shorter) in [
            ("tile/entries/000", text.clone(), true, true),
            ("tile/entries/000", noise.into(), true, false),
            ("tile/entries/000", text.slice(..1000), true, false),
            ("tile/entries/000.p/7", text.clone(), false, false),
            ("tile/0/000", text.clone(), false, false),
        ] {
            let tile = tile.parse().unwrap();
            let answer = packed(Response::new(bytes.clone()), tile, &asked).await;
            assert_eq!(answer.headers().contains_key(VARY), varies, "{tile}");
            let coded = answer.headers().contains_key(CONTENT_ENCODING);
            assert_eq!(coded, shorter, "{tile} {}", bytes.len());
            let mut whole = Vec::new();
            if coded {
                let mut reader = flate2::read::GzDecoder::new(&answer.body()[..]);
                reader.read_to_end(&mut whole).unwrap();
            } else {
                whole.extend_from_slice(answer.body());
            }
            assert_eq!(whole, bytes);
            let plain = packed(Response::new(bytes.clone()), tile, &headers(&[])).await;
            assert_eq!(plain.headers().contains_key(VARY), varies, "{tile}");
            assert_eq!(*plain.body(), bytes);
        }
    }
}
