//! A command: exports `wasi:cli/run` and no handler.

fn main() {
    println!("this is not a function");
}
