//! A cable between two processes on this machine that can be cut: a TCP proxy.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::wait;

/// How a cable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Whole,
    /// Connections break, and new ones too.
    Cut,
    /// Connections stay and nothing passes.
    Silent,
}

/// A proxy to one address; it stands as long as the test process.
#[derive(Debug)]
pub struct Cable {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is: AtomicU8,
    /// Bytes that came back over it.
    answered: AtomicU64,
    /// It is cut when so many came back; 0: it is not.
    cut_at: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    fn is(&self) -> Is {
        match self.is.load(SeqCst) {
            0 => Is::Whole,
            1 => Is::Cut,
            _ => Is::Silent,
        }
    }
}

impl Cable {
    /// A whole cable to `to`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn to(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // A connection that can't be made is one that breaks.
                let _ = connect(near, to, &shared);
            }
        });
        Ok(Self { address, state })
    }

    /// Bytes that came back over it so far.
    pub fn answered(&self) -> u64 {
        self.state.answered.load(SeqCst)
    }

    /// Makes it whole, until so many bytes more have come back: then it is cut.
    pub fn cut_after(&self, bytes: u64) {
        self.set(Is::Whole);
        let at = self.answered() + bytes.max(1);
        self.state.cut_at.store(at, SeqCst);
    }

    /// Changes how it is; what is cut breaks at once.
    pub fn set(&self, is: Is) {
        self.state.cut_at.store(0, SeqCst);
        self.state.set(is);
    }
}

impl State {
    fn set(&self, is: Is) {
        let code = match is {
            Is::Whole => 0,
            Is::Cut => 1,
            Is::Silent => 2,
        };
        self.is.store(code, SeqCst);
        if is == Is::Cut {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            for stream in open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn connect(near: TcpStream, to: SocketAddr, state: &Arc<State>) -> Result<()> {
    if state.is() == Is::Cut {
        return Ok(());
    }
    let far = TcpStream::connect(to)?;
    {
        let mut open = state.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.extend([near.try_clone()?, far.try_clone()?]);
    }
    for (from, into, back) in [
        (near.try_clone()?, far.try_clone()?, false),
        (far.try_clone()?, near.try_clone()?, true),
    ] {
        let state = Arc::clone(state);
        std::thread::spawn(move || pass(from, into, back, &state));
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut into: TcpStream, back: bool, state: &State) {
    let mut buffer = [0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while state.is() == Is::Silent {
            wait::pause();
        }
        if back {
            let answered = state.answered.fetch_add(read as u64, SeqCst) + read as u64;
            let at = state.cut_at.load(SeqCst);
            if at != 0 && answered >= at {
                state.set(Is::Cut);
            }
        }
        if state.is() == Is::Cut || into.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
