//! A small router for functions with a few routes. For more (nesting, layers, state) there is the `axum` feature.

use std::fmt;
use std::pin::Pin;

use http::{HeaderValue, Method, StatusCode, header};

use crate::pattern::Pattern;
use crate::{Error, FromRequest, FromRequestParts, IntoResponse, Request, Response};

type LocalFuture = Pin<Box<dyn Future<Output = Response>>>;
type BoxRoute = Box<dyn Fn(Request) -> LocalFuture + Send + Sync>;

/// Sends a request to one of several async functions, by path and method.
///
/// Patterns have the manifest's form, and match the **whole** path, as the caller wrote it: the function's own name is not cut
/// off. The most specific pattern wins, whatever the order of the calls. `HEAD` is answered by `GET`. No pattern that fits is a
/// 404, no method a 405 with `Allow`.
///
/// Build it once for all requests of an instance, in a `LazyLock`:
///
/// ```
/// use std::sync::LazyLock;
///
/// use samovar_sdk::{Path, Request, Response, Router, handler};
///
/// static ROUTER: LazyLock<Router> =
///     LazyLock::new(|| Router::new().get("/cart/{id}", show).delete("/cart/{id}", async || "emptied\n"));
///
/// async fn show(Path(id): Path<u32>) -> String {
///     format!("cart {id}\n")
/// }
///
/// #[handler]
/// async fn cart(request: Request) -> Response {
///     ROUTER.handle(request).await
/// }
///
/// # use samovar_sdk::Body;
/// let request = Request::get("/cart/7").body(Body::empty()).unwrap();
/// assert_eq!(samovar_sdk::testing::call(cart(request)).text(), "cart 7\n");
/// ```
#[derive(Default)]
pub struct Router {
    /// The most specific first.
    routes: Vec<Route>,
    fallback: Option<BoxRoute>,
}

struct Route {
    pattern: Pattern,
    methods: Vec<(Method, BoxRoute)>,
}

impl Router {
    /// A router without routes.
    ///
    /// ```
    /// let router = samovar_sdk::Router::new().get("/", async || "home");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Routes one method and pattern to a function.
    ///
    /// # Panics
    /// The pattern is malformed, or this method of it has a function already.
    ///
    /// ```
    /// use samovar_sdk::{Router, http::Method};
    ///
    /// let router = Router::new().route(Method::OPTIONS, "/{*all}", async || ());
    /// ```
    #[must_use]
    pub fn route<H: RouteHandler<Args>, Args>(mut self, method: Method, pattern: &str, handler: H) -> Self {
        let parsed = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{error}"));
        let index = self.routes.iter().position(|route| route.pattern.same_paths(&parsed)).unwrap_or_else(|| {
            let index = self.routes.partition_point(|route| route.pattern < parsed);
            self.routes.insert(index, Route { pattern: parsed, methods: Vec::new() });
            index
        });
        let methods = &mut self.routes[index].methods;
        assert!(methods.iter().all(|(other, _)| *other != method), "{method} {pattern}: routed twice");
        methods.push((method, boxed(handler)));
        self
    }

    /// Answers what no route fits, in place of the 404.
    ///
    /// ```
    /// use samovar_sdk::{Router, http::StatusCode};
    ///
    /// let router = Router::new().fallback(async || (StatusCode::NOT_FOUND, "nothing here\n"));
    /// ```
    #[must_use]
    pub fn fallback<H: RouteHandler<Args>, Args>(mut self, handler: H) -> Self {
        self.fallback = Some(boxed(handler));
        self
    }

    /// Answers one request.
    ///
    /// ```
    /// use samovar_sdk::{Body, Request, Router, testing};
    ///
    /// let router = Router::new().get("/", async || "home");
    /// let request = Request::get("/elsewhere").body(Body::empty()).unwrap();
    /// assert_eq!(testing::call(router.handle(request)).status, 404);
    /// ```
    pub async fn handle(&self, mut request: Request) -> Response {
        let path = request.uri().path();
        let found = self.routes.iter().find_map(|route| Some((route, route.pattern.matches(path)?)));
        let Some((route, params)) = found else {
            return match &self.fallback {
                Some(fallback) => fallback(request).await,
                None => Error::not_found(format!("no route fits `{path}`")).into_response(),
            };
        };
        match route.method(request.method()) {
            Some(handler) => {
                request.extensions_mut().insert(params);
                handler(request).await
            }
            None => route.wrong_method(request.method()),
        }
    }
}

impl Route {
    fn method(&self, method: &Method) -> Option<&BoxRoute> {
        let find =
            |wanted: &Method| self.methods.iter().find(|(method, _)| method == wanted).map(|(_, handler)| handler);
        find(method).or_else(|| if *method == Method::HEAD { find(&Method::GET) } else { None })
    }

    fn wrong_method(&self, method: &Method) -> Response {
        let mut allowed: Vec<_> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        allowed.sort_unstable();
        let allowed = allowed.join(", ");
        let error = Error::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not one of {allowed}"));
        match HeaderValue::from_str(&allowed) {
            Ok(value) => error.with_header(header::ALLOW, value).into_response(),
            Err(_) => error.into_response(),
        }
    }
}

macro_rules! methods {
    ($($name:ident $method:ident),* $(,)?) => {
        impl Router {$(
            #[doc = concat!("Routes `", stringify!($method), "` of a pattern to a function.")]
            ///
            /// # Panics
            /// The pattern is malformed, or this method of it has a function already.
            ///
            /// ```
            #[doc = concat!("let router = samovar_sdk::Router::new().", stringify!($name), "(\"/cart\", async || \"done\\n\");")]
            /// ```
            #[must_use]
            pub fn $name<H: RouteHandler<Args>, Args>(self, pattern: &str, handler: H) -> Self {
                self.route(Method::$method, pattern, handler)
            }
        )*}
    };
}

methods! { get GET, post POST, put PUT, patch PATCH, delete DELETE }

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.pattern)).finish()
    }
}

fn boxed<H: RouteHandler<Args>, Args>(handler: H) -> BoxRoute {
    Box::new(move |request| Box::pin(handler.clone().answer(request)))
}

/// A function that a [`Router`] can send requests to: an `async fn` or closure with up to eight extractors, of which the last
/// may read the body, that returns anything [`IntoResponse`].
///
/// ```
/// use samovar_sdk::{Json, Path, RouteHandler};
///
/// async fn rename(Path(id): Path<u32>, Json(name): Json<String>) -> String {
///     format!("{id} is {name}")
/// }
///
/// fn is_a_route_handler<Args>(_: impl RouteHandler<Args>) {}
/// is_a_route_handler(rename);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be routed to",
    label = "not an `async fn` of extractors",
    note = "it must be an `async fn` (or closure) of up to eight extractors, of which only the last reads the body, and return something that is `IntoResponse`"
)]
pub trait RouteHandler<Args>: Clone + Send + Sync + 'static {
    /// Takes the arguments from the request, and calls the function.
    fn answer(self, request: Request) -> impl Future<Output = Response> + 'static;
}

impl<F, Fut> RouteHandler<()> for F
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future + 'static,
    Fut::Output: IntoResponse,
{
    async fn answer(self, _request: Request) -> Response {
        self().await.into_response()
    }
}

macro_rules! route_handler {
    ($($part:ident)* ; $last:ident) => {
        impl<F, Fut, Via, $($part,)* $last> RouteHandler<(Via, $($part,)* $last,)> for F
        where
            F: Fn($($part,)* $last) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future + 'static,
            Fut::Output: IntoResponse,
            $($part: FromRequestParts + 'static,)*
            $last: FromRequest<Via> + 'static,
            Via: 'static,
        {
            #[allow(non_snake_case, reason = "a variable for each type")]
            async fn answer(self, request: Request) -> Response {
                #[allow(unused_mut, reason = "nothing to take with one argument")]
                let (mut parts, body) = request.into_parts();
                $(
                    let $part = match $part::from_request_parts(&mut parts).await {
                        Ok(value) => value,
                        Err(error) => return error.into_response(),
                    };
                )*
                match $last::from_request(Request::from_parts(parts, body)).await {
                    Ok($last) => self($($part,)* $last).await.into_response(),
                    Err(error) => error.into_response(),
                }
            }
        }
    };
}

route_handler!(; A);
route_handler!(A; B);
route_handler!(A B; C);
route_handler!(A B C; D);
route_handler!(A B C D; E);
route_handler!(A B C D E; G);
route_handler!(A B C D E G; H);
route_handler!(A B C D E G H; I);
