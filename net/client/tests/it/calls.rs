//! Calls when all goes well, and when the server declines.

use std::time::Duration;

use jobbie_client::{
    Ability, Append, Client, Code, Config, Error, EventSeq, FetchOptions, NewJob, Outcome,
};

use crate::fake::{Act, Fake, job};

#[tokio::test]
async fn calls_reach_the_server_and_come_back() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    let first = client.enqueue(&NewJob::new("mail", b"one")).await.unwrap();
    assert_eq!((first.id.seq().0, first.duplicate), (1, false));
    fake.state().queue.extend([b"a".to_vec(), b"b".to_vec()]);
    let options = FetchOptions { count: 5, ..FetchOptions::default() };
    let jobs = client.fetch(&["mail"], options).await.unwrap();
    assert_eq!(jobs.iter().map(|j| &j.payload[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(&*jobs[0].queue, "q");
    client.ack(jobs[0].lease(), b"fine").await.unwrap();
    let failed = client.fail(jobs[1].lease(), "broken", "at line 1", false).await.unwrap();
    assert_eq!((failed.next_attempt, failed.attempts_left), (None, 2));
    assert_eq!(client.job(jobs[0].id).await.unwrap(), None);
    client.pause("mail").await.unwrap();
    client.delete(jobs[0].id).await.unwrap();
    let refused = client.cancel(jobs[0].id).await;
    assert_eq!(refused, Err(Error::Job { job: jobs[0].id, code: Code::IllegalState }));
    assert_eq!(fake.state().acked, [(jobs[0].lease(), b"fine".to_vec())]);
    assert_eq!(fake.state().failed, [(jobs[1].lease(), "broken".to_owned(), true)]);
    client.close().await;
    crate::fake::eventually("goodbye", || fake.state().goodbyes == 1).await;
}

#[tokio::test]
async fn many_jobs_are_split_over_shards_and_frames() {
    let fake = Fake::start_with(4).await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    let payload = vec![1; 200_000];
    let names: Vec<_> = (0..40).map(|n| format!("queue-{n}")).collect();
    let jobs: Vec<_> = names.iter().map(|name| NewJob::new(name, &payload)).collect();
    let results = client.enqueue_many(&jobs).await;
    assert_eq!(results.len(), 40);
    for (name, result) in names.iter().zip(&results) {
        assert_eq!(result.as_ref().unwrap().id.shard(), client.topology().shard_of(name));
    }
    let state = fake.state();
    assert_eq!(state.done.iter().map(|d| d.2).sum::<usize>(), 40);
    assert!(state.done.iter().all(|d| d.2 <= 5), "{:?}", state.done);
    assert_eq!(state.hellos.len(), usize::from(fake.shards()));
}

#[tokio::test]
async fn statistics_of_all_shards_are_put_together() {
    let fake = Fake::start_with(3).await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    let queues = client.queues("").await.unwrap();
    let names: Vec<_> = queues.iter().map(|q| &*q.queue).collect();
    assert_eq!(names, ["queue-of-0", "queue-of-1", "queue-of-2"]);
    assert_eq!(client.stats().await.unwrap().len(), 3);
}

#[tokio::test]
async fn answers_in_single_bytes_are_put_together() {
    let fake = Fake::start().await;
    fake.state().piece = 1;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    fake.state().queue.push_back(vec![9; 300]);
    let jobs = client.fetch(&["q"], FetchOptions::default()).await.unwrap();
    assert_eq!(jobs[0].payload, vec![9; 300]);
    assert_eq!(jobs[0].lease(), job(1));
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again_under_a_new_number() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    fake.state().acts.extend([Act::Refuse(Code::Overloaded), Act::Refuse(Code::Overloaded)]);
    client.enqueue(&NewJob::new("q", b"x")).await.unwrap();
    assert_eq!(fake.state().received, [1, 2, 3]);
    assert_eq!(fake.state().done.len(), 1);
}

#[tokio::test]
async fn r19_a_refusal_says_not_done() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    fake.state().acts.push_back(Act::Refuse(Code::TooLarge));
    let error = client.enqueue(&NewJob::new("q", b"x")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert_eq!(error.to_string(), "TOO_LARGE: refused by script");
}

#[tokio::test]
async fn r19_a_deadline_says_what_is_known() {
    let fake = Fake::start().await;
    let config = Config { deadline_ms: 100, ..Config::new(fake.address.clone()) };
    let client = Client::connect(config).await.unwrap();
    fake.state().acts.push_back(Act::Ignore);
    let error = client.enqueue(&NewJob::new("q", b"x")).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { outcome: Outcome::Unknown, .. }), "{error}");

    let nobody = Config { deadline_ms: 100, ..Config::new("127.0.0.1:1") };
    let error = Client::connect(nobody).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { outcome: Outcome::NotDone, .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_of_another_version_is_named() {
    let fake = Fake::start().await;
    fake.state().refuse_hello = Some(Code::BadVersion);
    let error = Client::connect(fake.address.clone()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("BAD_VERSION") && text.contains("client of version 9"), "{text}");
}

#[tokio::test]
async fn something_else_at_the_address_is_noticed() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let error = Client::connect(address).await.unwrap_err();
    assert!(error.to_string().contains("binary protocol"), "{error}");
}

#[tokio::test]
async fn what_an_old_server_does_not_know_is_not_sent() {
    let fake = Fake::start().await;
    fake.state().lacks = vec![Ability::Plans, Ability::History];
    let client = Client::connect(fake.address.clone()).await.unwrap();
    let job = client.enqueue(&NewJob::new("mail", b"one")).await.unwrap().id;
    let received = fake.state().received.len();
    let refused = client.errors(job, EventSeq(0), 9).await.unwrap_err();
    let (ability, server_version) = (Ability::History, "fake".to_owned());
    assert_eq!(refused, Error::Lacking { ability, server_version });
    assert_eq!(refused.outcome(), Outcome::NotDone);
    let message =
        "the server, release fake, does not know history: nothing was sent; update the server";
    assert_eq!(refused.to_string(), message);
    let append = Append { job, id: b"1", kind: "paid", data: b"", source: "", trace: "" };
    let refused = client.append(append).await.unwrap_err();
    assert!(matches!(refused, Error::Lacking { ability: Ability::Plans, .. }), "{refused}");
    assert_eq!(fake.state().received.len(), received);
    // What it knows goes on.
    assert_eq!(client.workers().await.unwrap(), []);
    client.delete(job).await.unwrap();
    client.close().await;
}
