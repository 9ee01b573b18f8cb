//! Progress bars on the terminal's other stream, for work that takes a while; nothing where nobody looks.

use crate::cli::console::Console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of `total` things, if somebody sits there.
pub fn bar(console: &Console<'_>, total: u64, what: &str) -> ProgressBar {
    shown(console, Some(total), "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}", what)
}

/// A count of things of which nobody knows how many there will be.
pub fn counter(console: &Console<'_>, what: &str) -> ProgressBar {
    shown(console, None, "{spinner} {msg} {human_pos} {per_sec}", what)
}

/// Bytes, of so many if that is known.
pub fn bytes(console: &Console<'_>, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{wide_bar} {binary_bytes}/{binary_total_bytes} {eta}",
        None => "{spinner} {binary_bytes} so far",
    };
    shown(console, total, template, "")
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

fn shown(console: &Console<'_>, total: Option<u64>, template: &str, what: &str) -> ProgressBar {
    if !console.interactive {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
