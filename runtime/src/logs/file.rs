//! One function's log on disk: two files of JSON lines, of which the older is dropped when the newer is full.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use samovar_model::LogLine;

/// The log of one function, open for appending.
pub(super) struct LogFile {
    dir: PathBuf,
    file: File,
    written_bytes: u64,
    /// Each of the two files holds at most this.
    half_bytes: u64,
}

fn current(dir: &Path) -> PathBuf {
    dir.join("current.jsonl")
}

fn previous(dir: &Path) -> PathBuf {
    dir.join("previous.jsonl")
}

impl LogFile {
    pub(super) fn open(dir: PathBuf, bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let file = OpenOptions::new().create(true).append(true).open(current(&dir))?;
        let written_bytes = file.metadata()?.len();
        Ok(Self { dir, file, written_bytes, half_bytes: bytes / 2 })
    }

    pub(super) fn append(&mut self, line: &LogLine) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        if self.written_bytes > 0 && self.written_bytes + json.len() as u64 > self.half_bytes {
            std::fs::rename(current(&self.dir), previous(&self.dir))?;
            self.file = OpenOptions::new().create(true).append(true).open(current(&self.dir))?;
            self.written_bytes = 0;
        }
        self.file.write_all(&json)?;
        self.written_bytes += json.len() as u64;
        Ok(())
    }
}

/// Reads a log that may be open for appending. A line that was cut off by a crash is skipped.
pub(super) fn read(dir: &Path, since: Option<Timestamp>) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for path in [previous(dir), current(dir)] {
        let Ok(file) = File::open(path) else { continue };
        for text in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            match serde_json::from_slice::<LogLine>(&text) {
                Ok(line) if since.is_none_or(|since| line.time >= since) => lines.push(line),
                _ => {}
            }
        }
    }
    lines
}
