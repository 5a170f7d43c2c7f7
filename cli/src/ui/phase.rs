//! The progress of a phase of the work.

use indicatif::{ProgressBar, ProgressStyle};

use crate::render;

/// A phase of the work that has not ended; over when dropped.
#[derive(Debug)]
pub struct Phase(pub(super) Option<ProgressBar>);

impl Phase {
    /// How many steps there are, from when that is known.
    pub fn total(&self, steps: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(steps);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {wide_msg} [{bar:20}] {human_pos}/{human_len}",
            ) {
                bar.set_style(style);
            }
        }
    }

    /// How many bytes there are, from when that is known.
    pub(crate) fn bytes(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(bytes);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {wide_msg} [{bar:20}] {binary_bytes}/{binary_total_bytes}",
            ) {
                bar.set_style(style);
            }
        }
    }

    /// Whether it is shown on a terminal.
    pub(crate) fn is_drawn(&self) -> bool {
        self.0.is_some()
    }

    /// The bar, for lines that must not be written into it.
    pub(crate) fn bar(&self) -> Option<ProgressBar> {
        self.0.clone()
    }

    /// How many are done.
    pub fn position(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    /// The current phase, on a terminal.
    pub fn update(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(render::clean(text));
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
