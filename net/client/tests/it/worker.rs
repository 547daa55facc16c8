//! The worker runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobbie_client::{Client, JobContext, JobError, Worker};
use tokio::sync::Notify;

use crate::fake::{Fake, eventually, job};

async fn client(fake: &Fake) -> Client {
    Client::connect(fake.address.clone()).await.unwrap()
}

#[tokio::test]
async fn jobs_are_run_acked_and_bounded_by_concurrency() {
    let fake = Fake::start().await;
    fake.state().queue.extend((0..100u8).map(|n| vec![n]));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = most.clone();
    let worker = Worker::builder(&client(&fake).await)
        .queue("q", move |job: JobContext| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(job.payload().to_vec())
            }
        })
        .concurrency(7)
        .name("w1");
    let all = eventually("all acked", || fake.state().acked.len() == 100);
    let report = worker.run_until(all).await.unwrap();
    assert_eq!((report.completed, report.failed, report.released), (100, 0, 0));
    assert_eq!(counted.load(Ordering::SeqCst), 7);
    eventually("goodbyes of worker and client", || fake.state().goodbyes == 2).await;
    let state = fake.state();
    assert_eq!(state.credit_max, 7);
    assert!(state.names.contains(&"w1".to_owned()));
    let mut results: Vec<_> = state.acked.iter().map(|a| a.1[0]).collect();
    results.sort_unstable();
    assert_eq!(results, (0..100).collect::<Vec<_>>());
    let requests = state.received.len();
    assert!(requests <= 100, "{requests}");
}

#[tokio::test]
async fn errors_and_panics_fail_the_job() {
    let fake = Fake::start().await;
    fake.state().queue.extend([b"retry".to_vec(), b"never".to_vec(), b"panic".to_vec()]);
    let worker =
        Worker::builder(&client(&fake).await).queue("q", async |job: JobContext| {
            match &job.payload()[..] {
                b"retry" => Err(std::io::Error::other("disk on fire").into()),
                b"never" => Err(JobError::permanent("no such user")),
                _ => panic!("out of cheese"),
            }
        });
    let all = eventually("all failed", || fake.state().failed.len() == 3);
    assert_eq!(worker.run_until(all).await.unwrap().failed, 3);
    let mut failed = fake.state().failed.clone();
    failed.sort_by_key(|f| f.0.token);
    assert_eq!(failed[0], (job(1), "disk on fire".to_owned(), false));
    assert_eq!(failed[1], (job(2), "no such user".to_owned(), true));
    assert_eq!(failed[2], (job(3), "handler panicked: out of cheese".to_owned(), false));
}

#[tokio::test]
async fn a_lost_lease_tells_the_handler_and_is_not_acked() {
    let fake = Fake::start().await;
    fake.state().queue.push_back(vec![]);
    let (begun, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, tell) = (begun.clone(), told.clone());
    let worker = Worker::builder(&client(&fake).await).queue("q", move |job: JobContext| {
        let (begin, tell) = (begin.clone(), tell.clone());
        async move {
            begin.notify_one();
            job.cancelled().await;
            tell.notify_one();
            Ok(vec![])
        }
    });
    let story = async {
        begun.notified().await;
        fake.lose(job(1));
        told.notified().await;
    };
    let report = worker.run_until(story).await.unwrap();
    assert_eq!((report.completed, report.lost), (0, 1));
    assert_eq!(fake.state().acked, []);
}

#[tokio::test]
async fn leases_are_extended_for_the_whole_session_and_checkpoints_arrive() {
    let fake = Fake::start().await;
    fake.state().queue.extend([vec![], vec![]]);
    let worker = Worker::builder(&client(&fake).await)
        .queue("q", async |job: JobContext| {
            job.checkpoint(b"half").await?;
            job.progress(b"50%").await?;
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(vec![])
        })
        .lease_ms(150);
    let all = eventually("all acked", || fake.state().acked.len() == 2);
    worker.run_until(all).await.unwrap();
    let state = fake.state();
    assert!((4..=10).contains(&state.extended), "{}", state.extended);
    let mut beats: Vec<_> = state.beats.iter().map(|b| b.1.clone()).collect();
    beats.sort();
    assert_eq!(beats, [&b"50%"[..], b"50%", b"half", b"half"]);
}

#[tokio::test]
async fn after_a_reconnect_leases_are_extended_one_by_one() {
    let fake = Fake::start().await;
    fake.state().queue.push_back(vec![]);
    let begun = Arc::new(Notify::new());
    let begin = begun.clone();
    let worker = Worker::builder(&client(&fake).await)
        .queue("q", move |_: JobContext| {
            begin.notify_one();
            async { std::future::pending().await }
        })
        .lease_ms(30_000)
        .grace_ms(0);
    let story = async {
        begun.notified().await;
        fake.cut_all();
        eventually("an extension", || !fake.state().beats.is_empty()).await;
    };
    let report = worker.run_until(story).await.unwrap();
    let state = fake.state();
    assert_eq!((state.beats[0].0, state.extended), (job(1), 0));
    assert_eq!((report.released, &state.released[..]), (1, &[job(1)][..]));
    assert_eq!(state.credit_max, 10, "credit is granted anew, less what is held");
}

#[tokio::test]
async fn r22_draining_finishes_what_it_can_and_gives_back_the_rest() {
    let fake = Fake::start().await;
    fake.state().queue.extend([b"short".to_vec(), b"long".to_vec(), b"held".to_vec()]);
    let begun = Arc::new(AtomicUsize::new(0));
    let begin = begun.clone();
    let worker = Worker::builder(&client(&fake).await)
        .queue("q", move |job: JobContext| {
            begin.fetch_add(1, Ordering::SeqCst);
            async move {
                let time = if job.payload() == "short" { 50 } else { 60_000 };
                tokio::time::sleep(Duration::from_millis(time)).await;
                Ok(vec![])
            }
        })
        .concurrency(2)
        .prefetch(1)
        .grace_ms(300);
    let both = eventually("two run", || begun.load(Ordering::SeqCst) == 2);
    let report = worker.run_until(both).await.unwrap();
    assert_eq!((report.completed, report.released), (1, 2));
    eventually("goodbyes of worker and client", || fake.state().goodbyes == 2).await;
    let state = fake.state();
    assert_eq!(state.acked, [(job(1), vec![])]);
    assert_eq!(state.released, [job(3), job(2)]);
}
