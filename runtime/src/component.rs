//! What a component is, told from its bytes alone, and whether it is one that can be served.
//!
//! Only names are looked at here, which takes microseconds; compiling it finds out the rest.

use samovar_model::ComponentKind;
use samovar_model::api::ComponentInfo;
use wasmparser::{Encoding, Parser, Payload};

use crate::interfaces::{config, key_value, logging};

/// Why a file cannot be a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Not WebAssembly.
    #[error("not a WebAssembly component: the file does not begin with `\\0asm`")]
    NotWasm,
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component: build it for `wasm32-wasip2`, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Malformed.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// A component that does not serve HTTP.
    #[error(
        "the component does not serve HTTP: it exports {exports}, and neither `wasi:http/incoming-handler@0.2.x` nor \
         `wasi:http/handler@0.3.x`{hint}"
    )]
    NoHandler {
        /// What it exports instead, as a list for people.
        exports: String,
        /// What may have gone wrong.
        hint: &'static str,
    },
    /// An import that nobody here provides.
    #[error("the component imports `{import}`, which Samovar does not provide; it provides {provided}")]
    UnknownImport {
        /// The import.
        import: String,
        /// What there is, as a list for people.
        provided: &'static str,
    },
}

/// What is linked, for the message of a refusal.
const PROVIDED: &str = "the packages wasi:cli, wasi:clocks, wasi:random, wasi:io, wasi:filesystem (without any file), \
                        wasi:sockets (without any network) and wasi:http, each in versions 0.2.x and 0.3.x; \
                        wasi:keyvalue/store, atomics and batch in versions 0.2.0-draft and 0.2.0-draft2; \
                        wasi:config/store in versions 0.2.0-draft, 0.2.0-draft-2024-09-27 and 0.2.0-rc.1; \
                        wasi:logging/logging in version 0.1.0-draft or without one";

const PACKAGES: [&str; 7] =
    ["wasi:cli", "wasi:clocks", "wasi:random", "wasi:io", "wasi:filesystem", "wasi:sockets", "wasi:http"];

/// Looks at a component's imports and exports.
///
/// # Errors
/// When it is not a component that serves HTTP, or imports an interface that no function can have.
pub fn inspect(bytes: &[u8]) -> Result<ComponentInfo, InspectError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    let (imports, exports) = names(bytes)?;
    let kind = kind(&exports)?;
    let unknown = imports.iter().find(|import| import.contains(':') && !is_provided(import));
    if let Some(import) = unknown {
        return Err(InspectError::UnknownImport { import: import.clone(), provided: PROVIDED });
    }
    Ok(ComponentInfo { kind, size_bytes: bytes.len() as u64, imports, exports })
}

fn is_provided(import: &str) -> bool {
    if key_value::provides(import) || config::provides(import) || logging::provides(import) {
        return true;
    }
    let package = import.split('/').next().unwrap_or(import);
    let version = import.rsplit_once('@').map_or("", |(_, version)| version);
    PACKAGES.contains(&package) && (version.starts_with("0.2.") || version.starts_with("0.3."))
}

/// The names of a component's own imports and exports, not of what is nested in it.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), InspectError> {
    let invalid = |error: wasmparser::BinaryReaderError| InspectError::Invalid(error.to_string());
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(InspectError::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn kind(exports: &[String]) -> Result<ComponentKind, InspectError> {
    let has = |prefix: &str| exports.iter().any(|export| export.starts_with(prefix));
    if has("wasi:http/handler@0.3.") {
        return Ok(ComponentKind::Wasi03);
    }
    if has("wasi:http/incoming-handler@0.2.") {
        return Ok(ComponentKind::Wasi02);
    }
    let hint = if has("wasi:cli/run@") {
        "; it is a command with a `main`: make it a library (`crate-type = [\"cdylib\"]`) with a `#[handler]`"
    } else if has("wasi:http/handler@") || has("wasi:http/incoming-handler@") {
        "; its version of wasi:http is not one of these"
    } else {
        ""
    };
    let exports = match exports {
        [] => "nothing".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    Err(InspectError::NoHandler { exports, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_component_is_named() {
        assert_eq!(inspect(b"hello"), Err(InspectError::NotWasm));
        assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(InspectError::CoreModule));
        let empty_component = b"\0asm\x0d\0\x01\0";
        let error = inspect(empty_component).expect_err("serves nothing").to_string();
        assert!(error.contains("it exports nothing, and neither `wasi:http/incoming-handler@0.2.x`"), "{error}");
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0\xff\xff"), Err(InspectError::Invalid(_))));
    }

    #[test]
    fn only_the_linked_packages_in_the_linked_versions_are_provided() {
        assert!(is_provided("wasi:cli/environment@0.2.3"));
        assert!(is_provided("wasi:clocks/monotonic-clock@0.3.0"));
        assert!(is_provided("wasi:keyvalue/store@0.2.0-draft2"));
        assert!(is_provided("wasi:config/runtime@0.2.0-draft"));
        assert!(is_provided("wasi:logging/logging"));
        for import in [
            "wasi:keyvalue/watcher@0.2.0-draft",
            "wasi:blobstore/blobstore@0.2.0-draft",
            "wasi:messaging/consumer@0.2.0",
            "acme:db/query@0.2.0",
            "wasi:cli/environment@0.1.0",
            "wasi:io/x",
        ] {
            assert!(!is_provided(import), "{import}");
        }
    }
}
