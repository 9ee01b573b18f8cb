//! The `teleclaude-runner` binary: one call, as [`teleclaude::runner::serve`] has it.

fn main() -> std::process::ExitCode {
    teleclaude::runner::serve::main(std::env::args_os())
}
