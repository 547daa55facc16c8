//! A small filesystem in a file, that can be full and can lose power.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long files of a server that was killed may stay open.
const UNMOUNT_MAX: Duration = Duration::from_secs(30);

/// Shuts a mounted ext4 down without flushing its log (`EXT4_IOC_SHUTDOWN`, no-log-flush): what had not been
/// flushed is gone, as if the power had failed. Python, because it has ioctl without unsafe code.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 2))
";

/// A mounted loop device; unmounted when dropped.
pub struct LoopFs {
    image: PathBuf,
    mount: PathBuf,
    is_mounted: bool,
}

impl LoopFs {
    /// Makes and mounts a filesystem of so many MiB below `folder`.
    ///
    /// # Errors
    /// Why this machine cannot: not root, or no loop devices.
    ///
    /// # Panics
    /// When the image cannot be written.
    pub fn new(folder: &Path, mib: u64) -> Result<Self, String> {
        let (image, mount) = (folder.join("disk.img"), folder.join("mount"));
        let file = std::fs::File::create(&image).expect("create the image");
        file.set_len(mib << 20).expect("size the image");
        std::fs::create_dir(&mount).expect("make the mount point");
        let path = image.to_str().expect("temporary paths are UTF-8");
        succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", path]))?;
        let mut fs = Self { image, mount, is_mounted: false };
        fs.mount()?;
        Ok(fs)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power and brings the filesystem back as it is then.
    ///
    /// # Errors
    /// What the system said.
    pub fn cut_power(&mut self, before_remount: impl FnOnce()) -> Result<(), String> {
        succeed(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.mount))?;
        before_remount();
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<(), String> {
        succeed(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))?;
        self.is_mounted = true;
        Ok(())
    }

    /// The kernel may still be closing files of a server that was killed, so it is asked again for a while.
    fn unmount(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            match succeed(Command::new("umount").arg(&self.mount)) {
                Ok(()) => break,
                Err(error) if begin.elapsed() > UNMOUNT_MAX => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        if self.is_mounted {
            // Lazily: a server that is just being killed may still have files open.
            let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
        }
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let out: Output = command.output().map_err(|e| format!("start {command:?}: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim()))
}
