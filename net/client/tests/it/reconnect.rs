//! Broken connections: each request is done once, or its caller is told that nobody knows.

use std::time::Duration;

use jobbie_client::{Client, Config, Error, NewJob, Outcome};

use crate::fake::{Act, Fake};

#[tokio::test]
async fn r09_a_request_whose_answer_got_lost_is_done_once() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    client.enqueue(&NewJob::new("q", b"0")).await.unwrap();
    fake.state().acts.push_back(Act::DoneThenCut);
    let job = client.enqueue(&NewJob::new("q", b"1")).await.unwrap();
    assert_eq!(job.id.seq().0, 2);
    client.enqueue(&NewJob::new("q", b"2")).await.unwrap();
    let state = fake.state();
    assert_eq!(state.received, [1, 2, 2, 3]);
    assert_eq!(state.done.iter().map(|d| d.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(state.hellos.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(state.confirmed_below, 3);
}

#[tokio::test]
async fn r09_everything_in_flight_is_sent_again_in_order() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    fake.state().acts.push_back(Act::CutBefore);
    let calls = (0..20).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            client.enqueue(&NewJob::new("q", format!("{n}").as_bytes())).await.unwrap().id
        })
    });
    let mut ids = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        ids.push(call.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    let numbers: Vec<_> = fake.state().done.iter().map(|d| d.1).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn r09_a_forgotten_session_is_an_explicit_error() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    {
        let mut state = fake.state();
        state.acts.push_back(Act::DoneThenCut);
        state.forget_sessions = true;
    }
    let error = client.enqueue(&NewJob::new("q", b"1")).await.unwrap_err();
    assert_eq!((error.outcome(), error), (Outcome::Unknown, Error::SessionGone));
    assert_eq!(fake.state().received, [1], "it must not be sent to the new session");
    client.enqueue(&NewJob::new("q", b"2")).await.unwrap();
    assert_eq!(fake.state().done, [(1, 1, 1), (2, 1, 1)]);
}

#[tokio::test]
async fn r09_a_session_evicted_under_the_client_is_opened_anew() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    {
        let mut state = fake.state();
        state.acts.push_back(Act::Refuse(jobbie_client::Code::SessionGone));
        state.forget_sessions = true;
    }
    let error = client.enqueue(&NewJob::new("q", b"1")).await.unwrap_err();
    assert_eq!(error, Error::SessionGone);
    client.enqueue(&NewJob::new("q", b"2")).await.unwrap();
    assert_eq!(fake.state().done, [(2, 1, 1)]);
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let (follower, leader) = (Fake::start().await, Fake::start().await);
    let client = Client::connect(follower.address.clone()).await.unwrap();
    follower.state().acts.push_back(Act::Redirect(leader.address.clone()));
    client.enqueue(&NewJob::new("q", b"1")).await.unwrap();
    assert_eq!((follower.state().done.len(), leader.state().done.len()), (0, 1));
}

#[tokio::test]
async fn calls_made_while_the_server_is_away_wait_for_it() {
    let fake = Fake::start().await;
    let client = Client::connect(fake.address.clone()).await.unwrap();
    client.enqueue(&NewJob::new("q", b"0")).await.unwrap();
    for _ in 0..5 {
        fake.cut_all();
        client.enqueue(&NewJob::new("q", b"1")).await.unwrap();
    }
    assert_eq!(fake.state().done.len(), 6);
}

#[tokio::test]
async fn a_slow_request_alone_does_not_end_a_connection() {
    let fake = Fake::start().await;
    let config = Config { silence_ms: 50, ..Config::new(fake.address.clone()) };
    let client = Client::connect(config).await.unwrap();
    // The request is not answered, but pings are.
    fake.state().acts.push_back(Act::Ignore);
    let job = NewJob::new("q", b"1");
    let call = tokio::time::timeout(Duration::from_millis(400), client.enqueue(&job));
    assert!(call.await.is_err());
    assert_eq!(fake.state().hellos.len(), 1);
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_made_again() {
    // Takes connections and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            sender.send(stream).unwrap();
        }
    });
    let config = Config { connect_ms: 50, deadline_ms: 500, ..Config::new(address) };
    let error = Client::connect(config).await.unwrap_err();
    assert!(error.to_string().contains("no sign of life"), "{error}");
    let mut count = 0;
    while accepted.try_recv().is_ok() {
        count += 1;
    }
    assert!(count >= 2, "{count}");
}
