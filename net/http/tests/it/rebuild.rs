//! The read model made anew: asked for, or because something became of its file while the server ran.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Site;

/// As long as it may take until damage is seen and mended.
const HEALED_MAX: Duration = Duration::from_secs(30);

fn total(site: &Site) -> Option<Value> {
    let found = site.post("/jobs/search", json!({}));
    if found.status == 200 {
        return Some(found.json()["total"].clone());
    }
    assert_eq!(found.failure(), (503, "STORE_ERROR".into()), "{found:?}");
    assert_eq!(found.header("retry-after"), "1");
    None
}

#[test]
fn it_is_made_anew_while_the_server_serves() {
    let site = Site::start(|_| {});
    for n in 0..200 {
        site.enqueue(json!({ "queue": "q", "payload": { "n": n } }));
    }
    assert_eq!(total(&site), Some(json!(200)));
    let rebuild = || {
        let told = site.post("/admin/rebuild-sqlite", json!({}));
        assert_eq!(told.status, 200, "{told:?}");
        let told = told.json();
        assert_eq!((&told["status"], &told["rebuilt"]), (&json!("ok"), &json!(true)));
        assert!(told["duration_ms"].is_u64());
    };
    let inode = || {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(site.read_model()).expect("the file").ino()
    };
    let before = inode();
    std::thread::scope(|scope| {
        let rebuilds: Vec<_> = (0..3).map(|_| scope.spawn(rebuild)).collect();
        while rebuilds.iter().any(|rebuild| !rebuild.is_finished()) {
            assert_eq!(total(&site), Some(json!(200)), "the one before is there until then");
        }
    });
    assert_ne!(inode(), before);
    site.enqueue(json!({ "queue": "q" }));
    assert_eq!(total(&site), Some(json!(201)), "it goes on");
}

fn heals(what: &str, harm: impl Fn(&Path)) {
    let site = Site::start(|_| {});
    let mut count = 0;
    for _ in 0..50 {
        site.enqueue(json!({ "queue": "q" }));
        count += 1;
    }
    assert_eq!(total(&site), Some(json!(count)));
    harm(&site.read_model());
    let begun = Instant::now();
    loop {
        // Whatever shards know goes on.
        let id = site.enqueue(json!({ "queue": "q" }));
        count += 1;
        let job = site.get(&format!("/jobs/{id}"));
        assert_eq!((job.status, &job.json()["state"]), (200, &json!("pending")), "{what}");
        assert_eq!(site.get("/queues").status, 200, "{what}");
        let path = site.read_model();
        let is_whole = fs::read(&path).is_ok_and(|file| file.starts_with(b"SQLite format 3\0"));
        if total(&site) == Some(json!(count))
            && is_whole
            && fs::metadata(&path).is_ok_and(|f| f.len() > 8192)
        {
            break;
        }
        assert!(begun.elapsed() < HEALED_MAX, "{what}: it does not heal");
        std::thread::sleep(Duration::from_millis(20));
    }
    // It lasts.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(total(&site), Some(json!(count)), "{what}");
}

#[test]
fn a_file_that_is_removed() {
    heals("removed", |file| fs::remove_file(file).expect("remove it"));
}

#[test]
fn a_folder_that_is_emptied() {
    heals("emptied", |file| {
        for entry in fs::read_dir(file.parent().expect("a folder")).expect("it lists") {
            fs::remove_file(entry.expect("a file").path()).expect("remove it");
        }
    });
}

#[test]
fn a_file_that_is_cut_off() {
    heals("cut off", |file| {
        let file = fs::OpenOptions::new().write(true).open(file).expect("open it");
        file.set_len(5000).expect("cut it off");
    });
}

#[test]
fn a_file_that_is_emptied() {
    heals("no bytes", |file| {
        fs::OpenOptions::new().write(true).truncate(true).open(file).expect("empty it");
    });
}

#[test]
fn a_file_that_is_written_over() {
    heals("written over", |file| fs::write(file, vec![b'x'; 300_000]).expect("write over it"));
}

#[test]
fn pages_that_are_written_over() {
    heals("pages", |file| {
        use std::os::unix::fs::FileExt;
        let length = fs::metadata(file).expect("the file").len();
        let file = fs::OpenOptions::new().write(true).open(file).expect("open it");
        for at in (8192..length).step_by(4096) {
            file.write_all_at(&[0xee; 4096], at).expect("write over it");
        }
    });
}
