//! A message's bytes, written and read in order: numbers, texts, places. What a message is made of is not here.

use crate::domain::session::SessionId;
use crate::runner::message::{FRAME_BYTES_MAX, MessageError, Place, text};
use uuid::Uuid;

/// Bytes on their way out; the first four are the length's.
pub(super) struct Out(Vec<u8>);

impl Out {
    pub(super) fn new() -> Self {
        Self(vec![0; 4])
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    pub(super) fn i32(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    pub(super) fn count(&mut self, count: usize) -> Result<(), MessageError> {
        let count = u16::try_from(count).map_err(|_| MessageError::Length(count))?;
        self.bytes(&count.to_be_bytes());
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), MessageError> {
        self.count(text.len())?;
        self.bytes(text.as_bytes());
        Ok(())
    }

    pub(super) fn cut_text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(8_192)];
        self.bytes(&u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    pub(super) fn maybe(&mut self, text: Option<&str>) -> Result<(), MessageError> {
        self.byte(u8::from(text.is_some()));
        text.map_or(Ok(()), |text| self.text(text))
    }

    pub(super) fn place(&mut self, place: &Place) -> Result<(), MessageError> {
        self.u32(place.uid);
        self.bytes(place.session.0.as_bytes());
        self.text(&place.project)
    }

    pub(super) fn frame(self) -> Result<Vec<u8>, MessageError> {
        let length = self.0.len() - 4;
        if length > FRAME_BYTES_MAX { Err(MessageError::Length(length)) } else { Ok(self.finished()) }
    }

    pub(super) fn finished(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Bytes that are being read.
pub(super) struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, MessageError> {
        if bytes.is_empty() || bytes.len() > FRAME_BYTES_MAX {
            return Err(MessageError::Length(bytes.len()));
        }
        Ok(Self(bytes))
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(MessageError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, MessageError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, MessageError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MessageError::Unknown(field)),
        }
    }

    pub(super) fn u16(&mut self) -> Result<u16, MessageError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, MessageError> {
        self.take().map(i32::from_be_bytes)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, MessageError> {
        self.take().map(Uuid::from_bytes)
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, MessageError> {
        let length = usize::from(self.u16()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(MessageError::Truncated)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| MessageError::Text { field, problem: "is not UTF-8" })
    }

    pub(super) fn place(&mut self) -> Result<Place, MessageError> {
        Ok(Place {
            uid: self.u32()?,
            session: SessionId(self.uuid()?),
            project: text::name("project", self.text("project")?)?,
        })
    }

    pub(super) fn end(&self) -> Result<(), MessageError> {
        if self.0.is_empty() { Ok(()) } else { Err(MessageError::Trailing) }
    }
}
