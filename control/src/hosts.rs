//! The hosts of a cluster, and what they are asked for.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use http::StatusCode;

use samovar_model::api::{HostList, HostSummary, Problem as Document};
use samovar_model::{Digest, FunctionName, HostId, HostIntent, Member};

use crate::Control;
use crate::problem::{Kind, Problem};

/// All hosts.
#[utoipa::path(get, path = "/v1/hosts", operation_id = "list_hosts", tag = "hosts", responses(
    (status = 200, body = HostList),
    (status = 409, description = "not a cluster", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn list(State(control): State<Control>) -> Result<axum::Json<HostList>, Problem> {
    let members = members(&control)?;
    let mut functions: BTreeMap<Digest, BTreeSet<FunctionName>> = BTreeMap::new();
    for function in control.snapshot().functions.values() {
        functions.entry(function.current().artifact).or_default().insert(function.name.clone());
    }
    let hosts = members.iter().map(|member| summary(member, &functions)).collect();
    Ok(axum::Json(HostList { hosts }))
}

/// Asks a host to finish what it has, and has gateways give it nothing new.
#[utoipa::path(post, path = "/v1/hosts/{name}/drain", operation_id = "drain_host", tag = "hosts",
    params(("name" = String, Path, description = "the host's name")),
    responses(
        (status = 202, description = "it is asked"),
        (status = 404, description = "no such host", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "not a cluster", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn drain(State(control): State<Control>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ask(&control, &name, HostIntent::Draining).await
}

/// Has a host that was drained take invocations again; it need not be there now.
#[utoipa::path(post, path = "/v1/hosts/{name}/undrain", operation_id = "undrain_host", tag = "hosts",
    params(("name" = String, Path, description = "the host's name")),
    responses(
        (status = 202, description = "it is asked"),
        (status = 404, description = "no such host", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "not a cluster", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn undrain(State(control): State<Control>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    ask(&control, &name, HostIntent::Ready).await
}

async fn ask(control: &Control, name: &str, intent: HostIntent) -> Result<StatusCode, Problem> {
    let members = members(control)?;
    let host: Option<HostId> = name.parse().ok();
    // One that was drained and has been stopped may be let in again before it is back.
    let is_known =
        |host: &HostId| intent == HostIntent::Ready || members.iter().any(|member| member.record.id == *host);
    let known = host.filter(is_known);
    let Some(host) = known else {
        let names: Vec<_> = members.iter().map(|member| member.record.id.as_str()).collect();
        let there =
            if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) };
        let detail = format!("no host `{name}`; {there}");
        return Err(Problem::new(Kind::NoHost, detail));
    };
    control.0.platform.ask_host(&host, intent).await?;
    tracing::info!(%host, ?intent, "a host is asked");
    Ok(StatusCode::ACCEPTED)
}

fn members(control: &Control) -> Result<Vec<Member>, Problem> {
    control.0.platform.hosts().ok_or_else(|| {
        let detail = "this platform is one process, `samovar up` without --join, and has no hosts beside it";
        Problem::new(Kind::NotACluster, detail)
    })
}

fn summary(member: &Member, functions: &BTreeMap<Digest, BTreeSet<FunctionName>>) -> HostSummary {
    let record = &member.record;
    let (load, warm) = (record.report.load, &record.report.warm);
    let warm: BTreeSet<_> = warm.iter().filter_map(|digest| functions.get(digest)).flatten().cloned().collect();
    HostSummary {
        name: record.id.clone(),
        state: member.state,
        address: record.address.clone(),
        version: record.version.clone(),
        started: record.started,
        in_flight: load.in_flight,
        busy: load.busy,
        idle: load.idle,
        max_instances: record.capacity.instances,
        warm: warm.into_iter().collect(),
    }
}
