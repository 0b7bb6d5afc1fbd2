//! Spawns what hyper wants spawned for each request.

use std::future::Future;

use hyper::rt::Executor;

/// Boxes futures before it spawns them: hyper's are as large as its connection's, some 5 KiB, and a task moves its future
/// several times before it is polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoxingExecutor;

impl<F> Executor<F> for BoxingExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Box::pin(future));
    }
}
