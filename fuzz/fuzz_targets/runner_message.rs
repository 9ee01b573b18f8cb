//! Any bytes as messages of the runner, in every direction: nothing may panic, and what is read must be what is
//! written. The sources are taken by path, not as the crate: what is fuzzed has none of the crate's dependencies, and
//! a few seconds build it. With cargo-fuzz, and without a nightly compiler:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none runner_message -- -max_len=70000 -max_total_time=20`

#![no_main]
#![expect(dead_code, reason = "the domain's sources come whole, and little of them is needed")]

#[path = "../../src/domain/mod.rs"]
mod domain;

#[path = "../../src/runner"]
mod runner {
    pub mod message;
}

use libfuzzer_sys::fuzz_target;
use runner::message::{FRAME_BYTES_MAX, Order, Reply, Request, frame_length};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(length)) = frame_length(bytes) {
        assert!((1..=FRAME_BYTES_MAX).contains(&length));
    }
    if let Ok(request) = Request::decode(bytes) {
        let frame = request.encode().expect("what was read can be written");
        assert_eq!(&frame[4..], bytes, "in one way only");
        assert!(request.descriptors() <= 1);
        // The log's line is made of these, and a panic there would be one too.
        let _ = (request.verb(), request.uid(), request.session(), format!("{request:?}"));
    }
    if let Ok(reply) = Reply::decode(bytes) {
        let again = Reply::decode(&reply.encode()[4..]).expect("what was read can be written");
        // Texts that are too long for an answer are cut, once.
        assert_eq!(Reply::decode(&again.encode()[4..]), Ok(again));
    }
    if let Ok(order) = Order::decode(bytes) {
        assert_eq!(&order.encode()[4..], bytes);
    }
});
