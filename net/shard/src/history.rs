//! The events recorded for a job, and the iterations of one, read back one after the other: each names the one before it.

use jobbie_proto::event::Event;
use jobbie_proto::limits::ITERATIONS_BYTES_SOFT;
use jobbie_proto::wire::{IterationRecord, JobEvent};
use jobbie_proto::{EventSeq, JobSeq};

use crate::outgoing::Sources;
use crate::records::Decoded;

/// Events that a client asked for, newest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) job: JobSeq,
    /// The newest of them.
    pub(crate) from: EventSeq,
    /// At most so many.
    pub(crate) count: u32,
}

impl Wanted {
    /// The same of the iterations of an agent job, up to some bytes of content.
    pub(crate) fn iterations<'a>(
        &self,
        sources: &'a Sources,
    ) -> (Vec<IterationRecord<'a>>, Option<EventSeq>) {
        let (mut told, mut bytes) = (Vec::new(), 0);
        let mut at = self.from;
        while at != EventSeq(0) && told.len() < self.count as usize && bytes < ITERATIONS_BYTES_SOFT
        {
            let Some((entry, record, _)) = sources.event(at) else { return (told, Some(at)) };
            let Event::Iterated(iteration) = record else { break };
            if iteration.job != self.job {
                break;
            }
            let kept = iteration.kept;
            if kept != EventSeq(0) && sources.event(kept).is_none() {
                return (told, Some(kept));
            }
            let own = entry.bytes(iteration.checkpoint);
            let checkpoint = if own.is_empty() { sources.checkpoint(kept) } else { own };
            let (result, reason) = (entry.bytes(iteration.result), entry.bytes(iteration.reason));
            bytes += checkpoint.len() + result.len() + reason.len();
            told.push(IterationRecord {
                event: at,
                previous: iteration.previous,
                time: entry.time(),
                number: iteration.number,
                attempt: iteration.attempt,
                status: iteration.status,
                checkpoint,
                result,
                reason,
                amounts: iteration.amounts,
                model: &iteration.model,
                provider: &iteration.provider,
            });
            at = iteration.previous;
        }
        (told, None)
    }

    /// What has been gathered of them, and the event whose entry is to be gathered next, if that is not all.
    pub(crate) fn told<'a>(&self, sources: &'a Sources) -> (Vec<JobEvent<'a>>, Option<EventSeq>) {
        let mut told = Vec::new();
        let mut at = self.from;
        while at != EventSeq(0) && told.len() < self.count as usize {
            let Some((entry, record, _)) = sources.event(at) else { return (told, Some(at)) };
            // A client may have named an event that is none of the job's.
            let Some(event) = self.event(at, entry, record) else { break };
            told.push(event);
            at = event.previous;
        }
        (told, None)
    }

    fn event<'a>(&self, at: EventSeq, entry: &'a Decoded, record: &Event) -> Option<JobEvent<'a>> {
        let Event::Appended(appended) = record else { return None };
        if appended.job != self.job || !appended.effect.is_recorded() {
            return None;
        }
        let text = |blob| std::str::from_utf8(entry.bytes(blob)).unwrap_or_default();
        Some(JobEvent {
            event: at,
            previous: appended.previous,
            time: entry.time(),
            effect: appended.effect,
            id: entry.bytes(appended.id),
            kind: text(appended.kind),
            data: entry.bytes(appended.data),
            source: text(appended.source),
            trace: text(appended.trace),
        })
    }
}
