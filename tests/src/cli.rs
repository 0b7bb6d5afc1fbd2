//! The command line as a person or a script runs it.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::paths::binary;
use crate::wait::within;

/// A command that is about to run.
pub struct Cli(Command);

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Cli {
    /// `samovar` with these arguments, in no one's directory and told nothing by the environment.
    pub fn new(args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(args).current_dir(std::env::temp_dir()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SAMOVAR_")) {
            command.env_remove(name);
        }
        Self(command)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Has this on standard input.
    pub fn input(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("it can be written");
        self.0.stdin(Stdio::from(file));
        self
    }

    /// Runs in this directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it to its end; kills it when that is no longer waited for.
    pub async fn run(self) -> Printed {
        let output = tokio::process::Command::from(self.0).kill_on_drop(true).output();
        let output = output.await.expect("the binary can be started");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("not killed by a signal");
        Printed { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs it to its end, which must come soon and be a good one; gives what it printed.
    pub async fn ok(self) -> String {
        let printed = within("the command's end", self.run()).await;
        assert_eq!(printed.code, 0, "{}{}", printed.stdout, printed.stderr);
        printed.stdout
    }

    /// The same for a command that builds something, which may take minutes.
    pub async fn run_long(self) -> String {
        let printed = self.run().await;
        assert_eq!(printed.code, 0, "{}{}", printed.stdout, printed.stderr);
        printed.stdout
    }

    /// The same, for what it prints as JSON.
    pub async fn json(self) -> Value {
        let stdout = self.ok().await;
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"))
    }

    /// Starts it without waiting; kills it when dropped. For commands that go on for ever.
    pub fn spawn(mut self) -> Following {
        let child = self.0.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary can be started");
        Following(child)
    }
}

/// A command that goes on for ever.
pub struct Following(std::process::Child);

impl Following {
    /// Reads lines until one is as expected.
    pub async fn until(mut self, expected: impl Fn(&str) -> bool + Send + 'static) -> String {
        let stdout = self.0.stdout.take().expect("taken once");
        let found = tokio::task::spawn_blocking(move || {
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok);
            lines.find(|line| expected(line))
        });
        within("the line", found).await.expect("no panic in it").expect("the line comes before the end")
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
