//! Where a secret's value comes from: a file, a person, or whatever standard input is.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use samovar_cluster::secrets::SecretValue;
use samovar_model::{MAX_SECRET_BYTES, SecretName};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::console::Console;

/// What the system takes of one line that is typed (`N_TTY_BUF_SIZE`, less the end of the line); the rest is lost without a word.
const MAX_TYPED_BYTES: usize = 4095;

/// Where to read.
#[derive(Debug)]
pub(super) enum Source<'a> {
    File(&'a Path),
    /// A person who types it.
    Terminal,
    /// Another program's output.
    Pipe,
}

impl<'a> Source<'a> {
    pub(super) fn find(file: Option<&'a Path>) -> Self {
        match file {
            Some(path) => Self::File(path),
            None if io::stdin().is_terminal() => Self::Terminal,
            None => Self::Pipe,
        }
    }

    pub(super) async fn read(&self, name: &SecretName, console: &mut Console) -> anyhow::Result<SecretValue> {
        let bytes = match self {
            Self::File(path) => {
                let read = File::open(path).and_then(|file| limited(file, MAX_SECRET_BYTES + 1));
                read.with_context(|| format!("--file {}", path.display()))?
            }
            Self::Terminal => {
                console.note_raw(format!("value of {name} (it is not shown): ").as_bytes());
                let typed = typed().await;
                console.note("");
                let typed = line(typed?);
                if typed.len() >= MAX_TYPED_BYTES {
                    anyhow::bail!(
                        "a terminal takes no more than {MAX_TYPED_BYTES} bytes of a line: give a long value with --file"
                    );
                }
                typed
            }
            // The end of the line that is taken off does not count.
            Self::Pipe => line(limited(io::stdin().lock(), MAX_SECRET_BYTES + 3).context("standard input")?),
        };
        Ok(SecretValue::new(bytes)?)
    }
}

/// Reads no more than is needed to see that it is too much. The buffer does not grow: that would leave copies behind.
fn limited(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    from.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(std::mem::take(&mut *bytes))
}

/// Without the end of the line that `echo` adds and Enter makes.
fn line(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// A line that is typed without being shown. Ctrl-C ends the wait and puts the terminal right again.
async fn typed() -> anyhow::Result<Vec<u8>> {
    let _silent = Silent::begin().context("the terminal")?;
    let (send, receive) = oneshot::channel();
    // A thread of its own: the runtime would wait at its end for one that still reads.
    std::thread::spawn(move || {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 3));
        let mut byte = [0];
        let read = loop {
            match io::stdin().lock().read(&mut byte) {
                Ok(0) => break Ok(()),
                Ok(_) if line.len() == line.capacity() => break Ok(()),
                Ok(_) => line.push(byte[0]),
                Err(error) => break Err(error),
            }
            if byte[0] == b'\n' {
                break Ok(());
            }
        };
        send.send(read.map(|()| std::mem::take(&mut *line))).ok();
    });
    tokio::select! {
        line = receive => Ok(line.context("nobody reads the terminal")??),
        signal = tokio::signal::ctrl_c() => {
            signal?;
            anyhow::bail!("nothing was set")
        }
    }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_end_of_line_is_taken_off() {
        for (given, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("\n", "")]
        {
            assert_eq!(line(given.into()), expected.as_bytes(), "{given:?}");
        }
    }

    #[tokio::test]
    async fn a_file_is_taken_as_it_is_and_one_that_is_too_large_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut console = crate::testing::Captured::default().console();
        let mut read = async |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            Source::File(file.path()).read(&"A".parse().unwrap(), &mut console).await
        };
        assert_eq!(read(b"line\n").await.unwrap().expose(), "line\n");
        assert_eq!(read(&[b'x'; MAX_SECRET_BYTES]).await.unwrap().expose().len(), MAX_SECRET_BYTES);
        let refused = read(&[b'x'; MAX_SECRET_BYTES + 9]).await.unwrap_err().to_string();
        assert_eq!(refused, "the value has 65537 bytes or more, 65536 at most");
    }
}
