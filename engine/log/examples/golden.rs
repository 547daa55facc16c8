//! Writes the golden files of the current format version, once: `cargo run -p jobbie-log --example golden -- DIR`.
//! It never overwrites; files of a version that has shipped stay as that release wrote them.

#[path = "../tests/log/golden_log.rs"]
mod golden_log;

use std::path::PathBuf;

use jobbie_sim::{DiskConfig, Executor, Schedule, SimDisk};

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("a directory"));
    std::fs::create_dir(&dir).expect("a directory that does not exist");
    let disk = SimDisk::new(1, DiskConfig::default());
    Executor::new(1, Schedule::Fifo).block_on(golden_log::write(&disk));
    for file in disk.files() {
        let content = disk.content(&file.name).expect("listed");
        std::fs::write(
            dir.join(&file.name).with_added_extension("blocks"),
            golden_log::pack(&content),
        )
        .expect("write");
    }
}
