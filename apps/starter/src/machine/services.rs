//! What the machine does for others, as tasks of the boot core.
//!
//! What each has done is counted here, so that the shell
//! can tell, and the pages can.

use super::Machine;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use embassy_time::with_timeout;
use kernel::block::{self, BlockDevice};
use kernel::drivers::helpers;
use kernel::fs::Folder;
use kernel::memory::heap;
use kernel::net::stack::{self, Backlog, Connection, ConnectionStatus, Stack, State as Tcp};
use kernel::net::{self, Link};
use kernel::{executor, exit, power, storage};
use services::appliance::Appliance;
use services::appliance::view::{Card, Core, Network, State, View, Volume};
use services::clock::MachineClock;
use services::{echo, http, iperf, nbd};
use shell::commands::phyrs;
use shell::system::{Service, System};
use spin::Mutex;

/// Most connections of each service.
const HTTP_CONNECTIONS: u64 = 256;
const NBD_CONNECTIONS: u64 = 32;
const ECHO_CONNECTIONS: u64 = 64;

/// Most connections of a service that are being opened, and most that wait. Many clients may come at once.
const BACKLOG: Backlog = Backlog {
    half_open: 256,
    waiting: 256,
};

/// How long an address is waited for.
const ADDRESS: embassy_time::Duration = embassy_time::Duration::from_secs(15);

/// What there is once the first service is started.
struct Running {
    stack: Stack,
    /// The disks as they are given out, if they are.
    disks: Arc<nbd::Disks>,
    http: Option<Arc<http::Counters>>,
    /// Whether clients may change the disks.
    nbd: Option<bool>,
    iperf: Option<Arc<iperf::Counters>>,
    echo: Option<Arc<echo::Counters>>,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// For how long a client is waited for, at most (milliseconds).
static PATIENCE: AtomicU64 = AtomicU64::new(u64::MAX);

fn patience() -> Duration {
    Duration::from_millis(PATIENCE.load(Ordering::Relaxed))
}

/// No client is waited for longer than so many milliseconds from now on, whatever the limits of the services.
pub(crate) fn set_patience(milliseconds: u64) {
    PATIENCE.store(milliseconds, Ordering::Relaxed);
}

/// Starts what the host wants, and tells it when all of that answers.
pub(crate) fn start_all(wanted: &[Service]) -> Result<(), String> {
    for service in wanted {
        start(*service)?;
    }
    let port = |service: &Service| match service {
        Service::Http => format!("http={}", service.port()),
        Service::Nbd { .. } => {
            let first = disks().first().map(|disk| disk.name().to_string());
            format!("nbd={}/{}", service.port(), first.unwrap_or_default())
        }
        Service::Iperf => format!("iperf={}", service.port()),
        Service::Echo => format!("echo={}", service.port()),
    };
    let all: Vec<String> = wanted.iter().map(port).collect();
    vm_test::record::ready(format_args!("{}", all.join(" ")));
    executor::spawn(end_when_told()).detach();
    Ok(())
}

/// Ends the machine in good order when somebody presses its power button.
async fn end_when_told() {
    power::button().await;
    kernel::println!("the power button was pressed");
    match storage::flush_all().await {
        true => exit::success(),
        false => exit::failure(),
    }
}

/// Starts a service, and says how it goes.
pub(super) fn start(service: Service) -> Result<String, String> {
    // Disks are looked for here, since tasks cannot wait for that.
    storage::volumes();
    let stack = network()?;
    let mut running = RUNNING.lock();
    let running = running.as_mut().ok_or("the network is gone")?;
    match service {
        Service::Http => {
            if running.http.is_none() {
                let counters = Arc::new(http::Counters::new(HTTP_CONNECTIONS));
                serve_http(&stack, counters.clone(), running.disks.clone())?;
                running.http = Some(counters);
            }
        }
        Service::Nbd { writable } => match running.nbd {
            Some(is_writable) if is_writable != writable => {
                return Err("the disks are given out in another way already".into());
            }
            Some(_) => {}
            None => {
                running.disks.set_writable(writable);
                serve_nbd(&stack, running.disks.clone())?;
                running.nbd = Some(writable);
            }
        },
        Service::Iperf => {
            if running.iperf.is_none() {
                let server = Rc::<iperf::Server>::default();
                running.iperf = Some(server.counters.clone());
                serve_iperf(&stack, server)?;
            }
        }
        Service::Echo => {
            if running.echo.is_none() {
                let counters = Arc::new(echo::Counters::new(ECHO_CONNECTIONS));
                serve_echo(&stack, counters.clone())?;
                running.echo = Some(counters);
            }
        }
    }
    Ok(tell(service, running))
}

fn tell(service: Service, running: &Running) -> String {
    let addresses: Vec<String> = running
        .stack
        .status()
        .addresses
        .iter()
        .map(|(address, _)| address.to_string())
        .collect();
    let at = format!("port {} of {}", service.port(), addresses.join(", "));
    match (service, &running.http, &running.nbd, &running.iperf) {
        (Service::Http, Some(http), ..) => format!(
            "HTTP at {at}: {} connections, {} open, {} bytes sent from where they lay, {} copied",
            http.connections.get(),
            http.open.get(),
            http.sent.get(),
            http.copied.get()
        ),
        (Service::Nbd { .. }, _, Some(writable), _) => {
            let counters = running.disks.counters();
            format!(
                "NBD at {at}, {}: {} connections, {} open, {} bytes read, {} written",
                if *writable { "writable" } else { "read-only" },
                counters.connections.get(),
                counters.open.get(),
                counters.read_bytes.get(),
                counters.written_bytes.get()
            )
        }
        (Service::Echo, ..) => {
            let bytes = running.echo.as_ref().map(|echo| echo.bytes.get());
            format!("echo at {at}: {} bytes", bytes.unwrap_or(0))
        }
        (Service::Iperf, .., Some(counters)) => {
            format!(
                "iperf3 at {at}: {} tests, {} bytes came, {} went",
                counters.tests.get(),
                counters.received.get(),
                counters.sent.get()
            )
        }
        _ => at,
    }
}

/// The network, started if it is not.
fn network() -> Result<Stack, String> {
    if let Some(running) = &*RUNNING.lock() {
        return Ok(running.stack.clone());
    }
    let stack = executor::block_on(async {
        stack::started().await;
        let stack = stack::stacks().into_iter().next();
        let stack = stack.ok_or("the machine has no network card: add one")?;
        match with_timeout(ADDRESS, stack.has_address()).await {
            Ok(true) => Ok(stack),
            Ok(false) => Err("the network card is gone"),
            Err(_) => Err("nobody has lent the machine an address (DHCP)"),
        }
    })?;
    *RUNNING.lock() = Some(Running {
        stack: stack.clone(),
        disks: Arc::new(nbd::Disks::new(
            disks,
            Arc::new(nbd::Counters::new(NBD_CONNECTIONS)),
        )),
        http: None,
        nbd: None,
        iperf: None,
        echo: None,
    });
    Ok(stack)
}

fn disks() -> Vec<Arc<dyn BlockDevice>> {
    let volumes = storage::volumes_known().into_iter();
    volumes.map(|volume| volume.device).collect()
}

/// Listens, and calls `with` for each connection, for as long as there is a network.
fn listen(
    stack: &Stack,
    service: Service,
    mut with: impl FnMut(Connection) + 'static,
) -> Result<(), String> {
    let listener = stack.listen(service.port(), BACKLOG);
    let mut listener = listener.map_err(|error| format!("port {}: {error:?}", service.port()))?;
    executor::spawn(async move {
        while let Ok(connection) = listener.accept().await {
            with(connection);
        }
    })
    .detach();
    Ok(())
}

fn serve_http(
    stack: &Stack,
    counters: Arc<http::Counters>,
    disks: Arc<nbd::Disks>,
) -> Result<(), String> {
    let nbd = disks.counters().clone();
    let site = Appliance::new(Live, None, disks, counters.clone(), nbd);
    let site = Rc::new(site);
    listen(stack, Service::Http, move |connection| {
        let (site, counters) = (site.clone(), counters.clone());
        executor::spawn(async move {
            let limits = http::Limits::DEFAULT.with_patience(patience());
            http::serve(connection, &*site, &limits, &counters, &MachineClock).await
        })
        .detach();
    })
}

fn serve_nbd(stack: &Stack, disks: Arc<nbd::Disks>) -> Result<(), String> {
    let service = Service::Nbd { writable: false };
    listen(stack, service, move |connection| {
        let disks = disks.clone();
        executor::spawn(async move {
            let limits = nbd::Limits::DEFAULT.with_patience(patience());
            nbd::serve(
                connection,
                &*disks,
                &limits,
                disks.counters(),
                &MachineClock,
            )
            .await
        })
        .detach();
    })
}

fn serve_iperf(stack: &Stack, server: Rc<iperf::Server>) -> Result<(), String> {
    let port = Service::Iperf.port();
    let socket = stack.udp(port);
    let socket = socket.map_err(|error| format!("port {port} of UDP: {error}"))?;
    let taker = server.clone();
    executor::spawn(async move { taker.datagrams(&socket, &MachineClock).await }).detach();
    listen(stack, Service::Iperf, move |connection| {
        let server = server.clone();
        executor::spawn(async move {
            let limits = &iperf::Limits::DEFAULT;
            server.serve(connection, limits, &MachineClock).await
        })
        .detach();
    })
}

fn serve_echo(stack: &Stack, counters: Arc<echo::Counters>) -> Result<(), String> {
    listen(stack, Service::Echo, move |connection| {
        let counters = counters.clone();
        executor::spawn(async move {
            // Whoever has gone needs no answer.
            let _ = echo::serve(connection, &counters, &MachineClock).await;
        })
        .detach();
    })
}

/// The machine, as its pages see it.
struct Live;

impl View for Live {
    fn state(&self) -> State {
        let (memory, _) = phyrs::ranges(&Machine);
        let core = |core: shell::system::Core| Core {
            number: core.number,
            polls: core.activity.polls,
            halts: core.activity.halts,
            interrupts: core.interrupts,
        };
        let delivered = block::counters();
        State {
            uptime: Machine.uptime(),
            memory,
            free: Machine.free_memory().bytes,
            heap: heap::used(),
            heap_taken: heap::taken(),
            cores: Machine.cores().into_iter().map(core).collect(),
            delivered: (delivered.direct, delivered.copied),
            cards: net::interfaces().iter().map(card).collect(),
            network: connections(),
            iperf: RUNNING
                .lock()
                .as_ref()
                .and_then(|running| running.iperf.clone()),
        }
    }

    fn volumes(&self) -> Vec<Volume> {
        let volume = |volume: storage::Volume| Volume {
            device: volume.device,
            has_ext4: volume.has_ext4,
        };
        storage::volumes_known().into_iter().map(volume).collect()
    }

    fn shares(&self) -> Vec<Arc<dyn Folder>> {
        let shares = helpers::shares().into_iter();
        shares
            .map(|share| Arc::new(share) as Arc<dyn Folder>)
            .collect()
    }
}

fn connections() -> Network {
    let stack = RUNNING.lock().as_ref().map(|running| running.stack.clone());
    let Some(stack) = stack else {
        return Network::default();
    };
    let counters = stack.status().counters;
    let open = stack.connections();
    let is_open = |one: &&ConnectionStatus| one.remote.is_some() && one.state != Tcp::TimeWait;
    let open = open.iter().filter(is_open).count();
    Network {
        open: open as u64,
        referred: counters.referred_bytes,
        copied: counters.copied_bytes,
        retransmitted: counters.retransmitted,
        damaged: counters.damaged,
        refused: counters.refused,
        evicted: counters.evicted,
        overflowed: counters.overflowed,
    }
}

fn card(interface: &Arc<dyn net::Interface>) -> Card {
    let counters = interface.counters();
    Card {
        name: interface.name().to_string(),
        is_up: interface.link() == Link::Up,
        sent: (counters.sent, counters.sent_bytes),
        received: (counters.received, counters.received_bytes),
        dropped: counters.dropped,
    }
}
