//! `weir sim serve`: the model behind a vfio-user socket.
//!
//! Place: joins the socket, `weir_sim::served` (what messages do to the model) and where frames come from: the [`player`] of a
//! capture, or the [`ports`], which are network interfaces.
//! One thread: frames come between messages. Invariants: one client at a time, others are told so; a client that says
//! nothing, half a message or nonsense stops neither frames nor the next client; nothing is left of a client that has gone.

mod order;
mod player;
mod ports;

use crate::args::ServeArguments;
use crate::commands::configuration;
use crate::commands::run::interruptible;
use crate::deployment::socket::{is_allowed, listen};
use crate::exit::{Failure, OK, OrExit, accounted};
use crate::out::outln;
use crate::pipeline::Source;
use crate::{device, live, privileges};
use player::{Open, Player, State};
use ports::Ports;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_contract::constants as c;
use weir_live::{LinkConfig, Mode};
use weir_output::summary::group;
use weir_sim::Simulator;
use weir_sim::served::Session;
use weir_vfio_user::message::encode_error;
use weir_vfio_user::wire::{Wire, WireError};

/// Longest sleep: how late the end of the server is noticed.
const SLEEP: Duration = Duration::from_millis(100);
/// Messages in a row before frames are looked at again.
const MESSAGES: usize = 64;
/// Connections that wait for the device, or to be told that it is taken.
const OTHERS_MAX: usize = 8;
/// Longest that a client may take to read an answer, or another to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// EBUSY of Linux.
const BUSY: u32 = 16;

/// Removes the socket when the server ends.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves until it is interrupted.
pub fn run(arguments: &ServeArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let open = arguments.pcap.as_deref().map(|path| opener(path, arguments.passes));
    if let Some(open) = &open {
        // A capture that cannot be read is told now, not when a client has come.
        open()?;
    }
    let d = &config.device;
    let player = Player::new(open, arguments.rate, d.batch.into(), u64::from(d.latency) * 1000);
    let user = privileges::user(arguments.user.as_deref(), &config)?;
    let listener = listen(&arguments.socket, "socket")?;
    let _removed = Removed(arguments.socket.clone());
    listener.set_nonblocking(true).or_internal()?;
    let model = device::simulator(&config);
    let link = match (&*arguments.inline, &*arguments.tap) {
        ([], []) => None,
        ([], tap) => Some(live::link(Mode::Tap, tap.to_vec(), &config, (None, None))),
        (inline, _) => Some(live::link(Mode::Inline, inline.to_vec(), &config, (None, None))),
    };
    // The server sleeps itself.
    let link = link.map(|link| LinkConfig { idle: Duration::ZERO, ..link });
    let mut ports = link.map(|link| Ports::open(link, &model)).transpose()?;
    // (Before there are other threads: capabilities belong to threads.)
    let _offloads = match &mut ports {
        Some(ports) => ports.give_up(user.as_ref(), &config)?,
        None => None,
    };
    let stop = interruptible();
    if !arguments.quiet {
        outln!(
            "Serving a simulated NIC (a software model, no hardware is involved) at {}: PCI {:04x}:{:04x}, {} queues.",
            arguments.socket.display(),
            c::PCI_VENDOR,
            c::PCI_DEVICE,
            model.vectors() - c::MSIX_VECTOR_QUEUE0
        );
        let wired = [&arguments.inline, &arguments.tap].into_iter().find(|named| !named.is_empty());
        if let (Some(named), Some(ports)) = (wired, &ports) {
            outln!("Its ports are {}; until a host enables it, frames meet the fail mode (closed after power-on).", named.join(" and "));
            ports.announced().iter().for_each(|remark| eprintln!("note: {remark}"));
        }
    }
    let mut server = Server { listener, model, player, ports, client: None, others: Vec::new(), clients: 0 };
    server.serve(&stop)?;
    let frames = server.player.frames() + server.ports.as_ref().map_or(0, Ports::frames);
    if !arguments.quiet {
        outln!("Served {} clients and {} frames.", group(server.clients), group(frames));
        for remark in server.ports.iter_mut().flat_map(Ports::remarks) {
            outln!("note: {remark}");
        }
    }
    accounted(server.model.broken_identities(), live::FAULT)?;
    Ok(OK)
}

fn opener(path: &Path, passes: u64) -> Open {
    let path = path.to_owned();
    Box::new(move || {
        let path = path.clone();
        match passes {
            1 => Source::open(&path),
            passes => Source::replay(Box::new(move || Source::open(&path)), passes, None),
        }
    })
}

struct Server {
    listener: UnixListener,
    model: Simulator,
    player: Player,
    ports: Option<Ports>,
    client: Option<Client>,
    /// Those who came while there was a client, and when.
    others: Vec<(Wire, Instant)>,
    clients: u64,
}

struct Client {
    wire: Wire,
    session: Session,
    out: Vec<u8>,
}

impl Server {
    fn serve(&mut self, stop: &AtomicBool) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            let state = match (&mut self.ports, self.player.step(&self.model)) {
                (Some(ports), _) => ports.step(&self.model)?,
                (None, Ok(state)) => state,
                (None, Err(failure)) => {
                    eprintln!("{failure}");
                    self.model.end_source(0);
                    State::Quiet
                }
            };
            if let Some(client) = &mut self.client {
                client.session.raise();
            }
            self.sleep(match state {
                State::Plays => Duration::ZERO,
                State::Early(early) => early.min(SLEEP),
                State::Quiet | State::Waits => SLEEP,
            })?;
            self.accept();
            self.attach_or_refuse();
            let gone = self.client.as_mut().and_then(|client| client.talk(&self.model, &mut self.player).err());
            if let Some(error) = gone {
                tracing::info!("the client has gone: {error}");
                self.client = None;
            }
            if let Some(ports) = &self.ports {
                ports.flush();
            }
        }
        Ok(())
    }

    fn sleep(&self, time: Duration) -> Result<(), Failure> {
        let mut polled = vec![PollFd::new(&self.listener, PollFlags::IN)];
        polled.extend(self.client.iter().map(|client| PollFd::new(&client.wire, PollFlags::IN)));
        polled.extend(self.ports.iter().flat_map(Ports::sockets).map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN)));
        polled.extend(self.others.iter().map(|(wire, _)| PollFd::new(wire, PollFlags::IN)));
        let limit = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut polled, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).or_internal(),
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if !is_allowed(&stream) {
                tracing::warn!("a process of another user was turned away");
                continue;
            }
            let Ok(wire) = Wire::new(stream) else { continue };
            if self.others.len() < OTHERS_MAX {
                self.others.push((wire, Instant::now()));
            }
        }
    }

    /// Who came first has the device; the first message of others is answered by that it is taken. Of a client that has ended there
    /// may be messages yet; who comes after it waits until they are through.
    fn attach_or_refuse(&mut self) {
        match &self.client {
            None if !self.others.is_empty() => {
                let (wire, _) = self.others.remove(0);
                tracing::info!("a client has come");
                self.clients += 1;
                self.client = Some(Client { wire, session: Session::new(self.model.clone()), out: Vec::new() });
            }
            Some(client) if has_ended(&client.wire) => return,
            _ => {}
        }
        self.others.retain_mut(|(wire, since)| match wire.try_receive() {
            Ok(None) => since.elapsed() < PATIENCE,
            Ok(Some(message)) => {
                let mut out = Vec::new();
                encode_error(message.header.id, message.header.command, BUSY, &mut out);
                let _ = wire.send(&out, &[], Duration::from_millis(100));
                false
            }
            Err(_) => false,
        });
    }
}

/// The other end is closed, whatever can still be read.
fn has_ended(wire: &Wire) -> bool {
    let mut polled = [PollFd::new(wire, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

impl Client {
    /// Answers what has come.
    fn talk(&mut self, model: &Simulator, player: &mut Player) -> Result<(), WireError> {
        for _ in 0..MESSAGES {
            let Some(message) = self.wire.try_receive()? else { break };
            self.out.clear();
            if let Err(refusal) = self.session.answer(message, &mut self.out) {
                tracing::info!("refused: {}", refusal.why);
            }
            player.heard(model);
            self.session.raise();
            self.wire.send(&self.out, &[], PATIENCE)?;
        }
        Ok(())
    }
}
