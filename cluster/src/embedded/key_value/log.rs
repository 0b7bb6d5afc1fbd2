//! The log: what is acknowledged is in it, and synced, before it is in the tables for good.
//!
//! A commit of redb writes a page of 4 KiB for nearly every key that it changes, and syncs them; a hundred writers keep a disk
//! busy with that. Here their writes are appended together, a few KiB, and synced once. redb has them in memory, and syncs all that
//! has come together now and then (a *checkpoint*). Then the log begins again at the front of its file, whose blocks are there
//! already, so that a sync has no metadata to write.
//!
//! A batch in the file: its length, its sequence number, 8 bytes of its SHA-256, and the changes. Numbers go up by one: what
//! lies behind the last batch is from before the last checkpoint, has a lower number, and ends the reading.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use sha2::{Digest as _, Sha256};

const HEAD_BYTES: usize = 4 + 8 + 8;

/// By how much the file grows: asked of the file system before anything is written there, so that a full disk is met before.
const STEP_BYTES: u64 = 4 << 20;

/// The log's file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Where the next batch goes.
    end: u64,
    /// How much of the file has blocks.
    reserved: u64,
    /// A batch is being gathered here, behind room for its head.
    buffer: Vec<u8>,
}

/// Why a batch is not in the log.
#[derive(Debug)]
pub(super) enum AppendError {
    /// It is not, and will not be.
    Refused(io::Error),
    /// It may be there after a crash.
    Unknown(io::Error),
}

impl Log {
    /// Opens the file, or makes it. Nothing is read yet, and the next batch goes to the front.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let reserved = file.metadata()?.len();
        Ok(Self { file, end: 0, reserved, buffer: vec![0; HEAD_BYTES] })
    }

    /// Reads the batches behind `applied`, in order; the next one goes behind them.
    pub(super) fn replay<E: From<io::Error>>(
        &mut self,
        applied: u64,
        mut apply: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.end = 0;
        let mut last = None;
        while let Some((sequence, batch)) = self.read(self.end)? {
            if last.is_some_and(|last| sequence != last + 1) || (last.is_none() && sequence > applied + 1) {
                break;
            }
            if sequence > applied {
                apply(sequence, &batch)?;
            }
            last = Some(sequence);
            self.end += (HEAD_BYTES + batch.len()) as u64;
        }
        Ok(())
    }

    /// The batch that begins at `at`, if one does.
    fn read(&self, at: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut head = [0; HEAD_BYTES];
        if at + HEAD_BYTES as u64 > self.reserved {
            return Ok(None);
        }
        self.file.read_exact_at(&mut head, at)?;
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len == 0 || at + (HEAD_BYTES + len) as u64 > self.reserved {
            return Ok(None);
        }
        let mut batch = vec![0; len];
        self.file.read_exact_at(&mut batch, at + HEAD_BYTES as u64)?;
        let sequence = u64::from_le_bytes(head[4..12].try_into().unwrap_or_default());
        let whole = head[12..] == checksum(sequence, &batch);
        Ok(whole.then_some((sequence, batch)))
    }

    /// Where the changes of the next batch are gathered.
    pub(super) fn batch(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether nothing has been gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.len() == HEAD_BYTES
    }

    /// Forgets what has been gathered.
    pub(super) fn forget(&mut self) {
        // One batch of the largest values must not hold its memory for ever.
        self.buffer.shrink_to(1 << 20);
        self.buffer.truncate(HEAD_BYTES);
    }

    /// How much has been appended since the last checkpoint, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// The tables have all of it, for good: the next batch goes to the front.
    pub(super) fn begin_again(&mut self) {
        self.end = 0;
    }

    /// Appends what has been gathered under this number, and returns when it is on disk.
    pub(super) fn append(&mut self, sequence: u64) -> Result<(), AppendError> {
        let batch = &self.buffer[HEAD_BYTES..];
        let too_long = || AppendError::Refused(io::Error::other("a batch of more than 4 GiB"));
        let len = u32::try_from(batch.len()).map_err(|_| too_long())?;
        let checksum = checksum(sequence, batch);
        self.buffer[..4].copy_from_slice(&len.to_le_bytes());
        self.buffer[4..12].copy_from_slice(&sequence.to_le_bytes());
        self.buffer[12..HEAD_BYTES].copy_from_slice(&checksum);
        self.reserve(self.end + self.buffer.len() as u64).map_err(AppendError::Refused)?;
        let written = self.file.write_all_at(&self.buffer, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            return Err(self.take_back(error));
        }
        self.end += self.buffer.len() as u64;
        Ok(())
    }

    /// Makes sure that a batch whose writing failed is not read later.
    fn take_back(&self, error: io::Error) -> AppendError {
        let erased = self.file.write_all_at(&[0; HEAD_BYTES], self.end).and_then(|()| self.file.sync_data());
        if erased.is_ok() { AppendError::Refused(error) } else { AppendError::Unknown(error) }
    }

    fn reserve(&mut self, end: u64) -> io::Result<()> {
        if end <= self.reserved {
            return Ok(());
        }
        let reserved = end.next_multiple_of(STEP_BYTES);
        match fallocate(&self.file, FallocateFlags::empty(), 0, reserved).map_err(io::Error::from) {
            Ok(()) => {}
            // Not every file system can: there a full disk is met when writing.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.file.set_len(reserved)?,
            Err(error) => return Err(error),
        }
        self.file.sync_all()?;
        self.reserved = reserved;
        Ok(())
    }
}

fn checksum(sequence: u64, batch: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(sequence.to_le_bytes()).chain_update(batch).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(log: &mut Log, sequence: u64, batch: &[u8]) {
        log.batch().extend_from_slice(batch);
        log.append(sequence).unwrap();
        log.forget();
    }

    fn read(path: &Path, applied: u64) -> Vec<(u64, Vec<u8>)> {
        let mut batches = Vec::new();
        let mut log = Log::open(path).unwrap();
        let replayed = log.replay(applied, |sequence, batch| {
            batches.push((sequence, batch.to_vec()));
            Ok::<_, io::Error>(())
        });
        replayed.unwrap();
        batches
    }

    #[test]
    fn what_is_behind_the_last_checkpoint_is_read_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        assert_eq!(read(&path, 0), []);
        let mut log = Log::open(&path).unwrap();
        for sequence in 1..=5 {
            append(&mut log, sequence, &[sequence as u8; 100]);
        }
        assert_eq!(read(&path, 0).len(), 5);
        assert_eq!(read(&path, 3).iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [4, 5]);
        log.begin_again();
        append(&mut log, 6, &[6; 100]);
        assert_eq!(read(&path, 5), [(6, vec![6; 100])], "what the sixth has not covered is old");
        append(&mut log, 7, &[7; 30]);
        assert_eq!(read(&path, 5).len(), 2);
    }

    #[test]
    fn a_batch_that_is_not_whole_ends_the_log() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let mut log = Log::open(&path).unwrap();
        for sequence in 1..=3 {
            append(&mut log, sequence, b"content");
        }
        let second = (HEAD_BYTES + 7) as u64;
        log.file.write_all_at(b"X", second + HEAD_BYTES as u64).unwrap();
        assert_eq!(read(&path, 0), [(1, b"content".to_vec())]);
        log.file.set_len(second - 1).unwrap();
        assert_eq!(read(&path, 0), []);
    }
}
