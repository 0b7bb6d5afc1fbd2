//! A server that the guest `tally` tells of each of its runs: how often was each request run?

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use crate::apart::apart;

type Runs = Arc<Mutex<Known>>;

#[derive(Default)]
struct Known {
    /// Each id, and the runs for it.
    runs: BTreeMap<String, BTreeSet<String>>,
    /// Each address that told of runs: when it told of the first one, and of how many.
    from: BTreeMap<IpAddr, (Instant, usize)>,
}

/// A server that counts. Dropping it stops it.
pub struct Tally {
    address: SocketAddr,
    runs: Runs,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Tally {
    /// Starts it on loopback.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts it at this address of the machine.
    pub fn start_at(address: IpAddr) -> Self {
        let listener = std::net::TcpListener::bind((address, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that is open");
        let address = listener.local_addr().expect("bound");
        let runs = Runs::default();
        let (stop, stopped) = oneshot::channel();
        let serving = apart("tally", {
            let runs = Arc::clone(&runs);
            async move || {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket that is open");
                tokio::select! {
                    () = serve(listener, runs) => {}
                    // Its other half is dropped.
                    _ = stopped => {}
                }
            }
        });
        Self { address, runs, stop: Some(stop), serving: Some(serving) }
    }

    /// Its scheme, address and port: the guest's variable `TALLY`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings of a function that uses it.
    pub fn settings(&self) -> String {
        let origin = self.origin();
        format!("env.TALLY = '{origin}'\nallow_outbound = ['{origin}']\nallow_private = true")
    }

    /// How often each id was run that was run at all.
    pub fn runs(&self) -> BTreeMap<String, usize> {
        let runs = self.runs.lock().expect("no one panics holding it");
        runs.runs.iter().map(|(id, runs)| (id.clone(), runs.len())).collect()
    }

    /// When the host at this address first told of a run. Hosts have addresses of their own in a [`crate::Network`] alone.
    pub fn first_from(&self, host: IpAddr) -> Option<Instant> {
        let runs = self.runs.lock().expect("no one panics holding it");
        runs.from.get(&host).map(|(first, _)| *first)
    }

    /// Of how many runs the host at this address told.
    pub fn number_from(&self, host: IpAddr) -> usize {
        let runs = self.runs.lock().expect("no one panics holding it");
        runs.from.get(&host).map_or(0, |(_, number)| *number)
    }

    /// The ids that were run more than once.
    pub fn repeated(&self) -> Vec<String> {
        self.runs().into_iter().filter(|(_, runs)| *runs > 1).map(|(id, _)| id).collect()
    }
}

async fn serve(listener: tokio::net::TcpListener, runs: Runs) {
    while let Ok((stream, from)) = listener.accept().await {
        let runs = Arc::clone(&runs);
        let answer = service_fn(move |request: Request<Incoming>| {
            let status = count(&runs, from.ip(), request.uri().path());
            let mut response = Response::new(Full::new(Bytes::new()));
            *response.status_mut() = status;
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn count(runs: &Runs, from: IpAddr, path: &str) -> StatusCode {
    let Some((id, run)) = path.strip_prefix('/').and_then(|rest| rest.split_once('/')) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut runs = runs.lock().expect("no one panics holding it");
    runs.runs.entry(id.to_owned()).or_default().insert(run.to_owned());
    runs.from.entry(from).or_insert((Instant::now(), 0)).1 += 1;
    StatusCode::OK
}

impl Drop for Tally {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            drop(serving.join());
        }
    }
}
