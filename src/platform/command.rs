//! Short commands whose answer is wanted: bounded in time and in bytes, with an environment of their own, and as
//! another user where root asks for that. Agents and hosts are started elsewhere.

use crate::platform::account::Account;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of an answer that are read; what is beyond is cut off.
const OUTPUT_BYTES_MAX: u64 = 256 * 1024;
/// Where the system's own programs are.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a command answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Whether its exit status was 0.
    pub success: bool,
    /// What it wrote to its standard output.
    pub text: String,
}

/// Runs a command to its end: standard output is the answer, the other two are /dev/null, the environment is PATH, a
/// plain locale and `vars`. With `account` it runs as that user with all their groups, which needs root.
///
/// # Errors
/// It cannot be started, or is not done after `limit`; then it is killed.
pub fn run(
    argv: &[&str],
    vars: &[(&str, &str)],
    account: Option<&Account>,
    limit: Duration,
) -> io::Result<Output> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", SYSTEM_PATH).env("LC_ALL", "C").envs(vars.iter().copied());
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(account) = account {
        become_user(&mut command, account);
    }
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // On a thread of its own, so that a command that writes much or for ever does not stop at a full pipe.
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still what it said.
        let _ = out.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        bytes
    });
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            // One that hangs in the kernel (a lost NFS server) cannot be waited for even then.
            let _ = child.kill();
            thread::spawn(move || child.wait());
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    };
    // Somebody it left behind may hold the pipe open.
    while !reader.is_finished() {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let bytes = reader.join().map_err(|_| io::ErrorKind::Other)?;
    Ok(Output { success: status.success(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Lets the command become a user before it begins. All three steps or none: a step that fails ends the child.
fn become_user(command: &mut Command, account: &Account) {
    let (uid, gid) = (account.uid, account.groups.first().copied().unwrap_or(account.uid));
    // macOS takes no more than 16 and knows the others from its directory.
    let most = if cfg!(target_os = "macos") { 16 } else { 65_536 };
    let groups: Vec<libc::gid_t> = account.groups.iter().copied().take(most).collect();
    let step = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: between fork and exec only system calls are made and nothing is allocated; `groups` was made before,
    // lives as long as the closure, and its length is its own.
    unsafe {
        command.pre_exec(move || {
            step(libc::setgroups(groups.len() as _, groups.as_ptr()))?;
            step(libc::setgid(gid))?;
            step(libc::setuid(uid))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::run;
    use crate::platform::account::Account;
    use std::io::ErrorKind;
    use std::path::PathBuf;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn the_answer_is_its_output_and_whether_it_succeeded() {
        let said = run(&["/bin/sh", "-c", "echo $WORD; exit 3"], &[("WORD", "yes")], None, LONG).unwrap();
        assert_eq!((said.success, said.text.as_str()), (false, "yes\n"));
        let none = run(&["/nonexistent/program"], &[], None, LONG).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_never_ends_is_given_up_and_what_never_stops_talking_is_cut_off() {
        for script in ["exec sleep 600", "(sleep 20) & exit 0"] {
            let late = run(&["/bin/sh", "-c", script], &[], None, Duration::from_millis(50)).unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
        }
        let much = run(&["/bin/sh", "-c", "yes | head -c 1000000"], &[], None, LONG).unwrap();
        assert_eq!(much.text.len(), 256 * 1024);
    }

    #[test]
    fn root_can_ask_as_somebody_else_with_their_groups() {
        if crate::platform::process::own_uid() != 0 {
            eprintln!("needs root: not run");
            return;
        }
        let account = Account {
            name: "ann".to_owned(),
            uid: 3_000_001,
            groups: vec![3_000_011, 3_000_012],
            home: PathBuf::from("/"),
            shell: PathBuf::new(),
        };
        let said = run(&["/bin/sh", "-c", "id -u; id -g; id -G"], &[], Some(&account), LONG).unwrap();
        assert_eq!(said.text, "3000001\n3000011\n3000011 3000012\n");
    }
}
