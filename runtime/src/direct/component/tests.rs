use super::*;

/// A component of the usual shape, with everything that it may have.
const USUAL: &str = r#"
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.get" (func (param "self" (borrow $fields)) (param "name" string) (result (list string))))))
  (core module $main
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func (result i32)))
    (import "wasi:http/types@0.2.12" "[method]fields.get" (func (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.12" "[resource-drop]fields" (func (param i32)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "cabi_realloc_2") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "_initialize"))
    (func (export "post_return"))
    (func (export "wasi:http/incoming-handler@0.2.12#handle") (param i32 i32)))
  (core module $shim
    (type $get (func (param i32 i32 i32 i32)))
    (table (export "$imports") 1 1 funcref)
    (func (export "0") (type $get)
      (call_indirect (type $get) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 0))))
  (core module $fixups
    (import "" "0" (func $get (param i32 i32 i32 i32)))
    (import "" "$imports" (table 1 1 funcref))
    (elem (i32.const 0) func $get))
  (core module $initializer
    (import "" "" (func $initialize))
    (start $initialize))

  (core instance $shim (instantiate $shim))
  (alias export $types "[constructor]fields" (func $new))
  (core func $new (canon lower (func $new)))
  (alias core export $shim "0" (core func $get-by-shim))
  (alias export $types "fields" (type $fields))
  (core func $drop (canon resource.drop $fields))
  (core instance $linked
    (export "[constructor]fields" (func $new))
    (export "[method]fields.get" (func $get-by-shim))
    (export "[resource-drop]fields" (func $drop)))
  (core instance $main (instantiate $main (with "wasi:http/types@0.2.12" (instance $linked))))

  (alias core export $main "memory" (core memory $memory))
  (alias core export $main "cabi_realloc" (core func $realloc))
  (alias export $types "[method]fields.get" (func $get))
  (core func $get (canon lower (func $get) (memory $memory) (realloc $realloc) string-encoding=utf8))
  (alias core export $shim "$imports" (core table $table))
  (core instance $to-fix (export "$imports" (table $table)) (export "0" (func $get)))
  (core instance (instantiate $fixups (with "" (instance $to-fix))))

  (alias core export $main "_initialize" (core func $initialize))
  (core instance $to-start (export "" (func $initialize)))
  (core instance (instantiate $initializer (with "" (instance $to-start))))

  (type $handle (func (param "request" u32) (param "out" u32)))
  (alias core export $main "wasi:http/incoming-handler@0.2.12#handle" (core func $handle))
  (func $handle (type $handle) (canon lift (core func $handle)))
  (component $named
    (import "import-func-handle" (func $handle (param "request" u32) (param "out" u32)))
    (export "handle" (func $handle)))
  (instance $handler (instantiate $named (with "import-func-handle" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
"#;

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The usual component, with this instead of that.
fn changed(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = USUAL.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    component(&text)
}

/// Takes a component of one module apart.
fn take_one(component: &[u8]) -> Result<Parts<'_>, Indirect> {
    let spaces = Spaces::read(component)?;
    of_one(&spaces, handler(&spaces)?)
}

/// Why the usual component is not one of one module when it has this instead of that.
fn refused(changes: &[(&str, &str)]) -> String {
    take_one(&changed(changes)).expect_err("is refused").to_string()
}

fn targets<'a>(parts: &Parts<'a>) -> Vec<Target<'a>> {
    parts.imports.iter().map(|linked| linked.target).collect()
}

fn reallocs<'a>(parts: &'a Parts<'_>) -> Vec<Option<&'a str>> {
    parts.imports.iter().map(|linked| linked.realloc.as_deref()).collect()
}

#[test]
fn each_import_is_what_it_was_linked_to() {
    let component = component(USUAL);
    let parts = take_one(&component).expect("of the usual shape");
    let interface = "wasi:http/types@0.2.12";
    let function = |name| Target::Function { interface, name };
    let drop = Target::Drop { interface, resource: "fields" };
    assert_eq!(targets(&parts), [function("[constructor]fields"), function("[method]fields.get"), drop]);
    assert_eq!(reallocs(&parts), [None, Some("cabi_realloc"), None]);
    assert_eq!(parts.handler, "wasi:http/incoming-handler@0.2.12#handle");
    assert_eq!(parts.initialize.as_deref(), Some("_initialize"));
    assert!(parts.module.starts_with(b"\0asm\x01\0\0\0"));
}

#[test]
fn what_an_import_was_given_counts_and_not_what_it_is_called() {
    let another = changed(&[
        (
            "(export \"[constructor]fields\"",
            r#"(export "[method]fields.set" (func (param "self" (borrow $fields)) (param "a" u32) (param "b" u64)))
               (export "[constructor]fields""#,
        ),
        ("[method]fields.get\" (func (param i32 i32 i32 i32))", "[method]fields.get\" (func (param i32 i32 i64))"),
        (
            "(core instance $linked",
            r#"(alias export $types "[method]fields.set" (func $set))
               (core func $set (canon lower (func $set)))
               (core instance $linked"#,
        ),
        ("(func $get-by-shim))\n    (export", "(func $set))\n    (export"),
    ]);
    let parts = take_one(&another).expect("of the usual shape");
    let set = Target::Function { interface: "wasi:http/types@0.2.12", name: "[method]fields.set" };
    assert_eq!(targets(&parts)[1], set);
    assert_eq!(reallocs(&parts), [None; 3], "no import allocates any more");
}

#[test]
fn a_handler_may_be_exported_without_a_component_around_it() {
    let instance = r#"(instance $handler (instantiate $named (with "import-func-handle" (func $handle))))"#;
    let component = changed(&[(instance, r#"(instance $handler (export "handle" (func $handle)))"#)]);
    assert!(take_one(&component).is_ok());
}

#[test]
fn what_nobody_calls_may_be_exported_too() {
    let export = r#"(export "wasi:http/incoming-handler@0.2.12""#;
    let command = r#"
        (alias core export $main "_initialize" (core func $run))
        (func $run (canon lift (core func $run)))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command))"#;
    let function = r#"(func $again (type $handle) (canon lift (core func $handle))) (export "other" (func $again))"#;
    for another in [command, function] {
        let component = changed(&[(export, &format!("{another} {export}"))]);
        let parts = take_one(&component).expect("nobody calls it");
        assert_eq!(parts.handler, "wasi:http/incoming-handler@0.2.12#handle");
    }
}

#[test]
fn a_component_without_one_handler_is_refused() {
    let export = r#"(export "wasi:http/incoming-handler@0.2.12" (instance $handler))"#;
    let another = r#"(export "wasi:http/incoming-handler@0.2.0" (instance $handler))"#;
    assert_eq!(refused(&[(export, &format!("{export} {another}"))]), "it exports two handlers");
    assert_eq!(refused(&[(export, "")]), "it does not export `wasi:http/incoming-handler@0.2.x`");
}

#[test]
fn a_handler_that_is_more_than_a_core_function_is_refused() {
    let reason = refused(&[
        ("(type $handle", r#"(alias core export $main "post_return" (core func $post)) (type $handle"#),
        ("(canon lift (core func $handle))", "(canon lift (core func $handle) (post-return $post))"),
    ]);
    assert!(reason.starts_with("its handler is lifted with PostReturn"), "{reason}");
    let reason = refused(&[("(component $named", "(component $named (core module)")]);
    assert_eq!(reason, "it has code in a component within");
    let reason = refused(&[(
        r#"(instance $handler (instantiate $named (with "import-func-handle" (func $handle))))"#,
        r#"(alias export $types "[constructor]fields" (func $foreign))
           (instance $handler (export "handle" (func $foreign)))"#,
    )]);
    assert_eq!(reason, "its handler is not a function of its own");
}

#[test]
fn a_main_module_that_imports_more_than_functions_is_refused() {
    let reason = refused(&[
        (
            r#"(memory (export "memory") 1)"#,
            r#"(import "wasi:http/types@0.2.12" "memory" (memory 1)) (export "memory" (memory 0))"#,
        ),
        ("(core module $shim", r#"(core module $memory (memory (export "memory") 1)) (core module $shim"#),
        (
            "(core instance $linked",
            r#"(core instance $with-memory (instantiate $memory))
               (alias core export $with-memory "memory" (core memory $imported))
               (core instance $linked (export "memory" (memory $imported))"#,
        ),
    ]);
    assert_eq!(reason, "it imports `memory`, which is not a function");
}

#[test]
fn functions_that_are_not_of_an_interface_of_the_host_are_refused() {
    let reason = refused(&[
        ("(import \"wasi", "(import \"free\" (func $free (result u32)))\n  (import \"wasi"),
        ("(canon lower (func $new))", "(canon lower (func $free))"),
    ]);
    assert_eq!(reason, "it lowers a function that is not one of an interface");
    let own = "(type $own (resource (rep i32))) (core func $drop (canon resource.drop $own))";
    let reason = refused(&[("(core func $drop (canon resource.drop $fields))", own)]);
    assert_eq!(reason, "`[resource-drop]fields` of `wasi:http/types@0.2.12` is not a function of the host");
}

#[test]
fn functions_that_use_another_memory_or_encoding_are_refused() {
    let reason = refused(&[
        (r#"(memory (export "memory") 1)"#, r#"(memory (export "memory") 1) (memory (export "memory-2") 1)"#),
        (r#"(alias core export $main "memory""#, r#"(alias core export $main "memory-2""#),
    ]);
    assert_eq!(reason, "it uses a memory that is not the `memory` of the main module");
    assert_eq!(refused(&[("=utf8", "=utf16")]), "it lowers a function with UTF16");
}

#[test]
fn functions_may_allocate_differently() {
    let import = r#"(import "wasi:http/types@0.2.12" "get-2" (func (param i32 i32 i32 i32)))"#;
    let arguments = "(local.get 0) (local.get 1) (local.get 2) (local.get 3) (i32.const 1)";
    let component = changed(&[
        (r#"(memory (export "memory") 1)"#, &format!(r#"{import} (memory (export "memory") 1)"#)),
        (
            r#"(table (export "$imports") 1 1 funcref)"#,
            &format!(
                r#"(table (export "$imports") 2 2 funcref)
                   (func (export "1") (type $get) (call_indirect (type $get) {arguments}))"#
            ),
        ),
        (
            r#"(import "" "$imports" (table 1 1 funcref))"#,
            r#"(import "" "1" (func $get-2 (param i32 i32 i32 i32))) (import "" "$imports" (table 2 2 funcref))"#,
        ),
        ("(elem (i32.const 0) func $get)", "(elem (i32.const 0) func $get $get-2)"),
        (
            "(core instance $linked",
            r#"(alias core export $shim "1" (core func $get-2-by-shim))
               (core instance $linked (export "get-2" (func $get-2-by-shim))"#,
        ),
        (
            "(core instance $to-fix",
            r#"(alias core export $main "cabi_realloc_2" (core func $realloc-2))
               (core func $get-2 (canon lower (func $get) (memory $memory) (realloc $realloc-2)))
               (core instance $to-fix (export "1" (func $get-2))"#,
        ),
    ]);
    let parts = take_one(&component).expect("of the usual shape");
    assert_eq!(reallocs(&parts), [None, Some("cabi_realloc"), None, Some("cabi_realloc_2")]);
}

#[test]
fn small_modules_that_do_more_than_link_are_refused() {
    let shim = "it has another module beside the main one, which is not a shim";
    assert_eq!(refused(&[("(local.get 0) (local.get 1)", "(local.get 1) (local.get 0)")]), shim);
    assert_eq!(refused(&[("(table (export \"$imports\")", "(memory 1) (table (export \"$imports\")")]), shim);

    let fixups = "it has another module beside the main one, which is not a shim's fixups";
    let fills = "(elem (i32.const 0) func $get)";
    let fills_elsewhere = "(elem (offset (i32.add (i32.const 0) (i32.const 1))) func $get)";
    assert_eq!(refused(&[(fills, "(elem (i32.const 0) func $get) (start 1) (func)")]), fixups);
    assert_eq!(refused(&[(fills, fills_elsewhere)]), fixups);
    assert_eq!(refused(&[(fills, "")]), fixups);

    let initializer = "it has another module beside the main one, which does not just initialize it";
    assert_eq!(refused(&[("(start $initialize)", "")]), initializer);
    assert_eq!(refused(&[("(start $initialize)", "(start 1) (func)")]), initializer);
}

#[test]
fn other_core_modules_are_refused() {
    let reason = refused(&[("(core module $shim", "(core module) (core module $shim")]);
    assert_eq!(reason, "not every core module is instantiated once");
    let again = "(core module $other) (core instance (instantiate $other)) (core instance $linked";
    assert_eq!(refused(&[("(core instance $linked", again)]), "it has two modules for the same purpose");
}

#[test]
fn debug_information_is_refused() {
    let section = "(@custom \".debug_info\" \"\")";
    let reason = refused(&[("(memory (export", &format!("{section} (memory (export"))]);
    assert_eq!(reason, "its main module has debug information");
    let reason = refused(&[("(core module $main", &format!("{section} (core module $main"))]);
    assert_eq!(reason, "it has debug information");
}

#[test]
fn what_is_not_valid_is_refused() {
    assert!(take_apart(b"").is_err());
    assert_eq!(take_apart(b"\0asm\x01\0\0\0").expect_err("is a module").to_string(), "it is not a component");
    let mut invalid = component(USUAL);
    // The code of `cabi_realloc`, which nothing but the last step looks at.
    let code = invalid.windows(3).position(|bytes| bytes == [0x00, 0x00, 0x0b]).expect("unreachable, end");
    invalid[code + 1] = 0x1a;
    let reason = take_apart(&invalid).expect_err("drops nothing").to_string();
    assert!(reason.starts_with("it is not valid: "), "{reason}");
}

#[test]
fn no_bytes_make_it_panic() {
    let usual = component(USUAL);
    for at in 0..usual.len() {
        // What counts is that this returns.
        drop(take_apart(&usual[..at]));
        for flip in [0x01, 0x02, 0x10, 0x7f, 0x80] {
            let mut broken = usual.clone();
            broken[at] ^= flip;
            drop(take_apart(&broken));
        }
    }
}
