//! What is behind the sockets: every path, and the one place where requests are let in.
//!
//! A receiver cannot be mounted without the gate: `enter` asks it before any guarded route runs, known path or not.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use model::{Problem, Refusal, RefusalKind, Source};

use crate::auth::Gate;
use crate::meter::Meter;
use crate::otlp_grpc;
use crate::receiver::Context;
use crate::reply;
use crate::table::{CheckedReceiver, clashes};

/// What is refused before a receiver has it is counted under this name.
const DOOR: &str = "door";

/// What a route does with a request.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync>;

/// Paths and what they lead to, gathered from the receivers.
#[derive(Default)]
pub struct Routes {
    exact: BTreeMap<String, Route>,
    /// Paths with one more segment, by what comes before it (with the last `/`).
    below: BTreeMap<String, Route>,
}

#[derive(Clone)]
struct Route {
    methods: &'static [Method],
    handler: Handler,
    guarded: bool,
}

impl Routes {
    /// Serves `path` with these methods, behind the gate.
    pub(crate) fn add<F>(
        &mut self,
        path: &str,
        methods: &'static [Method],
        handle: impl Fn(Request<Body>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        self.exact.insert(path.to_owned(), Route { methods, handler: boxed(handle), guarded: true });
    }

    /// Serves `path` and every path with one more segment, behind the gate.
    pub(crate) fn add_with_below<F>(
        &mut self,
        path: &str,
        methods: &'static [Method],
        handle: impl Fn(Request<Body>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let route = Route { methods, handler: boxed(handle), guarded: true };
        self.below.insert(format!("{path}/"), route.clone());
        self.exact.insert(path.to_owned(), route);
    }

    /// Serves `path` to everybody. For what tells nothing and keeps nothing.
    pub(crate) fn add_public<F>(
        &mut self,
        path: &str,
        methods: &'static [Method],
        handle: impl Fn(Request<Body>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        self.exact.insert(path.to_owned(), Route { methods, handler: boxed(handle), guarded: false });
    }
}

fn boxed<F>(handle: impl Fn(Request<Body>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(handle(request)))
}

/// The front door: receivers' routes, and the routers of the page, health and metrics behind them.
pub struct Door {
    routes: Routes,
    gate: Gate,
    others: Router,
    meter: Arc<Meter>,
    closing: Arc<AtomicBool>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("paths", &self.routes.exact.len()).finish_non_exhaustive()
    }
}

impl Door {
    /// A door with these receivers, then `public` for everybody, then `guarded` for whom `gate` lets in. Fails where two
    /// receivers want one path; `public` and `guarded` may share paths with receivers under other methods.
    pub fn open(
        receivers: Vec<(Source, Box<dyn CheckedReceiver>)>,
        context: &Context,
        gate: Gate,
        guarded: Router,
        public: Router,
    ) -> Result<Self, Vec<Problem>> {
        let problems = clashes(&receivers);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut routes = Routes::default();
        for (source, receiver) in receivers.into_iter().filter(|(_, receiver)| receiver.enabled()) {
            receiver.mount(source, context, &mut routes);
        }
        let meter = Arc::new(Meter::new(&context.metrics, DOOR));
        let known: Arc<str> = listing(&routes).into();
        let methods: Arc<BTreeMap<String, HeaderValue>> =
            Arc::new(routes.exact.iter().map(|(path, route)| (path.clone(), allow(route))).collect());
        let (check, refused) = (gate.clone(), Arc::clone(&meter));
        let guarded = guarded
            .fallback(move |request: Request<Body>| std::future::ready(nowhere(&request, &known, &methods)))
            .layer(middleware::from_fn(move |mut request: Request<Body>, next: Next| {
                let turned_away = turn_away(&check, &refused, &mut request);
                async move {
                    match turned_away {
                        Some(response) => response,
                        None => next.run(request).await,
                    }
                }
            }));
        let closing = Arc::clone(&context.closing);
        Ok(Self { routes, gate, others: public.fallback_service(guarded), meter, closing })
    }

    /// Every path that a receiver serves with its methods, and whether credentials are asked for.
    pub fn paths(&self) -> Vec<(String, &'static [Method], bool)> {
        self.routes.exact.iter().map(|(path, route)| (path.clone(), route.methods, route.guarded)).collect()
    }

    /// From now on health checks say that the gateway goes away.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Serves one request.
    pub async fn enter(&self, mut request: Request<Body>) -> Response<Body> {
        strip_last_slash(&mut request);
        let path = request.uri().path();
        let route = self.routes.exact.get(path).or_else(|| {
            let (before, last) = path.rsplit_once('/')?;
            if last.is_empty() { None } else { self.routes.below.get(&path[..=before.len()]) }
        });
        match route {
            Some(route) if route.methods.contains(request.method()) => {
                if route.guarded
                    && let Some(response) = turn_away(&self.gate, &self.meter, &mut request)
                {
                    return response;
                }
                (route.handler)(request).await
            }
            _ => match tower::ServiceExt::oneshot(self.others.clone(), request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }
}

/// The answer to a request that the gate does not let in; others get their `Caller` as an extension.
fn turn_away(gate: &Gate, meter: &Meter, request: &mut Request<Body>) -> Option<Response<Body>> {
    match gate.admit(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            None
        }
        Err(refusal) => {
            meter.refused(refusal.kind);
            Some(if otlp_grpc::speaks_grpc(request) { otlp_grpc::refuse(&refusal) } else { refuse(&refusal) })
        }
    }
}

/// The answer to a request that no receiver has seen.
fn refuse(refusal: &Refusal) -> Response<Body> {
    match refusal.kind {
        RefusalKind::Unauthenticated => {
            let mut response = reply::text(StatusCode::UNAUTHORIZED, &refusal.message);
            let asked = HeaderValue::from_static("Bearer, Basic realm=\"tidegate\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, asked);
            response
        }
        RefusalKind::Forbidden => reply::text(StatusCode::FORBIDDEN, &refusal.message),
        _ => reply::text(StatusCode::BAD_REQUEST, &refusal.message),
    }
}

/// The answer where nothing is: 405 on a receiver's path, else 404 with the paths there are.
fn nowhere(request: &Request<Body>, known: &str, methods: &BTreeMap<String, HeaderValue>) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    if otlp_grpc::speaks_grpc(request) {
        return otlp_grpc::unimplemented(&format!("no method {path}"));
    }
    if let Some(allow) = methods.get(path) {
        let mut response =
            reply::text(StatusCode::METHOD_NOT_ALLOWED, &format!("{method} is not served at {path}"));
        response.headers_mut().insert(header::ALLOW, allow.clone());
        return response;
    }
    reply::text(StatusCode::NOT_FOUND, &format!("nothing is served at {path}; paths to send to:\n{known}"))
}

fn allow(route: &Route) -> HeaderValue {
    let names: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).expect("method names are header text")
}

fn listing(routes: &Routes) -> String {
    let mut text = String::new();
    for (path, route) in &routes.exact {
        let names: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        text.push_str(&format!("  {} {path}\n", names.join("|")));
    }
    for path in routes.below.keys() {
        text.push_str(&format!("  POST {path}{{dataset}}\n"));
    }
    text
}

/// `/v1/traces/` means `/v1/traces`.
fn strip_last_slash(request: &mut Request<Body>) {
    let path = request.uri().path();
    let Some(short) = path.strip_suffix('/').filter(|short| !short.is_empty()) else { return };
    let text = match request.uri().query() {
        Some(query) => format!("{short}?{query}"),
        None => short.to_owned(),
    };
    let Ok(path_and_query) = text.parse::<PathAndQuery>() else { return };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}
