//! Runs one command of a build. On a terminal its output is shown as it comes; otherwise it is kept, and shown when the
//! command fails.

use std::env;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};

use super::plan::Toolchain;
use crate::console::{Console, Paint};

/// What Rust is compiled for.
pub(super) const RUST_TARGET: &str = "wasm32-wasip2";

/// Runs a shell command in `dir`.
///
/// # Errors
/// When the toolchain is not installed, or the command fails.
pub(super) fn run(
    dir: &Path,
    command: &str,
    toolchain: Option<Toolchain>,
    console: &mut Console,
) -> anyhow::Result<()> {
    if let Some((program, remedy)) = toolchain.map(Toolchain::program)
        && command.contains(program)
        && !is_on_path(program)
    {
        bail!("`{program}` is not on the PATH: {remedy}");
    }
    let prompt = console.paint_note(Paint::Dim, format_args!("$ {command}"));
    console.note(prompt);
    let status = if io::stderr().is_terminal() { streamed(dir, command) } else { captured(dir, command, console) };
    let status = status.with_context(|| format!("cannot run `{command}`"))?;
    if status.success() {
        return Ok(());
    }
    if toolchain == Some(Toolchain::Cargo) && !has_rust_target(dir) {
        bail!(
            "`{command}` failed ({status}): Rust's {RUST_TARGET} target is missing; run `rustup target add {RUST_TARGET}`"
        );
    }
    bail!("`{command}` failed ({status})");
}

fn shell(dir: &Path, command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(dir).stdin(Stdio::null());
    shell
}

/// Both of the command's outputs go to our stderr: stdout is for our own data.
fn streamed(dir: &Path, command: &str) -> io::Result<ExitStatus> {
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    shell(dir, command).stdout(stderr).status()
}

fn captured(dir: &Path, command: &str, console: &mut Console) -> io::Result<ExitStatus> {
    // One pipe for both, so that the lines stand in the order in which they were written.
    let (mut reader, writer) = io::pipe()?;
    let mut child = {
        let mut shell = shell(dir, command);
        shell.stdout(writer.try_clone()?).stderr(writer).spawn()?
        // The parent's copies of the writing end go with `shell`; otherwise reading would never end.
    };
    let mut output = Vec::new();
    reader.read_to_end(&mut output)?;
    let status = child.wait()?;
    if !status.success() {
        console.note_raw(&output);
    }
    Ok(status)
}

fn is_on_path(program: &str) -> bool {
    let is_executable =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| is_executable(&dir.join(program))))
}

/// Whether the toolchain that the project uses has the target; true when it cannot be told.
fn has_rust_target(dir: &Path) -> bool {
    let print = ["--print", "target-libdir", "--target", RUST_TARGET];
    match Command::new("rustc").args(print).current_dir(dir).stderr(Stdio::null()).output() {
        Ok(output) if output.status.success() => Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Captured;

    #[test]
    fn a_failed_commands_output_is_shown_in_order() {
        let captured_output = Captured::default();
        let dir = tempfile::tempdir().unwrap();
        let mut console = captured_output.console();
        let status = captured(dir.path(), "echo one; echo two >&2; echo three; exit 3", &mut console).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(captured_output.notes(), "one\ntwo\nthree\n");
        assert_eq!(captured_output.out(), "");
    }

    #[test]
    fn a_commands_output_is_not_shown_when_it_succeeds() {
        let captured_output = Captured::default();
        let dir = tempfile::tempdir().unwrap();
        captured(dir.path(), "echo one", &mut captured_output.console()).unwrap();
        assert_eq!(captured_output.notes(), "");
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program-anywhere"));
    }
}
