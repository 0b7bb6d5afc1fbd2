//! The files of each template, and the words that are filled into them.

use super::Template;

/// One file of a new project.
pub(super) struct File {
    /// Where it goes.
    pub(super) path: &'static str,
    /// Its text, with variables.
    pub(super) text: &'static str,
}

/// What is filled in for `{{name}}`, `{{package}}` and `{{sdk}}`.
pub(super) struct Variables<'a> {
    /// The function's name.
    pub(super) name: &'a str,
    /// The Cargo package's name.
    pub(super) package: &'a str,
    /// The SDK as a dependency in `Cargo.toml`.
    pub(super) sdk: &'a str,
}

impl Variables<'_> {
    /// The text with its variables filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("{{name}}", self.name).replace("{{package}}", self.package).replace("{{sdk}}", self.sdk)
    }
}

macro_rules! files {
    ($($path:literal <- $source:literal),* $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../templates/", $source)) }),*]
    };
}

impl Template {
    /// The files of a new project.
    pub(super) fn files(self) -> &'static [File] {
        match self {
            Self::Rust => files![
                "samovar.toml" <- "samovar.toml.in",
                "Cargo.toml" <- "rust/Cargo.toml.in",
                "src/lib.rs" <- "rust/lib.rs.in",
                "README.md" <- "rust/README.md.in",
                ".gitignore" <- "rust/gitignore",
            ],
            Self::RustRouter => files![
                "samovar.toml" <- "samovar.toml.in",
                "Cargo.toml" <- "rust-router/Cargo.toml.in",
                "src/lib.rs" <- "rust-router/lib.rs.in",
                "README.md" <- "rust-router/README.md.in",
                ".gitignore" <- "rust-router/gitignore",
            ],
            Self::Javascript => files![
                "samovar.toml" <- "samovar.toml.in",
                "package.json" <- "javascript/package.json.in",
                "src/handler.js" <- "javascript/handler.js",
                "src/serve.js" <- "javascript/serve.js",
                "wit/world.wit" <- "wit/world.wit",
                "wit/deps/http.wit" <- "wit/http.wit",
                "wit/deps/io.wit" <- "wit/io.wit",
                "wit/deps/clocks.wit" <- "wit/clocks.wit",
                "README.md" <- "javascript/README.md.in",
                ".gitignore" <- "javascript/gitignore",
            ],
            Self::Python => files![
                "samovar.toml" <- "samovar.toml.in",
                "app.py" <- "python/app.py",
                "requirements.txt" <- "python/requirements.txt",
                "wit/world.wit" <- "wit/world.wit",
                "wit/deps/http.wit" <- "wit/http.wit",
                "wit/deps/io.wit" <- "wit/io.wit",
                "wit/deps/clocks.wit" <- "wit/clocks.wit",
                "README.md" <- "python/README.md.in",
                ".gitignore" <- "python/gitignore",
            ],
        }
    }
}
