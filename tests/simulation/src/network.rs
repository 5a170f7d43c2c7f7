//! The network between a log, its secondaries and its witnesses: requests are late, lost on the way there or back, or break at any byte.
//!
//! What must never happen here: a request of a dead process arrives after it was not sent, or one that a dead machine answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambient::testing::Moved;
use bytes::Bytes;
use engine::{PeerAnswer, PeerClient, PeerError, PeerLife, PeerRequest};
use futures_util::future::BoxFuture;
use logconfig::{LogConfig, SecondaryConfig};
use mirror::{COSIGNED, Ended, Mirror, Refusal};
use store::StoreError;
use tlog::mirror::{EntriesHead, INFO_TYPE};

use crate::copies::Copies;
use crate::judge::Judge;
use crate::peers::{Chosen, Peers, Way};
use crate::process::Process;
use crate::secondary::{self, Secondary};
use crate::witness::Witness;

/// The server and the peer between which nothing goes in a direction.
type Cut = (String, String, Way);

/// Everybody that a log sends requests to.
pub struct Network {
    /// The secondaries by their host.
    pub secondaries: Vec<Arc<Secondary>>,
    /// The witnesses by their host.
    pub witnesses: Vec<Witness>,
    /// The judge of what secondaries have.
    pub copies: Copies,
    peers: Peers,
    clock: Moved,
    cuts: Mutex<Vec<Cut>>,
}

impl Network {
    /// A network without partitions; none of the peers is started.
    pub fn new(peers: Peers, judge: &Arc<Judge>, clock: &Moved) -> Arc<Self> {
        let host = |name: &str| format!("{name}.example.net");
        let seed = |kind: u8, n: u32| [kind.wrapping_add(u8::try_from(n).unwrap_or(0)); 32];
        let secondaries = (0..peers.secondaries).map(|n| {
            let name = format!("secondary-{n}");
            let clocks = Moved::over(clock.time());
            Secondary::new(name.clone(), host(&name), seed(40, n), clocks)
        });
        let witnesses: Vec<_> = (0..peers.witnesses)
            .map(|n| {
                let name = format!("witness-{n}");
                let key = secondary::cosigner(&host(&name), &seed(80, n));
                Witness::new(name.clone(), host(&name), key, Arc::clone(judge))
            })
            .collect();
        let all = policy(&witnesses, Chosen::all(peers.witnesses, 1));
        Arc::new(Self {
            secondaries: secondaries.collect(),
            copies: Copies::new(Arc::clone(judge), &all),
            witnesses,
            peers,
            clock: clock.clone(),
            cuts: Mutex::default(),
        })
    }

    /// Names secondaries and witnesses in a document.
    pub fn describe(&self, config: &mut LogConfig) {
        config.merge.secondaries = self.config(self.peers.copies);
        config.merge.backup_quorum = self.peers.copies.quorum;
        config.witnesses.policy = self.policy(self.peers.cosigners);
    }

    /// These secondaries in a document.
    pub fn config(&self, chosen: Chosen) -> Vec<SecondaryConfig> {
        let all = self.secondaries.iter().enumerate();
        let named = all.filter(|(n, _)| chosen.has(*n));
        let config = named.filter_map(|(_, secondary)| {
            Some(SecondaryConfig {
                name: secondary.name.parse().ok()?,
                url: format!("http://{}", secondary.host),
                vkey: secondary.cosigner().verifier().to_string(),
            })
        });
        config.collect()
    }

    /// The policy of these witnesses.
    pub fn policy(&self, chosen: Chosen) -> String {
        policy(&self.witnesses, chosen)
    }

    /// The client of a process of this server.
    pub fn client(self: &Arc<Self>, server: &str, process: &Arc<Process>) -> Arc<dyn PeerClient> {
        Arc::new(Client {
            server: server.to_owned(),
            process: Arc::clone(process),
            network: Arc::clone(self),
        })
    }

    fn cuts(&self) -> std::sync::MutexGuard<'_, Vec<Cut>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes this way between a server and a peer, by its number.
    pub fn cut(&self, server: &str, peer: usize, way: Way) -> Option<Cut> {
        let hosts = self.secondaries.iter().map(|secondary| &secondary.host);
        let mut hosts = hosts.chain(self.witnesses.iter().map(|witness| &witness.host));
        let cut = (server.to_owned(), hosts.nth(peer)?.clone(), way);
        self.cuts().push(cut.clone());
        Some(cut)
    }

    /// Requests to this peer and its answers arrive again.
    pub fn heal(&self, cut: &Cut) {
        let mut cuts = self.cuts();
        if let Some(at) = cuts.iter().position(|known| known == cut) {
            cuts.remove(at);
        }
    }

    /// Every request and every answer arrives again.
    pub fn heal_all(&self) {
        self.cuts().clear();
    }

    fn goes(&self, server: &str, host: &str, way: Way) -> bool {
        let cut = |(from, to, of): &Cut| from == server && to == host && *of == way;
        !self.cuts().iter().any(cut)
    }

    async fn answer(self: Arc<Self>, host: String, message: Message) -> Answer {
        let second = self.clock.time().now_ms() / 1000;
        if let Some(witness) = self.witnesses.iter().find(|witness| witness.host == host) {
            return match message.broken {
                true => Err(broke()),
                false => Ok(witness.answer(&message.path, &message.body, second)),
            };
        }
        let found = self.secondaries.iter().find(|known| known.host == host);
        let refused = || PeerError::Unreachable("connection refused".to_owned());
        let secondary = found.ok_or_else(refused)?;
        let (process, mirror) = secondary.running().ok_or_else(refused)?;
        let working = async {
            process.until_running().await;
            let broken = message.broken;
            let answer = serve(&self.copies, secondary, &mirror, message).await;
            process.until_running().await;
            if broken { Err(broke()) } else { Ok(answer) }
        };
        tokio::select! {
            () = process.dead() => Err(broke()),
            answer = working => answer,
        }
    }
}

type Answer = Result<PeerAnswer, PeerError>;

fn broke() -> PeerError {
    PeerError::Unreachable("the connection broke".to_owned())
}

/// Lines of witnesses, of which so many are enough; nothing for none.
fn policy(witnesses: &[Witness], chosen: Chosen) -> String {
    use std::fmt::Write as _;
    let mut policy = String::new();
    let mut group = format!("group all {}", chosen.quorum);
    let all = witnesses.iter().enumerate();
    for (_, witness) in all.filter(|(n, _)| chosen.has(*n)) {
        let Witness {
            name,
            host,
            cosigner,
            ..
        } = witness;
        let _ = writeln!(
            policy,
            "witness {name} {} http://{host}",
            cosigner.verifier()
        );
        let _ = write!(group, " {name}");
    }
    if !policy.is_empty() {
        let _ = write!(policy, "{group}\nquorum all\n");
    }
    policy
}

/// A request as it arrives.
struct Message {
    path: String,
    body: Bytes,
    life: Option<PeerLife>,
    /// The connection broke after these bytes.
    broken: bool,
}

struct Client {
    server: String,
    process: Arc<Process>,
    network: Arc<Network>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.server)
    }
}

impl Client {
    async fn carry(&self, request: PeerRequest) -> Answer {
        let rates = self.process.rates();
        let rest = request.url.strip_prefix("http://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        self.process.wait(&rates).await;
        let (lost, mute, breaks, own, silent, late) = {
            let mut dice = self.process.dice();
            let lost = dice.chance(rates.network);
            let mute = dice.chance(rates.network);
            let breaks = dice.chance(rates.network);
            let late = dice.chance(rates.network).then(|| dice.span(1, 60_000));
            let own = dice.chance(500_000);
            (lost, mute, breaks, own, dice.chance(500_000), late)
        };
        let fails = async || {
            if silent {
                std::future::pending::<()>().await;
            }
            Err(broke())
        };
        if lost || !self.network.goes(&self.server, host, Way::Requests) {
            return fails().await;
        }
        let mut body = request.body.map_or(Bytes::new(), |(_, body)| body);
        let breaks = breaks && !body.is_empty();
        if breaks {
            let kept = self.process.dice().between(0, body.len() as u64 - 1);
            body.truncate(usize::try_from(kept).unwrap_or(0));
        }
        let message = Message {
            path: path.to_owned(),
            body,
            life: request.life,
            broken: breaks,
        };
        let (network, to) = (Arc::clone(&self.network), host.to_owned());
        let work = async move {
            tokio::time::sleep(late.unwrap_or(Duration::ZERO)).await;
            network.answer(to, message).await
        };
        // A peer ends what it has begun whether or not the client still waits; or it notices that it does not.
        let answer = match own {
            true => tokio::spawn(work)
                .await
                .map_err(|error| PeerError::Unreachable(error.to_string()))?,
            false => work.await,
        };
        if mute || !self.network.goes(&self.server, host, Way::Answers) {
            return fails().await;
        }
        self.process.wait(&rates).await;
        answer
    }
}

impl PeerClient for Client {
    fn send(&self, request: PeerRequest) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            self.process.until_running().await;
            let (timeout, url) = (request.timeout, request.url.clone());
            let carried = tokio::time::timeout(timeout, self.carry(request)).await;
            self.process.until_running().await;
            let answer = carried.unwrap_or(Err(PeerError::Timeout(timeout)));
            let how = match &answer {
                Ok(answer) => answer.words(),
                Err(error) => error.to_string(),
            };
            let process = &self.process;
            process.trace.step(&process.name, "ask", &url, &how);
            answer
        })
    }
}

/// What a secondary answers.
async fn serve(
    copies: &Copies,
    secondary: &Secondary,
    mirror: &Arc<Mirror>,
    message: Message,
) -> PeerAnswer {
    let incarnation = Some(mirror.incarnation().to_owned());
    let (mut heard, id) = (None, message.life.map_or(0, |life| life.id));
    let found = |found: Option<Bytes>| {
        let status = if found.is_some() { 200 } else { 404 };
        (status, String::new(), found.unwrap_or_default())
    };
    let path = message.path.as_str();
    let nothing = || (200, String::new(), Bytes::new());
    let served = match path {
        _ if message.broken && path != "add-entries" => Err(Refusal::Malformed("broken".into())),
        "add-checkpoint" => match std::str::from_utf8(&message.body) {
            Ok(body) => mirror.add_checkpoint(body, id).await.map(|()| nothing()),
            Err(error) => Err(Refusal::Malformed(error.to_string())),
        },
        "manifest" => {
            let entries = message.life.map(|life| life.entries);
            let taken = mirror.put_manifest(&message.body, entries).await;
            taken.map(|life| {
                secondary.told();
                heard = Some(life);
                nothing()
            })
        }
        "add-entries" => entries(copies, secondary, mirror, message, id).await,
        _ => page(mirror, path).await.map(found).map_err(Refusal::from),
    };
    let mut alarm = None;
    match &served {
        Err(Refusal::Superseded(life) | Refusal::Ahead(life) | Refusal::Outdated(life)) => {
            heard = Some(*life)
        }
        Err(Refusal::Alarm(raised)) => alarm = Some(raised.size),
        _ => {}
    }
    let (status, kind, body) = served.unwrap_or_else(|refusal| {
        let (status, kind, body) = refusal.answer();
        (status, kind.to_owned(), body.into())
    });
    PeerAnswer {
        status,
        kind,
        incarnation,
        alarm,
        life: heard,
        body,
    }
}

/// What readers of a secondary get.
async fn page(mirror: &Mirror, path: &str) -> Result<Option<Bytes>, StoreError> {
    match path.split_once('/') {
        Some(("manifest", hash)) => mirror.manifest(hash).await,
        Some((hash, "checkpoint")) => Ok(mirror.checkpoint(hash).await.map(Bytes::from)),
        Some((hash, COSIGNED)) => {
            let note = mirror.cosigned_checkpoint(hash).await?;
            Ok(note.map(Bytes::from))
        }
        Some((hash, tile)) => match tile.parse() {
            Ok(tile) => mirror.tile(hash, tile).await,
            Err(_) => Ok(None),
        },
        None => Ok(None),
    }
}

/// `add-entries`: what was proven before the connection broke is kept.
async fn entries(
    copies: &Copies,
    secondary: &Secondary,
    mirror: &Mirror,
    message: Message,
    life: u64,
) -> Result<(u16, String, Bytes), Refusal> {
    let malformed = |why: &str| Refusal::Malformed(why.to_owned());
    let head = EntriesHead::read(&message.body).map_err(|e| malformed(&e.to_string()))?;
    let (head, used) = head.ok_or_else(|| malformed("it ends inside its head"))?;
    let mut upload = mirror.begin(&head, life).await?;
    let mut rest = message.body.slice(used..);
    while !rest.is_empty() && upload.expects() > 0 {
        match upload.write(rest.clone()).await {
            Ok(0) => break,
            Ok(used) => rest = rest.slice(used..),
            Err(wrong @ (Refusal::Wrong(_) | Refusal::Malformed(_))) => {
                let _ = upload.end().await;
                return Err(wrong);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(match upload.end().await? {
        Ended::Cosigned(line) => {
            copies.cosigned(secondary, &head.origin, head.end);
            (200, String::new(), line.into())
        }
        Ended::Partial(info) => (202, INFO_TYPE.to_owned(), info.to_body().into()),
    })
}
