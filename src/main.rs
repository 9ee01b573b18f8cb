//! The `teleclaude` binary: every role it has starts in [`teleclaude::cli`].

fn main() -> std::process::ExitCode {
    teleclaude::cli::main(std::env::args_os())
}
