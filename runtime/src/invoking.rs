//! An invocation from its call to its answer's head.
//!
//! ```text
//! Begins     nothing has happened: the first poll leases a warm instance
//! Acquires   there was none: one is made, or waited for
//! Answers    the guest runs, and its answer's head is waited for
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use samovar_model::{Fault, RequestId};

use crate::answer::Answering;
use crate::body::ResponseBody;
use crate::record::Record;
use crate::request::Admitted;

/// An invocation until its answer's head is there. It takes no instance before its first poll: whoever serves HTTP/2 makes
/// many of these at once and then polls one after the other, and each is to find the instance that the last one gave back.
///
/// Written by hand, since every layer above moves it: an async fn would keep its arguments beside what becomes of them.
pub struct Invoking<B>(Stage<B>);

#[allow(clippy::large_enum_variant, reason = "the small ones are rare")]
enum Stage<B> {
    Begins {
        record: Record,
        request: Request<B>,
        id: RequestId,
    },
    /// There is no instance yet.
    Acquires(Pin<Box<dyn Future<Output = Result<Answering, Fault>> + Send>>),
    Answers(Answering),
    Failed(Fault),
    Ended,
}

impl<B> Invoking<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    pub(crate) fn new(record: Record, request: Request<B>, id: RequestId) -> Self {
        Self(Stage::Begins { record, request, id })
    }

    pub(crate) fn failed(fault: Fault) -> Self {
        Self(Stage::Failed(fault))
    }
}

impl<B> Future for Invoking<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Output = Result<Response<ResponseBody>, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Stage::Answers(answering) => return answering.poll(cx),
                Stage::Acquires(future) => {
                    let acquired = ready!(future.as_mut().poll(cx));
                    self.0 = acquired.map_or_else(Stage::Failed, Stage::Answers);
                }
                Stage::Begins { .. } | Stage::Failed(_) | Stage::Ended => {
                    match std::mem::replace(&mut self.0, Stage::Ended) {
                        Stage::Begins { record, request, id } => self.0 = begin(record, request, id),
                        Stage::Failed(fault) => return Poll::Ready(Err(fault)),
                        _ => return Poll::Pending,
                    }
                }
            }
        }
    }
}

/// Hands the request to a warm instance, or begins to get one.
fn begin<B>(mut record: Record, request: Request<B>, id: RequestId) -> Stage<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let admitted = match Admitted::check(request, &record.revision().settings().limits) {
        Ok(admitted) => admitted,
        Err(fault) => return Stage::Failed(record.failed(fault)),
    };
    if let Some(leased) = record.revision().warm() {
        return Answering::begin(admitted, leased, id, record).map_or_else(Stage::Failed, Stage::Answers);
    }
    let Some(host) = record.revision().host() else {
        return Stage::Failed(record.failed(Fault::Draining));
    };
    Stage::Acquires(Box::pin(async move {
        match host.acquire(record.revision()).await {
            Ok(leased) => Answering::begin(admitted, leased, id, record),
            Err(fault) => Err(record.failed(fault)),
        }
    }))
}
