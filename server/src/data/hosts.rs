//! Reads by host name: a log with `originForm: host` serves each shard under the shard's origin, as clients of Sigstore ask for it.
//!
//! `https://SHARD.ORIGIN/` and `https://SHARD.ORIGIN/api/v2/` have what `/{log}/{shard}/` has under any name. What must never happen: a
//! name that hides a path of the server itself.

use hyper::header::HOST;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Uri};
use logconfig::is_label;

use crate::readiness::Readiness;

/// Rekor's second API, which names its reads as the root does.
const V2: &str = "/api/v2";

/// The path below `/{log}/{shard}` of a read by host name. No log has the name of one of its first segments.
fn read(path: &str) -> Option<&str> {
    let path = path.strip_prefix(V2).unwrap_or(path);
    let below = path == "/checkpoint" || path == "/seal" || path.starts_with("/tile/");
    below.then_some(path)
}

/// The host that a request is for, in lower case, without its port and without the dot of the root.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let named = || headers.get(HOST)?.to_str().ok();
    let authority = uri.authority().map(|a| a.as_str()).or_else(named)?;
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    Some(host.to_ascii_lowercase())
}

/// The shard and the origin that a host names. The shard becomes part of a path, so it is one label.
fn named(host: &str) -> Option<(&str, &str)> {
    host.split_once('.').filter(|(shard, _)| is_label(shard))
}

/// The router's path for the request, if its host is the origin of a shard.
pub(super) fn target(readiness: &Readiness, uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let path = read(uri.path())?;
    let host = host(uri, headers)?;
    let (shard, origin) = named(&host)?;
    let log = readiness.engine()?.log_of_hosts(origin)?;
    let path = format!("/{}/{shard}{path}", log.name());
    Some(Uri::from(PathAndQuery::try_from(path).ok()?))
}

#[cfg(test)]
mod tests {
    use logconfig::{Algorithm, LogConfig, OriginForm};
    use tlog::{Checkpoint, VerifierKey};

    use super::*;
    use crate::testing::Server;

    #[tokio::test]
    async fn a_shard_is_read_by_its_origin() {
        let server = Server::start().await;
        let origin = "log.example.org".to_owned();
        let mut config = LogConfig::new("argon".parse().unwrap(), origin, "2026a".parse().unwrap());
        config.origin_form = OriginForm::Host;
        config.key.algorithm = Algorithm::EcdsaP256;
        config.shards[0].key = config.key;
        let caller = engine::testing::author();
        let created = server.engine.create_log_unaudited(config, caller);
        created.await.unwrap();
        let added = server
            .ask("POST /argon/add", "log-ack: published\r\n", b"x")
            .await;
        assert_eq!(added.status, 200);
        let listed = server.get_json("/argon/shards").await;
        let key = |name: &str| listed[0][name].as_str().unwrap().parse().unwrap();
        let keys: [VerifierKey; 2] = [key("vkey"), key("ecdsaVkey")];
        let host = "host: 2026a.log.example.org:8080\r\n";
        for before in ["", "/api/v2", "/argon/2026a"] {
            let get = async |path: &str, host: &str| {
                let reply = server.ask(&format!("GET {before}{path}"), host, b"").await;
                (reply.status, reply.body)
            };
            let (status, note) = get("/checkpoint", host).await;
            assert_eq!(status, 200, "{before}");
            let note = String::from_utf8(note).unwrap();
            let checkpoint = Checkpoint::open_all(&note, &keys.each_ref()).unwrap();
            assert_eq!(checkpoint.origin, "2026a.log.example.org");
            assert_eq!(
                get("/tile/entries/000.p/1", host).await,
                (200, b"\0\x01x".to_vec())
            );
            assert_eq!(get("/tile/0/000.p/1", host).await.0, 200);
            assert_eq!(get("/seal", host).await.0, 404);
            for other in [
                "2026b.log.example.org",
                "2026a.example.org",
                "a.example.org",
                "2026a",
            ] {
                let other = format!("host: {other}\r\n");
                let expected = if before == "/argon/2026a" { 200 } else { 404 };
                assert_eq!(
                    get("/checkpoint", &other).await.0,
                    expected,
                    "{before} {other}"
                );
            }
        }
        assert_eq!(server.ask("GET /healthz", host, b"").await.status, 200);
        assert_eq!(
            server.ask("GET /dev/a/checkpoint", host, b"").await.status,
            200
        );
    }

    #[test]
    fn only_what_a_shard_has_is_read_by_host() {
        for (path, below) in [
            ("/checkpoint", Some("/checkpoint")),
            ("/api/v2/checkpoint", Some("/checkpoint")),
            ("/api/v2/tile/entries/000", Some("/tile/entries/000")),
            ("/tile/0/000.p/1", Some("/tile/0/000.p/1")),
            ("/api/v2/api/v2/checkpoint", None),
            ("/api/v2", None),
            ("/dev/a/checkpoint", None),
            ("/healthz", None),
            ("/", None),
        ] {
            assert_eq!(read(path), below, "{path}");
        }
    }

    #[test]
    fn a_shard_of_a_host_is_one_label() {
        let origin = "log.example.org";
        for shard in ["a", "2026-b"] {
            let host = format!("{shard}.{origin}");
            assert_eq!(named(&host), Some((shard, origin)));
        }
        for shard in ["", "-a", "a/b", "a%2fb", "..", "a?", "a#", "a_b", "ä"] {
            assert_eq!(named(&format!("{shard}.{origin}")), None, "{shard}");
        }
    }

    #[test]
    fn a_host_has_no_port_and_no_case() {
        let headers = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, text.parse().unwrap());
            headers
        };
        let of = |uri: &str, text: &str| host(&uri.parse().unwrap(), &headers(text));
        assert_eq!(
            of("/x", "A.Example.org:8080").as_deref(),
            Some("a.example.org")
        );
        assert_eq!(of("/x", "a.example.org").as_deref(), Some("a.example.org"));
        assert_eq!(
            of("http://b.example.org:1/x", "a").as_deref(),
            Some("b.example.org")
        );
        for text in ["a.example.org.", "a.example.org.:80"] {
            assert_eq!(of("/x", text).as_deref(), Some("a.example.org"), "{text}");
        }
        assert_eq!(host(&"/x".parse().unwrap(), &HeaderMap::new()), None);
    }
}
