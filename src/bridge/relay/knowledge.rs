//! What is known of the daemon, and the answers that the bridge gives from it. Part of `relay`.

use super::{LEGACY, MODERN, Relay, SERVER_INFO_META};
use crate::bridge::catalogue::Catalogue;
use crate::bridge::message;
use crate::bridge::pending::{Kind, Pending};
use serde_json::value::RawValue;

impl Relay {
    pub(super) fn learn_self(&mut self, result: Option<&RawValue>) {
        let Some(all) = result.and_then(|raw| message::entries(raw.get())) else { return };
        let server_info = all
            .iter()
            .find(|(key, _)| key == "_meta")
            .and_then(|(_, raw)| message::entries(raw.get()))
            .and_then(|meta| meta.into_iter().find(|(key, _)| key == SERVER_INFO_META));
        for (key, raw) in all.into_iter().chain(server_info) {
            let field = match key.as_str() {
                "serverInfo" | SERVER_INFO_META => &mut self.catalogue.server_info,
                "capabilities" => &mut self.catalogue.capabilities,
                "instructions" => &mut self.catalogue.instructions,
                _ => continue,
            };
            if field.get() != raw.get() {
                *field = raw.to_owned();
                self.catalogue_changed = true;
            }
        }
    }

    pub(super) fn learn_tools(&mut self, result: Option<&RawValue>, told: bool) {
        let Some(all) = result.and_then(|raw| message::entries(raw.get())) else { return };
        if all.iter().any(|(key, value)| key == "nextCursor" && value.get() != "null") {
            return;
        }
        let Some((_, tools)) = all.into_iter().find(|(key, _)| key == "tools") else { return };
        if self.catalogue.tools.get() != tools.get() {
            self.catalogue.tools = tools.to_owned();
            self.catalogue_changed = true;
        }
        if told {
            self.told_tools = Some(tools.get().to_owned());
        } else if self.told_tools.as_deref().is_some_and(|known| known != tools.get()) {
            self.told_tools = None;
            self.tell_tools_changed();
        }
    }

    pub(super) fn tell_tools_changed(&mut self) {
        let method = "notifications/tools/list_changed";
        if self.init.is_some() {
            return self.say(message::request(None, method, "{}"));
        }
        let listening = |one: &&Pending| one.kind == Kind::Listen { tools: true } && one.acknowledged;
        let ids: Vec<String> = self.pending.iter().filter(listening).map(|one| one.raw_id.clone()).collect();
        for id in ids {
            let params = format!("{{\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{id}}}}}");
            self.say(message::request(None, method, &params));
        }
    }

    /// The answer the bridge itself has to `one`, if any.
    pub(super) fn own_answer(&mut self, one: &Pending) -> Option<String> {
        let Catalogue { server_info, capabilities, instructions, tools } = &self.catalogue;
        Some(match one.kind {
            Kind::Initialize => {
                let init = self.init.as_mut()?;
                let known = LEGACY.contains(&init.asked.as_str());
                let version = if known { init.asked.clone() } else { LEGACY[LEGACY.len() - 1].to_owned() };
                let said = if instructions.get() == "null" {
                    String::new()
                } else {
                    format!(",\"instructions\":{}", instructions.get())
                };
                let text = format!(
                    "{{\"protocolVersion\":\"{version}\",\"capabilities\":{},\"serverInfo\":{}{said}}}",
                    capabilities.get(),
                    server_info.get()
                );
                init.told = Some(version);
                text
            }
            Kind::Discover => {
                let said = if instructions.get() == "null" {
                    String::new()
                } else {
                    format!(",\"instructions\":{}", instructions.get())
                };
                format!(
                    "{{\"resultType\":\"complete\",\"supportedVersions\":{},\"capabilities\":{}{said},\"ttlMs\":0,\
                     \"cacheScope\":\"private\",\"_meta\":{{\"{SERVER_INFO_META}\":{}}}}}",
                    serde_json::json!([LEGACY[0], LEGACY[1], LEGACY[2], LEGACY[3], MODERN]),
                    capabilities.get(),
                    server_info.get()
                )
            }
            Kind::ListTools => {
                self.told_tools = Some(tools.get().to_owned());
                let more = match one.modern {
                    true => ",\"resultType\":\"complete\",\"ttlMs\":0,\"cacheScope\":\"private\"",
                    false => "",
                };
                format!("{{\"tools\":{}{more}}}", tools.get())
            }
            Kind::Ping => "{}".to_owned(),
            _ => return None,
        })
    }
}
