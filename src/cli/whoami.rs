//! `teleclaude whoami`: who the daemon says one is. Also how `people explain` shows somebody else.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{BOLD, Look, pairs, visible};
use crate::client::Client;
use crate::wire::reply::WhoamiReply;

/// Arguments of `whoami`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also say which rule matched, from which file and line, and what the role may do.
    #[arg(long)]
    explain: bool,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let answer = client.whoami().await?;
    if json {
        return console.say_json(&answer.text);
    }
    let text = render(&answer.reply, args.explain, &console.look);
    console.say(&text)
}

/// Who somebody is; `explain` adds why, and what they may do.
pub fn render(who: &WhoamiReply, explain: bool, look: &Look) -> String {
    let user = who.os_username.clone().unwrap_or_else(|| "(no OS user)".to_owned());
    let name = who.person.as_deref().unwrap_or("nobody known");
    let numbers = |ids: &[i64]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut rows = vec![
        ("OS user", Some(format!("{user}, uid {}, gid {}", who.uid, who.gid))),
        ("Mode", Some(who.mode.clone())),
        ("Agent of", who.agent_of.clone()),
        ("Refused", who.refused.clone()),
    ];
    if explain {
        rows.push(("Groups", (!who.groups.is_empty()).then(|| numbers(&who.groups))));
        rows.push(("Rule", Some(who.rule.text.clone())));
        rows.push(("From", who.rule.origin.clone()));
        rows.push(("May", Some(who.may.join(", "))));
    }
    format!("{} ({})\n{}", paint(look.colour, BOLD, &visible(name)), who.role, pairs(&rows, look))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::plain;
    use crate::domain::caller::Role;
    use crate::wire::reply::RuleReply;

    fn ann() -> WhoamiReply {
        WhoamiReply {
            person: Some("ann".to_owned()),
            role: Role::Admin,
            os_username: Some("ann".to_owned()),
            uid: 1000,
            gid: 1000,
            groups: vec![4, 27],
            mode: "system".to_owned(),
            single_user: false,
            rule: RuleReply {
                text: "person \"ann\" by os_username".to_owned(),
                origin: Some("/etc/teleclaude/config.yml:12".to_owned()),
            },
            refused: None,
            agent_of: None,
            may: vec!["whoami".to_owned(), "sessions.list".to_owned()],
        }
    }

    #[test]
    fn somebody_known() {
        insta::assert_snapshot!(render(&ann(), false, &plain()), @r"
        ann (admin)
        OS user   ann, uid 1000, gid 1000
        Mode      system
        ");
        insta::assert_snapshot!(render(&ann(), true, &plain()), @r#"
        ann (admin)
        OS user   ann, uid 1000, gid 1000
        Mode      system
        Groups    4 27
        Rule      person "ann" by os_username
        From      /etc/teleclaude/config.yml:12
        May       whoami, sessions.list
        "#);
    }

    #[test]
    fn somebody_refused() {
        let nobody = WhoamiReply {
            person: None,
            role: Role::Public,
            os_username: None,
            refused: Some("this user is on the deny list (access.deny)".to_owned()),
            ..ann()
        };
        insta::assert_snapshot!(render(&nobody, false, &plain()), @r"
        nobody known (public)
        OS user   (no OS user), uid 1000, gid 1000
        Mode      system
        Refused   this user is on the deny list (access.deny)
        ");
    }
}
