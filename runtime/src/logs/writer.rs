//! The thread that owns the log files: it writes, reads and removes, one thing after the other, so that nothing is missed
//! between reading and following.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use jiff::Timestamp;
use samovar_model::{FunctionName, LogLine};
use tokio::sync::{mpsc, oneshot};

use super::file::{self, LogFile};
use super::{LogReader, Queued};

/// Log files that are kept open; past this all are closed, to be opened again when needed.
const MAX_OPEN_FILES: usize = 128;

/// Lines that a follower may be behind.
const FOLLOWER_LINES: usize = 1_000;

pub(super) enum Message {
    Line { function: FunctionName, line: LogLine, queued: Queued },
    Read { function: FunctionName, since: Option<Timestamp>, follow: bool, reply: oneshot::Sender<LogReader> },
    Remove { function: FunctionName },
}

pub(super) struct Writer {
    dir: PathBuf,
    bytes_per_function: u64,
    open: HashMap<FunctionName, LogFile>,
    followers: HashMap<FunctionName, Vec<mpsc::Sender<LogLine>>>,
}

impl Writer {
    pub(super) fn new(dir: PathBuf, bytes_per_function: u64) -> Self {
        Self { dir, bytes_per_function, open: HashMap::new(), followers: HashMap::new() }
    }

    /// Works until every sender is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Line { function, line, queued } => {
                    if let Err(error) = self.append(&function, &line) {
                        tracing::warn!(%function, %error, "log line not written");
                        self.open.remove(&function);
                    }
                    self.tell(&function, &line);
                    drop(queued);
                }
                Message::Read { function, since, follow, reply } => {
                    let past = file::read(&self.dir.join(function.as_str()), since);
                    let future = follow.then(|| self.follow(function));
                    // The reader may be gone by now, which is its own affair.
                    drop(reply.send(LogReader { past, future }));
                }
                Message::Remove { function } => self.remove(&function),
            }
        }
    }

    fn append(&mut self, function: &FunctionName, line: &LogLine) -> std::io::Result<()> {
        if !self.open.contains_key(function) {
            if self.open.len() >= MAX_OPEN_FILES {
                self.open.clear();
            }
            let file = LogFile::open(self.dir.join(function.as_str()), self.bytes_per_function)?;
            self.open.insert(function.clone(), file);
        }
        match self.open.get_mut(function) {
            Some(file) => file.append(line),
            None => Ok(()),
        }
    }

    fn follow(&mut self, function: FunctionName) -> mpsc::Receiver<LogLine> {
        let (follower, lines) = mpsc::channel(FOLLOWER_LINES);
        self.followers.entry(function).or_default().push(follower);
        lines
    }

    fn tell(&mut self, function: &FunctionName, line: &LogLine) {
        let Some(followers) = self.followers.get_mut(function) else { return };
        followers.retain(|follower| follower.try_send(line.clone()).is_ok());
        if followers.is_empty() {
            self.followers.remove(function);
        }
    }

    fn remove(&mut self, function: &FunctionName) {
        self.open.remove(function);
        self.followers.remove(function);
        let dir = self.dir.join(function.as_str());
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%function, %error, "log not removed");
            }
            _ => {}
        }
    }
}
