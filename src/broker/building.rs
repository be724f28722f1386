//! A build under way: its context passes to the daemon piece by piece while it is looked through, and its end
//! is held back until the Dockerfile is judged and the images it needs are there.

use std::pin::pin;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::build::{Context, Facts, Needed, Packing, Recipe, When, end};
use super::forward::{Answered, Body, BodyError};
use super::policy::BuildPlan;
use super::refusal::Refusal;
use super::session::Broker;
use super::upload::{self, UploadError};
use super::{documents, exchange};

/// Pieces of the context that may wait for the daemon.
const WAITING: usize = 4;

type Pieces = mpsc::Sender<Bytes>;

/// Sends a build to the daemon; answers what that says to it.
///
/// # Errors
/// The context or its Dockerfile is refused: the daemon has built nothing then.
pub(super) async fn send(
    broker: &Broker,
    plan: BuildPlan,
    context: Incoming,
) -> Result<Answered, Refusal> {
    let name = format!(".longshore-{}.dockerfile", broker.fresh());
    let mut outgoing = plan.outgoing.clone();
    outgoing.query.push(("dockerfile", name.clone()));
    outgoing.query.push(("cachefrom", json!(cache_sources(broker, &plan).await).to_string()));
    let (pieces, received) = mpsc::channel(WAITING);
    let mut passed = pin!(pass(broker, &plan, context, (pieces, &name)));
    let mut sent = pin!(broker.daemon.send(&outgoing, None, Some(body(received))));
    let sent = tokio::select! {
        sent = &mut sent => {
            let sent = sent.map_err(|error| exchange::unanswered(&error))?;
            if sent.response.status().is_success() {
                passed.await?;
            }
            return Ok(sent);
        }
        // A refusal drops the request half-way, and the daemon with it what it has of the context.
        passed = &mut passed => {
            passed?;
            sent.await
        }
    };
    sent.map_err(|error| exchange::unanswered(&error))
}

/// Most images whose layers a build may take.
const SOURCES: usize = 64;

/// Images whose layers the build may take: without a word about them the daemon takes those of everybody. One
/// job could then read what another's steps made, or have it take what came through a proxy of its own (the
/// daemon counts a layer as the same whatever `HTTP_PROXY` was). The list is never empty, for that says nothing.
async fn cache_sources(broker: &Broker, plan: &BuildPlan) -> Vec<String> {
    let (own, repository) = broker.judged(|(view, rules)| {
        (view.own.image_ids.iter().cloned().collect::<Vec<_>>(), rules.repository.clone())
    });
    let mut sources = plan.cache_from.clone();
    if let Some(repository) = repository {
        let below = format!("{repository}/*");
        let filters = json!({ "reference": [repository, below] }).to_string();
        let listed = broker.daemon.look("/images/json", &[("filters", &filters)]).await;
        let listed = listed.unwrap_or_default();
        let ids = listed.as_array().into_iter().flatten().filter_map(|one| one["Id"].as_str());
        sources.extend(ids.map(str::to_owned));
    }
    sources.extend(own);
    sources.truncate(SOURCES);
    sources.push("longshore.invalid/nothing".to_owned());
    sources
}

/// What passes, as a body whose end is the sender's.
fn body(received: mpsc::Receiver<Bytes>) -> Body {
    let pieces = stream::unfold(received, |mut received| async {
        let piece = received.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(piece)), received))
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

async fn pass(
    broker: &Broker,
    plan: &BuildPlan,
    context: Incoming,
    (pieces, name): (Pieces, &str),
) -> Result<(), Refusal> {
    // Whatever ends this early, the daemon must not take for the archive's end: two blocks of zeros mark
    // that, and they are held back.
    let mut looking = Context::new(&plan.dockerfile);
    let mut packing = Packing::new(broker.upload_limit());
    let mut context = upload::archive(context, broker.upload_limit());
    let mut out = Vec::new();
    while let Some(frame) = context.frame().await {
        let Ok(mut bytes) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        while !bytes.is_empty() {
            let piece = bytes.split_to(packing.piece().min(bytes.len()));
            packing.push(&piece, &mut |plain| looking.push(plain, &mut out))?;
            if !out.is_empty() && pieces.send(std::mem::take(&mut out).into()).await.is_err() {
                return Ok(()); // the daemon has answered already
            }
        }
    }
    packing.finish(&mut |plain| looking.push(plain, &mut out))?;
    let _ = pieces.send(std::mem::take(&mut out).into()).await; // the daemon has answered already
    let found = looking.finish()?;
    let recipe = broker.judged(|case| Recipe::read(&found.dockerfile, plan, case))?;
    let mut facts = Vec::with_capacity(recipe.images.len());
    for needed in &recipe.images {
        facts.push(ready(broker, needed).await?);
    }
    let written = recipe.write(&facts)?;
    let _ = pieces.send(end(name, &written, &found.ignored).into()).await; // the daemon has answered already
    Ok(())
}

fn broken(error: &BodyError) -> Refusal {
    let refusal = Refusal::malformed("build", error.to_string());
    match error.downcast_ref::<UploadError>() {
        Some(UploadError::TooLong) => refusal.with_status(413),
        Some(UploadError::Late) => refusal.with_status(408),
        _ => refusal,
    }
}

/// Has an image there, and tells what the daemon knows of it.
async fn ready(broker: &Broker, needed: &Needed) -> Result<Facts, Refusal> {
    let known = facts(broker, &needed.reference).await;
    let Some(pull) = &needed.pull else { return Ok(known) };
    if needed.when == When::Absent && !known.id.is_empty() {
        return Ok(known);
    }
    let login = broker.login(pull).await?;
    let answered = broker.daemon.send(pull, login.as_ref(), None).await;
    let answered = answered.map_err(|error| exchange::unanswered(&error))?;
    documents::to_its_end(broker, pull, answered).await?;
    Ok(facts(broker, &needed.reference).await)
}

/// Nothing for an image that is not there.
async fn facts(broker: &Broker, reference: &str) -> Facts {
    let told = broker.daemon.look(&format!("/images/{reference}/json"), &[]).await;
    let told = told.unwrap_or_default();
    let triggers = told.pointer("/Config/OnBuild").and_then(Value::as_array);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Facts {
        id: told.get("Id").and_then(text).unwrap_or_default(),
        triggers: triggers.into_iter().flatten().filter_map(text).collect(),
    }
}
