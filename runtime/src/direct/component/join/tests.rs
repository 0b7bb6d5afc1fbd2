use wasmtime::{Caller, Engine, Instance as Running, Linker, Module as Compiled, Store};

use super::super::{MEMORY, Target, take_apart};
use super::layout::Layout;
use super::*;
use crate::direct::rewrite::{Import, Shape, rewrite};

/// Three modules that share a memory, a table and globals, of which each needs what another has, and a shim.
const LIBRARIES: &str = r#"
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[method]fields.has" (func (param "self" (borrow $fields)) (param "name" string) (result bool)))))
  (core module $env
    (memory (export "memory") 1)
    (table (export "table") 4 funcref)
    (global (export "base") i32 (i32.const 64))
    (global (export "first") i32 (i32.const 1))
    (global (export "moved") (mut i32) (i32.const 0))
    (data (i32.const 0) "env env"))
  (core module $shim
    (type $note (func (param i32)))
    (type $has (func (param i32 i32 i32) (result i32)))
    (table (export "$imports") 2 2 funcref)
    (func (export "0") (type $note) (call_indirect (type $note) (local.get 0) (i32.const 0)))
    (func (export "1") (type $has)
      (call_indirect (type $has) (local.get 0) (local.get 1) (local.get 2) (i32.const 1))))
  (core module $library
    (type $other (func))
    (type $twice (func (param i32) (result i32)))
    (import "env" "base" (global $base i32))
    (import "main" "note" (func $note (param i32)))
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 4 funcref))
    (import "host" "has" (func $has (param i32 i32 i32) (result i32)))
    (import "env" "first" (global $first i32))
    (import "env" "moved" (global $moved (mut i32)))
    (table $own-table (ref null $twice) (elem (ref.func $twice)))
    (global $own i32 (i32.add (global.get $base) (i32.const 1)))
    (elem (global.get $first) func $twice)
    (elem $kept funcref (ref.func $twice))
    (data (global.get $base) "library")
    (data $passive "kept")
    (data (i32.const 4) "was")
    (func $twice (type $twice) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "work") (param i32) (result i32)
      (memory.init $passive (i32.const 200) (i32.const 0) (i32.const 4))
      (data.drop $passive)
      (table.init 0 $kept (i32.const 3) (i32.const 0) (i32.const 1))
      (global.set $moved (local.get 0))
      (call $note (call $has (i32.const 7) (global.get $own) (i32.const 6)))
      (call_indirect $own-table (type $twice) (local.get 0) (i32.const 0))))
  (core module $main
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 4 funcref))
    (import "env" "moved" (global $moved (mut i32)))
    (import "library" "work" (func $work (param i32) (result i32)))
    (import "host" "new" (func $new (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (func $note (export "note") (param i32) (i32.store (i32.const 100) (local.get 0)))
    (func (export "handle") (param i32 i32)
      (i32.store (i32.const 104) (call $work (local.get 0)))
      (i32.store (i32.const 108) (call_indirect (param i32) (result i32) (i32.const 21) (i32.const 1)))
      (i32.store (i32.const 112) (call_indirect (param i32) (result i32) (i32.const 22) (i32.const 3)))
      (i32.store (i32.const 116) (global.get $moved))
      (i32.store (i32.const 120) (call $new))
      (call $drop (i32.const 3)))
    (func (export "after") (i32.store (i32.const 124) (i32.const 1))))
  (core module $fixups
    (import "actual" "note" (func $note (param i32)))
    (import "actual" "has" (func $has (param i32 i32 i32) (result i32)))
    (import "shim" "$imports" (table 2 2 funcref))
    (elem (i32.const 0) func $note $has))

  (core instance $env (instantiate $env))
  (core instance $shim (instantiate $shim))
  (alias core export $shim "0" (core func $note-by-shim))
  (alias core export $shim "1" (core func $has-by-shim))
  (core instance $library (instantiate $library
    (with "env" (instance $env))
    (with "main" (instance (export "note" (func $note-by-shim))))
    (with "host" (instance (export "has" (func $has-by-shim))))))
  (alias export $types "[constructor]fields" (func $new))
  (core func $new (canon lower (func $new)))
  (alias export $types "fields" (type $fields))
  (core func $drop (canon resource.drop $fields))
  (alias core export $env "memory" (core memory $memory))
  (alias core export $env "table" (core table $table))
  (alias core export $env "moved" (core global $moved))
  (core instance $main (instantiate $main
    (with "env" (instance (export "memory" (memory $memory)) (export "table" (table $table)) (export "moved" (global $moved))))
    (with "library" (instance $library))
    (with "host" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (alias core export $main "note" (core func $note))
  (alias export $types "[method]fields.has" (func $has))
  (core func $has (canon lower (func $has) (memory $memory) string-encoding=utf8))
  (core instance (instantiate $fixups
    (with "actual" (instance (export "note" (func $note)) (export "has" (func $has))))
    (with "shim" (instance $shim))))

  (type $handle (func (param "request" u32) (param "out" u32)))
  (alias core export $main "handle" (core func $handle))
  (alias core export $main "after" (core func $after))
  (func $handle (type $handle) (canon lift (core func $handle) (post-return $after)))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))
"#;

fn changed(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = LIBRARIES.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Why the modules are not joined when the component has this instead of that.
fn refused(changes: &[(&str, &str)]) -> String {
    let reason = take_apart(&changed(changes)).expect_err("is refused").to_string();
    let (_, reason) = reason.split_once("; as several modules: ").expect("it was tried");
    reason.to_owned()
}

/// What has been called.
type Calls = Vec<String>;

fn running(component: &[u8]) -> (Store<Calls>, Running) {
    let parts = take_apart(component).expect("is joined");
    let import = |target: &Target<'_>| {
        let name = match target {
            Target::Function { name, .. } => (*name).to_owned(),
            Target::Drop { resource, .. } => format!("drop {resource}"),
        };
        Some(Import { module: "host".into(), name, shape: Shape::Plain })
    };
    let module = rewrite(&parts, import).expect("is rewritten");
    let engine = Engine::default();
    let mut linker = Linker::<Calls>::new(&engine);
    let new = |mut caller: Caller<'_, Calls>| {
        caller.data_mut().push("new".into());
        33
    };
    linker.func_wrap("host", "[constructor]fields", new).expect("linked");
    let has = |mut caller: Caller<'_, Calls>, id: i32, at: i32, len: i32| {
        let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory).expect("exported");
        let name = memory.data(&caller)[at as usize..][..len as usize].to_vec();
        caller.data_mut().push(format!("has {id} {}", String::from_utf8_lossy(&name)));
        1
    };
    linker.func_wrap("host", "[method]fields.has", has).expect("linked");
    let drop = |mut caller: Caller<'_, Calls>, id: i32| caller.data_mut().push(format!("drop {id}"));
    linker.func_wrap("host", "drop fields", drop).expect("linked");
    let mut store = Store::new(&engine, Calls::new());
    let module = Compiled::new(&engine, module).expect("compiles");
    let instance = linker.instantiate(&mut store, &module).expect("all is linked");
    (store, instance)
}

fn bytes(store: &mut Store<Calls>, instance: &Running, at: usize, len: usize) -> Vec<u8> {
    let memory = instance.get_memory(&mut *store, MEMORY).expect("exported");
    memory.data(store)[at..][..len].to_vec()
}

fn handle(store: &mut Store<Calls>, instance: &Running) {
    let handler = instance.get_typed_func::<(i32, i32), ()>(&mut *store, HANDLER_NAME).expect("exported");
    handler.call(store, (5, 6)).expect("no trap");
}

#[test]
fn modules_work_together_as_they_did() {
    let (mut store, instance) = running(&changed(&[]));
    let mut at = |at, len| String::from_utf8(bytes(&mut store, &instance, at, len)).expect("ASCII");
    assert_eq!([at(0, 7), at(64, 7), at(200, 4)], ["env was", "library", "\0\0\0\0"], "later segments count");
    handle(&mut store, &instance);
    let number = |store: &mut Store<Calls>, at| {
        u32::from_le_bytes(bytes(store, &instance, at, 4).try_into().expect("four bytes"))
    };
    let seen: Vec<u32> = (100..128).step_by(4).map(|at| number(&mut store, at)).collect();
    // Noted; twice as much, through a table of its own; the same through the one that is shared; a global; a handle; afterwards.
    assert_eq!(seen, [1, 10, 42, 44, 5, 33, 1]);
    assert_eq!(bytes(&mut store, &instance, 200, 4), b"kept");
    assert_eq!(*store.data(), ["has 7 ibrary", "new", "drop 3"]);
}

#[test]
fn functions_are_called_what_they_were() {
    let component = changed(&[]);
    let parts = take_apart(&component).expect("is joined");
    let layout = Layout::read(&parts.module).expect("is a module");
    // After three functions of the host.
    assert_eq!(layout.names, [(3, "twice"), (4, "work"), (5, "note")]);
}

#[test]
fn what_begins_with_code_may_only_be_the_last() {
    let starts =
        |module| (module, format!("{module} (func $begin (i32.store (i32.const 128) (i32.const 9))) (start $begin)"));
    let (main, begins) = starts("(func (export \"after\") (i32.store (i32.const 124) (i32.const 1)))");
    let (mut store, instance) = running(&changed(&[(main, &begins)]));
    assert_eq!(bytes(&mut store, &instance, 128, 1), [9]);
    let (env, begins) = starts("(data (i32.const 0) \"env env\")");
    assert_eq!(refused(&[(env, &begins)]), "a module that is not the last begins with code");
}

#[test]
fn what_is_called_at_start_is_called_at_start() {
    let initialize = r#"
      (core module $initializer (import "" "" (func $initialize)) (start $initialize))
      (alias core export $main "after" (core func $initialize))
      (core instance (instantiate $initializer (with "" (instance (export "" (func $initialize))))))
      (type $handle"#;
    let (mut store, instance) = running(&changed(&[("(type $handle", initialize)]));
    assert_eq!(bytes(&mut store, &instance, 124, 1), [1]);
}

#[test]
fn what_is_linked_in_another_way_is_refused() {
    let memory = r#"(memory (export "memory") 1)"#;
    let another = format!("{memory} (memory (export \"another\") 1)");
    assert_eq!(refused(&[(memory, &another)]), "it has 2 memories, and not one for all modules");
    let circle =
        (r#"(export "note" (func $note)) (export "has""#, r#"(export "note" (func $note-by-shim)) (export "has""#);
    assert_eq!(refused(&[circle]), "`0` is imported in a circle");
    assert_eq!(refused(&[("=utf8", "=utf16")]), "it lowers or lifts a function with UTF16");
    let changes =
        (r#"(global (export "base") i32 (i32.const 64))"#, r#"(global (export "base") (mut i32) (i32.const 64))"#);
    let reads = ("(import \"env\" \"base\" (global $base i32))", "(import \"env\" \"base\" (global $base (mut i32)))");
    let own = ("(global $own i32 (i32.add (global.get $base) (i32.const 1)))", "(global $own i32 (i32.const 65))");
    let data = ("(data (global.get $base) \"library\")", "(data (i32.const 64) \"library\")");
    assert!(take_apart(&changed(&[changes, reads, own, data])).is_ok());
    let filled = ("(elem (i32.const 0) func $note $has)", "(elem (i32.const 1) func $has)");
    assert_eq!(refused(&[filled]), "`0` is linked by a module that only links others");
    let debug = ("(core module $library", "(core module $library (@custom \".debug_info\" \"\")");
    assert_eq!(refused(&[debug]), "one of its modules has debug information");
}

#[test]
fn no_bytes_make_it_panic() {
    let component = changed(&[]);
    for at in 0..component.len() {
        // What counts is that this returns.
        drop(take_apart(&component[..at]));
        for flip in [0x01, 0x02, 0x10, 0x7f, 0x80] {
            let mut broken = component.clone();
            broken[at] ^= flip;
            drop(take_apart(&broken).map(|parts| rewrite(&parts, |_| None).is_ok()));
        }
    }
}
