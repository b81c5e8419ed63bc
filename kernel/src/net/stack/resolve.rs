//! Names (DNS).

use super::handle::Stack;
use super::watching::Watch;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::Poll;
use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket, StartQueryError};
use smoltcp::wire::DnsQueryType;

/// Questions at the same time.
const QUESTIONS: usize = 16;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolveError {
    /// It is no name.
    Name,
    /// Nobody is known who knows names.
    NoServer,
    /// Nobody knows it, or nobody answers.
    Unknown,
    /// Too many ask at the same time.
    Busy,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "that is no name",
            Self::NoServer => "no server of names is known",
            Self::Unknown => "nobody knows that name, or nobody answers",
            Self::Busy => "too many names are asked for at the same time",
        })
    }
}

impl core::error::Error for ResolveError {}

/// Which addresses a name is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
}

/// A question that is taken back when nobody waits any more.
struct Question<'a> {
    stack: &'a Stack,
    handle: Option<QueryHandle>,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.stack.with(|engine| {
            engine.questions -= 1;
            let dns = engine.dns;
            if let Some(handle) = self.handle {
                engine.main.get_mut::<Socket<'_>>(dns).cancel_query(handle);
            }
        });
    }
}

impl Stack {
    /// The addresses of a name: those of IPv4, or, if it has none, those of IPv6. An address is its own name.
    ///
    /// # Errors
    /// If it has none, or nobody says so.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = name.parse() {
            return Ok(alloc::vec![address]);
        }
        match self.ask(name, Kind::V4).await {
            Err(ResolveError::Unknown) => self.ask(name, Kind::V6).await,
            result => result,
        }
    }

    async fn ask(&self, name: &str, kind: Kind) -> Result<Vec<IpAddr>, ResolveError> {
        let handle = self.with(|engine| {
            if engine.dns_servers.is_empty() {
                return Err(ResolveError::NoServer);
            }
            if engine.questions >= QUESTIONS {
                return Err(ResolveError::Busy);
            }
            let (dns, kind) = (engine.dns, query_type(kind));
            let socket = engine.main.get_mut::<Socket<'_>>(dns);
            let started = socket.start_query(engine.iface.context(), name, kind);
            engine.questions += usize::from(started.is_ok());
            for server in engine.dns_servers.clone() {
                engine.want(server.into());
            }
            engine.touch_main();
            started.map_err(|error| match error {
                StartQueryError::NoFreeSlot => ResolveError::Busy,
                StartQueryError::InvalidName | StartQueryError::NameTooLong => ResolveError::Name,
            })
        })?;
        let mut question = Question {
            stack: self,
            handle: Some(handle),
        };
        let watch = Watch::new(self);
        poll_fn(|cx| {
            self.with(|engine| {
                let dns = engine.dns;
                let socket = engine.main.get_mut::<Socket<'_>>(dns);
                let result = match socket.get_query_result(handle) {
                    Err(GetQueryResultError::Pending) if engine.is_gone => {
                        return Poll::Ready(Err(ResolveError::Unknown));
                    }
                    Err(GetQueryResultError::Pending) => {
                        engine.watching.set(watch.number, cx.waker());
                        socket.register_query_waker(handle, cx.waker());
                        return Poll::Pending;
                    }
                    Ok(addresses) if addresses.is_empty() => Err(ResolveError::Unknown),
                    Ok(addresses) => {
                        Ok(addresses.iter().map(|address| (*address).into()).collect())
                    }
                    Err(GetQueryResultError::Failed) => Err(ResolveError::Unknown),
                };
                // The engine has forgotten it.
                question.handle = None;
                Poll::Ready(result)
            })
        })
        .await
    }
}

const fn query_type(kind: Kind) -> DnsQueryType {
    match kind {
        Kind::V4 => DnsQueryType::A,
        Kind::V6 => DnsQueryType::Aaaa,
    }
}
