//! `cargo xtask simulate`: lives, one seed after the other, until one fails.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use order::mutant::Mutant;
use simulation::life::Outcome;
use simulation::many::{self, Kind, Lives};
use simulation::trace::Detail;
use simulation::{mutants, panics, shrink};

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
    /// Lives in which secondaries and witnesses change, disks are lost and the log is restored
    #[arg(long)]
    members: bool,
    /// What the programs log, for example `engine=debug`
    #[arg(long)]
    log: Option<String>,
    /// Short lives: small windows of slots, eager writers, storms of events
    #[arg(long)]
    short: bool,
    /// Short lives without this rule
    #[arg(long, value_name = "NAME", value_parser = mutants::named)]
    mutant: Option<Mutant>,
    /// For each rule, short lives without it until one fails, and a table; with `--mutant`, for that one
    #[arg(long)]
    mutants: bool,
    /// With `--mutants`: only those that are found within a few lives
    #[arg(long)]
    quick: bool,
    /// The rules that can be left out
    #[arg(long)]
    list_mutants: bool,
}

impl Args {
    fn detail(&self) -> Detail {
        match (self.follow, self.whole) {
            (true, _) => Detail::Follow,
            (false, true) => Detail::Steps,
            (false, false) => Detail::Events,
        }
    }

    fn kind(&self) -> Kind {
        Kind {
            short: self.short,
            mutant: self.mutant,
            members: self.members,
        }
    }

    fn lives(&self) -> Lives {
        let kept = include_str!("../seeds.txt").lines().filter_map(seed_of);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Lives {
            kind: self.kind(),
            first: self.from,
            count: self.seeds,
            listed: self.kept.then(|| kept.collect()),
            most: self.seconds.map(Duration::from_secs),
            threads: self.threads.unwrap_or(cores),
            keep_going: self.keep_going,
            twice: self.twice,
        }
    }
}

/// The life in a line of seeds.txt: `SEED`, or `members:SEED` for one in which members change, or `short:SEED`.
fn seed_of(line: &str) -> Option<(u64, Kind)> {
    let word = line.split_whitespace().next()?;
    let (kind, seed) = word.split_once(':').unwrap_or(("", word));
    let kind = Kind {
        members: kind == "members",
        short: kind == "short",
        ..Kind::default()
    };
    Some((seed.parse().ok()?, kind))
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
    let good = match args.seed {
        _ if args.list_mutants => {
            for mutant in Mutant::ALL {
                println!("{:28} {}", mutant.name(), mutant.what());
            }
            true
        }
        _ if args.mutants => {
            let all = match (args.mutant, args.quick) {
                (Some(one), _) => vec![one],
                (None, true) => mutants::QUICK.to_vec(),
                (None, false) => Mutant::ALL.to_vec(),
            };
            mutants::table(&all, &args.lives())
        }
        Some(seed) => one(seed, &args),
        None => several(&args),
    };
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One life, with its trace.
fn one(seed: u64, args: &Args) -> bool {
    let plan = args.kind().plan(seed);
    let outcome = many::live(plan.clone(), args.detail());
    let Some(violation) = &outcome.violation else {
        print(&outcome);
        return true;
    };
    let smallest = shrink::shrink(plan, violation.rule, args.shrink);
    let outcome = many::live(smallest.clone(), args.detail());
    println!("{smallest:#?}");
    print(&outcome);
    false
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

/// Many lives, on all cores.
fn several(args: &Args) -> bool {
    let began = Instant::now();
    let totals = args.lives().live(|seed, violation| {
        println!("seed {seed} FAILED: {}: {}", violation.rule, violation.what);
    });
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} lives in {seconds:.1} s ({:.1}/s), {:.1} years, {} operations (at most {}, in {}), {} acknowledged entries, {} failed",
        totals.lives,
        totals.lives as f64 / seconds,
        totals.age.as_secs_f64() / 31_557_600.0,
        totals.operations,
        totals.longest.0,
        totals.longest.1,
        totals.acked,
        totals.failed.len()
    );
    let Some((seed, of, _)) = totals.failed.last() else {
        return true;
    };
    let mut kind = String::new();
    if of.short {
        kind += " --short";
    }
    if of.members {
        kind += " --members";
    }
    if let Some(mutant) = of.mutant {
        kind += &format!(" --mutant {}", mutant.name());
    }
    println!("cargo xtask simulate{kind} --seed {seed}");
    false
}
