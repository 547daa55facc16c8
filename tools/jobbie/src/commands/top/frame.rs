//! A frame as lines of text.

use jobbie_proto::Micros;
use jobbie_proto::reply::{JobState, QueueStats};
use serde_json::Value;

use super::look::Look;
use crate::output::Rows;

/// Workers shown at most while there are queues to show.
const WORKERS_MAX: usize = 8;

/// Two looks, from which a frame is made; the rates are those between them.
pub(super) struct Frame<'a> {
    pub(super) addr: &'a str,
    pub(super) before: Option<&'a Look>,
    pub(super) now: &'a Look,
}

impl Frame<'_> {
    /// At most `rows` lines; without, all there are.
    pub(super) fn lines(&self, rows: Option<usize>) -> Vec<String> {
        let mut lines = self.head();
        lines.push(String::new());
        lines.extend(self.shards());
        let (queues, workers) = (self.queues(), self.workers());
        let left = rows.map(|rows| rows.saturating_sub(lines.len() + 2));
        let of_workers = left.map(|left| (left / 2).min(WORKERS_MAX + 1).min(workers.len()));
        let of_queues = left.zip(of_workers).map(|(left, workers)| left - workers);
        for (table, room) in [(queues, of_queues), (workers, of_workers)] {
            lines.push(String::new());
            lines.extend(fitting(table, room));
        }
        if let Some(rows) = rows {
            lines.truncate(rows);
        }
        lines
    }

    fn head(&self) -> Vec<String> {
        let now = self.now;
        let sum = |of: fn(&jobbie_proto::reply::ShardStats) -> u64| {
            now.shards.iter().map(|(_, stats)| of(stats)).sum::<u64>()
        };
        let count = |state: JobState| now.jobs(state);
        let enqueued = self.rate(Look::enqueued).map_or_else(|| "-".into(), per_second);
        let acked = self.rate(|look| look.jobs(JobState::Completed));
        let acked = acked.map_or_else(|| "-".into(), per_second);
        vec![
            format!(
                "jobbie at {}: {} shards, {} queues, {} workers, {} sessions (q quits)",
                self.addr,
                now.shards.len(),
                now.queues.len(),
                now.workers.len(),
                sum(|stats| stats.sessions),
            ),
            format!(
                "enqueued {enqueued}, acked {acked}, jobs in memory {}",
                sum(|stats| stats.jobs)
            ),
            format!(
                "pending {}, active {}, scheduled {}, retrying {}, held {}, dead {}",
                count(JobState::Pending),
                count(JobState::Active),
                count(JobState::Scheduled),
                count(JobState::Retrying),
                count(JobState::Held),
                count(JobState::Dead),
            ),
        ]
    }

    /// How much a number that only rises rose in a second.
    fn rate(&self, of: impl Fn(&Look) -> u64) -> Option<f64> {
        let before = self.before?;
        let seconds = self.now.at.duration_since(before.at).as_secs_f64();
        (seconds > 0.0).then(|| of(self.now).saturating_sub(of(before)) as f64 / seconds)
    }

    fn shards(&self) -> Vec<String> {
        let mut rows =
            Rows::new(&["shard", "jobs", "leases", "sessions", "events/s", "commit_p99"]);
        for (shard, stats) in &self.now.shards {
            let events = |look: &Look| {
                let found = look.shards.iter().find(|(of, _)| of == shard);
                found.map_or(0, |(_, stats)| stats.last_event.0)
            };
            rows.push(vec![
                shard.0.into(),
                stats.jobs.into(),
                stats.leases.into(),
                stats.sessions.into(),
                number(self.rate(events)),
                self.commit_p99(shard.0).into(),
            ]);
        }
        let mut lines = split(&rows);
        if let Some(Err(why)) = &self.now.latency {
            lines.push(why.clone());
        }
        lines
    }

    fn commit_p99(&self, shard: u16) -> String {
        let Some(Ok(now)) = &self.now.latency else { return "-".into() };
        let before = self.before.and_then(|look| look.latency.as_ref()?.as_ref().ok());
        match now.p99_since(before, shard) {
            None => "-".into(),
            Some(u64::MAX) => "beyond".into(),
            Some(us) if us >= 10_000 => format!("{}ms", us / 1000),
            Some(us) => format!("{us}us"),
        }
    }

    fn queues(&self) -> Vec<String> {
        let rate = |queue: &QueueStats, of: &dyn Fn(&QueueStats) -> u64| {
            self.rate(|look| look.queues.iter().find(|q| q.queue == queue.queue).map_or(0, of))
        };
        let completed = |queue: &QueueStats| queue.jobs[JobState::Completed as usize];
        let mut all: Vec<_> = self
            .now
            .queues
            .iter()
            .map(|queue| (rate(queue, &|q| q.enqueued_total), rate(queue, &completed), queue))
            .collect();
        // The busiest first, so that what is cut off is what rests.
        let busy = |(enqueued, acked, _): &(Option<f64>, Option<f64>, &QueueStats)| {
            enqueued.unwrap_or(0.0) + acked.unwrap_or(0.0)
        };
        all.sort_by(|a, b| busy(b).total_cmp(&busy(a)));
        let mut rows = Rows::new(&[
            "queue",
            "pending",
            "active",
            "scheduled",
            "retrying",
            "held",
            "dead",
            "enqueued/s",
            "acked/s",
            "is",
        ]);
        for (enqueued, acked, queue) in all {
            let count = |state: JobState| Value::from(queue.jobs[state as usize]);
            rows.push(vec![
                queue.queue.as_str().into(),
                count(JobState::Pending),
                count(JobState::Active),
                count(JobState::Scheduled),
                count(JobState::Retrying),
                count(JobState::Held),
                count(JobState::Dead),
                number(enqueued),
                number(acked),
                match (queue.draining, queue.paused, queue.exceeded) {
                    (true, ..) => "draining",
                    (_, true, _) => "paused",
                    (.., Some(_)) => "over budget",
                    _ => "open",
                }
                .into(),
            ]);
        }
        split(&rows)
    }

    fn workers(&self) -> Vec<String> {
        let newest = self.now.shards.iter().map(|(_, stats)| stats.time).max();
        let now_ms = newest.map_or(0, Micros::ms);
        let mut all: Vec<_> = self.now.workers.iter().collect();
        all.sort_by_key(|worker| std::cmp::Reverse((worker.active, worker.last_seen_ms)));
        let mut rows = Rows::new(&["worker", "host", "active", "seen"]);
        for worker in all {
            let ago = now_ms.saturating_sub(worker.last_seen_ms) / 1000;
            rows.push(vec![
                worker.name.as_str().into(),
                worker.host.as_str().into(),
                worker.active.into(),
                if ago < 10 { "now".into() } else { format!("{ago}s ago").into() },
            ]);
        }
        split(&rows)
    }
}

fn split(rows: &Rows) -> Vec<String> {
    rows.table().lines().map(str::to_owned).collect()
}

/// A table's lines that fit, and how many do not.
fn fitting(mut lines: Vec<String>, room: Option<usize>) -> Vec<String> {
    let Some(room) = room.filter(|room| *room < lines.len()) else { return lines };
    let hidden = lines.len() - room.saturating_sub(1);
    lines.truncate(room.saturating_sub(1));
    if room > 0 {
        lines.push(format!("… and {hidden} more"));
    }
    lines
}

fn number(rate: Option<f64>) -> Value {
    rate.map_or(Value::Null, |rate| Value::from(rate.round() as u64))
}

fn per_second(rate: f64) -> String {
    format!("{}/s", rate.round() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jobbie_proto::ShardId;
    use jobbie_proto::event::QueueSettings;
    use jobbie_proto::reply::{JOB_STATES, ShardStats};

    use super::*;
    use crate::commands::top::look::Worker;

    fn look(at: Instant, enqueued: u64) -> Look {
        let queue = |n: u64| QueueStats {
            queue: format!("q{n}"),
            paused: n == 1,
            draining: false,
            settings: QueueSettings::default(),
            keys: 0,
            jobs: [0; JOB_STATES],
            enqueued_total: if n == 2 { enqueued } else { 7 },
            exceeded: None,
        };
        let stats = ShardStats { last_event: jobbie_proto::EventSeq(2 * enqueued), ..stats() };
        let worker =
            |n: u64| Worker { name: format!("w{n}"), host: "h".into(), active: n, last_seen_ms: 0 };
        Look {
            at,
            queues: (0..30).map(queue).collect(),
            shards: vec![(ShardId(0), stats)],
            workers: (0..20).map(worker).collect(),
            latency: None,
        }
    }

    fn stats() -> ShardStats {
        ShardStats {
            queues: 30,
            sessions: 3,
            leases: 0,
            jobs: 5,
            last_event: jobbie_proto::EventSeq(0),
            last_job: jobbie_proto::JobSeq(0),
            state_hash: 0,
            time: Micros(60_000_000),
        }
    }

    #[test]
    fn a_frame_fits_and_has_the_busiest_queue_first() {
        let begin = Instant::now();
        let (before, now) = (look(begin, 100), look(begin + Duration::from_secs(2), 300));
        let frame = Frame { addr: "here:1", before: Some(&before), now: &now };
        let whole = frame.lines(None);
        assert!(whole[0].contains("1 shards, 30 queues, 20 workers"), "{whole:?}");
        assert!(whole[1].starts_with("enqueued 100/s, acked 0/s"), "{whole:?}");
        let queues = whole.iter().position(|line| line.starts_with("QUEUE")).expect("a table");
        assert!(whole[queues + 1].starts_with("q2 "), "{whole:?}");
        assert!(whole.iter().any(|line| line.starts_with("q1 ") && line.ends_with("paused")));
        assert!(whole.iter().any(|line| line.starts_with("w19 ") && line.ends_with("60s ago")));
        for rows in 0..60 {
            let lines = frame.lines(Some(rows));
            assert!(lines.len() <= rows, "{} lines in {rows} rows", lines.len());
        }
        let small = frame.lines(Some(24)).join("\n");
        assert!(
            small.contains("q2 ") && small.contains("w19") && small.contains("more"),
            "{small}"
        );
        let first = Frame { before: None, ..frame }.lines(None);
        assert!(first[1].starts_with("enqueued -, acked -"), "there is no rate yet");
    }
}
