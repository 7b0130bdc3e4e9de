//! `POST /v1/callbacks/{token}`: the answer that a message waits for. The token says who may answer.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::failure::Failure;
use super::messages::read;
use crate::timers::waits::Answered;

/// The longest token that is looked at.
const TOKEN_MAX_BYTES: usize = 128;

pub async fn post(State(app): State<Arc<App>>, Path(token): Path<String>, body: Body) -> Result<Response, Failure> {
    let body = read(body, app.config.ingress.max_callback.as_u64(), "ingress.max_callback").await?;
    let services = &app.services;
    // Whoever guesses hears the same of every token that is no good.
    let gone = || Failure::new(StatusCode::NOT_FOUND, "nothing waits for this");
    let store = services.timers.as_ref().filter(|_| token.len() <= TOKEN_MAX_BYTES).ok_or_else(gone)?;
    match store.answer(&*services.ledger, &token, &body).await {
        Ok(Answered::Accepted) => Ok((StatusCode::ACCEPTED, Json(serde_json::json!({}))).into_response()),
        Ok(Answered::Gone) => Err(gone()),
        Err(error) => {
            tracing::warn!(%error, "a callback could not be taken");
            Err(Failure::unavailable("the answer cannot be kept now; try again"))
        }
    }
}
