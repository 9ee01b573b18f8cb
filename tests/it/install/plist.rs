//! Reads the property lists of `etc/launchd`: the little of XML that they use, and nothing else. What launchd knows is
//! in the tests that use it.

use std::collections::BTreeMap;

/// A value of a property list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plist {
    /// `<string>`.
    Text(String),
    /// `<integer>`.
    Number(i64),
    /// `<true/>` and `<false/>`.
    Flag(bool),
    /// `<array>`.
    List(Vec<Plist>),
    /// `<dict>`; no key twice.
    Dict(BTreeMap<String, Plist>),
}

impl Plist {
    /// Reads a whole file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body =
            text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").ok_or("no XML declaration")?;
        let mut from = Reader { rest: body };
        from.blank()?;
        let doctype = from.rest.strip_prefix("<!DOCTYPE plist ").ok_or("no DOCTYPE")?;
        from.rest = doctype.split_once('>').ok_or("an open DOCTYPE")?.1;
        from.expect("<plist version=\"1.0\">")?;
        let value = from.value()?;
        from.expect("</plist>")?;
        from.blank()?;
        if from.rest.is_empty() { Ok(value) } else { Err(format!("something follows: {}", from.here())) }
    }

    /// The value of a key, where there is one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.get(key),
            _ => None,
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn here(&self) -> String {
        self.rest.chars().take(40).collect()
    }

    /// Passes over blanks and comments.
    fn blank(&mut self) -> Result<(), String> {
        loop {
            self.rest = self.rest.trim_start();
            let Some(comment) = self.rest.strip_prefix("<!--") else { return Ok(()) };
            let (said, after) = comment.split_once("-->").ok_or("an open comment")?;
            if said.contains("--") || said.ends_with('-') {
                return Err(format!("`--` inside a comment:{said}"));
            }
            self.rest = after;
        }
    }

    fn take(&mut self, tag: &str) -> Result<bool, String> {
        self.blank()?;
        let Some(after) = self.rest.strip_prefix(tag) else { return Ok(false) };
        self.rest = after;
        Ok(true)
    }

    fn expect(&mut self, tag: &str) -> Result<(), String> {
        if self.take(tag)? { Ok(()) } else { Err(format!("{tag} is missing before {}", self.here())) }
    }

    /// The text up to a closing tag; entities and tags do not occur in it.
    fn text(&mut self, close: &str) -> Result<&'t str, String> {
        let (text, after) = self.rest.split_once(close).ok_or_else(|| format!("{close} is missing"))?;
        if text.contains(['<', '&']) {
            return Err(format!("not plain text: {text}"));
        }
        self.rest = after;
        Ok(text)
    }

    fn value(&mut self) -> Result<Plist, String> {
        if self.take("<string>")? {
            return Ok(Plist::Text(self.text("</string>")?.to_owned()));
        }
        if self.take("<integer>")? {
            let digits = self.text("</integer>")?;
            return digits.parse().map(Plist::Number).map_err(|e| format!("{digits}: {e}"));
        }
        if self.take("<true/>")? {
            return Ok(Plist::Flag(true));
        }
        if self.take("<false/>")? {
            return Ok(Plist::Flag(false));
        }
        if self.take("<array>")? {
            let mut list = Vec::new();
            while !self.take("</array>")? {
                list.push(self.value()?);
            }
            return Ok(Plist::List(list));
        }
        self.expect("<dict>")?;
        let mut entries = BTreeMap::new();
        while !self.take("</dict>")? {
            self.expect("<key>")?;
            let key = self.text("</key>")?.to_owned();
            let value = self.value()?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(format!("{key} stands there twice"));
            }
        }
        Ok(Plist::Dict(entries))
    }
}
