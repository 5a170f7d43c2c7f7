//! A life on a thread of its own, for one without a rule: it may panic, and it may spin and never give its thread back.

use std::sync::mpsc;
use std::time::Duration;

use crate::judge::{Counts, Violation};
use crate::life::{self, Outcome};
use crate::plan::Plan;
use crate::trace::Detail;

/// How long a life may take by the clock of this machine, which may be busy: a life takes seconds at most.
const LIFE_TIMEOUT: Duration = Duration::from_secs(600);

/// Lives a plan on another thread. A life that does not end is given up, and its thread with it: it ends with this process.
pub fn live(plan: Plan, detail: Detail) -> Outcome {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = tell.send(life::live(plan, detail));
    });
    match told.recv_timeout(LIFE_TIMEOUT) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let what = format!("it spins, {} s by now", LIFE_TIMEOUT.as_secs());
            fallen("a life ends", what)
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let why = thread.join().err();
            let why = why.and_then(|why| why.downcast::<String>().ok());
            fallen("nothing panics", why.map_or_else(String::new, |why| *why))
        }
    }
}

fn fallen(rule: &'static str, what: String) -> Outcome {
    Outcome {
        violation: Some(Violation { rule, what }),
        hash: (0, 0),
        age: Duration::ZERO,
        counts: Counts::default(),
        lines: Vec::new(),
    }
}
