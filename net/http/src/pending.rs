//! Stands in for the reader of the projector until that is there.

use std::path::Path;

use jobbie_projector::journal::{JournalEvent, Wanted};
use jobbie_projector::row::{ErrorRow, JobRow, Minute};
use jobbie_projector::search::{Filter, Page, Search};
use jobbie_proto::{JobId, Micros};

pub(crate) struct Reader;

type Never<V> = Result<V, &'static str>;
const NONE: &str = "there is no reader of read models";

impl Reader {
    pub(crate) fn open(_: &Path) -> Never<Self> {
        Err(NONE)
    }
    pub(crate) fn job(&self, _: JobId) -> Never<Option<JobRow>> {
        Err(NONE)
    }
    pub(crate) fn jobs(&self, _: &[JobId]) -> Never<Vec<JobRow>> {
        Err(NONE)
    }
    pub(crate) fn errors(&self, _: JobId) -> Never<Vec<ErrorRow>> {
        Err(NONE)
    }
    pub(crate) fn search(&self, _: &Search) -> Never<Page> {
        Err(NONE)
    }
    pub(crate) fn ids(&self, _: &Filter, _: Option<JobId>, _: usize) -> Never<Vec<JobId>> {
        Err(NONE)
    }
    pub(crate) fn count(&self, _: &Filter) -> Never<u64> {
        Err(NONE)
    }
    pub(crate) fn fulltext(&self, _: &str, _: &str, _: u32) -> Never<Vec<JobRow>> {
        Err(NONE)
    }
    pub(crate) fn journal(&self, _: u64, _: u32, _: &Wanted) -> Never<(Vec<JournalEvent>, u64)> {
        Err(NONE)
    }
    pub(crate) fn minutes(&self, _: Micros) -> Never<Vec<Minute>> {
        Err(NONE)
    }
}
