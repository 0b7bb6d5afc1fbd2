//! Everything that the control API refuses, as problem documents (RFC 9457). The one place that decides a status.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode, Uri};

use samovar_cluster::secrets::SecretValueError;
use samovar_cluster::{ArtifactError, JobsError, KeyValueError, RegistryError, SecretError};
use samovar_model::manifest::ManifestError;
use samovar_model::{FunctionName, NameError, api};

use crate::platform::Refusal;

/// The kinds of problems: each has a status, a type and a title of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No token, or a wrong one.
    Unauthorized,
    /// There is nothing at this path.
    NoSuchPath,
    /// There is something, but not for this method.
    NoSuchMethod,
    /// The request cannot be read: its body, its query.
    BadRequest,
    /// A text that is not a function's name.
    BadName,
    /// The settings of a deploy cannot be used.
    BadSettings,
    /// A text that is not a secret's name.
    BadSecretName,
    /// Bytes that cannot be a secret.
    BadSecret,
    /// The body is too large.
    TooLarge,
    /// The function is not there.
    NoFunction,
    /// The revision is not there.
    NoRevision,
    /// The job is not there.
    NoJob,
    /// There is no store of jobs.
    NoJobs,
    /// The job is not in a state in which this makes sense.
    NotToRetry,
    /// The host is not there.
    NoHost,
    /// No function is granted the bucket.
    NoBucket,
    /// The bucket has no such key.
    NoValue,
    /// The bucket would hold more than it may.
    BucketFull,
    /// The platform keeps no values.
    NoKeyValue,
    /// The secret is not there.
    NoSecret,
    /// There is no key for a secret, or not the right one.
    NoSecretKey,
    /// There are no hosts: the platform is one process.
    NotACluster,
    /// The artifact that a deploy names is not there.
    NoArtifact,
    /// The component cannot run, or not with these settings.
    Refused,
    /// Another function has the route.
    Clash,
    /// Others have changed the function meanwhile.
    Overtaken,
    /// Not now: trying again may help.
    Unavailable,
    /// It cannot be told whether a commit happened.
    Unknown,
    /// A stored artifact is not what it should be.
    Damaged,
    /// The same of a secret.
    DamagedSecret,
}

impl Kind {
    /// Status, slug of the type, title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "the request needs the right token"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "no-such-path", "there is nothing at this path"),
            Self::NoSuchMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the path does not take this method")
            }
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "the request cannot be understood"),
            Self::BadName => (StatusCode::BAD_REQUEST, "bad-name", "not a function name"),
            Self::BadSettings => (StatusCode::BAD_REQUEST, "bad-settings", "the settings cannot be used"),
            Self::BadSecretName => (StatusCode::BAD_REQUEST, "bad-secret-name", "not a secret's name"),
            Self::BadSecret => (StatusCode::BAD_REQUEST, "bad-secret", "not a secret's value"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the request body is too large"),
            Self::NoFunction => (StatusCode::NOT_FOUND, "no-such-function", "no such function"),
            Self::NoRevision => (StatusCode::NOT_FOUND, "no-such-revision", "no such revision"),
            Self::NoJob => (StatusCode::NOT_FOUND, "no-such-job", "no such job"),
            Self::NoJobs => (StatusCode::CONFLICT, "no-jobs", "the platform has no jobs"),
            Self::NotToRetry => (StatusCode::CONFLICT, "not-to-retry", "the job cannot be retried now"),
            Self::NoHost => (StatusCode::NOT_FOUND, "no-such-host", "no such host"),
            Self::NoBucket => (StatusCode::NOT_FOUND, "no-such-bucket", "no such bucket"),
            Self::NoValue => (StatusCode::NOT_FOUND, "no-such-value", "no such value"),
            Self::BucketFull => (StatusCode::INSUFFICIENT_STORAGE, "bucket-full", "the bucket is full"),
            Self::NoKeyValue => (StatusCode::CONFLICT, "no-key-value", "the platform has no key-value store"),
            Self::NoSecret => (StatusCode::NOT_FOUND, "no-such-secret", "no such secret"),
            Self::NoSecretKey => (StatusCode::CONFLICT, "no-secret-key", "the key for secrets is not there"),
            Self::NotACluster => (StatusCode::CONFLICT, "not-a-cluster", "the platform is not a cluster"),
            Self::NoArtifact => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-artifact", "the artifact is not there"),
            Self::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "component-refused", "the component cannot run"),
            Self::Clash => (StatusCode::CONFLICT, "route-clash", "another function has the route"),
            Self::Overtaken => (StatusCode::CONFLICT, "overtaken", "the function was changed by others meanwhile"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not available now"),
            Self::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "outcome-unknown", "the outcome is not known"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged-artifact", "a stored artifact is damaged"),
            Self::DamagedSecret => (StatusCode::INTERNAL_SERVER_ERROR, "damaged-secret", "a stored secret is damaged"),
        }
    }

    /// A header that the status calls for.
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"samovar\""))),
            Self::Unavailable => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Says where it happened.
    pub(crate) fn at(self, place: &str) -> Self {
        Self { detail: format!("{place}: {}", self.detail), ..self }
    }

    /// Says what was done before it happened.
    pub(crate) fn after(self, done: &str) -> Self {
        Self { detail: format!("{}; {done}", self.detail), ..self }
    }

    pub(crate) fn no_function(name: &FunctionName) -> Self {
        RegistryError::NoFunction(name.clone()).into()
    }

    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.parts().0
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, slug, title) = self.kind.parts();
        if status.is_server_error() {
            tracing::warn!(%status, slug, detail = self.detail, "the control API answers with a problem");
        }
        let document = api::Problem {
            kind: format!("/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            request_id: None,
        };
        let mut response = (status, axum::Json(document)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(self.kind.header());
        response
    }
}

/// For paths that are not there.
pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        Kind::NoSuchPath,
        format!("there is nothing at {}; see /v1/openapi.json for what there is", uri.path()),
    )
}

/// For methods that a path does not take. The router adds `Allow`.
pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::NoSuchMethod, format!("{} does not take {method}; `allow` says what it takes", uri.path()))
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(Kind::BadName, error.to_string())
    }
}

impl From<ManifestError> for Problem {
    fn from(error: ManifestError) -> Self {
        Self::new(Kind::BadSettings, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Component(_) => Kind::Refused,
            Refusal::Unavailable(_) => Kind::Unavailable,
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let kind = match error {
            RegistryError::NoFunction(_) => Kind::NoFunction,
            RegistryError::NoRevision { .. } | RegistryError::NothingBefore(_) => Kind::NoRevision,
            RegistryError::NoArtifact(_) => Kind::NoArtifact,
            RegistryError::TooLarge { .. } => Kind::BadSettings,
            RegistryError::Clash(_) => Kind::Clash,
            RegistryError::Overtaken { .. } => Kind::Overtaken,
            RegistryError::Unavailable(_) => Kind::Unavailable,
            RegistryError::Unknown(_) => Kind::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<KeyValueError> for Problem {
    fn from(error: KeyValueError) -> Self {
        let kind = match error {
            KeyValueError::Invalid(_) | KeyValueError::NotANumber { .. } => Kind::BadRequest,
            KeyValueError::Full { .. } => Kind::BucketFull,
            KeyValueError::Unavailable(_) => Kind::Unavailable,
            KeyValueError::Unknown(_) => Kind::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        let kind = match error {
            JobsError::NoJob(_) => Kind::NoJob,
            JobsError::NotToRetry { .. } | JobsError::KeyTaken(_) => Kind::NotToRetry,
            JobsError::TooLarge { .. } => Kind::TooLarge,
            JobsError::Full { .. } | JobsError::Unavailable(_) => Kind::Unavailable,
            JobsError::Unknown(_) => Kind::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ArtifactError> for Problem {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Missing(_) => Self::new(Kind::NoArtifact, format!("{error}: upload it first")),
            ArtifactError::Damaged(_) => Self::new(Kind::Damaged, error.to_string()),
            ArtifactError::Unavailable(_) | ArtifactError::Io { .. } => Self::new(Kind::Unavailable, error.to_string()),
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        let kind = match error {
            SecretError::NotSet(_) => Kind::NoSecret,
            SecretError::NoKey(_) | SecretError::OtherKey { .. } => Kind::NoSecretKey,
            SecretError::Damaged(_) => Kind::DamagedSecret,
            SecretError::Unavailable(_) => Kind::Unavailable,
            SecretError::Unknown(_) => Kind::Unknown,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SecretValueError> for Problem {
    fn from(error: SecretValueError) -> Self {
        let kind = match error {
            SecretValueError::TooLarge(_) => Kind::TooLarge,
            SecretValueError::Empty | SecretValueError::NotText => Kind::BadSecret,
        };
        Self::new(kind, error.to_string())
    }
}
