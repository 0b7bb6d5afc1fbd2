//! Buckets and their values, for people: looking, putting, deleting, clearing. `transfer` takes them out and puts them back.
//!
//! A bucket's rules stand in the manifests of the functions that are granted it. What no function is granted can still be read,
//! exported, deleted and cleared as long as it holds something, and takes no values: nobody would say how long to keep them, or
//! how many. What neither is granted nor holds anything is most likely misspelt, and refused.

mod transfer;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;

use samovar_cluster::KeyValue;
use samovar_cluster::key_value::{BucketUsage, Range, Write};
use samovar_model::api::{BucketList, BucketRules, BucketSummary, KeyPage, Problem as Document};
use samovar_model::{Bucket, BucketGrant, BucketId, BucketName, FunctionName, MAX_VALUE_BYTES};

use crate::Control;
use crate::extract::Params;
use crate::problem::{Kind, Problem};

pub(crate) use transfer::{__path_export, __path_import, export, import};

/// The most keys of a page, and how many when nothing is asked for.
const MAX_KEYS: usize = 10_000;
const KEYS: usize = 1000;

/// The bucket in the path, whose `/` is written `%2F`.
pub(crate) struct InBucket(BucketId);

/// A bucket and a key in the path, both percent-encoded.
pub(crate) struct AtKey(BucketId, String);

impl<S: Send + Sync> FromRequestParts<S> for InBucket {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(bucket) = Path::<String>::from_request_parts(parts, state).await.map_err(bad_path)?;
        Ok(Self(id(&bucket)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AtKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((bucket, key)) = path.map_err(bad_path)?;
        Ok(Self(id(&bucket)?, key))
    }
}

fn bad_path(error: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::BadRequest, format!("the path: {error}"))
}

fn id(text: &str) -> Result<BucketId, Problem> {
    text.parse().map_err(|error| Problem::new(Kind::BadName, format!("{error}")))
}

impl Control {
    fn key_value(&self) -> Result<&Arc<dyn KeyValue>, Problem> {
        let none = || Problem::new(Kind::NoKeyValue, "this platform has no key-value store".to_owned());
        self.0.stores.key_value.as_ref().ok_or_else(none)
    }

    /// The functions whose current revision is granted a bucket, by name, each with the bucket's rules as it has them.
    fn grants(&self) -> Vec<(FunctionName, Bucket)> {
        let snapshot = self.snapshot();
        let granted = snapshot.functions.iter().flat_map(|(function, state)| {
            let grants = &state.current().settings.kv;
            grants.iter().map(|(name, grant)| (function.clone(), grant.bucket(function, name)))
        });
        granted.collect()
    }

    /// The bucket with its rules, if a function is granted it.
    fn granted(&self, id: &BucketId) -> Option<Bucket> {
        self.grants().into_iter().map(|(_, bucket)| bucket).find(|bucket| bucket.id == *id)
    }

    /// What is to be said of a bucket that there is none of.
    fn no_bucket(&self, id: &BucketId, why: &str) -> Problem {
        let shared =
            self.shared_name(id).map(|shared| format!("; what that function calls so is the shared bucket `{shared}`"));
        let shared = shared.unwrap_or_default();
        let words = format!("{why}{shared}; `samovar kv buckets` shows what there is");
        Problem::new(Kind::NoBucket, words)
    }

    /// The name of the bucket that a function shares and knows by the one given here.
    fn shared_name(&self, id: &BucketId) -> Option<BucketName> {
        let BucketId::Own(function, name) = id else { return None };
        let snapshot = self.snapshot();
        snapshot.functions.get(function)?.current().settings.kv.get(name)?.shared.clone()
    }

    /// The bucket for reading and deleting, where its rules do not matter: one that a function is granted, or that holds
    /// something.
    async fn bucket(&self, id: BucketId) -> Result<Bucket, Problem> {
        if let Some(granted) = self.granted(&id) {
            return Ok(granted);
        }
        if !self.key_value()?.buckets().await?.iter().any(|held| held.id == id) {
            let why = format!("no bucket `{id}`: no function is granted it, and nothing is in it");
            return Err(self.no_bucket(&id, &why));
        }
        let BucketGrant { ttl, max_bytes, durability, .. } = BucketGrant::default();
        Ok(Bucket { id, ttl, max_bytes, durability })
    }

    /// The bucket for writing.
    fn writable(&self, id: &BucketId) -> Result<Bucket, Problem> {
        let manifest = match id {
            BucketId::Own(function, name) => {
                format!("`[function.{function}.kv]` with `{name} = {{}}` makes it that function's")
            }
            BucketId::Shared(name) => {
                format!(
                    "`[function.NAME.kv]` with `{name} = {{ shared = \"{name}\" }}` makes it one that functions share"
                )
            }
        };
        let why = || format!("no function is granted bucket `{id}`: {manifest}, at the next deploy");
        self.granted(id).ok_or_else(|| self.no_bucket(id, &why()))
    }
}

/// Every bucket that holds something or that a function is granted.
#[utoipa::path(get, path = "/v1/kv", operation_id = "list_buckets", tag = "key-value", responses(
    (status = 200, body = BucketList),
    (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn list(State(control): State<Control>) -> Result<axum::Json<BucketList>, Problem> {
    let held = control.key_value()?.buckets().await?;
    Ok(axum::Json(BucketList { buckets: summaries(held, control.grants()) }))
}

fn summaries(held: Vec<BucketUsage>, grants: Vec<(FunctionName, Bucket)>) -> Vec<BucketSummary> {
    let empty = |bucket: BucketId| BucketSummary { bucket, keys: 0, bytes: 0, functions: Vec::new(), rules: None };
    let held = held.into_iter().map(|usage| BucketSummary { keys: usage.keys, bytes: usage.bytes, ..empty(usage.id) });
    let mut buckets: Vec<_> = held.collect();
    for (function, Bucket { id, ttl, max_bytes, durability }) in grants {
        let at = buckets.iter().position(|summary| summary.bucket == id).unwrap_or_else(|| {
            buckets.push(empty(id));
            buckets.len() - 1
        });
        buckets[at].functions.push(function);
        buckets[at].rules.get_or_insert(BucketRules { ttl, max_bytes, durability });
    }
    buckets.sort_by(|one, other| one.bucket.cmp(&other.bucket));
    buckets
}

/// Deletes all that a bucket holds.
#[utoipa::path(delete, path = "/v1/kv/{bucket}", operation_id = "clear_bucket", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`")),
    responses(
        (status = 204, description = "it is empty"),
        (status = 404, description = "no such bucket", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn clear(State(control): State<Control>, InBucket(bucket): InBucket) -> Result<StatusCode, Problem> {
    let bucket = control.bucket(bucket).await?.id;
    control.key_value()?.clear(&bucket).await?;
    tracing::info!(%bucket, "cleared");
    Ok(StatusCode::NO_CONTENT)
}

/// Which keys.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Keys {
    /// Only keys that begin with this.
    #[serde(default)]
    prefix: String,
    /// Only keys behind this one, which need not be there.
    after: Option<String>,
    /// The most keys to answer, 1 to 10000; 1000 when absent.
    limit: Option<usize>,
}

/// Keys in order, a page at a time.
#[utoipa::path(get, path = "/v1/kv/{bucket}/keys", operation_id = "list_keys", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`"), Keys),
    responses(
        (status = 200, body = KeyPage),
        (status = 404, description = "no such bucket", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn keys(
    State(control): State<Control>,
    InBucket(bucket): InBucket,
    Params(Keys { prefix, after, limit }): Params<Keys>,
) -> Result<axum::Json<KeyPage>, Problem> {
    let limit = limit.unwrap_or(KEYS);
    if !(1..=MAX_KEYS).contains(&limit) {
        let words = format!("the query: limit: {limit}: it must be 1 to {MAX_KEYS}");
        return Err(Problem::new(Kind::BadRequest, words));
    }
    let bucket = control.bucket(bucket).await?;
    let page = control.key_value()?.list(&bucket, Range { prefix, after, limit }).await?;
    Ok(axum::Json(KeyPage { keys: page.keys, more: page.more }))
}

/// A value, as it is. `etag` is its version.
#[utoipa::path(get, path = "/v1/kv/{bucket}/values/{key}", operation_id = "get_value", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`"),
        ("key" = String, Path, description = "percent-encoded")),
    responses(
        (status = 200, description = "the value's bytes", content_type = "application/octet-stream"),
        (status = 404, description = "no such bucket or value", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(State(control): State<Control>, AtKey(bucket, key): AtKey) -> Result<Response, Problem> {
    let missing = Problem::new(Kind::NoValue, format!("bucket `{bucket}` has no key `{key}`"));
    let bucket = control.bucket(bucket).await?;
    let entry = control.key_value()?.get(&bucket, &key).await?.ok_or(missing)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
    headers.extend(format!("\"{}\"", entry.version).parse().ok().map(|version| (ETAG, version)));
    Ok((headers, Body::from(entry.value)).into_response())
}

/// Writes a value.
#[utoipa::path(put, path = "/v1/kv/{bucket}/values/{key}", operation_id = "put_value", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`"),
        ("key" = String, Path, description = "percent-encoded, 1 to 256 bytes")),
    request_body(content_type = "application/octet-stream", description = "the value's bytes, 1 MiB at most"),
    responses(
        (status = 204, description = "on disk"),
        (status = 404, description = "no function is granted the bucket", body = Document,
            content_type = "application/problem+json"),
        (status = 413, description = "too large", body = Document, content_type = "application/problem+json"),
        (status = 507, description = "the bucket is full", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn put(
    State(control): State<Control>,
    AtKey(bucket, key): AtKey,
    body: Body,
) -> Result<StatusCode, Problem> {
    let bucket = control.writable(&bucket)?;
    let value = value(body, &key).await?;
    control.key_value()?.write(&bucket, vec![Write { key, value: Some(value) }]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn value(body: Body, key: &str) -> Result<Bytes, Problem> {
    let body = Limited::new(body, MAX_VALUE_BYTES).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => Problem::new(Kind::TooLarge, format!("key `{key}`: a value of more than {MAX_VALUE_BYTES} bytes")),
        false => Problem::new(Kind::BadRequest, format!("the body broke off: {error}")),
    })?;
    Ok(body.to_bytes())
}

/// Deletes a key, which need not be there.
#[utoipa::path(delete, path = "/v1/kv/{bucket}/values/{key}", operation_id = "delete_value", tag = "key-value",
    params(("bucket" = String, Path, description = "`FUNCTION/NAME` with the `/` written `%2F`, or `NAME`"),
        ("key" = String, Path, description = "percent-encoded")),
    responses(
        (status = 204, description = "it is not there any more"),
        (status = 404, description = "no such bucket", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete(State(control): State<Control>, AtKey(bucket, key): AtKey) -> Result<StatusCode, Problem> {
    let bucket = control.bucket(bucket).await?;
    control.key_value()?.write(&bucket, vec![Write { key, value: None }]).await?;
    Ok(StatusCode::NO_CONTENT)
}
