//! The commands people type.

/// Runs one command line to its end and gives the exit code.
pub fn main(args: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    // Before anything else is set up: an idle host is to stay small.
    if args.skip(1).eq(["session-host"]) {
        return crate::host::main();
    }
    std::process::ExitCode::FAILURE
}
