//! Waiting: `sleep` and `timeout`.

use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::guest;

/// Waits this long. The instance is busy meanwhile, but spends no time on a core.
///
/// ```
/// use std::time::Duration;
/// use samovar_sdk::{handler, sleep};
///
/// #[handler]
/// async fn slow() -> &'static str {
///     sleep(Duration::from_millis(5)).await;
///     "at last\n"
/// }
/// # assert_eq!(samovar_sdk::testing::call(slow()).text(), "at last\n");
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep(State::Unstarted(duration))
}

/// What [`sleep`] returns: a future that is ready when the time is over. The time begins when it is first polled.
///
/// ```
/// let pause: samovar_sdk::Sleep = samovar_sdk::sleep(std::time::Duration::ZERO);
/// # samovar_sdk::testing::block_on(pause);
/// ```
#[must_use = "nothing waits until it is awaited"]
pub struct Sleep(State);

enum State {
    Unstarted(Duration),
    Started(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Unstarted(duration) = self.0 {
            self.0 = State::Started(Box::pin(guest::sleep(duration)));
        }
        match &mut self.0 {
            State::Started(timer) => timer.as_mut().poll(cx),
            State::Unstarted(_) => Poll::Pending,
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleep")
    }
}

/// Waits for a future, but no longer than this. A future that takes longer is dropped.
///
/// # Errors
/// [`TimedOut`] when the time was over first.
///
/// ```
/// use std::time::Duration;
/// use samovar_sdk::{sleep, timeout};
///
/// # samovar_sdk::testing::block_on(async {
/// let slow = sleep(Duration::from_secs(60));
/// let error = timeout(Duration::from_millis(5), slow).await.unwrap_err();
/// assert_eq!(error.to_string(), "took longer than 5ms");
/// # });
/// ```
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, TimedOut> {
    let (mut future, mut timer) = (pin!(future), sleep(duration));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| Err(TimedOut(duration))),
    })
    .await
}

/// A future took longer than it was given by [`timeout`].
///
/// ```
/// use samovar_sdk::{Error, TimedOut};
///
/// fn too_slow(error: TimedOut) -> Error {
///     Error::bad_gateway(format!("the price service {error}"))
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(Duration);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "took longer than {:?}", self.0)
    }
}

impl std::error::Error for TimedOut {}
