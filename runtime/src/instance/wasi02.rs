//! An instance of WASI 0.2: takes one invocation at a time, called directly on the thread that serves the connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use super::{Blueprint, Holding, Identity, Place};
use crate::direct::{Direct, DirectPre};
use crate::driven::Driven;
use crate::guest::Guest;
use crate::interfaces::calls::Caller;
use samovar_model::RequestId;

/// Code that is ready to be instantiated.
#[derive(Clone)]
pub(crate) enum Pre02 {
    /// As the component that it is.
    Component(ProxyPre<Guest>),
    /// As its one core module.
    Direct(DirectPre),
}

impl Pre02 {
    fn engine(&self) -> &Engine {
        match self {
            Self::Component(pre) => pre.engine(),
            Self::Direct(pre) => pre.engine(),
        }
    }

    async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Handler> {
        Ok(match self {
            Self::Component(pre) => Handler::Component(pre.instantiate_async(store).await?),
            Self::Direct(pre) => Handler::Direct(pre.instantiate(store).await?),
        })
    }
}

/// The guest's function that requests are given to.
enum Handler {
    Component(Proxy),
    Direct(Direct),
}

/// An instance with its store.
pub(crate) struct Wasi02 {
    store: Store<Guest>,
    handler: Handler,
    head: Arc<Head>,
    pub(super) identity: Identity,
    pub(super) holding: Arc<Holding>,
}

/// Where the guest's call of `response-outparam.set` leaves the answer's head.
#[derive(Default)]
pub(crate) struct Head(Mutex<Option<Answer02>>);

/// An answer, or the error that the guest answered with.
type Answer02 = Result<Response<WasiBody>, ErrorCode>;

impl Head {
    /// The head, if it has been set and not been taken.
    pub(crate) fn take(&self) -> Option<Answer02> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, answer: Answer02) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

/// How a call has ended, and the instance it ran in.
type Ended02 = (Box<Wasi02>, wasmtime::Result<()>);

/// A call that runs: the guest, which may go on after it has answered, and the answer's head.
pub(crate) struct Call02 {
    /// Ends with the instance and how the guest ended.
    pub(crate) guest: Driven<Ended02>,
    pub(crate) head: Arc<Head>,
}

impl Wasi02 {
    pub(super) async fn make(pre: &Pre02, blueprint: &Blueprint<'_>, place: Place) -> wasmtime::Result<Self> {
        let (id, holding) = (place.id, Arc::clone(&place.holding));
        let mut store = Guest::store(pre.engine(), blueprint.settings, blueprint.granted, place);
        let pre = pre.clone();
        // A start-up that computes for long goes to the slow lane like any other.
        let started = Driven::new(async move {
            let handler = pre.instantiate(&mut store).await?;
            Ok::<_, wasmtime::Error>((store, handler))
        });
        let (store, handler) = started.on(blueprint.lane).await?;
        let identity = Identity::new(id, store.data().log.clone());
        Ok(Self { store, handler, head: Arc::default(), identity, holding })
    }

    pub(super) fn was_refused_memory(&self) -> bool {
        self.store.data().memory.refused()
    }

    /// Prepares a call whose answer must be complete by `deadline`. Nothing runs before the guest's future is polled.
    ///
    /// # Errors
    /// When the request cannot be handed to the guest.
    pub(crate) fn call<B>(
        mut self: Box<Self>,
        request: Request<B>,
        id: &RequestId,
        deadline: Instant,
    ) -> wasmtime::Result<Call02>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        self.identity.used();
        self.identity.log.begin(id);
        self.store.set_epoch_deadline(1);
        let (head, set) = (Arc::clone(&self.head), Arc::clone(&self.head));
        let guest = self.store.data_mut();
        guest.begin(true);
        if guest.may_call() {
            guest.called_by(true, Caller::new(&request, id, deadline));
        }
        let mut view = guest.http();
        let request = view.new_incoming_request(Scheme::Http, request)?;
        let outparam = view.new_response_outparam_from_callback(move |answer| set.set(answer))?;
        let guest = Driven::new(async move {
            let store = &mut self.store;
            let result = match &self.handler {
                Handler::Component(proxy) => {
                    proxy.wasi_http_incoming_handler().call_handle(store, request, outparam).await
                }
                Handler::Direct(direct) => direct.call(store, request, outparam).await,
            };
            (self, result)
        });
        Ok(Call02 { guest, head })
    }
}
