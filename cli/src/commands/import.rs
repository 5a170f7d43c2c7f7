//! `logctl import`: prepares an import, shows its progress, and reports where the entries are.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueHint;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use wire::data::Range;

use crate::auth::secret::Token;
use crate::client::transport;
use crate::commands::import_rekor::{self, ImportSource};
use crate::commands::{LogAddress, Session};
use crate::error::Error;
use crate::exit;
use crate::file::File;
use crate::import::UploadId;
use crate::import::entries::{Broken, Entries, Format, Notes};
use crate::import::feed::Feed;
use crate::import::meter::{Meter, Point, left};
use crate::import::send::{Failed, Sent, Target};
use crate::numbers::grouped;
use crate::report::{Block, Cell, Outcome, Page, Present};
use crate::settings::Address;
use crate::ui::{Phase, Ui};

/// The arguments of `logctl import`.
#[derive(Debug, PartialEq, Eq, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) source: Option<ImportSource>,
    /// File with the entries; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath, required = true)]
    pub(crate) file: Option<File>,
    /// Format of the file
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Format::Lines)]
    format: Format,
    /// Import the bytes as they are, even if lines end with CR LF or the file has a byte-order mark or looks compressed
    #[arg(long)]
    raw: bool,
    /// Urgency of the entries, from 0 (most urgent) to 7, which selects a tier of the log. By default the writer's first tier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=7))]
    priority: Option<u8>,
    /// Time by which the entries must be published: 5s, 24h, or 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    merge_by: Option<String>,
    /// Write only into this shard, and only while it is the active one
    #[arg(long, value_name = "NAME")]
    shard: Option<String>,
    /// File with the writer's token; must not be readable by others
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    writer_token_file: Option<PathBuf>,
    /// Continue an import that ended early; fails if the server does not know it
    #[arg(long, value_name = "ID")]
    resume: Option<UploadId>,
    /// Begin or continue the import with this ID: 32 random hex digits. By default a new ID
    #[arg(long, value_name = "ID", conflicts_with = "resume")]
    upload: Option<UploadId>,
    /// Address of the log for writers; by default the one in the context, else the one that the server names
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Rows of ranges in the table; JSON has all.
const SHOWN: usize = 10;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    log: String,
    url: String,
    /// Names the import: `--resume` continues it.
    upload: String,
    /// Whether the whole file is in the log.
    complete: bool,
    /// Entries of the file that are in the log, from its beginning.
    entries: u64,
    /// How many of them were there before this run.
    resumed_at: u64,
    /// Lines of the file without an entry.
    empty_lines: u64,
    seconds: f64,
    entries_per_second: u64,
    /// The tier that the server granted.
    tier: Option<String>,
    merge_by: Option<String>,
    /// The shard of the last entries.
    shard: Option<String>,
    ranges: Vec<Range>,
}

pub(super) async fn run(session: &Session<'_>, mut args: ImportArgs) -> Result<Outcome, Error> {
    if let Some(ImportSource::Rekor(args)) = args.source {
        return import_rekor::run(session, args).await;
    }
    let file = args.file.take().unwrap_or(File::Standard);
    let (input, bytes) = open(&file)?;
    let token = args
        .writer_token_file
        .as_deref()
        .map(Token::read)
        .transpose()?;
    let headers = headers(&args, token.as_ref())?;
    let place = session.place(args.url.clone()).await?;
    let named = args.resume.as_ref().or(args.upload.as_ref());
    let upload = match named {
        Some(id) => id.clone(),
        None => {
            UploadId::random().map_err(|error| Error::Bug(format!("no random numbers: {error}")))?
        }
    };
    let resume = format!(
        "run the same command with `--resume {}` to continue",
        upload.as_str()
    );
    session.enter()?;
    session.ui.confirm_if_protected(&format!(
        "import {} into {}/{}?",
        name(&file),
        place.url,
        place.log
    ))?;
    let target = target(&place, headers, upload)?;
    let refused_at = |failed, resume: &str| refused(failed, &place, resume);
    let refused = |failed| refused_at(failed, &resume);
    let mut sent = Sent::default();
    let mut known = 0;
    if named.is_some() {
        (known, sent.ranges) = target.progress().await.map_err(refused)?;
    }
    // The entries may be in the log although their positions are no longer kept: to begin again would double them.
    if let (Some(id), 0) = (&args.resume, known) {
        return Err(Error::NotFound {
            kind: "upload",
            name: id.as_str().to_owned(),
            known: Vec::new(),
        });
    }
    session
        .ui
        .stand("accepted entries stay in the log", resume.clone());
    let phase = session.ui.phase(&format!(
        "importing into {}/{} as {}",
        place.url,
        place.log,
        target.upload.as_str()
    ));
    let began = Instant::now();
    let entries = Entries::new(input, args.format).raw(args.raw);
    let feed = Arc::new(Mutex::new(Feed::new(entries, known)));
    let result = {
        let work = target.send(&feed, &mut sent, |text| session.ui.note(text));
        shown(work, &feed, session.ui, &phase, began, bytes).await
    };
    drop(phase);
    let took = began.elapsed();
    if let Err(failed) = result {
        let feed = feed.lock().await;
        let again = &resume;
        let (accepted, (reached, _)) = (feed.accepted(), feed.reached());
        let resume = match accepted {
            0 => format!(
                "run the same command with `--upload {}` to begin it again",
                target.upload.as_str()
            ),
            _ => format!("{} entries are in the log; {again}", grouped(accepted)),
        };
        // A proxy may have passed them on before it gave up.
        let lost = match &failed {
            Failed::Unreachable(_) => true,
            Failed::Refused { status, .. } => matches!(status, 502 | 504),
        };
        let is_open = lost && reached > accepted;
        let error = refused_at(failed, &resume);
        // Exit code 11 says that nothing was changed. The same command again would write these entries twice.
        if exit::row(&error).exit == exit::UNREACHABLE && (accepted > 0 || is_open) {
            let state = match accepted {
                0 => "entries were sent, and may be in the log".to_owned(),
                _ => format!("{} entries are in the log", grouped(accepted)),
            };
            let hint = match accepted {
                0 => resume,
                _ => format!("{again}: nothing is written twice"),
            };
            session.ui.made(state, hint);
        }
        return Err(error);
    }
    let mut feed = feed.lock().await;
    let (entries, missing) = (feed.accepted(), feed.missing());
    if missing > 0 {
        return Err(Error::Usage {
            message: format!(
                "the server has {known} entries of this import, and the file has {}",
                known - missing
            ),
            hint: "name the file that the import began with".into(),
        });
    }
    // Entries that were still on their way when an earlier run asked or broke off are in no answer to this run.
    if sent.ranges.iter().map(|range| range.entries).sum::<u64>() != entries {
        sent.ranges = target.progress().await.map_err(refused)?.1;
    }
    let (notes, broken) = match feed.take_end() {
        Some(Err(broken)) => (Notes::default(), Some(broken)),
        Some(Ok(notes)) => (notes, None),
        None => (Notes::default(), None),
    };
    if let Some(Broken::Form { what, hint }) = broken {
        return Err(Error::BadEntries {
            message: format!("{}: {what}; nothing was imported", name(&file)),
            hint: hint.to_owned(),
        });
    }
    if notes.returns > 0 && !args.raw {
        session.ui.warn(&format!(
            "{} of the entries end with a carriage return: some lines of the file end with CR LF",
            grouped(notes.returns)
        ));
    }
    let imported = Imported {
        log: place.log.clone(),
        url: place.url.clone(),
        upload: target.upload.as_str().to_owned(),
        complete: broken.is_none(),
        entries,
        resumed_at: known,
        empty_lines: notes.empty,
        seconds: took.as_secs_f64(),
        entries_per_second: ((entries - known) as f64 / took.as_secs_f64().max(1e-9)) as u64,
        tier: sent.tier,
        merge_by: sent.merge_by,
        shard: sent.shard,
        ranges: sent.ranges,
    };
    session.ui.made(
        format!("{} entries are in the log", grouped(entries)),
        format!("{resume}: nothing is written twice, and the answer has their indexes"),
    );
    let trouble = broken.map(|broken| Error::BadEntries {
        message: format!("{}: {broken}", name(&file)),
        hint: format!("the entries before it are in the log; correct the file there, and {resume}"),
    });
    Outcome::with_trouble(&imported, trouble)
}

/// Drives the work, and shows its progress: a bar on a terminal, elsewhere a line now and then.
async fn shown<T>(
    work: impl Future<Output = T>,
    feed: &Mutex<Feed>,
    ui: &Ui,
    phase: &Phase,
    began: Instant,
    bytes: Option<u64>,
) -> T {
    if let Some(bytes) = bytes {
        phase.bytes(bytes);
    }
    let every = if phase.is_drawn() {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(10)
    };
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut meter = Meter::default();
    meter.note(Point::default());
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = tick.tick() => {}
        }
        // While the feed waits for the file, there is nothing new to show.
        let Ok((accepted, (entries, read))) = feed
            .try_lock()
            .map(|feed| (feed.accepted(), feed.reached()))
        else {
            continue;
        };
        meter.note(Point {
            at: began.elapsed(),
            entries,
            bytes: read,
        });
        let (rate, time) = meter.pace(bytes);
        let mut text = format!(
            "{} entries accepted, {} sent, {}/s",
            grouped(accepted),
            grouped(entries),
            grouped(rate)
        );
        if let Some(time) = time {
            text.push_str(&format!(", {} left", left(time)));
        }
        if phase.is_drawn() {
            phase.position(read);
            phase.update(&text);
        } else {
            ui.line(&text);
        }
    }
}

/// The entries, and how many bytes they are, if known.
fn open(file: &File) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    let path = match file {
        File::Standard => return Ok((Box::new(std::io::stdin()), None)),
        File::Path(path) => path,
    };
    let unreadable = |source| Error::Read {
        what: path.display().to_string(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    let bytes = about.is_file().then_some(about.len());
    Ok((Box::new(file), bytes))
}

fn name(file: &File) -> String {
    match file {
        File::Standard => "standard input".into(),
        File::Path(path) => Path::display(path).to_string(),
    }
}

fn headers(args: &ImportArgs, token: Option<&Token>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let priority = args.priority.map(|urgency| format!("u={urgency}"));
    for (name, flag, value) in [
        ("priority", "--priority", &priority),
        ("merge-by", "--merge-by", &args.merge_by),
        ("log-shard", "--shard", &args.shard),
    ] {
        let Some(value) = value else { continue };
        let value = HeaderValue::from_str(value).map_err(|_| Error::Usage {
            message: format!("{flag}: `{}` can't be sent", value.escape_debug()),
            hint: "`logctl import --help` shows the valid values".into(),
        })?;
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Error::Bug("a token that can't be sent".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn target(place: &LogAddress, headers: HeaderMap, upload: UploadId) -> Result<Target, Error> {
    let base = place.url.trim_end_matches('/');
    let sound = Url::parse(base)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !sound {
        return Err(Error::Usage {
            message: format!("`{}` is not where a log can be written", place.url),
            hint: "write it as https://HOST:PORT or http://HOST:PORT, without the log's name"
                .into(),
        });
    }
    Ok(Target {
        http: transport(&Address::Url(base.to_owned()), place.ca.as_deref(), None)?,
        url: format!("{base}/{}/add-batch", place.log),
        headers,
        upload,
    })
}

fn refused(failed: Failed, place: &LogAddress, resume: &str) -> Error {
    match failed {
        Failed::Unreachable(cause) => Error::Unreachable {
            address: format!("{}/{}", place.url, place.log),
            cause,
            hint: format!(
                "is logd running there? `url` in the context (or --url) is where writers reach the log; {resume}"
            ),
        },
        Failed::Refused {
            status,
            code,
            detail,
        } => Error::WriteRefused {
            status,
            code,
            detail,
            resume: resume.to_owned(),
        },
    }
}

impl Present for Imported {
    const KIND: &'static str = "Import";

    fn page(&self) -> Page {
        let mut fields = vec![
            ("log", self.log.as_str().into()),
            ("import", self.upload.as_str().into()),
            ("tier", Cell::maybe(self.tier.as_deref())),
            ("merge by", Cell::maybe(self.merge_by.as_deref())),
        ];
        if self.empty_lines > 0 {
            fields.push(("empty lines", Cell::number(Some(self.empty_lines))));
        }
        let rows = self.ranges.iter().take(SHOWN).map(|range| {
            vec![
                Cell::number(Some(range.first)),
                Cell::number(Some(range.index)),
                Cell::number(Some(range.entries)),
            ]
        });
        let mut page = Page::new().with(Block::Fields(fields)).with(Block::Table {
            header: vec!["ENTRY", "INDEX", "ENTRIES"],
            rows: rows.collect(),
            spare: 0,
        });
        if self.ranges.len() > SHOWN {
            page = page.text(format!(
                "and {} more ranges; -o json has them all",
                self.ranges.len() - SHOWN
            ));
        }
        let new = self.entries - self.resumed_at;
        let before = match self.resumed_at {
            0 => String::new(),
            known => format!(", after the {} that were there", grouped(known)),
        };
        page.text(format!(
            "{} entries in {:.1} s, {}/s{before}",
            grouped(new),
            self.seconds,
            grouped(self.entries_per_second)
        ))
    }
}
