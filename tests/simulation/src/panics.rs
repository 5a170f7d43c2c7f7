//! Panics of the tasks of a life, which nobody else would hear of.

use std::cell::RefCell;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes panics instead of printing them, from now on and on every thread.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        FIRST.with_borrow_mut(|first| {
            first.get_or_insert(text);
        });
    }));
}

/// The first panic on this thread since this was last asked.
pub fn take() -> Option<String> {
    FIRST.take()
}
