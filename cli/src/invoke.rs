//! `samovar invoke`: calls a function through the gateway, as any client would, and prints the answer as it comes.

mod target;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use futures_util::TryStreamExt as _;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use samovar_model::{FunctionName, headers};
use tokio_util::io::ReaderStream;

use crate::args::Global;
use crate::client::{Body, SendError, full};
use crate::console::{Console, Paint};
use crate::control::Control;
use crate::human;
use target::Target;

/// Call a function through the gateway
#[derive(Debug, Args)]
#[command(after_help = "\
The answer goes to stdout as it is, while it comes. The exit code is 1 when its status is 400 or above. With --async the request
is stored, and stdout has the id of its job: `samovar jobs show` says what became of it.

Examples:
  samovar invoke hello
  samovar invoke hello -v --path '/hello/you?x=1'
  samovar invoke todo --data '{\"title\":\"tea\"}' -H 'content-type: application/json'
  samovar invoke hash --method PUT --data @picture.jpg
  samovar invoke report --async
  tar c . | samovar invoke hash --data -")]
pub(crate) struct InvokeArgs {
    /// The function
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// The method [default: what the function's first route wants; else POST with --data, GET without]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<Method>,
    /// Path and query [default: the path of the function's first route]
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    path: Option<String>,
    /// A header; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: the text itself, @FILE, or - for stdin
    #[arg(long, short, value_name = "DATA")]
    data: Option<String>,
    /// Have the request stored and answered later; prints the job's id
    #[arg(long = "async")]
    later: bool,
    /// With --async: what a second call of the same is known by, for 24 hours
    #[arg(long, value_name = "KEY", requires = "later")]
    idempotency_key: Option<HeaderValue>,
    /// Show status, headers, timing, and which instance answered
    #[arg(long, short)]
    verbose: bool,
}

fn parse_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("must begin with `/`".to_owned());
    }
    text.parse::<http::uri::PathAndQuery>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE, as in `accept: text/plain`")?;
    let name = name.trim().parse::<HeaderName>().map_err(|error| error.to_string())?;
    let value = value.trim().parse::<HeaderValue>().map_err(|error| error.to_string())?;
    Ok((name, value))
}

pub(crate) async fn run(args: &InvokeArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let control = Control::new(global)?;
    let gateway = control.info().await?.gateway;
    let function = control.function(&args.name).await?;
    let target = Target::choose(&function, args.method.as_ref(), args.path.as_deref(), args.data.is_some())?;
    let request = request(args, &target, &gateway).await?;
    if args.verbose {
        console.note(format_args!("> {} {}", request.method(), request.uri()));
        note_headers('>', request.headers(), console);
    }
    let began = Instant::now();
    let answer = control.http().send(request).await.map_err(|error| match error {
        SendError::Connect(why) => anyhow::anyhow!("cannot reach the gateway at {gateway}: {why}"),
        SendError::Broken(why) => anyhow::anyhow!("the connection to the gateway at {gateway} broke: {why}"),
    })?;
    if args.later && answer.headers().contains_key("preference-applied") {
        return stored(&answer, args, console);
    }
    receive(answer, began, args, console).await?;
    if args.later {
        bail!(
            "`{}` was called at once: its manifest has `jobs.respond_async = false`, or the platform has no jobs",
            args.name
        );
    }
    Ok(())
}

/// Prints the id of the job that a request has become.
fn stored(answer: &Response<Incoming>, args: &InvokeArgs, console: &mut Console) -> anyhow::Result<()> {
    let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let Some((path, id)) = location.and_then(|location| location.rsplit_once('/')) else {
        bail!("`{}` answered {} without saying where the job is", args.name, answer.status());
    };
    if args.verbose {
        note_status(answer.status(), console);
        note_headers('<', answer.headers(), console);
    }
    console.line(id)?;
    console.note(format_args!(
        "stored: `samovar jobs show {id}`, or GET {path}/{id} at the gateway, says what became of it"
    ));
    Ok(())
}

async fn request(args: &InvokeArgs, target: &Target, gateway: &str) -> anyhow::Result<Request<Body>> {
    let uri = format!("{}{}", gateway.trim_end_matches('/'), target.path);
    let mut request = Request::builder().method(&target.method).uri(&uri);
    if let Some(host) = &target.host {
        request = request.header(header::HOST, host);
    }
    for (name, value) in &args.headers {
        // A header that is given replaces what would be sent otherwise; given twice it is sent twice.
        if *name == header::HOST
            && let Some(headers) = request.headers_mut()
        {
            headers.remove(header::HOST);
        }
        request = request.header(name, value);
    }
    if args.later {
        request = request.header("prefer", "respond-async");
    }
    if let Some(key) = &args.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let body = body(args.data.as_deref()).await?;
    request.body(body).with_context(|| format!("cannot call {uri}"))
}

async fn body(data: Option<&str>) -> anyhow::Result<Body> {
    Ok(match data {
        None => Body::default(),
        Some("-") => {
            let stdin = ReaderStream::new(tokio::io::stdin()).map_ok(Frame::data);
            StreamBody::new(stdin).boxed_unsync()
        }
        Some(data) => match data.strip_prefix('@') {
            Some(file) => full(tokio::fs::read(file).await.with_context(|| format!("cannot read {file}"))?),
            None => full(Bytes::copy_from_slice(data.as_bytes())),
        },
    })
}

async fn receive(
    answer: Response<Incoming>,
    began: Instant,
    args: &InvokeArgs,
    console: &mut Console,
) -> anyhow::Result<()> {
    let to_head = began.elapsed();
    let (head, mut body) = answer.into_parts();
    let status = head.status;
    if args.verbose {
        note_status(status, console);
        note_headers('<', &head.headers, console);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer broke off")?;
        match frame.into_data() {
            Ok(data) => console.raw(&data)?,
            Err(frame) if args.verbose => {
                if let Ok(trailers) = frame.into_trailers() {
                    note_headers('<', &trailers, console);
                }
            }
            Err(_) => {}
        }
    }
    if args.verbose {
        console.note(summary(&head.headers, to_head, began.elapsed()));
    }
    if status.is_client_error() || status.is_server_error() {
        let origin = head.headers.get(headers::ORIGIN).and_then(|origin| origin.to_str().ok());
        let origin = origin.map(|origin| format!(" (from the {origin})")).unwrap_or_default();
        bail!("`{}` answered {status}{origin}", args.name);
    }
    Ok(())
}

fn note_status(status: StatusCode, console: &mut Console) {
    let paint = if status.is_success() { Paint::Green } else { Paint::Yellow };
    let shown = console.paint_note(paint, status);
    console.note(format_args!("< {shown}"));
}

fn note_headers(direction: char, headers: &http::HeaderMap, console: &mut Console) {
    for (name, value) in headers {
        console.note(format_args!("{direction} {name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
}

/// Which instance answered, where one did, and how long it took.
fn summary(answer: &http::HeaderMap, to_head: Duration, in_all: Duration) -> String {
    let header = |name: HeaderName| answer.get(name)?.to_str().ok();
    let instance = match (header(headers::INSTANCE), header(headers::INSTANCE_ID), header(headers::REVISION)) {
        (Some(found), Some(id), Some(revision)) => format!("{found} instance {id}, revision {revision}, "),
        _ => String::new(),
    };
    format!("{instance}{} to the head, {} in all", human::span(to_head), human::span(in_all))
}

#[cfg(test)]
mod tests;
