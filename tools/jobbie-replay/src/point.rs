//! Points of a log, and jobs, as they are named on the command line.

use std::str::FromStr;

use jobbie_log::{Entry, SnapshotMeta};
use jobbie_proto::{JobId, ShardId};

use crate::time;

/// A point between two entries of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Before the first entry that the log still has, or as early as its snapshots reach.
    Begin,
    /// After this entry.
    Index(u64),
    /// After the last entry of this time, in microseconds since 1970, or of one before.
    Time(u64),
    /// After the last entry.
    End,
}

impl Point {
    /// Whether a snapshot is of a state at or before it.
    pub(crate) fn covers(self, meta: &SnapshotMeta) -> bool {
        match self {
            Self::Begin => false,
            Self::Index(index) => meta.last.index <= index,
            Self::Time(us) => meta.time_us <= us,
            Self::End => true,
        }
    }

    /// Whether an entry stands before it.
    pub(crate) fn includes(self, entry: &Entry) -> bool {
        match self {
            Self::Begin => false,
            Self::Index(index) => entry.id.index <= index,
            Self::Time(us) => entry.time_us <= us,
            Self::End => true,
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| format!("{text:?} is no index: indexes are whole numbers from 0"))
        };
        match text.split_once(':') {
            None if text == "begin" => Ok(Self::Begin),
            None if text == "end" => Ok(Self::End),
            Some(("index", rest)) => Ok(Self::Index(number(rest)?)),
            Some(("time", rest)) => Ok(Self::Time(time::parse(rest)?)),
            _ => Err(format!("{text:?} is no point: write begin, end, index:N or time:T")),
        }
    }
}

/// A job as it is named: by its id, or by shard and number, such as `0:17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobName {
    pub(crate) shard: u16,
    pub(crate) seq: u64,
    /// The id, when that was given.
    pub(crate) id: Option<JobId>,
}

impl JobName {
    /// Whether an id is of this job.
    pub(crate) fn is(&self, id: JobId) -> bool {
        match self.id {
            Some(own) => own == id,
            None => (ShardId(self.shard), self.seq) == (id.shard(), id.seq().0),
        }
    }
}

impl std::fmt::Display for JobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id {
            Some(id) => id.fmt(f),
            None => write!(f, "{}:{}", self.shard, self.seq),
        }
    }
}

impl FromStr for JobName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = text.parse::<JobId>() {
            return Ok(Self { shard: id.shard().0, seq: id.seq().0, id: Some(id) });
        }
        let pair = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (shard, seq) = pair
            .ok_or_else(|| format!("{text:?} is no job: write its id, job_…, or SHARD:NUMBER"))?;
        Ok(Self { shard, seq, id: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_jobs_are_read() {
        assert_eq!("begin".parse(), Ok(Point::Begin));
        assert_eq!("index:7".parse(), Ok(Point::Index(7)));
        assert_eq!("time:1970-01-01T00:00:01Z".parse(), Ok(Point::Time(1_000_000)));
        assert!("index:x".parse::<Point>().is_err() && "7".parse::<Point>().is_err());
        let job: JobName = "3:17".parse().expect("a job");
        assert_eq!((job.shard, job.seq, job.to_string()), (3, 17, "3:17".to_owned()));
        let id = "job_1a1ee565e7bfffffffffffffff";
        assert_eq!(id.parse::<JobName>().expect("a job").to_string(), id);
        assert!("job_17".parse::<JobName>().is_err());
    }
}
