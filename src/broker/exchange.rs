//! One request from its head to its answer: read, decided, written anew, sent, and the answer passed back as
//! the decision says. What goes wrong on the way is refused; nothing is forwarded in doubt (T12).

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request as HttpRequest, Response, StatusCode};

use super::forward::{Answered, Body, ForwardError, full};
use super::outgoing::{Answer, OutBody, Outgoing};
use super::policy::{self, BuildPlan, Decision, Prune, Reply};
use super::refusal::Refusal;
use super::request::{self, BodyKind, Request};
use super::session::{Broker, Coming};
use super::transport::Envelope;
use super::{building, committed, documents, image_volumes, raw, recount, relay, upload};

/// One request and what it came with.
pub(super) struct Exchange {
    pub(super) broker: Arc<Broker>,
    envelope: Envelope,
    /// Taken by whoever reads it.
    body: Option<Incoming>,
    /// The client's connection, for an answer that makes it a raw stream.
    pub(super) client: Option<raw::Wanted>,
}

/// Answers a request, whatever it is.
pub(super) async fn answer(
    broker: Arc<Broker>,
    envelope: Envelope,
    mut request: HttpRequest<Incoming>,
) -> Response<Body> {
    let client = request::is_raw(&envelope.head).then(|| raw::Wanted {
        connection: hyper::upgrade::on(&mut request),
        asked: envelope.wants_raw,
    });
    let body = envelope.head.has_body.then(|| request.into_body());
    let mut exchange = Exchange { broker, envelope, body, client };
    let answered = exchange.run().await;
    if let Some(body) = exchange.body.take() {
        upload::drain(body).await;
    }
    let mut response = answered.unwrap_or_else(|refusal| {
        exchange.broker.tell(&refusal);
        json(refusal.status, refusal.body())
    });
    exchange.sign(&mut response);
    response
}

impl Exchange {
    async fn run(&mut self) -> Result<Response<Body>, Refusal> {
        self.broker.pace.wait().await;
        let head = &self.envelope.head;
        let json_body = match (request::route(head)?, &mut self.body) {
            (BodyKind::Json, Some(body)) => {
                let read = upload::json(body).await?;
                self.body = None;
                read
            }
            _ => bytes::Bytes::new(),
        };
        let request = Request::read(head, &json_body)?;
        let (mut decision, mut coming) = self.broker.decide(&request);
        let too_many = matches!(&decision, Decision::Refuse(refusal) if refusal.rule == "quota");
        if too_many && self.broker.pace.may_recount() {
            // Some may have gone by themselves (`--rm`), which nobody told.
            recount::forget_gone(&self.broker).await;
            (decision, coming) = self.broker.decide(&request);
        }
        match decision {
            Decision::Refuse(refusal) => Err(refusal),
            Decision::Reply(reply) => Ok(self.reply(reply)),
            Decision::Allow(outgoing) => self.forward(*outgoing, coming).await,
            Decision::Prune(prune) => self.prune(prune).await,
            Decision::Build(plan) => self.build(*plan).await,
        }
    }

    fn reply(&self, reply: Reply) -> Response<Body> {
        for note in &reply.notes {
            self.broker.record(note, None);
        }
        let mut response = Response::new(full(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
        let headers = response.headers_mut();
        let kind = ("content-type", reply.content_type.to_owned());
        for (name, value) in std::iter::once(kind).chain(reply.headers) {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
                && !value.is_empty()
            {
                headers.insert(name, value);
            }
        }
        response
    }

    /// One removal after the other; what is in use stays.
    async fn prune(&self, prune: Prune) -> Result<Response<Body>, Refusal> {
        let mut gone = Vec::new();
        for (name, outgoing) in prune.each {
            let answered = self.broker.daemon.send(&outgoing, None, None).await;
            if answered.map_err(|error| unanswered(&error))?.response.status().is_success() {
                documents::note_down(&self.broker, &outgoing.notes, b"").await?;
                gone.push(name);
            }
        }
        Ok(self.reply(policy::pruned(prune.kind, &gone)))
    }

    async fn forward(
        &mut self,
        outgoing: Outgoing,
        coming: Coming,
    ) -> Result<Response<Body>, Refusal> {
        for line in &outgoing.told {
            self.broker.tell_line(line);
        }
        if outgoing.path == "/containers/create" {
            image_volumes::check(&self.broker, &outgoing).await?;
        }
        let login = self.broker.login(&outgoing).await?;
        let archive = match outgoing.body {
            OutBody::Archive => self.body.take(),
            OutBody::None | OutBody::Json(_) => None,
        };
        let archive = archive.map(|body| upload::archive(body, self.broker.upload_limit()));
        if let (Answer::Document(shape), None) = (outgoing.answer, &archive) {
            // Seen through though the client goes away: what was made has to be written down.
            let broker = Arc::clone(&self.broker);
            let whole = async move {
                let _coming = coming;
                let answered = broker.daemon.send(&outgoing, login.as_ref(), None).await;
                let answered = answered.map_err(|error| unanswered(&error))?;
                if outgoing.path == "/commit" {
                    return committed::whole(&broker, &outgoing, answered).await;
                }
                documents::whole(&broker, &outgoing, shape, answered).await
            };
            return tokio::spawn(whole).await.unwrap_or_else(|_| Err(failed()));
        }
        let answered = self.broker.daemon.send(&outgoing, login.as_ref(), archive).await;
        self.pass_back(outgoing, answered.map_err(|error| unanswered(&error))?).await
    }

    /// A build: its context is looked through on its way.
    async fn build(&mut self, plan: BuildPlan) -> Result<Response<Body>, Refusal> {
        for line in &plan.outgoing.told {
            self.broker.tell_line(line);
        }
        let empty =
            || Refusal::malformed("build", "a build needs its context as the request's body");
        let context = self.body.take().ok_or_else(empty)?;
        let outgoing = plan.outgoing.clone();
        let answered = building::send(&self.broker, plan, context).await?;
        self.pass_back(outgoing, answered).await
    }

    async fn pass_back(
        &mut self,
        outgoing: Outgoing,
        answered: Answered,
    ) -> Result<Response<Body>, Refusal> {
        let status = answered.response.status();
        let raw = status == StatusCode::SWITCHING_PROTOCOLS;
        if !raw && !status.is_success() {
            return relay::error(&self.broker, &outgoing, answered).await;
        }
        match (outgoing.answer, self.client.take()) {
            (Answer::Hijack, Some(client)) if raw => Ok(raw::join(answered, client)),
            _ if raw => Err(failed()),
            // A daemon that does not switch has an answer all the same, such as that of a detached exec.
            (Answer::Relay | Answer::Hijack, _) => {
                documents::note_down(&self.broker, &outgoing.notes, b"").await?;
                Ok(relay::stream(answered))
            }
            (Answer::Document(shape), _) => {
                documents::whole(&self.broker, &outgoing, shape, answered).await
            }
            (Answer::Documents(shape), _) => {
                Ok(documents::stream(Arc::clone(&self.broker), outgoing, shape, answered))
            }
        }
    }

    /// What the daemon puts into all its answers.
    fn sign(&self, response: &mut Response<Body>) {
        let daemon = self.broker.with_view(|view| view.daemon.clone());
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.entry(name).or_insert(value);
            }
        };
        set("api-version", &format!("1.{}", daemon.api_minor));
        set("ostype", &daemon.os);
        set("docker-experimental", "false");
    }
}

/// A JSON answer of our own.
fn json(status: u16, body: Vec<u8>) -> Response<Body> {
    let kind = if body.starts_with(b"{") || body.starts_with(b"[") {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The daemon is away or late: nobody can say whether it did what was asked.
pub(super) fn unanswered(error: &ForwardError) -> Refusal {
    Refusal { rule: "daemon", status: 503, message: error.to_string(), told: true }
}

/// The broker itself failed.
pub(super) fn failed() -> Refusal {
    let message = "the daemon's answer is not one that can be passed on".to_owned();
    Refusal { rule: "answer", status: 503, message, told: true }
}
