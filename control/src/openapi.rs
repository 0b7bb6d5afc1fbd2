//! The API's own description, made from the handlers and the model's types.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Samovar control API",
        version = "1",
        description = "Deploys functions and looks after them. Everything but health and this document needs the token \
                       that stands in the data directory.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        crate::health::alive,
        crate::health::ready,
        crate::health::info,
        crate::metrics::show,
        crate::openapi::show,
        crate::artifacts::upload,
        crate::deploy::deploy,
        crate::amend::amend,
        crate::deploy::rollback,
        crate::functions::list,
        crate::functions::show,
        crate::functions::delete,
        crate::functions::revisions,
        crate::logs::show,
        crate::stats::show,
        crate::stats::list,
        crate::key_value::list,
        crate::key_value::clear,
        crate::key_value::keys,
        crate::key_value::get,
        crate::key_value::put,
        crate::key_value::delete,
        crate::key_value::export,
        crate::key_value::import,
        crate::secrets::list,
        crate::secrets::set,
        crate::secrets::remove,
        crate::secrets::reseal,
        crate::jobs::list,
        crate::jobs::show,
        crate::jobs::retry,
        crate::jobs::purge,
        crate::jobs::schedules,
        crate::hosts::list,
        crate::hosts::drain,
        crate::hosts::undrain,
    ),
    modifiers(&Token, &OtherProblems),
    security(("token" = [])),
)]
struct Api;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// Every operation can be refused in ways that its own list leaves out: a wrong token, a malformed name.
struct OtherProblems;

impl Modify for OtherProblems {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let problem = ResponseBuilder::new().description("any other refusal");
        let problem = problem.content("application/problem+json", content).build();
        for path in openapi.paths.paths.values_mut() {
            let methods = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
            for operation in methods.into_iter().flatten() {
                operation.responses.responses.insert("default".to_owned(), problem.clone().into());
            }
        }
    }
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Api::openapi().to_pretty_json().expect("the document has only string keys"));

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "health", security(()), responses(
    (status = 200, description = "OpenAPI", content_type = "application/json"),
))]
pub(crate) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}
