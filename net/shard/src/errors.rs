//! The errors of a job, read back one after the other. Most events name the error before them; of the others the state
//! remembers it.

use std::rc::Rc;

use jobbie_core::ErrorChain;
use jobbie_core::ties::mail::error_of;
use jobbie_proto::event::Event;
use jobbie_proto::wire::JobError;
use jobbie_proto::{EventSeq, JobSeq};

use crate::outgoing::Sources;

/// Errors that a client asked for, newest first.
#[derive(Clone, Debug)]
pub(crate) struct WantedErrors {
    pub(crate) job: JobSeq,
    pub(crate) chain: ErrorChain,
    /// At most so many.
    pub(crate) count: u32,
}

impl WantedErrors {
    /// What has been gathered of them, and the event whose entry is to be gathered next, if that is not all.
    pub(crate) fn told<'a>(&self, sources: &'a Sources) -> (Vec<JobError<'a>>, Option<EventSeq>) {
        let mut told = Vec::new();
        let mut at = self.chain.from;
        while at != EventSeq(0) && told.len() < self.count as usize {
            let Some((entry, record, nth)) = sources.event(at) else { return (told, Some(at)) };
            // A client may have named an event that is no error of the job.
            let Some((attempt, previous)) = self.error(at, record, nth) else { break };
            let found = sources.found(at).expect("it was just found");
            let ((error, backtrace), time) = (error_of(found), entry.time());
            told.push(JobError { event: at, previous, time, attempt, error, backtrace });
            at = previous;
        }
        (told, None)
    }

    /// The attempt that failed and the error before it.
    fn error(&self, at: EventSeq, record: &Event, nth: usize) -> Option<(u32, EventSeq)> {
        let linked = || {
            let links: &Rc<[(u64, u64)]> = &self.chain.links;
            let found = links.binary_search_by_key(&at.0, |(event, _)| *event);
            EventSeq(found.map_or(0, |place| links[place].1))
        };
        let (job, attempt, previous) = match record {
            Event::Failed { job, attempt, previous, .. } => (*job, *attempt, *previous),
            Event::Quarantined { jobs } => {
                let one = jobs.get(nth)?;
                (one.job, one.attempt, one.previous)
            }
            Event::Rejected { job, previous, .. } => (*job, 0, *previous),
            Event::Expired { jobs } | Event::PlanTimedOut { jobs } => {
                (*jobs.get(nth)?, 0, linked())
            }
            Event::Appended(appended) if !appended.error.is_empty() => (appended.job, 0, linked()),
            _ => return None,
        };
        (job == self.job).then_some((attempt, previous))
    }
}
