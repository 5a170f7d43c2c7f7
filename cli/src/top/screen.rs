//! The terminal: draws on it, reads its keys, and restores it, however this ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::state::{Key, Sample, State};
use super::view;

/// How soon the thread that reads keys notices that it must end.
const NOTICE: Duration = Duration::from_millis(50);

/// A terminal that is drawn on; restored when dropped, and also on a panic, for which ratatui installs a hook.
struct Screen(ratatui::DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// An event at the terminal.
enum Happened {
    Pressed(Key),
    /// The terminal has another size.
    Resized,
}

/// A thread that listens until it is dropped.
struct Listener(Arc<AtomicBool>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Shows the state until the user ends it. `samples` delivers new samples; `chosen` gets the log to sample.
///
/// # Errors
/// When the terminal can't be drawn on.
pub(crate) async fn show(
    state: &mut State,
    mut samples: UnboundedReceiver<Result<Sample, String>>,
    mut chosen: impl FnMut(Option<&str>),
) -> io::Result<()> {
    // Set up before the terminal is drawn on, so that it is restored when a signal comes.
    let mut ended = std::pin::pin!(crate::interrupt::ended());
    let mut screen = Screen::open()?;
    let (mut happened, _listener) = listen();
    loop {
        screen.0.draw(|frame| view::draw(state, frame))?;
        tokio::select! {
            () = &mut ended => return Ok(()),
            sample = samples.recv() => match sample {
                Some(sample) => state.learn(sample),
                None => return Ok(()),
            },
            what = happened.recv() => match what {
                Some(Happened::Pressed(key)) => {
                    if !state.press(key) {
                        return Ok(());
                    }
                    chosen(state.chosen());
                }
                Some(Happened::Resized) => {}
                // Nobody is there any more.
                None => return Ok(()),
            },
        }
    }
}

fn listen() -> (UnboundedReceiver<Happened>, Listener) {
    let (sender, receiver) = unbounded_channel();
    let over = Arc::new(AtomicBool::new(false));
    let listener = Listener(Arc::clone(&over));
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let happened =
                match event::poll(NOTICE).and_then(|there| there.then(event::read).transpose()) {
                    Ok(Some(Event::Key(key))) => meaning(key).map(Happened::Pressed),
                    Ok(Some(Event::Resize(..))) => Some(Happened::Resized),
                    Ok(_) => None,
                    Err(_) => return,
                };
            if let Some(happened) = happened
                && sender.send(happened).is_err()
            {
                return;
            }
        }
    });
    (receiver, listener)
}

fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        // In raw mode Ctrl-C is a key like others.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Leave),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        KeyCode::Right | KeyCode::Down | KeyCode::Tab => Some(Key::Next),
        KeyCode::Left | KeyCode::Up | KeyCode::BackTab => Some(Key::Previous),
        _ => None,
    }
}
