//! Packs the data directory of a release that has shipped, once: `golden_data DIRECTORY FOLDER`.

use std::path::PathBuf;

fn main() {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (from, to) = (args.next().expect("a directory"), args.next().expect("a folder"));
    jobbie_tests::golden::pack_dir(&from, &to);
}
