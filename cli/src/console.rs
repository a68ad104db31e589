//! Standard error: warnings, errors, summaries for people, and the progress bar.
//!
//! The only file that writes there. Nothing that happens to standard error can fail a run, and
//! nothing foreign reaches it unescaped.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::visible::Visible;

/// Standard error; clones share the progress bar.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bar: Option<ProgressBar>,
    /// A terminal whose cursor can be moved.
    moves: bool,
    colour: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let moves = stderr().is_terminal() && !dumb;
        Self { bar: None, moves, colour: moves && !is_set("NO_COLOR") }
    }

    /// The same with a progress bar, if standard error is a terminal. `total` is the work, if it
    /// is known.
    pub(crate) fn with_progress(mut self, total: Option<u64>) -> Self {
        if !self.moves {
            return self;
        }
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(total, target);
        let template = match total {
            Some(_) => "{bar:30} {percent:>3} %  {msg}  {eta} left",
            None => "{spinner}  {msg}  {elapsed}",
        };
        // The templates are constants; one that does not parse leaves the default style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▓░"));
        }
        self.bar = Some(bar);
        self
    }

    /// The same with a sign of life for work whose size is not known, if standard error is a
    /// terminal.
    pub(crate) fn with_spinner(self, what: &'static str) -> Self {
        let console = self.with_progress(None);
        if let Some(bar) = &console.bar {
            bar.set_message(what);
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        console
    }

    /// Moves the bar. The message is made only if somebody can see it.
    pub(crate) fn progress<S: Display>(&self, done: u64, message: impl FnOnce() -> S) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message().to_string());
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// A line for people.
    pub(crate) fn say(&self, text: impl Display) {
        self.line("", "", &text.to_string());
    }

    /// Something that deserves attention but fails nothing.
    pub(crate) fn warn(&self, text: impl Display) {
        self.line("33", "warning: ", &text.to_string());
    }

    /// Why the run failed.
    pub(crate) fn error(&self, text: impl Display) {
        self.line("31", "error: ", &text.to_string());
    }

    fn line(&self, colour: &str, label: &str, text: &str) {
        let text = Visible(text);
        let write = || {
            // There is nobody left to tell if this fails.
            let _ = if self.colour && !label.is_empty() {
                writeln!(stderr(), "\x1b[1;{colour}m{label}\x1b[0m{text}")
            } else {
                writeln!(stderr(), "{label}{text}")
            };
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Troubles of one kind: the first ten are told, the rest are counted.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    count: u64,
}

impl Troubles {
    const TOLD: u64 = 10;

    /// Counts one, and tells it if it is among the first.
    pub(crate) fn add(&mut self, console: &Console, text: impl Display) {
        self.count += 1;
        if self.count <= Self::TOLD {
            console.say(text);
        }
    }

    /// Counts troubles of which nothing more is known.
    pub(crate) fn add_untold(&mut self, count: u64) {
        self.count += count;
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Tells how many were not told one by one.
    pub(crate) fn finish(&self, console: &Console, what: &str) {
        if let Some(rest @ 1..) = self.count.checked_sub(Self::TOLD) {
            console.say(format!("... and {} more {what}", grouped(rest)));
        }
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Work a second, as a whole number; 0 for no time.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 12, 999, 1000, 10_911, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "999", "1,000", "10,911", "1,234,567"]);
    }
}
