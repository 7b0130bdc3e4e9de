//! The way in where a token is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::{document, message};

use crate::admin::access::{Access, Refusal};
use crate::admin::app::App;

#[derive(Deserialize)]
pub struct Login {
    token: String,
}

pub async fn page() -> Markup {
    form(None)
}

pub async fn login(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let now = app.source.services.clock.unix_ms();
    match app.access.login(&headers, login.token.trim(), now) {
        Ok(cookie) => {
            tracing::info!(target: "audit", action = "login", who = %peer, "logged in");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/dashboard")).into_response()
        }
        Err(refusal) => {
            tracing::warn!(target: "audit", action = "login", who = %peer, ?refusal, "not let in");
            let words = if refusal == Refusal::Login { "That is not the token." } else { refusal.words() };
            (StatusCode::FORBIDDEN, form(Some(words))).into_response()
        }
    }
}

pub async fn logout(headers: HeaderMap) -> Response {
    if let Err(refusal) = Access::check_site(&headers) {
        return (refusal.status(), message("Not here", refusal.words())).into_response();
    }
    ([(header::SET_COOKIE, Access::logout())], Redirect::to("/dashboard/login")).into_response()
}

fn form(error: Option<&str>) -> Markup {
    let body = html! {
        main .narrow {
            h1 { "wasq" }
            @if let Some(error) = error { p .banner.bad role="alert" { (error) } }
            form .stack method="post" action="/dashboard/login" {
                label { "Admin token" input type="password" name="token" autocomplete="current-password" required autofocus; }
                button .main type="submit" { "Log in" }
            }
        }
    };
    document("Log in", None, &body)
}
