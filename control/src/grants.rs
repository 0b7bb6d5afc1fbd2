//! What a component imports, held against what its function is granted. What nobody provides was refused before that, by the
//! host; here it is about what the manifest has to say first.

use samovar_model::{FunctionName, Settings};

/// Whether a function with these settings can have what its component imports.
///
/// # Errors
/// What is missing, with the line of the manifest that grants it.
pub(crate) fn check(name: &FunctionName, imports: &[String], settings: &Settings) -> Result<(), String> {
    let import = imports.iter().find(|import| import.starts_with("wasi:keyvalue/"));
    match import {
        Some(import) if settings.kv.is_empty() => Err(format!(
            "the component imports `{import}`, and function `{name}` is granted no bucket: add one to the manifest under the \
             name that the component opens, as in [function.{name}.kv] default = {{}}"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use samovar_model::manifest::Manifest;

    use super::*;

    fn checked(imports: &[&str], manifest: &str) -> Result<(), String> {
        let (name, table) = Manifest::parse(manifest).expect("valid").function.pop_first().expect("a function");
        let name = name.parse().expect("a name");
        let imports: Vec<String> = imports.iter().map(|import| (*import).to_owned()).collect();
        check(&name, &imports, &table.settings(&name).expect("valid"))
    }

    #[test]
    fn key_value_needs_a_bucket_in_the_manifest() {
        let imports = ["wasi:cli/stdout@0.2.3", "wasi:keyvalue/store@0.2.0-draft2", "wasi:keyvalue/batch@0.2.0-draft2"];
        let refused = checked(&imports, "[function.shop]").expect_err("no bucket is granted");
        assert_eq!(
            refused,
            "the component imports `wasi:keyvalue/store@0.2.0-draft2`, and function `shop` is granted no bucket: add one to \
             the manifest under the name that the component opens, as in [function.shop.kv] default = {}"
        );
        assert_eq!(checked(&imports, "[function.shop.kv]\ndefault = {}"), Ok(()));
    }

    #[test]
    fn everything_else_needs_no_grant() {
        let imports = ["wasi:http/outgoing-handler@0.2.0", "wasi:config/store@0.2.0-rc.1", "wasi:logging/logging"];
        assert_eq!(checked(&imports, "[function.shop]"), Ok(()));
    }
}
