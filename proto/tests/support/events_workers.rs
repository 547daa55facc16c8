//! Events of workers, in all that they can say.

use jobbie_proto::SessionId;
use jobbie_proto::event::{Event, Group, SeenWorker, WorkerAsks, WorkerKey};

use crate::events::body_of;

fn key(session: u64, name: &str) -> WorkerKey {
    WorkerKey { session: SessionId(session), name: name.to_owned() }
}

fn seen(worker: WorkerKey, asks: Option<WorkerAsks>) -> Event {
    Event::WorkerSeen(Box::new(SeenWorker { worker, asks }))
}

pub(crate) fn groups() -> Vec<Group> {
    let asks = WorkerAsks {
        host: "a host name longer than eight bytes".to_owned(),
        queues: vec!["mail".to_owned(), "a queue name longer than eight bytes".to_owned()],
        queues_asked: 300,
    };
    let long = "a worker name longer than eight bytes";
    let workers = vec![key(0x0707_0707_0707_0707, long), key(77, "")];
    let events = vec![
        seen(key(0x0707_0707_0707_0707, long), Some(asks)),
        seen(key(77, ""), None),
        Event::WorkersForgotten { workers },
    ];
    vec![Group { events, ..Group::default() }]
}

pub(crate) fn body() -> Vec<u8> {
    body_of(b"", &groups())
}
