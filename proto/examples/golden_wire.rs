//! Writes the golden frames of a format version, once: `cargo xtask golden-wire`.

#[allow(dead_code, reason = "the test compares content, this writes bytes")]
#[path = "../tests/wire/samples.rs"]
mod samples;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

fn main() -> std::io::Result<()> {
    write("v1", samples::encoded())?;
    write("v2", samples::encoded_later())
}

fn write(version: &str, frames: Vec<(&str, Vec<u8>)>) -> std::io::Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let folder = golden.join(version).join("wire");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in frames {
        let path = folder.join(format!("{name}.bin"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&bytes)?;
                println!("{name}: {} bytes", bytes.len());
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => println!("{name}: kept"),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
