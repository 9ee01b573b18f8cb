//! Shared documents: from what is asked to what is judged, and from what was chosen to a page of it. Who reads the
//! files is the daemon (`daemon/docs`); everything here is pure but for the reader that is handed in.

use crate::domain::action::Action;
use crate::domain::caller::Role;
use crate::domain::document::{DocId, DocType, DocsQuery};
use crate::domain::library::{Chosen, Library, Shelved};
use crate::usecase::cursor;
use crate::usecase::resolve::limit;
use crate::wire::docs::{ContextReply, DocRow, DocText, GetContext};
use crate::wire::fault::Fault;
use crate::wire::limits::{CONTENT_CHARS_MAX, PAGE_MAX};

/// Types that may be asked for together.
const TYPES_MAX: usize = 20;
/// Characters that a document's beginning is worth a page's rest.
const WORTH: usize = 500;
const WHERE: &str = "`teleclaude docs index`, or get_context without ids, shows which there are";

/// Turns the arguments of `get_context` into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve(args: GetContext) -> Result<Action, Fault> {
    let query = match args.ids {
        Some(ids) => {
            let both = |field, given: bool| match given {
                true => Err(Fault::invalid(field, "is for the index, and ids ask for texts")),
                false => Ok(()),
            };
            both("types", args.types.is_some())?;
            both("limit", args.limit.is_some())?;
            if ids.is_empty() || ids.len() as u64 > PAGE_MAX {
                let problem = format_args!("must name 1 to {PAGE_MAX} documents");
                return Err(Fault::invalid("ids", problem).hint("without ids the index is given"));
            }
            let ids: Result<Vec<DocId>, Fault> =
                ids.iter().enumerate().map(|(i, text)| doc_id(text, &format!("ids[{i}]"))).collect();
            DocsQuery::Texts {
                ids: ids?,
                requirements: args.include_requirements.unwrap_or(true),
                from: args.cursor.as_deref().map(cursor::text).transpose()?,
            }
        }
        None => {
            if args.include_requirements.is_some() {
                return Err(Fault::invalid("include_requirements", "is for texts, and there are no ids"));
            }
            let types = args.types.unwrap_or_default();
            if types.len() > TYPES_MAX {
                return Err(Fault::invalid("types", format_args!("may be at most {TYPES_MAX}")));
            }
            let types: Result<Vec<DocType>, Fault> = types
                .iter()
                .enumerate()
                .map(|(i, text)| {
                    DocType::parse(text).map_err(|why| Fault::invalid(&format!("types[{i}]"), why))
                })
                .collect();
            DocsQuery::Index {
                types: types?,
                after: args.cursor.as_deref().map(cursor::document).transpose()?,
                limit: usize::try_from(limit(args.limit)?).unwrap_or(usize::MAX),
            }
        }
    };
    Ok(Action::ReadDocs(Box::new(query)))
}

/// Turns an id into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve_one(id: &str) -> Result<Action, Fault> {
    Ok(Action::ReadDocs(Box::new(DocsQuery::One(doc_id(id, "id")?))))
}

fn doc_id(text: &str, field: &str) -> Result<DocId, Fault> {
    DocId::parse(text).map_err(|why| Fault::invalid(field, why).hint(WHERE))
}

/// There is no such document, or it is for others.
pub fn unknown(id: &DocId) -> Fault {
    Fault { field: Some("ids".to_owned()), ..Fault::not_found("document", id.as_str()) }.hint(WHERE)
}

/// A page of the index.
pub fn index(
    library: &Library,
    role: Role,
    types: &[DocType],
    after: Option<&DocId>,
    limit: usize,
) -> ContextReply {
    let (rows, more) = library.page(role, types, after, limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor::of_document(&last.document.id));
    let row = |one: &Shelved| {
        let seen = one.document.requires.iter().filter(|id| library.get(id, role).is_some());
        DocRow::of(&one.document, seen.map(ToString::to_string).collect())
    };
    ContextReply {
        index: rows.into_iter().map(|one| row(one)).collect(),
        next_cursor,
        ..ContextReply::default()
    }
}

/// A page of the texts that were chosen, from a place on. `read` gives a document's text; `None` if it is not that
/// document's any more, or not for the asker.
///
/// # Errors
/// One of `asked` is gone meanwhile; the place is in none of the texts; what `read` fails with.
pub fn texts(
    chosen: &Chosen,
    asked: &[DocId],
    from: Option<&(DocId, usize)>,
    mut read: impl FnMut(&Shelved) -> Result<Option<String>, Fault>,
) -> Result<ContextReply, Fault> {
    let mut reply = ContextReply::default();
    let mut left_out = chosen.left_out;
    let mut left = CONTENT_CHARS_MAX;
    let begin = match from {
        None => 0,
        Some((id, _)) => {
            chosen.documents.iter().position(|one| one.document.id == *id).ok_or_else(cursor::not_a_cursor)?
        }
    };
    for one in chosen.documents.iter().skip(begin) {
        let id = &one.document.id;
        let offset = from.filter(|(at, _)| at == id).map_or(0, |(_, offset)| *offset);
        let full = reply.documents.len() as u64 == PAGE_MAX;
        if full || (left < WORTH && !reply.documents.is_empty()) {
            reply.next_cursor = Some(cursor::of_text(id, offset));
            break;
        }
        let Some(text) = read(one)? else {
            if asked.contains(id) {
                return Err(unknown(id));
            }
            left_out += 1;
            continue;
        };
        let rest = text.get(offset..).ok_or_else(cursor::not_a_cursor)?;
        let part = beginning(rest, left);
        left -= part.chars().count();
        let complete = part.len() == rest.len();
        reply.documents.push(DocText::of(&one.document, part.to_owned(), offset, complete));
        if !complete {
            reply.next_cursor = Some(cursor::of_text(id, offset + part.len()));
            break;
        }
    }
    reply.requirements_left_out = i64::try_from(left_out).unwrap_or(i64::MAX);
    Ok(reply)
}

/// As much of a text as fits into so many characters, to the end of a line if there is one.
fn beginning(text: &str, chars: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(chars) else { return text };
    let fits = text.get(..end).unwrap_or_default();
    fits.rfind('\n').and_then(|at| fits.get(..=at)).unwrap_or(fits)
}

#[cfg(test)]
mod tests {
    use super::{beginning, index, resolve, texts};
    use crate::domain::action::Action;
    use crate::domain::caller::Role;
    use crate::domain::document::{DocId, DocType, DocsQuery, Document};
    use crate::domain::library::{Library, Shelved};
    use crate::usecase::cursor;
    use crate::wire::docs::GetContext;
    use crate::wire::limits::CONTENT_CHARS_MAX;
    use proptest::prelude::{prop, proptest};
    use std::sync::Arc;

    fn id(text: &str) -> DocId {
        DocId::parse(text).unwrap()
    }

    fn library(requires: &[(&str, Role, &[&str])]) -> Library {
        let shelved = |(name, role, requires): &(&str, Role, &[&str])| {
            Arc::new(Shelved {
                document: Document {
                    id: id(name),
                    description: String::new(),
                    kind: DocType::parse("guide").unwrap(),
                    role: *role,
                    requires: requires.iter().copied().map(id).collect(),
                },
                path: format!("{name}.md"),
                id_line: None,
                requires_line: None,
                digest: 0,
            })
        };
        Library::new(requires.iter().map(shelved).collect()).0
    }

    #[test]
    fn the_index_names_only_what_one_may_know_of() {
        let library = library(&[
            ("a", Role::Public, &["b", "c", "gone"]),
            ("b", Role::Admin, &[]),
            ("c", Role::Public, &[]),
        ]);
        let page = index(&library, Role::Public, &[], None, 1);
        assert_eq!(
            (page.index[0].id.as_str(), page.index[0].requires.as_slice()),
            ("a", &["c".to_owned()][..])
        );
        let next = cursor::document(page.next_cursor.as_deref().unwrap()).unwrap();
        let page = index(&library, Role::Public, &[], Some(&next), 1);
        assert_eq!((page.index[0].id.as_str(), page.next_cursor), ("c", None));
    }

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let ids = |ids: &[&str]| Some(ids.iter().map(|&id| id.to_owned()).collect());
        for (args, field) in [
            (GetContext { ids: ids(&[]), ..GetContext::default() }, "ids"),
            (GetContext { ids: ids(&["a"; 101]), ..GetContext::default() }, "ids"),
            (GetContext { ids: ids(&["a", "../b"]), ..GetContext::default() }, "ids[1]"),
            (GetContext { ids: ids(&["a"]), types: ids(&["b"]), ..GetContext::default() }, "types"),
            (GetContext { ids: ids(&["a"]), limit: Some(5), ..GetContext::default() }, "limit"),
            (GetContext { types: ids(&["A b"]), ..GetContext::default() }, "types[0]"),
            (GetContext { types: ids(&["a"; 21]), ..GetContext::default() }, "types"),
            (GetContext { limit: Some(0), ..GetContext::default() }, "limit"),
            (
                GetContext { include_requirements: Some(true), ..GetContext::default() },
                "include_requirements",
            ),
            (GetContext { cursor: Some("t0-a".to_owned()), ..GetContext::default() }, "cursor"),
            (
                GetContext { ids: ids(&["a"]), cursor: Some("da".to_owned()), ..GetContext::default() },
                "cursor",
            ),
        ] {
            assert_eq!(resolve(args.clone()).unwrap_err().field.as_deref(), Some(field), "{args:?}");
        }
        let args = GetContext { ids: ids(&["a"]), ..GetContext::default() };
        let Ok(Action::ReadDocs(query)) = resolve(args) else { panic!("ids ask for texts") };
        assert_eq!(*query, DocsQuery::Texts { ids: vec![id("a")], requirements: true, from: None });
    }

    #[test]
    fn what_is_gone_meanwhile_is_said_or_counted() {
        let library = library(&[("a", Role::Public, &["b"]), ("b", Role::Public, &[])]);
        let asked = [id("a")];
        let chosen = library.choose(&asked, Role::Public, true).unwrap();
        let without = |gone: &'static str| {
            texts(&chosen, &asked, None, move |one| {
                Ok((one.document.id.as_str() != gone).then(|| "text".to_owned()))
            })
        };
        let page = without("b").unwrap();
        assert_eq!((page.documents.len(), page.requirements_left_out), (1, 1));
        assert_eq!(without("a").unwrap_err().message, "no document `a`");
        let from = (id("a"), 2);
        let cut = texts(&chosen, &asked, Some(&from), |_| Ok(Some("äö".to_owned()))).unwrap();
        assert_eq!((cut.documents[0].content.as_str(), cut.documents[0].offset), ("ö", 2));
        for (name, at) in [("a", 1), ("a", 99), ("c", 0)] {
            let from = (id(name), at);
            let fault = texts(&chosen, &asked, Some(&from), |_| Ok(Some("äö".to_owned()))).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("cursor"));
        }
    }

    proptest! {
        /// Page after page everything comes, once and in order, and no page is too large.
        #[test]
        fn pages_are_bounded_and_lose_nothing(
            bodies in prop::collection::vec((0_usize..60_000, 1_usize..400), 1..8),
        ) {
            let names: Vec<String> = (0..bodies.len()).map(|n| format!("d{n}")).collect();
            let rows: Vec<(&str, Role, &[&str])> =
                names.iter().map(|name| (name.as_str(), Role::Public, &[][..])).collect();
            let library = library(&rows);
            let asked: Vec<DocId> = names.iter().map(|name| id(name)).collect();
            let chosen = library.choose(&asked, Role::Public, true).unwrap();
            let body = |name: &str| {
                let (chars, line) = bodies[name[1..].parse::<usize>().unwrap()];
                (0..chars).map(|n| if n % line == line - 1 { '\n' } else { 'ä' }).collect::<String>()
            };
            let mut got: Vec<(String, String)> = Vec::new();
            let mut from = None;
            for _ in 0..40 {
                let page =
                    texts(&chosen, &asked, from.as_ref(), |one| Ok(Some(body(one.document.id.as_str())))).unwrap();
                let chars: usize = page.documents.iter().map(|one| one.content.chars().count()).sum();
                assert!(chars <= CONTENT_CHARS_MAX);
                for one in page.documents {
                    match got.last_mut().filter(|(name, _)| *name == one.id) {
                        Some((_, text)) => {
                            assert_eq!(text.len(), usize::try_from(one.offset).unwrap());
                            text.push_str(&one.content);
                        }
                        None => got.push((one.id, one.content)),
                    }
                }
                from = page.next_cursor.map(|next| cursor::text(&next).unwrap());
                if from.is_none() {
                    break;
                }
            }
            assert!(from.is_none(), "it ends");
            let all: Vec<(String, String)> = names.iter().map(|name| (name.clone(), body(name))).collect();
            assert_eq!(got, all);
        }
    }

    #[test]
    fn a_part_ends_with_a_line_if_it_can() {
        for (text, chars, part) in
            [("ab\ncd", 10, "ab\ncd"), ("ab\ncd", 4, "ab\n"), ("abcd", 2, "ab"), ("ä\n", 1, "ä"), ("", 0, "")]
        {
            assert_eq!(beginning(text, chars), part);
        }
    }
}
