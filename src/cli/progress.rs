//! How far long work is, on one line of the other stream that is painted over and gone at the end. Shown only to
//! somebody who sits there, and only once the work takes a while.

use crate::cli::console::Console;
use std::time::{Duration, Instant};

/// Work that is done sooner shows nothing.
const AFTER: Duration = Duration::from_millis(500);
/// How often it is painted.
const EVERY: Duration = Duration::from_millis(100);
/// Cells of the bar.
const CELLS: u64 = 24;

/// The line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    next: Instant,
    /// What there is to be done in all, in bytes, if that is known.
    total: Option<u64>,
}

impl Progress {
    /// Begins; nothing is shown yet.
    pub fn new(total: Option<u64>, now: Instant) -> Self {
        Self { shown: false, next: now + AFTER, total }
    }

    /// So many bytes are done.
    pub fn tell(&mut self, console: &mut Console<'_>, done: u64, now: Instant) {
        if !console.interactive || now < self.next {
            return;
        }
        self.next = now + EVERY;
        self.shown = true;
        let line: String = line(done, self.total).chars().take(console.look.width.max(1) - 1).collect();
        let _ = write!(console.err, "\r\x1b[2K{line}");
        let _ = console.err.flush();
    }

    /// The line is taken away.
    pub fn end(&mut self, console: &mut Console<'_>) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(console.err, "\r\x1b[2K");
            let _ = console.err.flush();
        }
    }
}

fn line(done: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let full = done.min(total).saturating_mul(CELLS) / total;
            let bar: String = (0..CELLS).map(|cell| if cell < full { '#' } else { '.' }).collect();
            let percent = done.min(total).saturating_mul(100) / total;
            format!("[{bar}] {percent:3}%  {} of {}", size(done), size(total))
        }
        None => format!("{} so far", size(done)),
    }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = bytes.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::{line, size};

    #[test]
    fn what_is_shown() {
        assert_eq!(line(512, None), "512 B so far");
        assert_eq!(line(3 << 20, Some(6 << 20)), "[############............]  50%  3.0 MiB of 6.0 MiB");
        assert_eq!(line(9, Some(6)), "[########################] 100%  9 B of 6 B");
        assert_eq!(line(0, Some(0)), "0 B so far");
        assert_eq!(size(1_536), "1.5 KiB");
    }
}
