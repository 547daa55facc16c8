//! Files of every format version that has shipped are read for ever.

use std::path::Path;

use jobbie_log::{Create, Log, Opened, Snapshots};
use jobbie_sim::SimDisk;

use crate::golden_log::{self, IDENTITY, PURGED, SNAPSHOT, VOTE};
use crate::support::{disk, simulate};

fn golden(seed: u64) -> SimDisk {
    let disk = disk(seed);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v1/log");
    let files =
        std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".blocks").unwrap();
        disk.put(name, &golden_log::unpack(&std::fs::read(&path).unwrap()));
    }
    disk
}

#[test]
fn r24_files_of_version_1_are_read() {
    simulate(1, async || {
        let disk = golden(1);
        let verified = jobbie_log::verify(&disk).await.unwrap();
        assert_eq!((verified.identity, verified.torn), (IDENTITY, None));
        let expected = golden_log::entries();
        let Opened { log, driver, .. } =
            Log::open(disk.clone(), golden_log::config(), IDENTITY, Create::Never).await.unwrap();
        jobbie_sim::Handle::current().spawn(driver);
        let state = log.state();
        assert_eq!((state.vote, state.purged), (Some(VOTE), Some(PURGED)));
        assert_eq!((state.last, state.committed), (expected.last().map(|e| e.id), Some(8)));
        assert_eq!(log.read(2..12, usize::MAX).await.unwrap(), expected[2..]);
        let mut snapshot =
            Snapshots::offline(disk, IDENTITY).latest().await.unwrap().snapshot.unwrap();
        assert_eq!(*snapshot.meta(), golden_log::snapshot_meta());
        assert_eq!(snapshot.next_chunk().await.unwrap().as_deref(), Some(SNAPSHOT));
        assert_eq!(snapshot.next_chunk().await.unwrap(), None);
    });
}

/// The bytes themselves, so that a change of what is written cannot pass unnoticed.
#[test]
fn r24_what_is_written_today_is_version_1() {
    simulate(2, async || {
        let (golden, today) = (golden(2), disk(2));
        golden_log::write(&today).await;
        assert_eq!(golden.files(), today.files());
        for file in golden.files() {
            let (golden, today) =
                (golden.content(&file.name).unwrap(), today.content(&file.name).unwrap());
            if let Some(offset) = golden.iter().zip(&today).position(|(a, b)| a != b) {
                panic!(
                    "{} differs at {offset}: {} was {}",
                    file.name, today[offset], golden[offset]
                );
            }
        }
    });
}
