//! `cargo xtask simulate`: lives, one seed after the other, until one fails.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::life::{self, Outcome};
use simulation::plan::Plan;
use simulation::trace::Detail;
use simulation::{panics, shrink};

/// Lives of a whole system on one thread, in virtual time, with everything going wrong.
#[derive(Parser)]
struct Args {
    /// How many lives are simulated
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Live this one alone, and print its trace
    #[arg(long)]
    seed: Option<u64>,
    /// Stop after this many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// How many lives at a time [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Every operation of a store is in the trace
    #[arg(long)]
    whole: bool,
    /// The trace is printed as it grows, for a life that does not end
    #[arg(long)]
    follow: bool,
    /// Lives that may be tried to make a failing one smaller
    #[arg(long, default_value_t = 200)]
    shrink: usize,
    /// Continue after a failure
    #[arg(long)]
    keep_going: bool,
    /// Each seed is lived twice, and must leave the same trace
    #[arg(long)]
    twice: bool,
    /// The seeds of lives that failed once (seeds.txt)
    #[arg(long)]
    kept: bool,
    /// What the programs log, for example `engine=debug`
    #[arg(long)]
    log: Option<String>,
}

impl Args {
    fn detail(&self) -> Detail {
        match (self.follow, self.whole) {
            (true, _) => Detail::Follow,
            (false, true) => Detail::Steps,
            (false, false) => Detail::Events,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    panics::watch();
    if let Some(filter) = &args.log {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    }
    match args.seed {
        Some(seed) => one(seed, &args),
        None => many(&args),
    }
}

/// One life, with its trace.
fn one(seed: u64, args: &Args) -> ExitCode {
    let plan = Plan::of(seed);
    let outcome = life::live(plan.clone(), args.detail());
    let Some(violation) = &outcome.violation else {
        print(&outcome);
        return ExitCode::SUCCESS;
    };
    let smallest = shrink::shrink(plan, violation.rule, args.shrink);
    let outcome = life::live(smallest.clone(), args.detail());
    println!("{smallest:#?}");
    print(&outcome);
    ExitCode::FAILURE
}

fn print(outcome: &Outcome) {
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("{:?}, trace {:016x}", outcome.counts, outcome.hash.0);
    if let Some(violation) = &outcome.violation {
        println!("FAILED: {}: {}", violation.rule, violation.what);
    }
}

#[derive(Default)]
struct Totals {
    lives: u64,
    age: Duration,
    operations: u64,
    acked: u64,
    failed: Vec<u64>,
}

/// The seed in a line of seeds.txt.
fn seed_of(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.parse().ok()
}

/// Many lives, on all cores.
fn many(args: &Args) -> ExitCode {
    let began = Instant::now();
    let kept: Vec<u64> = include_str!("../seeds.txt")
        .lines()
        .filter_map(seed_of)
        .collect();
    let (first, count) = match args.kept {
        true => (0, kept.len() as u64),
        false => (args.from, args.seeds),
    };
    let (next, over) = (AtomicU64::new(first), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..args.threads.unwrap_or(cores) {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let late = args.seconds.is_some_and(|s| began.elapsed().as_secs() >= s);
                    let nth = next.fetch_add(1, Relaxed);
                    if late || nth >= first.saturating_add(count) {
                        return;
                    }
                    let listed = usize::try_from(nth).ok().and_then(|nth| kept.get(nth));
                    let seed = listed.copied().filter(|_| args.kept).unwrap_or(nth);
                    let outcome = life::live(Plan::of(seed), Detail::Events);
                    let mut failed = outcome.violation.clone();
                    if args.twice && life::live(Plan::of(seed), Detail::Events).hash != outcome.hash
                    {
                        failed = Some(simulation::judge::Violation {
                            rule: "a seed is one life",
                            what: "the second time it left another trace".to_owned(),
                        });
                    }
                    let mut totals = totals
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    totals.lives += 1;
                    totals.age += outcome.age;
                    totals.operations += outcome.hash.1;
                    totals.acked += outcome.counts.acked;
                    if let Some(violation) = failed {
                        println!("seed {seed} FAILED: {}: {}", violation.rule, violation.what);
                        totals.failed.push(seed);
                        over.store(!args.keep_going, Relaxed);
                    }
                }
            });
        }
    });
    let totals = totals
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} lives in {seconds:.1} s ({:.1}/s), {:.1} years, {} operations, {} acknowledged entries, {} failed",
        totals.lives,
        totals.lives as f64 / seconds,
        totals.age.as_secs_f64() / 31_557_600.0,
        totals.operations,
        totals.acked,
        totals.failed.len()
    );
    match totals.failed.last() {
        None => ExitCode::SUCCESS,
        Some(seed) => {
            println!("cargo xtask simulate --seed {seed}");
            ExitCode::FAILURE
        }
    }
}
