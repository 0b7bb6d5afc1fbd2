//! Server-sent events: a stream of small texts that a browser's `EventSource` reads.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, header};
use http_body::Frame;
use serde::Serialize;

use crate::writer::{Outcome, Writer};
use crate::{Body, BodyError, IntoResponse, Response, Result, time::Sleep};

/// A response of server-sent events.
///
/// ```
/// use std::time::Duration;
///
/// use samovar_sdk::{Event, Sse, handler, sleep};
///
/// #[handler]
/// async fn clock() -> Sse {
///     Sse::from_writer(|mut events| async move {
///         for tick in 1..=3 {
///             events.send(Event::data(tick.to_string()).name("tick")).await;
///             sleep(Duration::from_millis(1)).await;
///         }
///     })
/// }
///
/// # let answer = samovar_sdk::testing::call(clock());
/// # assert!(answer.text().starts_with("event: tick\ndata: 1\n\n"));
/// ```
#[derive(Debug)]
pub struct Sse {
    body: Body,
}

impl Sse {
    /// The events of a stream. An error breaks the answer off; the browser calls again, with the last id it saw in
    /// `last-event-id`.
    ///
    /// ```
    /// use samovar_sdk::{BodyError, Event, Sse};
    ///
    /// let events = ["a", "b"].map(|text| Ok::<_, BodyError>(Event::data(text)));
    /// let sse = Sse::new(futures_util::stream::iter(events));
    /// # assert_eq!(samovar_sdk::testing::call(async { sse }).text(), "data: a\n\ndata: b\n\n");
    /// ```
    pub fn new<S, E>(events: S) -> Self
    where
        S: Stream<Item = Result<Event, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        Self { body: Body::from_stream(Encoded(Box::pin(events))) }
    }

    /// The events that an async block sends, as fast as the caller reads them. A caller who goes away drops the block.
    ///
    /// ```
    /// use samovar_sdk::{Event, Sse};
    ///
    /// let sse = Sse::from_writer(|mut events| async move { events.send(Event::data("once")).await });
    /// # assert_eq!(samovar_sdk::testing::call(async { sse }).text(), "data: once\n\n");
    /// ```
    pub fn from_writer<F, Fut>(write: F) -> Self
    where
        F: FnOnce(EventWriter) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Outcome,
    {
        Self { body: Body::from_writer(|writer| write(EventWriter(writer))) }
    }

    /// Sends an empty comment whenever nothing was sent for this long, so that nothing on the way takes a quiet stream for a
    /// dead one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use samovar_sdk::{Sse, sleep};
    ///
    /// let quiet = Sse::from_writer(|_events| sleep(Duration::from_millis(50)));
    /// let sse = quiet.keep_alive(Duration::from_millis(20));
    /// # assert!(samovar_sdk::testing::call(async { sse }).text().starts_with(":\n\n"));
    /// ```
    #[must_use]
    pub fn keep_alive(self, interval: Duration) -> Self {
        Self { body: Body::from_http_body(KeepAlive { events: self.body, interval, pause: None }) }
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body).with_content_type(HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// The sending end of [`Sse::from_writer`].
///
/// ```
/// use samovar_sdk::{Event, Sse};
///
/// let sse = Sse::from_writer(|mut events| async move {
///     events.send(Event::data("hello")).await;
/// });
/// ```
#[derive(Debug)]
pub struct EventWriter(Writer);

impl EventWriter {
    /// Sends one event, and waits until it has been taken.
    ///
    /// ```
    /// use samovar_sdk::{Event, Sse};
    ///
    /// let sse = Sse::from_writer(|mut events| async move { events.send(Event::data("hello")).await });
    /// ```
    pub async fn send(&mut self, event: Event) {
        self.0.write(event.encoded()).await;
    }
}

/// One server-sent event.
///
/// ```
/// use samovar_sdk::Event;
///
/// let event = Event::data("two\nlines").name("note").id("7");
/// assert_eq!(event.to_string(), "event: note\nid: 7\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Lines before the data.
    fields: String,
    data: String,
}

impl Event {
    /// An event with this text, which may have several lines.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Event::data("hi").to_string(), "data: hi\n\n");
    /// ```
    pub fn data(data: impl Into<String>) -> Self {
        Self { fields: String::new(), data: data.into() }
    }

    /// An event with a value as JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    ///
    /// ```
    /// let event = samovar_sdk::Event::json(&[1, 2]).unwrap();
    /// assert_eq!(event.to_string(), "data: [1,2]\n\n");
    /// ```
    pub fn json(value: &impl Serialize) -> Result<Self> {
        Ok(Self::data(serde_json::to_string(value)?))
    }

    /// The name that a browser listens for; without one it is `message`.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Event::data("1").name("tick").to_string(), "event: tick\ndata: 1\n\n");
    /// ```
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.field("event", name)
    }

    /// The id that a browser sends back as `last-event-id` when it calls again.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Event::data("1").id("42").to_string(), "id: 42\ndata: 1\n\n");
    /// ```
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.field("id", id)
    }

    /// How long a browser waits before it calls again.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let event = samovar_sdk::Event::data("1").retry(Duration::from_secs(2));
    /// assert_eq!(event.to_string(), "retry: 2000\ndata: 1\n\n");
    /// ```
    #[must_use]
    pub fn retry(self, after: Duration) -> Self {
        self.field("retry", &after.as_millis().to_string())
    }

    /// A line end within the value would begin another field, so it becomes a space.
    fn field(mut self, field: &str, value: &str) -> Self {
        self.fields.push_str(field);
        self.fields.push_str(": ");
        self.fields.extend(value.chars().map(|c| if matches!(c, '\n' | '\r' | '\0') { ' ' } else { c }));
        self.fields.push('\n');
        self
    }

    fn encoded(&self) -> Bytes {
        self.to_string().into()
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.fields)?;
        // A lone carriage return ends a line too, and would let data begin a field of its own.
        for line in self.data.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
            f.write_str("data: ")?;
            f.write_str(line)?;
            f.write_char('\n')?;
        }
        f.write_char('\n')
    }
}

/// A stream of events as a stream of their text.
struct Encoded<S>(Pin<Box<S>>);

impl<S: Stream<Item = Result<Event, E>>, E> Stream for Encoded<S> {
    type Item = Result<Bytes, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.0.as_mut().poll_next(cx));
        Poll::Ready(item.map(|item| item.map(|event| event.encoded())))
    }
}

/// A body of events that speaks up when it has been quiet for long.
struct KeepAlive {
    events: Body,
    interval: Duration,
    /// Runs while the events are being waited for.
    pause: Option<Sleep>,
}

impl http_body::Body for KeepAlive {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.events).poll_frame(cx) {
            self.pause = None;
            return Poll::Ready(frame);
        }
        let interval = self.interval;
        ready!(Pin::new(self.pause.get_or_insert_with(|| crate::sleep(interval))).poll(cx));
        self.pause = None;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))))
    }
}
