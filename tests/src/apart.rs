//! Work on a thread with a runtime of its own: what a test does meanwhile, even where it blocks, does not delay it.

use std::thread::JoinHandle;

/// Runs the future that `make` makes, on a thread of this name.
pub(crate) fn apart<F: Future>(name: &str, make: impl FnOnce() -> F + Send + 'static) -> JoinHandle<F::Output>
where
    F::Output: Send + 'static,
{
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("the system has room for a runtime").block_on(make())
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system has room for a thread")
}
