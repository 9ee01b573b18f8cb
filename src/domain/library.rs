//! All shared documents together: which there are for a role, what is to be read before what, and what does not fit
//! together. Holds no texts. Pure.

use crate::domain::caller::Role;
use crate::domain::document::{DocId, DocProblem, DocType, Document};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

/// Names of a circle that are shown, at most.
const CIRCLE_SHOWN: usize = 8;

/// A document and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// What is said about it.
    pub document: Document,
    /// Its file's path below the folder of documents.
    pub path: String,
    /// The line on which it says its id.
    pub id_line: Option<usize>,
    /// The line on which it says what it requires.
    pub requires_line: Option<usize>,
    /// Differs, all but certainly, from that of another text.
    pub digest: u64,
}

impl Shelved {
    fn problem(&self, line: Option<usize>, key: &str, message: String) -> DocProblem {
        DocProblem { path: self.path.clone(), line, key: Some(key.to_owned()), message }
    }
}

/// A document that is not as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: DocId,
    /// The least role that may know of it, or might before.
    pub role: Role,
    /// Whether the index changed by it too, and not its text alone.
    pub listed: bool,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Each once, what is required before what requires it.
    pub documents: Vec<Arc<Shelved>>,
    /// How many required documents are left out, since they do not exist or are for others.
    pub left_out: usize,
}

/// Every document, by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Library {
    documents: BTreeMap<DocId, Arc<Shelved>>,
}

impl Library {
    /// Puts documents together. Of two with the same id the one with the first path stays. The problems name what is
    /// left out, what is required and not there, and each circle of requirements; those documents stay.
    pub fn new(mut found: Vec<Arc<Shelved>>) -> (Self, Vec<DocProblem>) {
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let mut library = Self::default();
        let mut problems = Vec::new();
        for one in found {
            if let Some(first) = library.documents.get(&one.document.id) {
                let message = format!("`{}` is already the id of {}; left out", one.document.id, first.path);
                problems.push(one.problem(one.id_line, "id", message));
            } else {
                library.documents.insert(one.document.id.clone(), one);
            }
        }
        for one in library.documents.values() {
            for id in one.document.requires.iter().filter(|id| !library.documents.contains_key(*id)) {
                problems.push(one.problem(
                    one.requires_line,
                    "requires",
                    format!("there is no document `{id}`"),
                ));
            }
        }
        problems.extend(library.circles());
        problems.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
        (library, problems)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The document, if there is one for this role.
    pub fn get(&self, id: &DocId, role: Role) -> Option<&Arc<Shelved>> {
        self.documents.get(id).filter(|one| one.document.is_for(role))
    }

    /// Those for this role, by id: at most `limit` after `after`, of these types (none: of all), and whether there are
    /// more.
    pub fn page(
        &self,
        role: Role,
        types: &[DocType],
        after: Option<&DocId>,
        limit: usize,
    ) -> (Vec<&Arc<Shelved>>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self
            .documents
            .range::<DocId, _>((from, Bound::Unbounded))
            .map(|(_, one)| one)
            .filter(|one| one.document.is_for(role))
            .filter(|one| types.is_empty() || types.contains(&one.document.kind));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        (page, more)
    }

    /// The documents with these ids, and with `requirements` also what they require, before them.
    ///
    /// # Errors
    /// The first id that is none of a document for this role.
    pub fn choose<'i>(&self, ids: &'i [DocId], role: Role, requirements: bool) -> Result<Chosen, &'i DocId> {
        let mut chosen = Chosen { documents: Vec::new(), left_out: 0 };
        if let Some(unknown) = ids.iter().find(|id| self.get(id, role).is_none()) {
            return Err(unknown);
        }
        // What was met is not met again: so each comes once, and a circle ends where it began.
        let mut met: HashSet<&DocId> = HashSet::new();
        let mut open: Vec<(&Arc<Shelved>, usize)> = Vec::new();
        for id in ids {
            if let Some(one) = self.get(id, role).filter(|one| met.insert(&one.document.id)) {
                open.push((one, 0));
            }
            while let Some((one, next)) = open.pop() {
                let required = requirements.then(|| one.document.requires.get(next)).flatten();
                let Some(required) = required else {
                    chosen.documents.push(Arc::clone(one));
                    continue;
                };
                open.push((one, next + 1));
                if !met.insert(required) {
                    continue;
                }
                match self.get(required, role) {
                    Some(required) => open.push((required, 0)),
                    None => chosen.left_out += 1,
                }
            }
        }
        Ok(chosen)
    }

    /// What differs between this library and the one after it, by id.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, old) in &self.documents {
            match after.documents.get(id) {
                None => changes.push(Change { id: id.clone(), role: old.document.role, listed: true }),
                Some(new) if old.document != new.document || old.digest != new.digest => {
                    let role = old.document.role.min(new.document.role);
                    changes.push(Change { id: id.clone(), role, listed: old.document != new.document });
                }
                Some(_) => {}
            }
        }
        for (id, new) in after.documents.iter().filter(|(id, _)| !self.documents.contains_key(*id)) {
            changes.push(Change { id: id.clone(), role: new.document.role, listed: true });
        }
        changes
    }

    /// A problem for each circle that a walk through all requirements closes.
    fn circles(&self) -> Vec<DocProblem> {
        #[derive(PartialEq)]
        enum Met {
            Open,
            Done,
        }
        let mut problems = Vec::new();
        let mut met: HashMap<&DocId, Met> = HashMap::new();
        for begin in self.documents.values() {
            if met.contains_key(&begin.document.id) {
                continue;
            }
            met.insert(&begin.document.id, Met::Open);
            let mut open: Vec<(&Arc<Shelved>, usize)> = vec![(begin, 0)];
            while let Some((one, next)) = open.pop() {
                let Some(required) = one.document.requires.get(next) else {
                    met.insert(&one.document.id, Met::Done);
                    continue;
                };
                open.push((one, next + 1));
                let Some(required) = self.documents.get(required) else { continue };
                let id = &required.document.id;
                match met.get(id) {
                    None => {
                        met.insert(id, Met::Open);
                        open.push((required, 0));
                    }
                    Some(Met::Open) => {
                        let way: Vec<&str> = open
                            .iter()
                            .map(|(one, _)| one.document.id.as_str())
                            .skip_while(|step| *step != id.as_str())
                            .collect();
                        problems.push(one.problem(one.requires_line, "requires", circle(&way)));
                    }
                    Some(Met::Done) => {}
                }
            }
        }
        problems
    }
}

/// A circle in words: `a -> b -> a`, the middle of a long one left out.
fn circle(way: &[&str]) -> String {
    let first = way.first().copied().unwrap_or_default();
    let shown = way.iter().take(CIRCLE_SHOWN).copied().collect::<Vec<_>>().join(" -> ");
    let rest = match way.len().saturating_sub(CIRCLE_SHOWN) {
        0 => String::new(),
        more => format!(" -> … {more} more"),
    };
    format!("documents require each other in a circle: {shown}{rest} -> {first}")
}

#[cfg(test)]
mod tests {
    use super::{Change, Library, Shelved};
    use crate::domain::caller::Role;
    use crate::domain::document::{DocId, DocType, Document};
    use proptest::prelude::{any, prop, proptest};
    use std::collections::HashSet;
    use std::sync::Arc;

    fn id(text: &str) -> DocId {
        DocId::parse(text).unwrap()
    }

    fn doc(name: &str, role: Role, requires: &[&str]) -> Arc<Shelved> {
        Arc::new(Shelved {
            document: Document {
                id: id(name),
                description: format!("about {name}"),
                kind: DocType::parse(if name.starts_with('p') { "policy" } else { "guide" }).unwrap(),
                role,
                requires: requires.iter().copied().map(id).collect(),
            },
            path: format!("{name}.md"),
            id_line: Some(2),
            requires_line: Some(5),
            digest: 1,
        })
    }

    fn chosen(library: &Library, ids: &[&str], role: Role, requirements: bool) -> (Vec<String>, usize) {
        let ids: Vec<DocId> = ids.iter().copied().map(id).collect();
        let chosen = library.choose(&ids, role, requirements).unwrap();
        (chosen.documents.iter().map(|one| one.document.id.to_string()).collect(), chosen.left_out)
    }

    #[test]
    fn what_is_required_comes_first_and_each_once() {
        let all = vec![
            doc("a", Role::Newcomer, &["b", "c"]),
            doc("b", Role::Newcomer, &["d"]),
            doc("c", Role::Newcomer, &["d", "gone"]),
            doc("d", Role::Newcomer, &[]),
            doc("e", Role::Newcomer, &["secret", "d"]),
            doc("secret", Role::Admin, &["f"]),
            doc("f", Role::Newcomer, &[]),
        ];
        let (library, problems) = Library::new(all);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["c.md:5: requires: there is no document `gone`"]);
        let named = |ids: &[&str], role, requirements| chosen(&library, ids, role, requirements);
        assert_eq!(
            named(&["a"], Role::Newcomer, true),
            (["d", "b", "c", "a"].map(str::to_owned).to_vec(), 1)
        );
        assert_eq!(named(&["a", "d"], Role::Newcomer, false), (["a", "d"].map(str::to_owned).to_vec(), 0));
        assert_eq!(named(&["e", "e"], Role::Member, true), (["d", "e"].map(str::to_owned).to_vec(), 1));
        assert_eq!(
            named(&["e"], Role::Admin, true),
            (["f", "secret", "d", "e"].map(str::to_owned).to_vec(), 0)
        );
        let asked = [id("d"), id("secret")];
        assert_eq!(library.choose(&asked, Role::Member, true), Err(&asked[1]));
        assert_eq!(library.choose(&[], Role::Member, true).unwrap().documents, vec![]);
    }

    #[test]
    fn circles_are_named_and_broken() {
        let all = vec![
            doc("a", Role::Newcomer, &["b"]),
            doc("b", Role::Newcomer, &["c"]),
            doc("c", Role::Newcomer, &["a"]),
            doc("self", Role::Newcomer, &["self"]),
            doc("out", Role::Newcomer, &["a"]),
        ];
        let (library, problems) = Library::new(all);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let in_a_circle = "requires: documents require each other in a circle:";
        assert_eq!(
            said,
            [
                format!("c.md:5: {in_a_circle} a -> b -> c -> a"),
                format!("self.md:5: {in_a_circle} self -> self")
            ]
        );
        assert_eq!(chosen(&library, &["b"], Role::Newcomer, true).0, ["a", "c", "b"]);
        assert_eq!(chosen(&library, &["self"], Role::Newcomer, true).0, ["self"]);
    }

    #[test]
    fn of_two_with_one_id_the_first_path_stays() {
        let mut second = Shelved::clone(&doc("a", Role::Public, &[]));
        second.path = "z/other.md".to_owned();
        let (library, problems) = Library::new(vec![Arc::new(second), doc("a", Role::Admin, &[])]);
        assert_eq!(library.len(), 1);
        assert!(library.get(&id("a"), Role::Member).is_none(), "the second one's role counts for nothing");
        assert_eq!(problems[0].to_string(), "z/other.md:2: id: `a` is already the id of a.md; left out");
    }

    #[test]
    fn a_page_is_of_the_role_and_types_and_goes_on() {
        let roles = [Role::Public, Role::Newcomer, Role::Admin];
        let names = ["a", "b", "p1", "p2", "q"];
        let all = names.iter().enumerate().map(|(i, name)| doc(name, roles[i % 3], &[])).collect();
        let (library, _) = Library::new(all);
        let page = |role, types: &[&str], after: Option<&str>, limit| {
            let types: Vec<DocType> = types.iter().map(|t| DocType::parse(t).unwrap()).collect();
            let after = after.map(id);
            let (rows, more) = library.page(role, &types, after.as_ref(), limit);
            (rows.iter().map(|one| one.document.id.to_string()).collect::<Vec<_>>().join(" "), more)
        };
        assert_eq!(page(Role::Public, &[], None, 10), ("a p2".to_owned(), false));
        assert_eq!(page(Role::Newcomer, &[], None, 2), ("a b".to_owned(), true));
        assert_eq!(page(Role::Newcomer, &[], Some("b"), 2), ("p2 q".to_owned(), false));
        assert_eq!(page(Role::Admin, &["policy"], None, 10), ("p1 p2".to_owned(), false));
        assert_eq!(page(Role::Admin, &[], Some("between"), 1), ("p1".to_owned(), true));
    }

    #[test]
    fn changes_name_what_the_index_and_what_only_a_reader_sees() {
        let text = |one: &Arc<Shelved>, digest| Arc::new(Shelved { digest, ..Shelved::clone(one) });
        let kept = doc("kept", Role::Member, &[]);
        let (before, _) = Library::new(vec![
            kept.clone(),
            doc("text", Role::Member, &[]),
            doc("gone", Role::Admin, &[]),
            doc("shut", Role::Public, &[]),
        ]);
        let (after, _) = Library::new(vec![
            kept,
            text(&doc("text", Role::Member, &[]), 2),
            doc("shut", Role::Admin, &[]),
            doc("new", Role::Newcomer, &[]),
        ]);
        let change = |name, role, listed| Change { id: id(name), role, listed };
        assert_eq!(
            before.changes(&after),
            [
                change("gone", Role::Admin, true),
                change("shut", Role::Public, true),
                change("text", Role::Member, false),
                change("new", Role::Newcomer, true),
            ]
        );
        assert_eq!(after.changes(&after), vec![]);
    }

    #[test]
    fn a_chain_of_ten_thousand_is_walked_without_a_deep_stack() {
        let name = |n: usize| format!("d{n:05}");
        let all = (0..10_000).map(|n| doc(&name(n), Role::Public, &[&name((n + 1) % 10_000)])).collect();
        let (library, problems) = Library::new(all);
        assert_eq!(problems.len(), 1, "one circle through all");
        assert!(problems[0].message.contains("… 9992 more -> d00000"), "{}", problems[0].message);
        let all = library.choose(&[id("d00000")], Role::Public, true).unwrap();
        assert_eq!(all.documents.len(), 10_000);
        assert_eq!(all.documents[0].document.id.as_str(), "d09999");
    }

    proptest! {
        /// However they require each other: each once, nobody else's, and without a circle what is required is before.
        #[test]
        fn requirements_hold(
            edges in prop::collection::vec(prop::collection::vec(0_usize..12, 0..4), 12),
            roles in prop::collection::vec(0_usize..5, 12),
            ask in 0_usize..12,
            acyclic in any::<bool>(),
        ) {
            let name = |n: usize| format!("d{n:02}");
            let all = edges.iter().enumerate().map(|(n, to)| {
                let to: Vec<String> = to.iter().filter(|t| !acyclic || **t < n).map(|t| name(*t)).collect();
                doc(&name(n), Role::ALL[roles[n]], &to.iter().map(String::as_str).collect::<Vec<_>>())
            });
            let (library, problems) = Library::new(all.collect());
            assert!(!acyclic || problems.is_empty());
            let asked = [id(&name(ask))];
            let Ok(chosen) = library.choose(&asked, Role::Member, true) else { return Ok(()) };
            let mut seen = HashSet::new();
            for one in &chosen.documents {
                assert!(one.document.is_for(Role::Member));
                let ready = |required: &DocId| {
                    seen.contains(required) || library.get(required, Role::Member).is_none()
                };
                assert!(!acyclic || one.document.requires.iter().all(ready));
                assert!(seen.insert(one.document.id.clone()));
            }
            assert_eq!(chosen.documents.last().unwrap().document.id, asked[0]);
        }
    }
}
