//! The network between a log, its secondaries and its witnesses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::{PeerAnswer, PeerClient, PeerError, PeerLife, PeerRequest};
use futures_util::future::BoxFuture;
use mirror::{COSIGNED, Ended, Mirror, Refusal};
use tlog::mirror::{AddCheckpoint, EntriesHead, SIZE_TYPE};
use tlog::{Checkpoint, Cosigner, Note};

/// How the way to a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing arrives at the machine.
    Dead,
    /// It arrives, and the answer is lost.
    Mute,
    /// Nobody answers before the request's timeout.
    Silent,
    /// Entries do not arrive, all else does.
    Announced,
    /// The same, of one shard.
    Without(&'static str),
    /// It knows one shard no longer, and answers so.
    Retired(&'static str),
    /// Manifests are refused: another server of the log is said to have sent a newer one.
    Overtaken,
    /// Nobody answers who asks for a manifest.
    Untold,
}

/// A witness: keeps a size, and knows its logs by the origin only; without a list, all of them.
pub(crate) struct Witness {
    pub(crate) key: Cosigner,
    pub(crate) size: u64,
    pub(crate) knows: Option<Vec<String>>,
    /// The sizes by origin, of one that keeps them apart.
    pub(crate) apart: Option<BTreeMap<String, u64>>,
}

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) mirrors: Mutex<BTreeMap<String, Arc<Mirror>>>,
    pub(crate) witnesses: Mutex<BTreeMap<String, Witness>>,
    pub(crate) ways: Mutex<BTreeMap<String, Way>>,
    /// Third-party mirrors: they keep no manifest, and do not say which storage they have.
    pub(crate) foreign: Mutex<BTreeSet<String>>,
    /// The false answer of a machine to readers of a path; `None`: a proxy answers 404.
    spoilt: Mutex<BTreeMap<String, (String, Option<Bytes>)>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    pub(crate) fn set(&self, host: &str, way: Way) {
        self.ways.lock().unwrap().insert(host.to_owned(), way);
    }

    /// Gives a false answer to readers of paths with this end.
    pub(crate) fn spoil(&self, host: &str, end: &str, bytes: Bytes) {
        let mut spoilt = self.spoilt.lock().unwrap();
        spoilt.insert(host.to_owned(), (end.to_owned(), Some(bytes)));
    }

    /// A proxy answers readers of paths with this end, and finds nothing.
    pub(crate) fn hide(&self, host: &str, end: &str) {
        let mut spoilt = self.spoilt.lock().unwrap();
        spoilt.insert(host.to_owned(), (end.to_owned(), None));
    }

    pub(crate) fn unspoil(&self, host: &str) {
        self.spoilt.lock().unwrap().remove(host);
    }

    /// The answer that readers of a mirror get.
    async fn page(&self, host: &str, path: &str) -> PeerAnswer {
        let spoilt = self.spoilt.lock().unwrap().get(host).cloned();
        if let Some((_, body)) = spoilt.filter(|(end, _)| path.ends_with(end)) {
            return PeerAnswer {
                status: if body.is_some() { 200 } else { 404 },
                body: body.unwrap_or_default(),
                ..PeerAnswer::default()
            };
        }
        let mirror = self.mirrors.lock().unwrap().get(host).cloned().unwrap();
        let foreign = self.foreign.lock().unwrap().contains(host);
        let (hash, rest) = path.split_once('/').unwrap();
        let body = match (hash, rest) {
            ("manifest", _) | (_, COSIGNED) if foreign => None,
            ("manifest", hash) => mirror.manifest(hash).await.unwrap(),
            ("times", rest) => match rest.split_once('/') {
                Some((hash, bundle)) => mirror.times(hash, bundle.parse().unwrap()).await.unwrap(),
                None => {
                    let last = mirror.last_times(rest).await.unwrap();
                    last.map(|last| Bytes::from(last.to_string()))
                }
            },
            (hash, "checkpoint") => mirror.checkpoint(hash).await.map(Bytes::from),
            (hash, COSIGNED) => {
                let found = mirror.cosigned_checkpoint(hash).await;
                found.unwrap().map(Bytes::from)
            }
            (hash, tile) => mirror.tile(hash, tile.parse().unwrap()).await.unwrap(),
        };
        PeerAnswer {
            status: if body.is_some() { 200 } else { 404 },
            incarnation: (!foreign).then(|| mirror.incarnation().to_owned()),
            body: body.unwrap_or_default(),
            ..PeerAnswer::default()
        }
    }

    async fn answer(
        &self,
        host: &str,
        path: &str,
        body: Bytes,
        life: Option<PeerLife>,
    ) -> PeerAnswer {
        let text = String::from_utf8_lossy(&body).into_owned();
        if body.is_empty() {
            return self.page(host, path).await;
        }
        if let Some(witness) = self.witnesses.lock().unwrap().get_mut(host) {
            let message = AddCheckpoint::parse(&text).unwrap();
            let note = Note::parse(&message.checkpoint).unwrap();
            let Checkpoint { origin, size, .. } = Checkpoint::parse(note.text).unwrap();
            if witness
                .knows
                .as_ref()
                .is_some_and(|all| !all.contains(&origin))
            {
                return PeerAnswer {
                    status: 404,
                    body: "unknown log\n".into(),
                    ..PeerAnswer::default()
                };
            }
            let known = match &mut witness.apart {
                Some(apart) => apart.entry(origin).or_default(),
                None => &mut witness.size,
            };
            if message.old != *known {
                let body = format!("{known}\n").into();
                return PeerAnswer {
                    status: 409,
                    kind: SIZE_TYPE.into(),
                    body,
                    ..PeerAnswer::default()
                };
            }
            assert_eq!(
                message.proof.is_empty(),
                message.old == 0 || message.old == size
            );
            *known = size;
            let body = witness.key.cosign(note.text, 7).unwrap().into();
            return PeerAnswer {
                status: 200,
                body,
                ..PeerAnswer::default()
            };
        }
        let Some(mirror) = self.mirrors.lock().unwrap().get(host).cloned() else {
            return PeerAnswer {
                status: 404,
                ..PeerAnswer::default()
            };
        };
        let foreign = self.foreign.lock().unwrap().contains(host);
        if foreign && path == "manifest" {
            return PeerAnswer {
                status: 404,
                ..PeerAnswer::default()
            };
        }
        // Somebody else's does not know of lives.
        let id = life.map_or(0, |life| life.id);
        let mut heard = None;
        let result: Result<(u16, String, String), Refusal> = match path {
            "add-checkpoint" => mirror
                .add_checkpoint(&text, id)
                .await
                .map(|()| (200, String::new(), String::new())),
            "times" => mirror
                .put_times(&text)
                .await
                .map(|()| (200, String::new(), String::new())),
            "manifest" => mirror
                .put_manifest(&body, life.map(|life| life.entries))
                .await
                .map(|life| {
                    heard = Some(life);
                    (200, String::new(), String::new())
                }),
            "add-entries" => {
                async {
                    let (head, used) = EntriesHead::read(&body).unwrap().unwrap();
                    let mut upload = mirror.begin(&head, id).await?;
                    let mut rest = body.slice(used..);
                    while !rest.is_empty() {
                        let used = upload.write(rest.clone()).await?;
                        rest = rest.slice(used..);
                    }
                    Ok(match upload.end().await? {
                        Ended::Cosigned(line) => (200, String::new(), line),
                        Ended::Partial(info) => {
                            (202, tlog::mirror::INFO_TYPE.to_owned(), info.to_body())
                        }
                    })
                }
                .await
            }
            _ => unreachable!("{path}"),
        };
        if let Err(Refusal::Superseded(life) | Refusal::Ahead(life) | Refusal::Outdated(life)) =
            &result
        {
            heard = Some(*life);
        }
        let alarm = match &result {
            Err(Refusal::Alarm(alarm)) => Some(alarm.size),
            _ => None,
        };
        let (status, kind, body) = result.unwrap_or_else(|refusal| {
            let (status, kind, body) = refusal.answer();
            (status, kind.to_owned(), body)
        });
        let incarnation = (!foreign).then(|| mirror.incarnation().to_owned());
        PeerAnswer {
            status,
            kind,
            incarnation,
            alarm,
            life: heard,
            body: body.into(),
        }
    }
}

/// Whether a request to a secondary is about this shard.
fn concerns(path: &str, body: &Bytes, shard: &str) -> bool {
    let origin = match path {
        "add-entries" => EntriesHead::read(body).unwrap().unwrap().0.origin,
        "add-checkpoint" => {
            let message = AddCheckpoint::parse(std::str::from_utf8(body).unwrap()).unwrap();
            let note = Note::parse(&message.checkpoint).unwrap();
            Checkpoint::parse(note.text).unwrap().origin
        }
        _ => return false,
    };
    origin.ends_with(&format!("/{shard}"))
}

impl PeerClient for Network {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Result<PeerAnswer, PeerError>> {
        Box::pin(async move {
            let rest = request.url.strip_prefix("http://").unwrap();
            let (host, path) = rest.split_once('/').unwrap();
            let way = self
                .ways
                .lock()
                .unwrap()
                .get(host)
                .copied()
                .unwrap_or(Way::Open);
            let lost = || PeerError::Unreachable("cut".into());
            let body = request.body.map_or(Bytes::new(), |(_, body)| body);
            match way {
                Way::Dead => Err(lost()),
                Way::Announced if path == "add-entries" => Err(lost()),
                Way::Without(shard) if path == "add-entries" && concerns(path, &body, shard) => {
                    Err(lost())
                }
                Way::Overtaken if path == "manifest" => {
                    let mirror = self.mirrors.lock().unwrap().get(host).cloned();
                    Ok(PeerAnswer {
                        status: 409,
                        kind: SIZE_TYPE.to_owned(),
                        incarnation: mirror.map(|mirror| mirror.incarnation().to_owned()),
                        body: "1\n".into(),
                        ..PeerAnswer::default()
                    })
                }
                Way::Retired(shard) if concerns(path, &body, shard) => Ok(PeerAnswer {
                    status: 404,
                    body: "unknown log\n".into(),
                    ..PeerAnswer::default()
                }),
                Way::Silent => {
                    tokio::time::sleep(request.timeout).await;
                    Err(PeerError::Timeout(request.timeout))
                }
                Way::Untold if path.starts_with("manifest/") => {
                    tokio::time::sleep(request.timeout).await;
                    Err(PeerError::Timeout(request.timeout))
                }
                Way::Open
                | Way::Announced
                | Way::Without(_)
                | Way::Retired(_)
                | Way::Overtaken
                | Way::Untold => Ok(self.answer(host, path, body, request.life).await),
                Way::Mute => {
                    self.answer(host, path, body, request.life).await;
                    Err(lost())
                }
            }
        })
    }
}
