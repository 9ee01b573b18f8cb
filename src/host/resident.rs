//! Giving back what only the start needed. A host runs a few of the many functions of this program, and there is one
//! host for each session; the kernel maps 64 KiB of the program around each function that was ever called.

/// Unmaps the pages of the program's code and constants; those that are needed again come back from the page cache.
/// Memory that was written to is left alone. What fails here costs memory and nothing else.
#[cfg(target_os = "linux")]
pub fn forget_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (first, last) in maps.lines().filter_map(unwritten) {
        // SAFETY: a private mapping of a file that was never writable holds nothing but the file's own bytes, and
        // is read from it again where it is touched. Nothing here holds a reference into it that a reread changes.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(first), last - first, libc::MADV_DONTNEED);
        }
    }
}

/// There is nothing like it elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn forget_code() {}

/// The bounds of a mapping of a file that was never written to, from a line of `/proc/PID/maps`: code, and the
/// read-only segment with which a program file begins. Other read-only data may have been relocated before it was made
/// read-only.
#[cfg(target_os = "linux")]
fn unwritten(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (first, last) = fields.next()?.split_once('-')?;
    let (mode, offset) = (fields.next()?, fields.next()?);
    let unwritten = mode == "r-xp" || (mode == "r--p" && offset.bytes().all(|digit| digit == b'0'));
    let file = fields.nth(2)?.starts_with('/');
    let bound = |text| usize::from_str_radix(text, 16).ok();
    (unwritten && file).then_some((bound(first)?, bound(last)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{forget_code, unwritten};

    #[test]
    fn only_what_was_never_written_to_is_given_back() {
        let line = "55a0-66b0 r-xp 0046d000 fe:00 5655877                    /usr/bin/teleclaude";
        assert_eq!(unwritten(line), Some((0x55a0, 0x66b0)));
        let constants = "55a0-66b0 r--p 00000000 fe:00 5655877                    /usr/bin/teleclaude";
        assert_eq!(unwritten(constants), Some((0x55a0, 0x66b0)));
        for other in [
            "55a0-66b0 r--p 0046d000 fe:00 5655877                    /usr/bin/teleclaude",
            "55a0-66b0 rw-p 0046d000 fe:00 5655877                    /usr/bin/teleclaude",
            "55a0-66b0 rwxp 0046d000 fe:00 5655877                    /usr/bin/teleclaude",
            "55a0-66b0 r-xp 00000000 00:00 0                          [vdso]",
            "55a0-66b0 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(unwritten(other), None, "{other}");
        }
    }

    #[test]
    fn the_program_goes_on() {
        let before =
            std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter_map(unwritten).count();
        forget_code();
        let after = std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter_map(unwritten).count();
        assert!(before > 1);
        assert_eq!(before, after);
    }
}
