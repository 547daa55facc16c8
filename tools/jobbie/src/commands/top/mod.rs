//! `top`: what a server is doing, as it does it.

mod frame;
mod latency;
mod look;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, terminal};

use super::print_failed;
use crate::args::TopArgs;
use crate::call::CallError;
use crate::exit::Exit;
use crate::style;
use frame::Frame;
use look::{Look, Looker};

pub(super) fn top(args: &TopArgs) -> Result<Exit, CallError> {
    let mut looker = Looker::new(args)?;
    let every = Duration::from_millis(args.every_ms);
    if args.once {
        let before = looker.look()?;
        std::thread::sleep(every);
        let now = looker.look()?;
        let text = Frame { addr: &args.client.addr, before: Some(&before), now: &now }.lines(None);
        let mut out = std::io::stdout().lock();
        out.write_all((text.join("\n") + "\n").as_bytes()).map_err(print_failed)?;
        return Ok(Exit::Done);
    }
    if !std::io::stdout().is_terminal() {
        return Err(CallError::Usage(
            "standard output is no terminal: `jobbie top --once` prints one frame as text".into(),
        ));
    }
    let first = looker.look()?;
    let screen = Screen::enter().map_err(print_failed)?;
    let ended = watch(args, &mut looker, first, every);
    drop(screen);
    ended
}

/// Shows frame after frame until somebody has seen enough.
fn watch(
    args: &TopArgs,
    looker: &mut Looker,
    first: Look,
    every: Duration,
) -> Result<Exit, CallError> {
    let (mut before, mut now, mut said) = (None, first, None);
    loop {
        let frame = Frame { addr: &args.client.addr, before: before.as_ref(), now: &now };
        draw(&frame, said.as_deref()).map_err(print_failed)?;
        let until = Instant::now() + every;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if !event::poll(left).map_err(print_failed)? {
                break;
            }
            match event::read().map_err(print_failed)? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let is_ctrl_c = key.code == KeyCode::Char('c')
                        && key.modifiers.contains(KeyModifiers::CONTROL);
                    if is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                        return Ok(Exit::Done);
                    }
                }
                Event::Resize(..) => {
                    let frame =
                        Frame { addr: &args.client.addr, before: before.as_ref(), now: &now };
                    draw(&frame, said.as_deref()).map_err(print_failed)?;
                }
                _ => {}
            }
        }
        match looker.look() {
            Ok(look) => (before, said) = (Some(std::mem::replace(&mut now, look)), None),
            Err(error) => said = Some(format!("{error}; trying again, q ends")),
        }
    }
}

/// Draws a frame that fits the terminal; if something went wrong, that is its last line.
fn draw(frame: &Frame<'_>, said: Option<&str>) -> std::io::Result<()> {
    let (columns, rows) = terminal::size()?;
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let room = rows.saturating_sub(usize::from(said.is_some()));
    let mut lines = frame.lines(Some(room));
    lines.extend(said.map(|said| format!("{} {said}", "error:")));
    let mut out = std::io::stdout().lock();
    for (row, line) in (0..).zip(&lines).take(rows) {
        let cut: String = line.chars().take(columns).collect();
        let is_head = cut.starts_with("jobbie") || cut.split(' ').next().is_some_and(is_name);
        let shown = style::head(&format!("{cut}\n"), is_head && style::on_stdout());
        queue!(out, cursor::MoveTo(0, row))?;
        write!(out, "{}", shown.trim_end_matches('\n'))?;
        queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
    }
    if lines.len() < rows {
        queue!(out, cursor::MoveTo(0, lines.len() as u16))?;
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
    }
    out.flush()
}

/// Whether a word is the name of a table's first column.
fn is_name(word: &str) -> bool {
    ["SHARD", "QUEUE", "WORKER"].contains(&word)
}

/// The terminal while it is ours; as it was when dropped.
struct Screen;

impl Screen {
    fn enter() -> std::io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(std::io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = execute!(std::io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
