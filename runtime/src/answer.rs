//! From a leased instance to an answer whose head can be sent.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use samovar_model::{Fault, RequestId, headers};
use wasmtime_wasi_http::WasiBody;

use crate::body::{ResponseBody, Streaming};
use crate::instance::{Instance, fault};
use crate::invocation::Invocation;
use crate::pool::Permit;
use crate::record::Record;
use crate::request::Admitted;

/// An instance for one invocation, and the right to use it.
pub(crate) struct Leased {
    pub(crate) instance: Instance,
    pub(crate) permit: Permit<Instance>,
    /// Whether it was made for this invocation.
    pub(crate) is_cold: bool,
}

/// An invocation whose answer's head is waited for.
pub(crate) struct Answering {
    /// None once the head is there.
    invocation: Option<Invocation>,
    is_cold: bool,
    is_head: bool,
    instance_id: HeaderValue,
}

impl Answering {
    /// Hands the request to the instance.
    pub(crate) fn begin<B>(
        admitted: Admitted<B>,
        leased: Leased,
        id: RequestId,
        mut record: Record,
    ) -> Result<Self, Fault>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let Leased { instance, permit, is_cold } = leased;
        let (is_head, body_exceeded) = (admitted.is_head(), admitted.exceeded.clone());
        let identity = instance.identity();
        let (instance_id, log) = (identity.header.clone(), Arc::clone(&identity.log));
        let deadline = admitted.deadline(record.started(), record.revision().settings());
        let work = match admitted.call(instance, &id, deadline.at().into_std()) {
            Ok(work) => work,
            Err(error) => {
                log.crash(Some(&id), &format!("the request could not be handed over: {error:#}"));
                let fault = fault(&error, record.revision().settings(), false);
                return Err(record.failed(fault));
            }
        };
        let invocation = Invocation { record, request: id, log, work, permit: Some(permit), deadline, body_exceeded };
        Ok(Self { invocation: Some(invocation), is_cold, is_head, instance_id })
    }

    /// Drives the guest until the head of its answer is there.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<ResponseBody>, Fault>> {
        let Some(invocation) = &mut self.invocation else { return Poll::Pending };
        let head = match ready!(invocation.poll_head(cx)) {
            Ok(head) if !head.status().is_informational() => head,
            Ok(head) => {
                let fault = invocation.invalid(&format!("answered with status {}", head.status()));
                return Poll::Ready(Err(invocation.record.failed(fault)));
            }
            Err(fault) => return Poll::Ready(Err(invocation.record.failed(fault))),
        };
        match self.invocation.take() {
            Some(invocation) => Poll::Ready(self.finish(head, invocation, cx)),
            None => Poll::Pending,
        }
    }

    /// Makes the answer what the gateway sends on. A guest that has finished by now is given back before anything is sent.
    fn finish(
        &self,
        head: Response<WasiBody>,
        invocation: Invocation,
        cx: &mut Context<'_>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let (mut head, body) = head.into_parts();
        let revision = Arc::clone(invocation.record.revision());
        let has_no_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let declared = || head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        // What has no body may all the same say how long it would be.
        let length = if has_no_body || self.is_head { None } else { declared() };
        let body = match Streaming::new(body, invocation, length).poll_ahead(cx) {
            Ok(body) if self.is_head || has_no_body => {
                // HTTP/2 would send the body of an answer to HEAD as it is; what is told of it is its length.
                if let Some(length) = body.size_hint().exact().filter(|_| !has_no_body) {
                    head.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
                }
                body.silent(head.status)
            }
            Ok(body) => body,
            // A guest that answers HEAD with a length and without a body has not done wrong.
            Err(_) if self.is_head => ResponseBody::empty(),
            Err(fault) => return Err(fault),
        };
        revision.counters.response(head.status);
        drop_reserved(&mut head.headers);
        // One more comes from the gateway, and hyper adds the date and the length while it writes.
        head.headers.reserve(4);
        let found = if self.is_cold { "cold" } else { "warm" };
        head.headers.insert(headers::INSTANCE, HeaderValue::from_static(found));
        head.headers.insert(headers::INSTANCE_ID, self.instance_id.clone());
        head.headers.insert(headers::REVISION, revision.header.clone());
        Ok(Response::from_parts(head, body))
    }
}

/// A guest must not be able to speak in Samovar's name.
pub(crate) fn drop_reserved(map: &mut HeaderMap) {
    if map.keys().any(|name| name.as_str().starts_with(headers::PREFIX)) {
        let reserved: Vec<_> = map.keys().filter(|name| name.as_str().starts_with(headers::PREFIX)).cloned().collect();
        for name in reserved {
            map.remove(name);
        }
    }
}
