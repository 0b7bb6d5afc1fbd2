use wasmtime::{Caller, Engine, Instance, Linker, Module, Store};

use super::*;
use crate::direct::component::Linked;

const INTERFACE: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/incoming-handler@0.2.12#handle";

/// Its handler calls `list` in every way there is, each time with another place for the result.
const CALLS: &str = r#"
(module
  (type $list (func (param i64 i32)))
  (import "types" "plain" (func $plain (param i32) (result i32)))
  (import "types" "list" (func $list (type $list)))
  (import "types" "drop" (func $drop (param i32)))
  (memory (export "memory") 1)
  (table $table 2 funcref)
  (table $of-lists (ref null $list) (elem (ref.func $list)))
  (tag $tag (param i32))
  (global $next (mut i32) (i32.const 1024))
  (global $reference (ref $list) (ref.func $list))
  (export "list-of-the-host" (func $list))
  (elem (table $table) (i32.const 1) func $list)
  (elem $passive funcref (ref.func $list))
  (data $passive-data "abc")

  (func $realloc (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $size i32) (result i32)
    (if (local.get $old) (then unreachable))
    (global.set $next (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))

  (func $return-call (type $list) (return_call $list (local.get 0) (local.get 1)))

  (func (export "wasi:http/incoming-handler@0.2.12#handle") (param i32 i32)
    (memory.init $passive-data (i32.const 0) (i32.const 0) (i32.const 3))
    (table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 1))
    (call $list (i64.const 7) (i32.const 8))
    (call_indirect $table (type $list) (i64.const 7) (i32.const 16) (i32.const 0))
    (call_indirect $table (type $list) (i64.const 7) (i32.const 24) (i32.const 1))
    (call_indirect $of-lists (type $list) (i64.const 7) (i32.const 32) (i32.const 0))
    (call_ref $list (i64.const 7) (i32.const 40) (ref.func $list))
    (call_ref $list (i64.const 7) (i32.const 48) (global.get $reference))
    (call $return-call (i64.const 7) (i32.const 56))
    (call $drop (call $plain (i32.const 4)))))
"#;

fn targets(names: &[&'static str]) -> Vec<Target<'static>> {
    names.iter().map(|name| Target::Function { interface: INTERFACE, name }).collect()
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn parts<'a>(module: &'a [u8], names: &[&'static str]) -> Parts<'a> {
    let imports = targets(names).into_iter().map(|target| Linked { target, realloc: Some("cabi_realloc".into()) });
    Parts { module: module.into(), imports: imports.collect(), handler: HANDLER.into(), initialize: None }
}

/// The same, with this that allocates for all of it.
fn allocating<'a>(realloc: Option<&'a str>, mut parts: Parts<'a>) -> Parts<'a> {
    for linked in &mut parts.imports {
        linked.realloc = realloc.map(Into::into);
    }
    parts
}

/// The host has everything, and `list` is giving.
fn everything(target: &Target<'_>) -> Option<Import> {
    let Target::Function { name, .. } = target else { return None };
    let shape = if *name == "list" { Shape::Giving } else { Shape::Plain };
    Some(Import { module: "host".into(), name: (*name).to_owned(), shape })
}

/// A module with what every one has, and with this.
fn module_with(more: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module {more}
             (memory (export "memory") 1)
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
             (func (export "{HANDLER}") (param i32 i32)))"#
    ))
}

/// Why this cannot be rewritten.
fn refused(parts: &Parts<'_>) -> String {
    rewrite(parts, everything).expect_err("is refused").to_string()
}

/// A host whose `list` gives a list of two strings: its items' places and sizes, and what they are made of.
#[derive(Default)]
struct Host {
    /// Where the list of the call in progress goes.
    result: u32,
    /// Where the guest has made room for it.
    given: Vec<u32>,
    /// What has been called.
    calls: Vec<String>,
}

const ITEMS: [&[u8]; 2] = [b"one", b"three"];

impl Host {
    fn list(mut caller: Caller<'_, Self>, number: i64, result: i32) -> i64 {
        caller.data_mut().calls.push(format!("list {number} {result}"));
        caller.data_mut().result = result as u32;
        caller.data_mut().given.clear();
        (4 << 32) | 16
    }

    fn give(mut caller: Caller<'_, Self>, place: i32) -> i64 {
        caller.data_mut().given.push(place as u32);
        match caller.data().given[..] {
            [_] => (1 << 32) | 8,
            [items, bytes] => {
                let result = caller.data().result;
                let mut put = |at: u32, bytes: &[u8]| {
                    let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
                    memory.expect("exported").write(&mut caller, at as usize, bytes).expect("in bounds");
                };
                put(bytes, &ITEMS.concat());
                put(items, &[bytes, 3, bytes + 3, 5].map(u32::to_le_bytes).concat());
                put(result, &[items, 2].map(u32::to_le_bytes).concat());
                0
            }
            _ => panic!("given more than it needs"),
        }
    }
}

fn instantiate(module: &[u8]) -> (Store<Host>, Instance) {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "list", Host::list).expect("linked");
    linker.func_wrap(GLUE_MODULE, GIVE_NAME, Host::give).expect("linked");
    let plain = |mut caller: Caller<'_, Host>, number: i32| {
        caller.data_mut().calls.push(format!("plain {number}"));
        number + 1
    };
    linker.func_wrap("host", "plain", plain).expect("linked");
    let drop = |mut caller: Caller<'_, Host>, number: i32| caller.data_mut().calls.push(format!("drop {number}"));
    linker.func_wrap("host", "drop", drop).expect("linked");
    let mut store = Store::new(&engine, Host::default());
    let module = Module::new(&engine, module).expect("compiles");
    let instance = linker.instantiate(&mut store, &module).expect("all is linked");
    (store, instance)
}

fn u32_at(data: &[u8], at: u32) -> u32 {
    let at = at as usize;
    u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

/// The list of strings whose place and length are here.
fn list_at(data: &[u8], at: u32) -> Vec<String> {
    let (items, count) = (u32_at(data, at), u32_at(data, at + 4));
    assert_eq!(items % 4, 0, "aligned");
    let item = |index| {
        let place = u32_at(data, items + 8 * index) as usize;
        let size = u32_at(data, items + 8 * index + 4) as usize;
        String::from_utf8_lossy(&data[place..place + size]).into_owned()
    };
    (0..count).map(item).collect()
}

#[test]
fn what_the_host_gives_is_there_however_it_was_called() {
    let module = wasm(CALLS);
    let rewritten = rewrite(&parts(&module, &["plain", "list", "drop"]), everything).expect("rewritten");
    let (mut store, instance) = instantiate(&rewritten);
    let handle = instance.get_typed_func::<(i32, i32), ()>(&mut store, HANDLER).expect("exported");
    handle.call(&mut store, (1, 2)).expect("no trap");

    let places = [8, 16, 24, 32, 40, 48, 56];
    let mut calls: Vec<_> = places.iter().map(|place| format!("list 7 {place}")).collect();
    calls.extend(["plain 4".to_owned(), "drop 5".to_owned()]);
    assert_eq!(store.data().calls, calls);
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    for place in places {
        assert_eq!(list_at(memory.data(&store), place), ["one", "three"], "at {place}");
    }
    assert_eq!(&memory.data(&store)[..3], b"abc");
}

#[test]
fn an_import_that_is_exported_is_its_glue() {
    let module = wasm(CALLS);
    let rewritten = rewrite(&parts(&module, &["plain", "list", "drop"]), everything).expect("rewritten");
    let (mut store, instance) = instantiate(&rewritten);
    let list = instance.get_typed_func::<(i64, i32), ()>(&mut store, "list-of-the-host").expect("of the old type");
    list.call(&mut store, (3, 8)).expect("no trap");
    let memory = instance.get_memory(&mut store, "memory").expect("exported");
    assert_eq!(list_at(memory.data(&store), 8), ["one", "three"]);
}

#[test]
fn a_backtrace_has_the_names_that_it_had() {
    let module = wasm(&format!(
        r#"(module
             (import "types" "list" (func $the-list (param i64 i32)))
             (memory (export "memory") 1)
             (func $the-realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $l i32) unreachable)
             (func $the-handler (export "{HANDLER}") (param i32 i32) (call $the-list (i64.const 1) (i32.const 8))))"#
    ));
    let rewritten = rewrite(&parts(&module, &["list"]), everything).expect("rewritten");
    let (mut store, instance) = instantiate(&rewritten);
    let handle = instance.get_typed_func::<(i32, i32), ()>(&mut store, HANDLER).expect("exported");
    let error = handle.call(&mut store, (1, 2)).expect_err("cannot allocate");
    let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>().expect("has one");
    let names: Vec<_> = backtrace.frames().iter().filter_map(|frame| frame.func_name()).collect();
    assert_eq!(names, ["the-realloc", "the-list", "the-handler"]);
}

#[test]
fn a_module_without_giving_imports_gets_no_glue() {
    let module = module_with(r#"(import "types" "plain" (func (param i32) (result i32)))"#);
    let rewritten = rewrite(&allocating(None, parts(&module, &["plain"])), everything).expect("rewritten");
    let module = Module::new(&Engine::default(), rewritten).expect("compiles");
    let imports: Vec<_> = module.imports().map(|import| (import.module(), import.name())).collect();
    assert_eq!(imports, [("host", "plain")]);
}

#[test]
fn what_initializes_the_module_is_called_at_start() {
    let more = r#"(import "types" "plain" (func $plain (param i32) (result i32)))
                  (import "types" "list" (func $list (param i64 i32)))
                  (func (export "_initialize") (call $list (i64.const 1) (call $plain (i32.const 7))))"#;
    for later in ["", "(data $d \"x\") (func (data.drop $d))", "(func $f) (elem declare func $f)"] {
        let module = module_with(&format!("{more} {later}"));
        let parts = Parts { initialize: Some("_initialize".into()), ..parts(&module, &["plain", "list"]) };
        let rewritten = rewrite(&parts, everything).expect("rewritten");
        let (store, _) = instantiate(&rewritten);
        assert_eq!(store.data().calls, ["plain 7", "list 1 8"]);
    }
}

#[test]
fn a_module_with_a_start_of_its_own_cannot_have_another() {
    let module = module_with(r#"(func $start (export "_initialize")) (start $start)"#);
    assert!(rewrite(&parts(&module, &[]), everything).is_ok());
    let parts = Parts { initialize: Some("_initialize".into()), ..parts(&module, &[]) };
    assert_eq!(refused(&parts), "its main module has a start function, and one that initializes it");
}

#[test]
fn a_function_that_the_host_does_not_have_is_named() {
    let module = module_with(r#"(import "types" "[resource-drop]fields" (func (param i32)))"#);
    let mut parts = parts(&module, &["drop"]);
    parts.imports[0].target = Target::Drop { interface: INTERFACE, resource: "fields" };
    assert_eq!(refused(&parts), "dropping `fields` of `wasi:http/types@0.2.12` is not linked directly");
    parts.imports[0].target = targets(&["[method]fields.unknown"])[0];
    let reason = rewrite(&parts, |_| None).expect_err("unknown").to_string();
    assert_eq!(reason, "`[method]fields.unknown` of `wasi:http/types@0.2.12` is not linked directly");
}

#[test]
fn a_giving_import_needs_somewhere_to_give_to() {
    for signature in ["", "(param i32 i64)", "(param i32) (result i32)"] {
        let module = module_with(&format!(r#"(import "types" "list" (func {signature}))"#));
        assert_eq!(refused(&parts(&module, &["list"])), "`list` of `host` has nowhere to give to", "{signature}");
    }
}

#[test]
fn a_giving_import_needs_something_to_allocate_with() {
    let module = module_with(r#"(import "types" "list" (func (param i64 i32))) (func (export "other"))"#);
    let with = |realloc| refused(&allocating(realloc, parts(&module, &["list"])));
    assert_eq!(with(None), "it has nothing to allocate with");
    assert_eq!(with(Some("none")), "its main module does not export a function `none`");
    assert_eq!(with(Some("memory")), "its main module does not export a function `memory`");
    assert_eq!(with(Some("other")), "the function `other` of its main module is not of the usual type");
}

#[test]
fn a_module_without_a_handler_or_a_memory_is_refused() {
    let module = module_with("");
    let parts = Parts { handler: "cabi_realloc".into(), ..parts(&module, &[]) };
    assert_eq!(refused(&parts), "the function `cabi_realloc` of its main module is not of the usual type");
    let module = wasm(&format!(r#"(module (func (export "{HANDLER}") (param i32 i32)))"#));
    let parts = Parts { handler: HANDLER.into(), ..self::parts(&module, &[]) };
    assert_eq!(refused(&parts), "its main module does not export a memory `memory`");
}

#[test]
fn custom_sections_stay_unless_they_say_where_instructions_are() {
    let module = module_with(r#"(@custom "kept" "1") (@custom "metadata.code.branch_hint" "\00")"#);
    let rewritten = rewrite(&parts(&module, &[]), everything).expect("rewritten");
    let has = |name: &str| rewritten.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(has("kept"));
    assert!(!has("metadata.code"));
}
