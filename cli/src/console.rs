//! Where output goes: data to stdout, notes and errors to stderr, colour only where a terminal shows it.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

/// The process's two outputs, or a test's buffers.
pub(crate) struct Console {
    out: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    out_color: bool,
    notes_color: bool,
    /// Whether stdout is a terminal, and so can be redrawn.
    pub(crate) redrawable: bool,
    /// Whether a person sits in front of it: questions may be asked, progress shown.
    pub(crate) interactive: bool,
}

/// How a piece of text stands out on a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Yellow => "33",
            Self::Green => "32",
        }
    }

    fn apply(self, enabled: bool, text: impl Display) -> String {
        if enabled { format!("\x1b[{}m{text}\x1b[0m", self.code()) } else { text.to_string() }
    }
}

impl Console {
    /// The process's own.
    pub(crate) fn standard() -> Self {
        // https://no-color.org: set to anything but the empty string.
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            out_color: color && io::stdout().is_terminal(),
            notes_color: color && io::stderr().is_terminal(),
            redrawable: io::stdout().is_terminal(),
            interactive: io::stdin().is_terminal() && io::stderr().is_terminal(),
            out: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
        }
    }

    /// Buffers instead of outputs, without colour and without a person.
    #[cfg(test)]
    pub(crate) fn capturing(out: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Self {
        Self {
            out: Box::new(out),
            notes: Box::new(notes),
            out_color: false,
            notes_color: false,
            redrawable: false,
            interactive: false,
        }
    }

    /// Makes text on stdout stand out.
    pub(crate) fn paint(&self, paint: Paint, text: impl Display) -> String {
        paint.apply(self.out_color, text)
    }

    /// Makes text on stderr stand out.
    pub(crate) fn paint_note(&self, paint: Paint, text: impl Display) -> String {
        paint.apply(self.notes_color, text)
    }

    /// One line of data.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Data as JSON, laid out for reading.
    pub(crate) fn json(&mut self, data: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, data)?;
        self.out.write_all(b"\n")
    }

    /// Data as one line of JSON.
    pub(crate) fn json_line(&mut self, data: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, data)?;
        self.out.write_all(b"\n")
    }

    /// Bytes as they are, at once.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// One line for the person, not part of the data. Nobody may be reading it any more: that is no failure.
    pub(crate) fn note(&mut self, text: impl Display) {
        writeln!(self.notes, "{text}").ok();
    }

    /// What another program wrote, passed on to the person.
    pub(crate) fn note_raw(&mut self, bytes: &[u8]) {
        self.notes.write_all(bytes).ok();
    }

    /// What went wrong.
    pub(crate) fn error(&mut self, text: &str) {
        let label = self.paint_note(Paint::Red, "error:");
        self.note(format_args!("{label} {text}"));
    }

    /// What works, and will not do what is expected of it.
    pub(crate) fn warning(&mut self, text: impl Display) {
        let label = self.paint_note(Paint::Yellow, "warning:");
        self.note(format_args!("{label} {text}"));
    }

    /// Asks a question that is answered with yes or no; no answer means no.
    pub(crate) fn confirm(&mut self, question: &str) -> io::Result<bool> {
        write!(self.notes, "{question} [y/N] ")?;
        self.notes.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}
