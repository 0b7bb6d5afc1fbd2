//! A wall clock that can be set, for one process alone. The kernel has one wall clock for the whole machine (a time
//! namespace shifts only the monotonic and the boot clock), and others use it, so it is not touched: a small library in C,
//! loaded into the process, adds what a file says. It needs a C compiler, which linking Rust needs as well.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of the processes that are started with [`Clock::env`].
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// A clock that is right. Its files lie in `dir`.
    ///
    /// # Errors
    /// With the reason why there can be none here.
    pub fn new(dir: &Path) -> Result<Self, String> {
        let clock = Self { library: dir.join("clock.so"), offset: dir.join("clock-offset") };
        let source = dir.join("clock.c");
        std::fs::write(&source, include_str!("clock.c")).map_err(|error| error.to_string())?;
        let mut compiling = Command::new("cc");
        compiling.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&clock.library).arg(&source);
        let output = compiling.output().map_err(|error| format!("no C compiler (`cc`): {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        clock.set(0);
        Ok(clock)
    }

    /// What a process needs in its environment to have this clock.
    pub fn env(&self) -> Vec<(String, String)> {
        let pair = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        vec![pair("LD_PRELOAD", &self.library), pair("CLOCK_OFFSET_FILE", &self.offset)]
    }

    /// Makes it wrong by so many seconds, at once and for all who have it.
    pub fn set(&self, seconds: i64) {
        // Written in place: they have it mapped.
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&self.offset);
        file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0)).expect("the directory is ours");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use super::*;

    #[test]
    fn one_process_has_another_time() {
        let dir = tempfile::TempDir::new().unwrap();
        let clock = Clock::new(dir.path()).unwrap();
        let asked = |clock: &Clock| {
            let output = Command::new("date").arg("+%s").envs(clock.env()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        let real = || {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            i64::try_from(since.as_secs()).unwrap()
        };
        assert!((asked(&clock) - real()).abs() < 60);
        for step in [3600, -86_400] {
            clock.set(step);
            assert!((asked(&clock) - real() - step).abs() < 60);
        }
    }
}
