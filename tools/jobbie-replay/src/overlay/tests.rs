//! What is written over a disk stays in memory, and what is frozen stays as it was.

use std::cell::Cell;

use jobbie_io::{UringDisk, runtime};

use super::*;

/// A disk with one file that somebody appends blocks to, at moments that the test names.
#[derive(Clone)]
struct Growing {
    /// Blocks there are.
    blocks: Rc<Cell<usize>>,
    reads: Rc<Cell<usize>>,
    /// In the middle of which read the file grows, and to how many blocks.
    grows: (usize, usize),
}

const BLOCKS: usize = 2 * FREEZE_BYTES / BLOCK_BYTES;

impl Growing {
    fn new(blocks: usize, grows: (usize, usize)) -> Self {
        Self { blocks: Rc::new(Cell::new(blocks)), reads: Rc::default(), grows }
    }
}

impl Disk for Growing {
    type File = Self;

    async fn open(&self, _: &str, _: OpenMode) -> io::Result<Self> {
        Ok(self.clone())
    }

    async fn list(&self) -> io::Result<Vec<FileInfo>> {
        Ok(vec![FileInfo { name: "a".into(), len: (BLOCKS * BLOCK_BYTES) as u64 }])
    }

    async fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        unreachable!("it is only read")
    }

    async fn remove(&self, _: &str) -> io::Result<()> {
        unreachable!("it is only read")
    }

    async fn sync_dir(&self) -> io::Result<()> {
        unreachable!("it is only read")
    }

    async fn available_bytes(&self) -> io::Result<u64> {
        Ok(0)
    }

    async fn sleep(&self, _: u64) {}
}

impl DiskFile for Growing {
    async fn write_at(&self, _: Rc<AlignedBuf>, _: Range<usize>, _: u64) -> io::Result<()> {
        unreachable!("it is only read")
    }

    /// The second half of what is read is younger than the first when the file grows in between.
    async fn read_at(&self, mut buf: AlignedBuf, offset: u64) -> (io::Result<usize>, AlignedBuf) {
        let (first, count) = (offset as usize / BLOCK_BYTES, buf.len() / BLOCK_BYTES);
        for nth in 0..count {
            if nth == count / 2 && self.reads.get() == self.grows.0 {
                self.blocks.set(self.grows.1);
            }
            let byte = u8::from(first + nth < self.blocks.get());
            buf[nth * BLOCK_BYTES..][..BLOCK_BYTES].fill(byte);
        }
        self.reads.set(self.reads.get() + 1);
        (Ok(count * BLOCK_BYTES), buf)
    }

    async fn sync_data(&self) -> io::Result<()> {
        unreachable!("it is only read")
    }

    async fn sync_all(&self) -> io::Result<()> {
        unreachable!("it is only read")
    }

    async fn len(&self) -> io::Result<u64> {
        Ok((BLOCKS * BLOCK_BYTES) as u64)
    }

    async fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("it is only read")
    }
}

#[test]
fn a_file_that_grows_while_it_is_frozen_has_no_hole() {
    let half = BLOCKS / 2;
    for grows_in in 0..6 {
        for (from, to) in
            [(half - 4, half + 8), (2, half / 2 + 6), (half + 1, BLOCKS - 1), (0, BLOCKS)]
        {
            let disk = Overlay::new(Growing::new(from, (grows_in, to)));
            let found = runtime::block_on(async {
                disk.freeze("a").await.expect("read");
                let file = disk.open("a", OpenMode::Read).await.expect("open");
                let (read, buf) = file.read_at(AlignedBuf::zeroed(BLOCKS * BLOCK_BYTES), 0).await;
                read.expect("read");
                buf.chunks(BLOCK_BYTES).map(|block| block[0] == 1).collect::<Vec<_>>()
            });
            let found = found.expect("a runtime");
            let there = found.iter().take_while(|is_there| **is_there).count();
            let all = found.iter().filter(|is_there| **is_there).count();
            assert_eq!(there, all, "{from} to {to} blocks in read {grows_in}");
            assert!(all >= from, "what was there before is there");
        }
    }
}

#[test]
fn a_frozen_file_stays_as_it_was() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().expect("make a folder");
    let path = dir.path().join("a");
    let mut content = vec![0; FREEZE_BYTES + 2 * BLOCK_BYTES];
    content[..BLOCK_BYTES].fill(1);
    content[FREEZE_BYTES..][..5].fill(2);
    std::fs::write(&path, &content).expect("write");
    std::fs::write(dir.path().join("b"), vec![3; 2 * BLOCK_BYTES]).expect("write");
    let (names, [whole, empty]) = runtime::block_on(async {
        let disk = Overlay::new(UringDisk::open(dir.path()).expect("open the folder"));
        disk.freeze_names().await.expect("list");
        disk.freeze("a").await.expect("read");
        disk.freeze_empty("b").await.expect("open");
        let file = std::fs::File::options().write(true).open(&path).expect("open");
        file.write_all_at(&[9; 100], FREEZE_BYTES as u64 - 50).expect("write");
        std::fs::write(dir.path().join("c"), b"new").expect("write");
        let names: Vec<_> = disk.list().await.expect("list").into_iter().map(|f| f.name).collect();
        let mut found = Vec::new();
        for name in ["a", "b"] {
            let file = disk.open(name, OpenMode::Read).await.expect("open");
            let len = file.len().await.expect("measure") as usize;
            let (read, buf) = file.read_at(AlignedBuf::zeroed(len), 0).await;
            found.push(buf[..read.expect("read")].to_vec());
        }
        (names, <[Vec<u8>; 2]>::try_from(found).expect("two"))
    })
    .expect("a runtime");
    assert_eq!(names, ["a", "b"]);
    assert!(whole == content, "what was written later is not in it");
    assert_eq!((empty[0], empty[BLOCK_BYTES - 1], empty[BLOCK_BYTES]), (3, 3, 0));
}

#[test]
fn room_taken_makes_a_file_longer_and_never_shorter() {
    let dir = tempfile::tempdir().expect("make a folder");
    std::fs::write(dir.path().join("a"), vec![7; 3 * BLOCK_BYTES]).expect("write");
    let lens = runtime::block_on(async {
        let disk = Overlay::new(UringDisk::open(dir.path()).expect("open the folder"));
        let file = disk.open("a", OpenMode::Direct).await.expect("open");
        let mut lens = Vec::new();
        for blocks in [1, 3, 4] {
            file.allocate((blocks * BLOCK_BYTES) as u64).await.expect("take room");
            lens.push(file.len().await.expect("ask for the length") / BLOCK_BYTES as u64);
        }
        lens
    });
    assert_eq!(lens.expect("a runtime"), [3, 3, 4]);
}
