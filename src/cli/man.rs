//! The man pages: one for the program and each of its commands, made from what the command line itself is read by,
//! and the runner's, which is written by hand.

use crate::cli::failure::Failure;
use clap_mangen::Man;
use std::path::Path;

/// The runner has no command line of clap's: it is small on purpose.
const RUNNER: &str = include_str!("../../etc/man/teleclaude-runner.8");

/// Writes every page into `folder`, which is made if it is missing.
pub fn write_all(command: clap::Command, folder: &Path) -> Result<(), Failure> {
    let wrote = |error| Failure::Local(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(wrote)?;
    for (name, page) in pages(command).map_err(Failure::Output)? {
        std::fs::write(folder.join(name), page).map_err(wrote)?;
    }
    Ok(())
}

/// The program's own page.
pub fn main_page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    page(&command).map_err(Failure::Output)
}

/// Two builds of one source are to be the same bytes. A blank, since an empty one would be left out and the version
/// take its place.
const NO_DATE: &str = " ";

/// File names and pages.
fn pages(command: clap::Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = vec![("teleclaude-runner.8".to_owned(), RUNNER.as_bytes().to_vec())];
    // Commands get their full names (`teleclaude-sessions-start`) by being built from the top.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        found.push((format!("{name}.1"), page(&command)?));
        open.extend(command.get_subcommands().filter(|below| !below.is_hide_set()).cloned());
    }
    Ok(found)
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source = format!("teleclaude {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).date(NO_DATE).source(source).manual("teleclaude").render(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::pages;
    use clap::CommandFactory as _;
    use std::collections::HashSet;

    #[test]
    fn every_command_has_its_page_and_hidden_ones_have_none() {
        let pages = pages(crate::cli::Cli::command()).unwrap();
        let names: HashSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), pages.len(), "no page is there twice: {names:?}");
        for name in
            ["teleclaude.1", "teleclaude-daemon.1", "teleclaude-sessions-start.1", "teleclaude-runner.8"]
        {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        assert!(!names.contains("teleclaude-man.1") && !names.contains("teleclaude-help.1"), "{names:?}");
        for (name, text) in &pages {
            let text = String::from_utf8(text.clone()).unwrap();
            for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
                assert!(text.contains(section), "{name} lacks {section}");
            }
            if name.ends_with(".1") {
                let version = concat!("\" \" \"teleclaude ", env!("CARGO_PKG_VERSION"), "\" teleclaude");
                assert!(text.contains(version), "{name}: {}", text.lines().nth(2).unwrap());
            }
        }
    }
}
