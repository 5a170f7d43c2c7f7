//! `logctl shard plan --announce`: publishes the key of the next shard and waits until clients can see it. `logctl shard rotate
//! --announce` does the same, waits until clients have fetched it, and rotates.
//!
//! Each step is seen from the server and from what is published, so a run continues where an earlier one stopped, on whichever machine.
//! What must never happen: a rotation to a shard whose key was not seen, or not for long enough. The server checks that by its own clock
//! when it rotates; this module only waits. It never publishes a file that lacks something from the published one; so it reads that one first.

mod base;
mod place;
mod publish;
mod settle;
mod target;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueHint;
use jiff::Timestamp;
use logconfig::{LogConfig, ShardState, Span};
use wire::routes::Name;
use wire::{AnnounceRequest, PlanRequest, RotateRequest, codes};

use super::show;
use crate::client::{Call, Deadline};
use crate::commands::change::{self, Consent, Trial};
use crate::commands::{Server, Session, document, now};
use crate::error::Error;
use crate::file::File;
use crate::report::Outcome;
use crate::unfinished::RequestFile;

use base::{Unread, Wanted};
use settle::{Settled, left, settles};
use target::{Look, Target, check_origin_form, nowhere, places, settle_time};

/// Pauses between looks double from the first to the last.
const SEEN_POLL_MIN: Duration = Duration::from_millis(500);
const SEEN_POLL_MAX: Duration = Duration::from_secs(30);
/// How often a shard is planned if others change the shards meanwhile.
const TRIES: usize = 8;

/// Flags that publish a shard's key before the shard opens.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AnnounceArgs {
    /// Publish the shard's key, and wait until it is seen at each --seen-at; the same command continues where an earlier run stopped
    #[arg(long, conflicts_with_all = ["dry_run", "idempotency_key"])]
    pub(crate) announce: bool,
    /// With --announce: write the trusted root with the shard's key to FILE
    #[arg(long, value_name = "FILE", requires = "announce", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// With --announce: the shell command that publishes the trusted root, which is the file $LOGCTL_TRUSTED_ROOT; each
    /// run of logctl starts it again until the key is seen
    #[arg(long, value_name = "COMMAND", requires = "announce", value_hint = ValueHint::CommandString)]
    exec: Option<String>,
    /// With --announce: where clients get the trusted root: the URL of the file, a TUF repository (a URL that ends with a slash, or a
    /// folder), or a file; can be repeated. The places where the key was seen before are looked at as well. It is seen if the served file
    /// has it; logctl does not verify TUF's signatures, clients do
    #[arg(long, value_name = "URL", requires = "announce", value_hint = ValueHint::Url)]
    seen_at: Vec<String>,
    /// With --announce: the certificate authority of the --seen-at URLs, a PEM file, instead of the system's
    #[arg(long, value_name = "FILE", requires = "announce", value_hint = ValueHint::FilePath)]
    seen_ca: Option<PathBuf>,
    /// With --announce: a trusted root whose other content is kept, if the published one has nothing more (`-`: standard input)
    /// [default: the published one]
    #[arg(long, value_name = "FILE", requires = "announce", value_hint = ValueHint::FilePath)]
    merge: Option<File>,
    /// With --announce: if nothing is published yet, publish a trusted root with the keys of this log alone
    #[arg(long, requires = "announce", conflicts_with = "merge")]
    new_root: bool,
}

impl AnnounceArgs {
    /// Whether any flag is given that says how to announce.
    pub(super) fn is_meant(&self) -> bool {
        let ways = [&self.out, &self.seen_ca].map(Option::is_some);
        let files = [self.exec.is_some(), self.merge.is_some(), self.new_root];
        ways.contains(&true) || files.contains(&true) || !self.seen_at.is_empty()
    }
}

/// The end of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The key was seen at each place.
    Seen,
    /// The shard is open; the key settled for so long, if the command says it.
    Rotated(Option<Span>),
}

pub(super) async fn run(
    session: &Session<'_>,
    name: Option<String>,
    args: AnnounceArgs,
    until: Until,
) -> Result<Outcome, Error> {
    // A mistake in them is found before anything is planned.
    places(&args.seen_at, &args)?;
    let server = session.server()?;
    let log = server.log().await?;
    if !server.capabilities().await.announce {
        return Err(Error::Unsupported {
            address: server.admin.address(),
            what: "records of announced keys (--announce)",
        });
    }
    let merge = match &args.merge {
        Some(file) => Some(document::read(file).await?.1),
        None => None,
    };
    let announcing = Announcing {
        session,
        log,
        args,
        merge,
        is_named: name.is_some(),
    };
    let name = match (announcing.planned(name, until).await?, until) {
        (Planned::Waits(name), _) => name,
        (Planned::Sent(name, settle), _) => return announcing.rotate(&name, Some(settle)).await,
        // A run that is repeated after its rotation finds the shard open.
        (Planned::Open(name), Until::Rotated(_)) => return announcing.rotate(&name, None).await,
        (Planned::Open(name), Until::Seen) => {
            return Err(Error::Usage {
                message: format!("shard {name} is open already"),
                hint: "without a name, the next shard is announced".into(),
            });
        }
    };
    let target = Target::of(session, &announcing.log, name, until, &announcing.args).await?;
    announcing.until(target, until).await
}

enum Planned {
    Waits(String),
    Open(String),
    /// It is open, and an earlier run of the same command has sent the rotation to it without an answer, with this time to settle.
    Sent(String, Span),
}

struct Announcing<'a> {
    session: &'a Session<'a>,
    log: String,
    args: AnnounceArgs,
    merge: Option<String>,
    /// Whether the command names the shard.
    is_named: bool,
}

impl Announcing<'_> {
    /// The shard to announce; it is planned if there is none.
    async fn planned(&self, name: Option<String>, until: Until) -> Result<Planned, Error> {
        let mut moved = None;
        for _ in 0..TRIES {
            let server = self.session.server()?;
            // The next shard is the first planned one of the configuration, whose order a document may change.
            let running = server.admin.config(&self.log, server.deadline).await?;
            check_origin_form(&running.config)?;
            if let (None, Some(sent)) = (&name, self.sent(&server, &running.config, until)?) {
                return Ok(sent);
            }
            let mut shards = running.config.shards.iter();
            let found = match &name {
                Some(name) => shards.find(|shard| shard.name.as_str() == name),
                None => shards.find(|shard| shard.state == ShardState::Planned),
            };
            match found.map(|shard| (shard.state, shard.name.to_string())) {
                Some((ShardState::Planned, name)) => return Ok(Planned::Waits(name)),
                Some((ShardState::Active, name)) => return Ok(Planned::Open(name)),
                Some((ShardState::Frozen, name)) => {
                    return Err(Error::Usage {
                        message: format!("shard {name} is frozen, and stays so"),
                        hint: "`logctl shard list` shows the planned shards".into(),
                    });
                }
                None if self.args.seen_at.is_empty() => return Err(nowhere()),
                None => {}
            }
            let request = PlanRequest { name: name.clone() };
            let call = Call::new(Name::PlanShard, &self.log, &request)?;
            let question = format!("plan the next shard of {}, to announce its key?", self.log);
            match self.step(&server, call, question, Some(running.etag)).await {
                Ok(()) => self.session.ui.stepped(
                    format!("{}: the next shard was planned", self.log),
                    "run the same command again to continue",
                ),
                // Somebody else may have planned it.
                Err(Error::Problem(problem)) if problem.code == codes::STALE => {
                    moved = Some(problem);
                }
                Err(error) => return Err(error),
            }
        }
        Err(moved.map_or_else(
            || Error::Bug("a shard that was just planned no longer exists".into()),
            Error::Problem,
        ))
    }

    /// The open shard, if an earlier run has asked for the rotation to it and got no answer. A run without a name would take the next shard
    /// instead, and rotate twice.
    fn sent(
        &self,
        server: &Server,
        running: &LogConfig,
        until: Until,
    ) -> Result<Option<Planned>, Error> {
        let (Until::Rotated(asked), Some(open), Some(endpoint)) =
            (until, running.active(), &server.settings.admin)
        else {
            return Ok(None);
        };
        let settle = settle_time(asked, running);
        let call = self.rotation(open.name.as_str(), Some(settle))?;
        let context = server.settings.context.as_deref();
        let kept = RequestFile::of(&endpoint.address, context, &call.fingerprint()).find();
        let kept = kept.filter(|sent| sent.is_young(now()));
        Ok(kept.map(|_| Planned::Sent(open.name.to_string(), settle)))
    }

    /// How the work on this shard continues. Without a name, the same command continues with the next shard once this one is open.
    fn resume(&self, name: &str) -> String {
        match self.is_named {
            true => "run the same command again to continue".to_owned(),
            false => format!("run the same command again, with the name {name}, to continue"),
        }
    }

    /// A step that is a change, with its question. Any trouble ends the run.
    async fn step(
        &self,
        server: &Server,
        call: Call,
        question: String,
        base: Option<String>,
    ) -> Result<(), Error> {
        let consent = Consent {
            log: self.log.clone(),
            base,
            question: Some(question),
            typed: None,
            preview: self.session.ui.will_ask(),
            trial: Trial::default(),
        };
        let made = change::carry_out(self.session, server, call, consent).await?;
        made.trouble.map_or(Ok(()), Err)
    }

    /// Looks, publishes, records and waits.
    async fn until(&self, mut target: Target, until: Until) -> Result<Outcome, Error> {
        let ui = self.session.ui;
        let name = target.name.clone();
        let (deadline, began) = (self.session.deadline(), Instant::now());
        let mut unread = Unread::default();
        let phase = ui.phase(&format!("looking for the key of shard {name}"));
        let mut shown = HashSet::new();
        let publishes = self.args.out.is_some() || self.args.exec.is_some();
        let mut published = !publishes;
        let mut pause = SEEN_POLL_MIN;
        loop {
            ui.stand(&format!("shard {name} still waits"), self.resume(&name));
            let look = target.look(deadline, began.elapsed()).await;
            let wanted = Wanted {
                unread: unread.after(&look.base, began.elapsed()),
                readable: &look.readable,
                ..self.wanted()
            };
            let mut waits = "its key is not seen yet".to_owned();
            for (place, why) in &look.lacking {
                waits = format!("{waits}; {place}: {why}");
                if shown.insert((place.clone(), why.clone())) {
                    ui.line(&format!("{place}: {why}"));
                }
            }
            let mut at_least = None;
            if look.lacking.is_empty() {
                self.record(&mut target).await?;
                if until == Until::Seen {
                    drop(phase);
                    return self.seen(&target).await;
                }
                match self.settled(&target).await? {
                    Settled::Yes => {
                        drop(phase);
                        return self.rotate(&name, Some(target.settle)).await;
                    }
                    Settled::Until(time, why) => {
                        at_least = time;
                        waits = why;
                        if shown.insert((String::new(), waits.clone())) {
                            ui.line(&waits);
                        }
                    }
                }
            } else {
                self.withdraw(&mut target, &look).await?;
                if !published && target.lacks(&look) {
                    match self.publish(&target, &look, wanted, deadline).await? {
                        None => (published, pause) = (true, SEEN_POLL_MIN),
                        Some(why) => {
                            waits = format!("{waits}; {why}");
                            if shown.insert((String::new(), why.clone())) {
                                ui.line(&why);
                            }
                        }
                    }
                }
            }
            phase.update(&waits);
            // The server decides by its own clock; this one only says whether waiting makes sense.
            let left = at_least.map(|time| left(time, Timestamp::now()));
            let too_late = left.is_some_and(|left| left > deadline.left());
            if too_late || !deadline.pause(left.unwrap_or(pause).min(pause)).await {
                if !published && target.has_nothing_to_begin_with(&look.base, wanted) {
                    return Err(Error::NothingPublished {
                        shard: name,
                        why: waits,
                    });
                }
                return Err(Error::Waits {
                    log: self.log.clone(),
                    shard: name,
                    why: waits,
                    unpublished: !publishes && !look.lacking.is_empty(),
                });
            }
            pause = (pause * 2).min(SEEN_POLL_MAX);
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            merge: self.merge.as_deref(),
            new_root: self.args.new_root,
            ..Wanted::default()
        }
    }

    /// Writes the trusted root and runs the command, or says why not. What is published must be known, or it would be lost.
    async fn publish(
        &self,
        target: &Target,
        look: &Look,
        wanted: Wanted<'_>,
        deadline: Deadline,
    ) -> Result<Option<String>, Error> {
        let root = match target.to_publish(&look.base, wanted)? {
            Ok(root) => root,
            Err(why) => return Ok(Some(why)),
        };
        for warning in root.warnings() {
            self.session.ui.warn(&warning.to_string());
        }
        let text = root.to_json();
        if let Some(path) = &self.args.out {
            publish::write(path, &text)?;
        }
        if let Some(command) = &self.args.exec {
            let _phase = self.session.ui.phase("publishing the trusted root");
            let about = [
                ("LOGCTL_LOG", self.log.as_str()),
                ("LOGCTL_SHARD", target.name.as_str()),
            ];
            let file = self.args.out.as_deref();
            publish::run(command, file, &text, about, deadline).await?;
        }
        Ok(None)
    }

    /// Reports to the server that the key was seen at places, or is gone from them.
    async fn report(&self, target: &Target, places: &[String], gone: bool) -> Result<(), Error> {
        let request = AnnounceRequest {
            shard: target.name.clone(),
            key: target.key.log_id().to_base64(),
            seen_at: places.to_owned(),
            gone,
        };
        let call = Call::new(Name::AnnounceShard, &self.log, &request)?;
        let server = self.session.server()?;
        let question = format!(
            "record that the key of shard {} {} {}?",
            target.name,
            if gone { "is gone from" } else { "was seen at" },
            places.join(", ")
        );
        self.step(&server, call, question, None).await
    }

    /// Records that the key is gone from places where it was seen, so that no rotation counts on them.
    async fn withdraw(&self, target: &mut Target, look: &Look) -> Result<(), Error> {
        let places = look.gone.iter();
        let places = places.filter(|place| target.recorded.contains(*place));
        let places: Vec<String> = places.cloned().collect();
        if !places.is_empty() {
            self.report(target, &places, true).await?;
            self.session.ui.stepped(
                format!("the key of shard {} was recorded as gone", target.name),
                &self.resume(&target.name),
            );
            for place in places {
                target.recorded.remove(&place);
                target.gone.insert(place, Timestamp::now());
            }
        }
        Ok(())
    }

    /// Records the places where it was seen.
    async fn record(&self, target: &mut Target) -> Result<(), Error> {
        let places = target.places.iter().map(|place| place.name.clone());
        let places: Vec<String> = places.collect();
        let new = places.iter().any(|place| !target.recorded.contains(place));
        if new || !target.gone.is_empty() {
            self.report(target, &places, false).await?;
            self.session.ui.stepped(
                format!("the key of shard {} was recorded as seen", target.name),
                &self.resume(&target.name),
            );
            target.recorded.extend(places);
            target.gone.clear();
            target.seen_since = Some(Timestamp::now());
        }
        Ok(())
    }

    /// The report of a shard whose key was seen.
    async fn seen(&self, target: &Target) -> Result<Outcome, Error> {
        let server = self.session.server()?;
        let shards = server.admin.log(&self.log, server.deadline).await?.shards;
        let shard = shards.into_iter().find(|shard| shard.name == target.name);
        match shard {
            // It was taken back meanwhile, or somebody else saw that the key is gone.
            Some(shard) if shard.announced.is_none() => Err(Error::Waits {
                log: self.log.clone(),
                shard: shard.name,
                why: "the server no longer has a record of its key".to_owned(),
                unpublished: false,
            }),
            Some(shard) => show::outcome(self.log.clone(), shard),
            None => Err(Error::NotFound {
                kind: "planned shard",
                name: target.name.clone(),
                known: Vec::new(),
            }),
        }
    }

    /// Asks the server whether the key has been seen for long enough.
    async fn settled(&self, target: &Target) -> Result<Settled, Error> {
        let server = self.session.server()?;
        let call = self.rotation(&target.name, Some(target.settle))?;
        match server.admin.preview(&call, None, server.deadline).await {
            Ok(_) => Ok(Settled::Yes),
            Err(Error::Problem(problem)) if problem.code == codes::INVALID => settles(problem),
            Err(error) if change::passes(&error) => Ok(Settled::Until(None, error.to_string())),
            Err(error) => Err(error),
        }
    }

    fn rotation(&self, name: &str, settle: Option<Span>) -> Result<Call, Error> {
        let request = RotateRequest {
            name: Some(name.to_owned()),
            force: false,
            settle,
        };
        Call::new(Name::RotateShard, &self.log, &request)
    }

    async fn rotate(&self, name: &str, settle: Option<Span>) -> Result<Outcome, Error> {
        let server = self.session.server()?;
        let question = format!(
            "rotate {}: freeze the active shard for good and open {name}?",
            self.log
        );
        let consent = Consent {
            log: self.log.clone(),
            base: None,
            question: Some(question),
            typed: None,
            preview: self.session.ui.will_ask(),
            trial: Trial::default(),
        };
        let call = self.rotation(name, settle)?;
        change::carry_out(self.session, &server, call, consent).await
    }
}
