//! The rules of [`Access`] as what handlers are given: a page that takes a [`Viewer`] is shown to
//! those who may look, one that has an effect takes a [`Looker`], and an action that takes an
//! [`Action`] or an [`ApiActor`] is done for those who may do it.
//!
//! [`Access`]: super::access::Access

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Json, RequestPartsExt};
use serde::de::DeserializeOwned;

use super::access::{Refusal, Visitor};
use super::app::App;
use super::pages::layout;

/// Somebody who may look at pages.
pub struct Viewer(pub Visitor);

/// Somebody who may look at a page that has an effect, such as letters that are hidden from others
/// meanwhile: another site has not made their browser ask for it.
pub struct Looker(pub Visitor);

/// Somebody who may have what holds parts of messages, by whatever way they ask.
pub struct ApiLooker;

/// Somebody who may do what the form says.
pub struct Action<T> {
    pub visitor: Visitor,
    pub form: T,
}

/// Somebody who may do what the JSON says, by the address.
pub struct ApiActor(pub SocketAddr);

/// What every form has.
#[derive(serde::Deserialize)]
struct Signed<T> {
    form_token: String,
    #[serde(flatten)]
    form: T,
}

/// A refusal as a page.
pub struct Refused(Refusal);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.0 {
            Refusal::Login => Redirect::to("/dashboard/login").into_response(),
            other => (other.status(), layout::message("Not here", other.words())).into_response(),
        }
    }
}

/// A refusal as JSON.
pub struct ApiRefused(Refusal);

impl IntoResponse for ApiRefused {
    fn into_response(self) -> Response {
        (self.0.status(), Json(serde_json::json!({ "error": self.0.words() }))).into_response()
    }
}

async fn visitor(parts: &mut Parts, app: &App) -> Result<Visitor, Refusal> {
    let peer = parts.extract::<ConnectInfo<SocketAddr>>().await;
    let peer = peer.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(peer)| peer);
    app.access.visitor(&parts.headers, peer, app.source.services.clock.unix_ms())
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        visitor(parts, app).await.map(Viewer).map_err(Refused)
    }
}

impl FromRequestParts<Arc<App>> for Looker {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        let visitor = visitor(parts, app).await.map_err(Refused)?;
        app.access.may_look(&parts.headers).map_err(Refused)?;
        Ok(Self(visitor))
    }
}

impl FromRequestParts<Arc<App>> for ApiLooker {
    type Rejection = ApiRefused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiRefused> {
        visitor(parts, app).await.map_err(ApiRefused)?;
        app.access.may_look(&parts.headers).map_err(ApiRefused)?;
        Ok(Self)
    }
}

impl FromRequestParts<Arc<App>> for ApiActor {
    type Rejection = ApiRefused;

    /// JSON is what no form of another site can send: a browser asks first, and is not answered.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiRefused> {
        let visitor = visitor(parts, app).await.map_err(ApiRefused)?;
        app.access.may_act(&parts.headers).map_err(ApiRefused)?;
        let json = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if json { Ok(Self(visitor.peer)) } else { Err(ApiRefused(Refusal::CrossSite)) }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Action<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let refused = |refusal| Refused(refusal).into_response();
        let (mut parts, body) = request.into_parts();
        let visitor = visitor(&mut parts, app).await.map_err(refused)?;
        app.access.may_act(&parts.headers).map_err(refused)?;
        let form = Form::<Signed<T>>::from_request(Request::from_parts(parts, body), app).await;
        let Form(Signed { form_token, form }) = form.map_err(|error| {
            (StatusCode::BAD_REQUEST, layout::message("Not understood", &error.to_string())).into_response()
        })?;
        app.access.check_form(&visitor, &form_token).map_err(refused)?;
        Ok(Self { visitor, form })
    }
}

/// Asked by a name that leads here from the outside, a page is not shown.
pub async fn page_by_own_name(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.access.check_host(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => Refused(refusal).into_response(),
    }
}

/// The same of what scripts ask for.
pub async fn api_by_own_name(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.access.check_host(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => ApiRefused(refusal).into_response(),
    }
}
