//! A connection's bytes with two clocks hyper does not have: a head must be whole soon after its first byte, and a
//! write must make headway.

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Sleep;

/// Whether a request is being handled. While none is, what comes in is a head.
#[derive(Clone, Debug, Default)]
pub struct Phase(Arc<AtomicBool>);

/// A request is being handled while this lives.
#[derive(Debug)]
pub struct InRequest(Phase);

impl Phase {
    /// A head was read: its request begins.
    pub fn enter(&self) -> InRequest {
        self.0.store(true, Ordering::Release);
        InRequest(self.clone())
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

/// The timed connection.
pub struct TimedIo {
    io: TokioIo<UnixStream>,
    phase: Phase,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
    head_time: Duration,
    write_time: Duration,
}

impl TimedIo {
    /// `stream` with the time a head may take and the time a write may stand still.
    pub fn new(stream: UnixStream, phase: Phase, head_time: Duration, write_time: Duration) -> Self {
        Self { io: TokioIo::new(stream), phase, head: None, write: None, head_time, write_time }
    }

    /// The connection itself, without clocks.
    pub fn into_inner(self) -> UnixStream {
        self.io.into_inner()
    }

    fn written(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if done.is_ready() {
            self.write = None;
            return done;
        }
        let time = self.write_time;
        let clock = self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for TimedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let done = Pin::new(&mut this.io).poll_read(cx, into);
        if this.phase.0.load(Ordering::Acquire) {
            this.head = None;
            return done;
        }
        if done.is_ready() {
            let time = this.head_time;
            this.head.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
            return done;
        }
        let Some(clock) = &mut this.head else { return Poll::Pending };
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Write for TimedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.written(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
