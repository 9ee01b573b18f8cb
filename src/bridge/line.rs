//! Lines of a byte stream, with a bound: longer ones are skipped, and all that is kept of them is their
//! JSON-RPC id. What the lines mean is in `message`.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Bytes of an id, at most; longer ones count as unreadable.
pub const ID_BYTES_MAX: usize = 256;

/// What a stream gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// One line without its line feed; never empty.
    Whole(Vec<u8>),
    /// A line longer than the bound, with its top-level `id` (raw JSON) if it could be read.
    TooLong(Option<String>),
    /// The stream ended. A last line without a line feed is given first.
    End,
}

/// Reads lines of at most `max` bytes.
pub struct LineReader<R> {
    from: R,
    buffer: Vec<u8>,
    searched: usize,
    max: usize,
    skipping: Option<IdScan>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Lines of `from`, each of at most `max` bytes.
    pub fn new(from: R, max: usize) -> Self {
        Self { from, buffer: Vec::new(), searched: 0, max, skipping: None, ended: false }
    }

    /// The next line. Cancel-safe: what was read stays in the buffer.
    pub async fn next(&mut self) -> std::io::Result<Line> {
        loop {
            if let Some(line) = self.take() {
                return Ok(line);
            }
            if self.ended {
                return Ok(Line::End);
            }
            self.buffer.reserve(CHUNK);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                self.ended = true;
            }
        }
    }

    /// A line out of the buffer, if there is one.
    fn take(&mut self) -> Option<Line> {
        loop {
            let Some(end) = self.line_end() else {
                if self.buffer.len() > self.max || (self.skipping.is_some() && !self.buffer.is_empty()) {
                    let scan = self.skipping.get_or_insert_with(IdScan::default);
                    scan.feed(&self.buffer);
                    self.buffer = Vec::new();
                    self.searched = 0;
                }
                if self.ended {
                    return self.skipping.take().map(|scan| Line::TooLong(scan.finish()));
                }
                return None;
            };
            let rest = self.buffer.get(end + 1..).unwrap_or_default().to_vec();
            let mut line = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            line.truncate(end);
            if let Some(mut scan) = self.skipping.take() {
                scan.feed(&line);
                return Some(Line::TooLong(scan.finish()));
            }
            if line.len() > self.max {
                let mut scan = IdScan::default();
                scan.feed(&line);
                return Some(Line::TooLong(scan.finish()));
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Whole(line));
            }
        }
    }

    fn line_end(&mut self) -> Option<usize> {
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|at| at + self.searched);
        self.searched = if found.is_some() { 0 } else { self.buffer.len() };
        match found {
            None if self.ended && !self.buffer.is_empty() && self.buffer.len() <= self.max => {
                Some(self.buffer.len())
            }
            found => found,
        }
    }
}

/// Finds the `id` of a JSON object that goes by in pieces, keeping none of it.
#[derive(Default)]
struct IdScan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// At depth 1: is the next string a key?
    key_next: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    /// The bytes now going by are the value of `id`.
    taking: bool,
    found: Option<Vec<u8>>,
}

impl IdScan {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.found.is_some() {
                return;
            }
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 && self.key_next {
                    self.key.clear();
                }
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.key_next = byte == b'{' && self.depth == 1;
                self.taking = false;
            }
            b'}' | b']' => {
                self.end_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 && self.key_next => {
                self.key_next = false;
                self.taking = self.key == b"\"id\"";
                self.value.clear();
            }
            b',' if self.depth == 1 => {
                self.end_value();
                self.key_next = true;
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth != 1 {
            return;
        }
        if self.key_next {
            if self.key.len() < 8 {
                self.key.push(byte);
            }
        } else if self.taking {
            if self.value.len() >= ID_BYTES_MAX {
                self.taking = false;
            } else {
                self.value.push(byte);
            }
        }
    }

    fn end_value(&mut self) {
        if self.depth == 1 && std::mem::take(&mut self.taking) {
            self.found = Some(std::mem::take(&mut self.value));
        }
    }

    fn finish(self) -> Option<String> {
        let raw = String::from_utf8(self.found?).ok()?;
        super::message::Id::parse(&raw).map(|_| raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], max: usize) -> Vec<Line> {
        let mut reader = LineReader::new(text, max);
        let mut all = Vec::new();
        loop {
            let line = reader.next().await.unwrap();
            if line == Line::End {
                return all;
            }
            all.push(line);
        }
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn splits_and_skips_blank_lines_and_keeps_the_unterminated_last() {
        assert_eq!(lines(b"a\n\r\n \nbc\r\nd", 10).await, [whole("a"), whole("bc"), whole("d")]);
        assert_eq!(lines(b"", 10).await, []);
    }

    #[tokio::test]
    async fn a_line_of_the_bound_passes_and_one_byte_more_does_not() {
        assert_eq!(lines(b"1234\n12345\n1\n", 4).await, [whole("1234"), Line::TooLong(None), whole("1")]);
        assert_eq!(lines(b"12345", 4).await, [Line::TooLong(None)]);
    }

    #[tokio::test]
    async fn an_oversized_line_gives_its_id_wherever_it_stands() {
        let pad = "x".repeat(100_000);
        for (text, id) in [
            (format!(r#"{{"id":7,"params":"{pad}"}}"#), Some("7")),
            (format!(r#"{{"params":{{"id":1,"p":"{pad}\"id\":2,"}},"id": "a,b" }}"#), Some("\"a,b\"")),
            (format!(r#"{{"method":"id","params":["id","{pad}"],"id":-3}}"#), Some("-3")),
            (format!(r#"{{"params":"{pad}"}}"#), None),
            (format!(r#"{{"id":{{"a":1}},"params":"{pad}"}}"#), None),
            (format!(r#"{{"id":null,"params":"{pad}"}}"#), None),
        ] {
            let text = format!("{text}\n1\n");
            assert_eq!(
                lines(text.as_bytes(), 1000).await,
                [Line::TooLong(id.map(str::to_owned)), whole("1")],
                "{}",
                &text[..40]
            );
        }
    }
}
