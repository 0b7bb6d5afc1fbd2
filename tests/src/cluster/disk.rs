//! A small disk of its own for a data directory, which can be filled: a tmpfs. It needs root, and is unmounted when dropped;
//! what a killed test has left is unmounted when the next one is made, and is known by its name.

use std::path::{Path, PathBuf};
use std::process::Command;

const PREFIX: &str = "samovar-test-disk-";

/// A disk. Dropping it unmounts it: whoever uses it must have ended.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// An empty one of so many MiB.
    ///
    /// # Errors
    /// With the reason why there can be none here.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting needs root".to_owned());
        }
        unmount_stale();
        let made =
            (0..1000).map(|number| std::env::temp_dir().join(format!("{PREFIX}{}-{number}", std::process::id())));
        let path = made.into_iter().find(|path| std::fs::create_dir(path).is_ok()).ok_or("no directory can be made")?;
        let size = format!("size={mebibytes}m,mode=0700");
        let mounting = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        let disk = Self { path };
        match mounting {
            Ok(output) if output.status.success() => Ok(disk),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(format!("`mount`: {error}")),
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.filling()).expect("one file more");
        // It ends with an error: that there is no room.
        let ended = std::io::copy(&mut std::io::repeat(0), &mut file);
        assert_eq!(ended.expect_err("a tmpfs has a size").kind(), std::io::ErrorKind::StorageFull);
    }

    /// The end of [`Self::fill`].
    pub fn free(&self) {
        std::fs::remove_file(self.filling()).expect("it was filled");
    }

    fn filling(&self) -> PathBuf {
        self.path.join("filling")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

fn unmount(path: &Path) {
    drop(Command::new("umount").arg("--lazy").arg(path).output());
    drop(std::fs::remove_dir(path));
}

fn unmount_stale() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            unmount(path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use super::*;

    #[test]
    fn a_disk_is_full_until_it_is_freed_and_gone_when_dropped() {
        let disk = match Disk::mount(4) {
            Ok(disk) => disk,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        let (path, file) = (disk.path().to_owned(), disk.path().join("file"));
        disk.fill();
        assert!(std::fs::write(&file, "x").is_err());
        disk.free();
        std::fs::write(&file, "x").unwrap();
        drop(disk);
        assert!(!path.exists());
    }
}
