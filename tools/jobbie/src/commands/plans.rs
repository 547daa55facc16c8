//! Events of planned jobs.

use jobbie_proto::request::{Append, EnqueuePlan, Expected};
use jobbie_proto::wire::{JobEvent, PlanDetails};
use jobbie_proto::{Code, Micros, Request};
use serde_json::{Value, json};

use super::history::{self, walk};
use super::{bytes, print_failed};
use crate::args::{EventArgs, EventsArgs, PlanArgs, Verb};
use crate::call::{CallError, Server, explain};
use crate::exit::Exit;
use crate::output::{self, Rows, some_bytes};

/// The plan of the one new job, from its flags.
pub(super) fn plan_for(args: &PlanArgs) -> Vec<EnqueuePlan<'_>> {
    if args.plan.is_empty() {
        return Vec::new();
    }
    let kinds = args.plan.iter().map(|kind| {
        let (need, count, deadline_ms) = (kind.need, kind.count, kind.deadline_ms);
        Expected { name: &kind.name, need, count, deadline_ms }
    });
    let deadline_ms = args.plan_deadline.unwrap_or(0);
    vec![EnqueuePlan { enqueue: 0, deadline_ms, kinds: kinds.collect() }]
}

pub(super) fn event(args: &EventArgs) -> Result<Exit, CallError> {
    let Verb::Append = args.verb;
    let data = bytes(&args.data)?;
    let mut server = Server::connect(&args.client, None)?;
    let (id, kind) = (args.id.as_bytes(), &*args.kind);
    let (job, source, trace) = (args.job, &*args.source, &*args.trace);
    let appends = vec![Append { job, id, kind, data: &data, source, trace }];
    let mut request = Request { appends, ..Request::default() };
    let mut appended = None;
    server.call(job.shard(), &mut request, |reply| {
        appended = appended.or(reply.appended.first().copied())
    })?;
    let appended = appended.ok_or_else(|| CallError::Lost {
        addr: args.client.addr.clone(),
        reason: "its answer says nothing of the event".into(),
    })?;
    match appended.effect.code() {
        Code::Ok | Code::Duplicate => {}
        Code::NotFound => {
            let message = "there is no such job, or it is completed or deleted; the event is \
                           recorded in the log and changed nothing";
            return Err(CallError::Refused { code: Code::NotFound, message: message.into() });
        }
        Code::IllegalState => {
            let message = "the job has no plan: only jobs enqueued with --plan take events";
            return Err(CallError::Refused { code: Code::IllegalState, message: message.into() });
        }
        code => return Err(CallError::Refused { code, message: explain(code, "") }),
    }
    let mut rows = Rows::new(&["job", "event", "effect", "plan"]);
    let status = appended.status.map_or(Value::Null, |status| status.name().into());
    let effect = appended.effect.name().into();
    rows.push(vec![job.to_string().into(), appended.event.0.into(), effect, status]);
    rows.print_one(args.client.output).map_err(print_failed)?;
    Ok(Exit::Done)
}

pub(super) fn events(args: &EventsArgs) -> Result<Exit, CallError> {
    let mut server = Server::connect(&args.client, None)?;
    let mut rows =
        Rows::new(&["event", "time_ms", "kind", "id", "effect", "source", "trace", "data"]);
    let ask = |request: &mut Request<'_>, history| request.history = Some(history);
    walk(&mut server, args.job, args.count, ask, |reply, tell| {
        for event in &reply.events {
            rows.push(row(event));
            tell(event.previous);
        }
    })?;
    history::print(&rows, args.job, "events", args.client.output)
}

fn row(event: &JobEvent<'_>) -> Vec<Value> {
    vec![
        event.event.0.into(),
        event.time.ms().into(),
        event.kind.into(),
        output::bytes(event.id),
        event.effect.name().into(),
        some_bytes(event.source.as_bytes()),
        some_bytes(event.trace.as_bytes()),
        some_bytes(event.data),
    ]
}

/// What `inspect` shows of a plan.
pub(super) fn view(plan: &PlanDetails<'_>) -> Value {
    let time = |at: Micros| if at == Micros(0) { Value::Null } else { at.ms().into() };
    let kind = |kind: &jobbie_proto::wire::KindDetails<'_>| {
        json!({
            "kind": kind.name, "need": kind.need.name(), "count": kind.count, "seen": kind.seen,
            "deadline_ms": time(kind.deadline),
        })
    };
    json!({
        "status": plan.status.name(),
        "deadline_ms": time(plan.deadline),
        "events": plan.events,
        "kinds": plan.kinds.iter().map(kind).collect::<Vec<_>>(),
    })
}
